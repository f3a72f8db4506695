"""Does a cluster give the answers of one machine? A scheduler and two executors on loopback, 10 million rows of Parquet:
profile, features and predictions, beside one process; and again while one of the executors is killed.

`python bench/cluster/run.py [FOLDER]`: FOLDER keeps the generated rows (those of `bench/prepare`). ROWS (10000000) and PEERS
(the Python that has polars) come from the environment; TIDEMILL names a binary built with `--features cluster`.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import machine

ROWS = int(os.environ.get("ROWS", "10000000"))
peers = os.environ.get("PEERS", sys.executable)
PROJECT = """
sources:
  requests: {{ parquet: {{ path: {rows} }} }}
tables:
  few: {{ sql: "SELECT * FROM requests WHERE id < 50000" }}
models:
  bought:
    table: few
    target: bought
    task: classification
    features:
      include: [width, latency_ms, price, score, temperature, load, at, device, country, status]
      columns:
        at: {{ date: {{ parts: [month, weekday, hour], cyclical: false }} }}
        device: {{ category: {{ encode: one_hot }} }}
        country: {{ category: {{ encode: one_hot }} }}
    network: {{ dense: {{ hidden: [16] }} }}
    train: {{ epochs: 2, seed: 1 }}
"""
PROFILE = "SELECT * FROM profile('requests')"


class Cluster:
    """A scheduler and its executors."""

    def __init__(self, project: Path):
        self.project = project
        command = [machine.binary(), "cluster", "scheduler", "--port", "0", "-p", str(project)]
        self.scheduler = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.address = self.scheduler.stderr.readline().split("scheduler on ")[1].split(";")[0]
        self.executors = [self.executor(), self.executor()]

    def executor(self) -> subprocess.Popen:
        command = [machine.binary(), "cluster", "executor", "--threads", "1", "--scheduler", self.address, "-p", str(self.project)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        process.stderr.readline()
        time.sleep(1)
        return process

    def kill_one(self) -> None:
        self.executors.pop(0).send_signal(signal.SIGKILL)

    def stop(self) -> None:
        for process in [*self.executors, self.scheduler]:
            process.kill()


def run(project: Path, what: str, output: Path, cluster: Cluster | None) -> float:
    """Seconds; the answers are in the file."""
    commands = {
        "profile": ["sql", "--json", "-q", PROFILE],
        "features": ["features", "bought", "-q", "--input", "requests", "--output", str(output)],
        "predictions": ["predict", "-q", "--model", "bought", "--input", "requests", "--only-answers", "--output", str(output)],
    }
    more = ["--set", f"cluster.scheduler={cluster.address}"] if cluster else []
    done = machine.measured([machine.binary(), *commands[what], "-p", str(project), *more])
    if what == "profile":
        output.write_text(done["stdout"], encoding="utf-8")
    return done["seconds"]


def same_profile(rows: Path, one: Path, other: Path) -> str:
    """Counts agree exactly, figures to nine digits; medians come from random samples of 50,000 values, and are as good."""
    worst, medians = 0.0, []
    for a, b in zip(*(json.loads(path.read_text(encoding="utf-8"))["rows"] for path in (one, other)), strict=True):
        for key in a:
            if key == "median":
                medians += [(a["column"], float(side[key])) for side in (a, b) if side[key] is not None and a["kind"] == "number"]
            elif key in ("mean", "std") and a[key] is not None:
                worst = max(worst, abs(float(a[key]) - float(b[key])) / (abs(float(a[key])) or 1))
            else:
                assert a[key] == b[key], (a["column"], key, a[key], b[key])
    assert worst < 1e-9, worst
    far = max(ranks(rows, medians))
    assert far < 4 * (0.25 / 50_000) ** 0.5, far  # four standard errors
    return f"counts, lowest, highest and most frequent values are the same; mean and standard deviation within {worst:.0e}"


def ranks(rows: Path, medians: list) -> list[float]:
    """How far the share of rows below each median, and of those up to it, is on the wrong side of a half."""
    code = (
        "import json,sys,polars as pl\n"
        "frame=pl.scan_parquet(sys.argv[1])\n"
        "for name,value in json.loads(sys.argv[2]):\n"
        " below,upto=frame.select((pl.col(name)<value).mean().alias('a'),(pl.col(name)<=value).mean().alias('b')).collect().row(0)\n"
        " print(max(below-.5,.5-upto,0))"
    )
    done = subprocess.run([peers, "-c", code, str(rows), json.dumps(medians)], check=True, capture_output=True, text=True)
    return [float(line) for line in done.stdout.split()]


def same_bytes(_rows: Path, one: Path, other: Path) -> str:
    subprocess.run(["cmp", str(one), str(other)], check=True)
    return "the same file, byte for byte"


def same_rows(_rows: Path, one: Path, other: Path) -> str:
    code = "import polars,sys; a,b=(polars.read_parquet(p) for p in sys.argv[1:]); assert a.equals(b); print(a.height)"
    done = subprocess.run([peers, "-c", code, str(one), str(other)], check=True, capture_output=True, text=True)
    return f"{int(done.stdout):,} rows, the same in the same order"


KINDS = {"profile": ("json", same_profile), "features": ("npy", same_bytes), "predictions": ("parquet", same_rows)}


def main(folder: Path) -> None:
    if not (folder / "rows.parquet").exists():
        folder.mkdir(parents=True, exist_ok=True)
        generate = Path(__file__).resolve().parent.parent / "prepare" / "generate.py"
        subprocess.run([peers, str(generate), str(folder), str(ROWS)], check=True)
    rows, project = folder / "rows.parquet", folder / "project-cluster"
    project.mkdir(exist_ok=True)
    (project / "tidemill.yaml").write_text(PROJECT.format(rows=rows), encoding="utf-8")
    machine.measured([machine.binary(), "run", "-q", "-p", str(project)])
    print(f"{machine.describe()}; {ROWS:,} rows, a scheduler and two executors of one thread", flush=True)
    cluster = Cluster(project)
    try:
        for what, (ending, same) in KINDS.items():
            alone, together = (folder / f"{name}.{ending}" for name in ("alone", "together"))
            seconds = run(project, what, alone, None)
            on_cluster = run(project, what, together, cluster)
            print(f"{what}: {seconds:.1f} s alone, {on_cluster:.1f} s on the cluster; {same(rows, alone, together)}", flush=True)
            killer = threading.Timer(on_cluster / 2, cluster.kill_one)
            killer.start()
            killed = run(project, what, together, cluster)
            killer.join()
            print(f"{what}: {killed:.1f} s where an executor is killed in the middle; {same(rows, alone, together)}", flush=True)
            cluster.executors.append(cluster.executor())
            alone.unlink(), together.unlink()
    finally:
        cluster.stop()


if __name__ == "__main__":
    machine.in_folder(main)
