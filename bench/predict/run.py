"""`tidemill predict` on 10 million generated rows: seconds and peak memory."""

import json
import os
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import machine

ROWS = int(os.environ.get("ROWS", "10_000_000"))
PROJECT = """
sources:
  train: { csv: { path: train.csv } }
models:
  risk:
    table: train
    target: risk
    network: { dense: { hidden: [32, 16] } }
    train: { epochs: 2 }
    evaluate: { importance_rows_max: 0 }
"""


def row(generator: random.Random) -> tuple[str, str]:
    load, heat = generator.random() * 100, 20 + generator.random() * 60
    rack = "abcdefgh"[generator.randrange(8)]
    return f"{load:.3f},{heat:.2f},{rack}", "high" if load + heat > 110 else "low"


print(machine.describe())
tidemill = machine.binary()
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder)
    generator = random.Random(1)
    (path / "tidemill.yaml").write_text(PROJECT)
    with open(path / "train.csv", "w", encoding="utf-8") as out:
        out.write("load,heat,rack,risk\n")
        out.writelines(",".join(row(generator)) + "\n" for _ in range(20_000))
    block = "".join(row(generator)[0] + "\n" for _ in range(100_000))
    with open(path / "new.csv", "w", encoding="utf-8") as out:
        out.write("load,heat,rack\n")
        for _ in range(ROWS // 100_000):
            out.write(block)
    machine.measured([tidemill, "run", "-q", "-p", folder])
    for ending in ("csv", "parquet"):
        command = [tidemill, "predict", "--json", "-p", folder, "--input", str(path / "new.csv"), "--output", str(path / f"out.{ending}")]
        done = machine.measured(command)
        answered = json.loads(done["stdout"])["rows"]
        rate = answered / done["seconds"]
        print(f"{ending}: {answered:,} rows in {done['seconds']:.1f} s ({rate:,.0f} rows/s), peak {done['peak_rss_bytes'] / 1e6:.0f} MB")
