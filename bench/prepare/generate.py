"""A table of requests to web pages: 20 columns of mixed types, missing values. `python generate.py FOLDER ROWS` writes
rows.parquet and rows.csv, the same rows."""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

CHUNK = 500_000


def chunk(random: np.random.Generator, start: int, rows: int, words: np.ndarray, pages: np.ndarray) -> pa.Table:
    def holed(values: np.ndarray, share: float) -> pa.Array:
        return pa.array(values, mask=random.random(rows) < share)

    seconds = np.datetime64("2026-01-01T00:00:00", "s") + np.sort(random.integers(0, 300 * 86_400, rows)).astype("m8[s]")
    user = (random.pareto(1.2, rows) * 1_000).astype(np.int64) % 2_000_000
    columns = {
        "id": pa.array(np.arange(start, start + rows)),
        "at": pa.array(seconds.astype("datetime64[us]")),
        "user_id": pa.array(user),
        "region": pa.array(random.integers(0, 200, rows).astype(np.int32)),
        "country": holed(words[(user % 60)], 0.02),
        "device": pa.array(np.array(["phone", "desktop", "tablet", "robot"])[random.choice(4, rows, p=[0.55, 0.35, 0.07, 0.03])]),
        "page": pa.array(pages[(random.pareto(1.0, rows) * 20).astype(np.int64) % len(pages)]),
        "phrase": pa.array(words[random.integers(0, len(words), rows)], mask=random.random(rows) < 0.8),
        "is_new": pa.array(random.random(rows) < 0.3),
        "width": pa.array(random.choice([360, 390, 768, 1280, 1366, 1920, 2560], rows).astype(np.int32)),
        "latency_ms": holed(np.round(random.lognormal(4, 1, rows), 3), 0.03),
        "bytes": holed(random.lognormal(9, 1.5, rows).astype(np.int64).astype(np.float64), 0.01),
        "price": holed(np.round(random.normal(50, 20, rows), 2), 0.5),
        "quantity": pa.array(random.poisson(1.5, rows).astype(np.int32)),
        "score": pa.array(random.normal(0, 1, rows)),
        "temperature": holed(np.round(20 + 8 * np.sin(np.arange(start, start + rows) / 50_000) + random.normal(0, 2, rows), 2), 0.05),
        "load": pa.array(np.round(random.beta(2, 5, rows), 4)),
        "status": pa.array(random.choice([200, 200, 200, 301, 404, 500], rows).astype(np.int32)),
        "referer": pa.array(words[random.integers(0, 300, rows)], mask=random.random(rows) < 0.4),
        "bought": pa.array((random.random(rows) < 0.1).astype(np.int32)),
    }
    return pa.table(columns)


def main(folder: Path, rows: int) -> None:
    random = np.random.default_rng(7)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(["".join(random.choice(letters, random.integers(3, 12))) for _ in range(20_000)])
    pages = np.array([f"https://{words[n % 500]}.example/{words[n % 20_000]}/{n}" for n in range(100_000)])
    parquet, csv = None, None
    for start in range(0, rows, CHUNK):
        table = chunk(random, start, min(CHUNK, rows - start), words, pages)
        parquet = parquet or pq.ParquetWriter(folder / "rows.parquet", table.schema, compression="zstd")
        parquet.write_table(table)
        moments = pc.strftime(pc.cast(table["at"], pa.timestamp("s")), format="%Y-%m-%d %H:%M:%S")
        shown = table.set_column(1, "at", moments)
        csv = csv or pa.csv.CSVWriter(folder / "rows.csv", shown.schema)
        csv.write_table(shown)
    parquet.close()
    csv.close()


main(Path(sys.argv[1]), int(sys.argv[2]))
