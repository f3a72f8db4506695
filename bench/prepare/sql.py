"""Ten aggregations as ClickBench has them, on 10 million rows of Parquet: `tidemill sql` and DuckDB by turns, whole
processes that read a file and print rows. Medians.

`python bench/prepare/sql.py [FOLDER]`: FOLDER keeps the generated rows. ROWS (10000000), RUNS (5), THREADS (all) and
PEERS (the Python that has duckdb, pyarrow and numpy) come from the environment. Ends with 1 where the answers differ.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import machine

RUNS, ROWS = int(os.environ.get("RUNS", "5")), int(os.environ.get("ROWS", "10000000"))
peers = os.environ.get("PEERS", sys.executable)
QUERIES = {
    "count": "SELECT count(*) AS n FROM requests WHERE status <> 200",
    "sums": "SELECT sum(quantity) AS q, count(*) AS n, avg(width) AS w FROM requests",
    "distinct users": "SELECT count(DISTINCT user_id) AS n FROM requests",
    "distinct phrases": "SELECT count(DISTINCT phrase) AS n FROM requests",
    "by device": "SELECT device, count(*) AS n, avg(latency_ms) AS l FROM requests GROUP BY device ORDER BY n DESC",
    "by region": "SELECT region, count(DISTINCT user_id) AS u FROM requests GROUP BY region ORDER BY u DESC, region LIMIT 10",
    "by phrase": "SELECT phrase, count(*) AS n FROM requests WHERE phrase IS NOT NULL GROUP BY phrase ORDER BY n DESC, phrase LIMIT 10",
    "by user and phrase": "SELECT user_id, phrase, count(*) AS n FROM requests GROUP BY user_id, phrase ORDER BY n DESC, user_id, phrase LIMIT 10",
    "pages like": "SELECT page, count(*) AS n, min(bytes) AS b FROM requests WHERE page LIKE '%aa%' GROUP BY page ORDER BY n DESC, page LIMIT 10",
    "by hour": """SELECT date_trunc('hour', "at") AS h, count(*) AS n FROM requests
        WHERE "at" >= '2026-03-01' AND "at" < '2026-03-15' GROUP BY 1 ORDER BY 1 LIMIT 10""",
}
DUCKDB = """
import duckdb, json, sys
duckdb.execute('SET enable_progress_bar = false')
rows = duckdb.sql(sys.argv[1].replace('FROM requests', f"FROM '{sys.argv[2]}'"))
names = [name for name in rows.columns]
print(json.dumps([dict(zip(names, map(str, row))) for row in rows.fetchall()]))
"""


def generated(folder: Path) -> Path:
    if not (folder / "rows.parquet").exists():
        folder.mkdir(parents=True, exist_ok=True)
        script = Path(__file__).with_name("generate.py")
        subprocess.run([peers, str(script), str(folder), str(ROWS)], check=True)
    return folder / "rows.parquet"


def same(ours: list[dict], theirs: list[dict]) -> bool:
    """Equal but for how numbers and times are written."""
    def near(a: str | None, b: str) -> bool:
        if a is None or a == b:
            return a is not None or b == "None"
        try:
            return abs(float(a) - float(b)) <= 1e-9 * max(1.0, abs(float(b)))
        except ValueError:
            return a.replace("T", " ") == b
    return len(ours) == len(theirs) and all(
        near(one[name], other[name]) for one, other in zip(ours, theirs) for name in other
    )


def main(folder: Path) -> None:
    rows = generated(folder)
    project = folder / "project"
    project.mkdir(exist_ok=True)
    (project / "tidemill.yaml").write_text(f"sources:\n  requests: {{ parquet: {{ path: {rows} }} }}\n", encoding="utf-8")
    print(f"{machine.describe()}; {ROWS:,} rows, {rows.stat().st_size / 1e6:.0f} MB of Parquet")
    ratios, differing = [], []
    for name, query in QUERIES.items():
        ours, theirs = [], []
        for _ in range(RUNS):
            ours.append(machine.measured([machine.binary(), "sql", "--json", "-q", "-p", str(project), query]))
            theirs.append(machine.measured([peers, "-c", DUCKDB, query, str(rows)]))
        middle = lambda runs, key: machine.median([run[key] for run in runs])
        ratio = middle(ours, "seconds") / middle(theirs, "seconds")
        ratios.append(ratio)
        answers = json.loads(ours[0]["stdout"])["rows"], json.loads(theirs[0]["stdout"])
        if not same(*answers):
            differing.append(name)
        print(
            f"{name}: {middle(ours, 'seconds'):.2f} s, {middle(ours, 'peak_rss_bytes') / 1e6:.0f} MB; DuckDB "
            f"{middle(theirs, 'seconds'):.2f} s, {middle(theirs, 'peak_rss_bytes') / 1e6:.0f} MB: {ratio:.2f} times its time",
            flush=True,
        )
    print(f"median {machine.median(ratios):.2f}, largest {max(ratios):.2f} times DuckDB's time")
    if differing:
        sys.exit(f"other answers than DuckDB's: {', '.join(differing)}")


machine.in_folder(main)
