"""A CSV larger than memory: profiled, frozen and learned from, beside a twelfth of it. Prints peak memory, and time per million rows
of both.

`python bench/prepare/larger.py FOLDER`: FOLDER keeps the rows: 1.7 GB of them, and the same TIMES (12) over: 20 GB, and as much
again for what the run writes. CGROUP, where it is set, is a memory control group of one's own with a limit, in which both run.
"""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import machine
from features import ROWS, generated

TIMES = int(os.environ.get("TIMES", "12"))
PROJECT = """
sources:
  requests: { csv: { path: rows.csv } }
models:
  bought:
    table: requests
    target: bought
    task: classification
    split: { fraction: { validation: 0.05, test: 0.05 } }
    features:
      include: [width, latency_ms, bytes, price, quantity, score, temperature, load, at, device, status]
    network: { dense: { hidden: [64] } }
    train: { epochs: 1, batch_size: 1024 }
    evaluate: { importance_rows_max: 0 }
memory: { rows_bytes_max: 134217728 }
"""


def join_group() -> None:
    """In the process that is started: what it starts is in the group too."""
    if group := os.environ.get("CGROUP"):
        Path(group, "cgroup.procs").write_text(str(os.getpid()), encoding="utf-8")


def repeated(rows: Path, times: int) -> None:
    if rows.exists():
        return
    rows.parent.mkdir(exist_ok=True)
    with rows.open("wb") as out:
        for time in range(times):
            with (rows.parent.parent / "rows.csv").open("rb") as once:
                head = once.readline()
                out.write(head if time == 0 else b"")
                while block := once.read(1 << 24):
                    out.write(block)


def carried(folder: Path, times: int) -> None:
    project = folder / f"times-{times}"
    repeated(project / "rows.csv", times)
    (project / "tidemill.yaml").write_text(PROJECT, encoding="utf-8")
    done = machine.measured([machine.binary(), "run", "-p", str(project), "--json"], preexec_fn=join_group)
    seconds = json.loads(done["stdout"])["models"]["bought"]["seconds"]
    rows = ROWS * times / 1e6
    print(
        f"{(project / 'rows.csv').stat().st_size / 1e9:.1f} GB, {rows:.0f} million rows: peak {done['peak_rss_bytes'] / 1e6:.0f} MB; per million rows "
        f"{done['seconds'] / rows:.2f} s ({done['cpu_seconds'] / rows:.2f} s of processor), of them "
        + ", ".join(f"{stage} {value / rows:.2f}" for stage, value in seconds.items()),
        flush=True,
    )


folder = Path(sys.argv[1])
generated(folder)
print(machine.describe())
for times in [1, TIMES]:
    carried(folder, times)
