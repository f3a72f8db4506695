"""Gradient boosting: Tidemill against LightGBM with the same trees, leaves, step size, bins and threads. Medians of
interleaved runs, on Adult (its own test rows) and on a million rows of 28 numbers, generated anew for every run: whether an early
question finds a product of two inputs is chance, so that areas are compared by their mean over the runs.

`python bench/trees/run.py [EXAMPLE]`: EXAMPLE is the built `learn/examples/boosting.rs` (`cargo build --release -p learn
--example boosting`). RUNS (5), TREES (100), ROWS (1000000), SEED (7, of the first run) and PEERS (the Python with LightGBM) come from the environment.
The time compared is that of putting rows into bins and growing the trees.
"""

import gzip
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import machine

RUNS, TREES = int(os.environ.get("RUNS", "5")), int(os.environ.get("TREES", "100"))
ROWS, SEED = int(os.environ.get("ROWS", "1000000")), int(os.environ.get("SEED", "7"))
peers = os.environ.get("PEERS", sys.executable)
example = sys.argv[1] if len(sys.argv) > 1 else str(machine.ROOT / "target" / "release" / "examples" / "boosting")
threads = os.cpu_count()


def write(folder: Path, name: str, numbers: np.ndarray, codes: np.ndarray, target: np.ndarray) -> None:
    numbers.astype("float32").tofile(folder / f"{name}.numbers.f32")
    codes.astype("int32").tofile(folder / f"{name}.codes.i32")
    target.astype("float32").tofile(folder / f"{name}.target.f32")


def generated(folder: Path, turn: int) -> None:
    """Products, waves, steps and sums of 28 numbers, eight of them with few values; two classes with noise."""
    chance = np.random.default_rng(SEED + turn)
    for name, count in (("train", ROWS), ("test", ROWS // 5)):
        x = chance.standard_normal((count, 28)).astype("float32")
        x[:, 20:] = np.round(x[:, 20:] * 4) / 4
        score = x[:, 0] * x[:, 1] + np.sin(2 * x[:, 2]) + 0.5 * np.abs(x[:, 3]) - 0.6 * (x[:, 4] > 0.5) * x[:, 5]
        score += 0.3 * x[:, 6:12].sum(1) + 0.4 * x[:, 20] * x[:, 21] + 0.7 * chance.logistic(size=count)
        write(folder, name, x, np.zeros((count, 0)), score > 0.3)


def adult(folder: Path, turn: int) -> None:
    """The census of 1994: six numbers, eight categories by their codes."""
    if turn:
        return
    rows = {}
    for name in ("train", "test"):
        with gzip.open(machine.data() / "adult" / f"adult-{name}.csv.gz", "rt") as file:
            lines = [[word.strip() for word in line.split(",")] for line in file]
        rows[name] = [line for line in lines if len(line) == 15]
    of_numbers, of_categories = [0, 2, 4, 10, 11, 12], [1, 3, 5, 6, 7, 8, 9, 13]
    known = [{word: code for code, word in enumerate(sorted({line[at] for line in rows["train"]}))} for at in of_categories]
    for name, lines in rows.items():
        numbers = np.array([[float(line[at]) for at in of_numbers] for line in lines])
        codes = np.array([[words.get(line[at], 0) for words, at in zip(known, of_categories)] for line in lines])
        write(folder, name, numbers, codes, np.array([line[14].startswith(">50K") for line in lines]))


def run(command: list[str]) -> dict:
    done = machine.measured(command)
    return {**json.loads(done["stdout"].splitlines()[-1]), "rss": done["peak_rss_bytes"]}


print(machine.describe())
print(f"{TREES} trees of 31 leaves, step size 0.1, 255 bins, {threads} threads")
for data, make in (("adult", adult), (f"{ROWS} rows", generated)):
    with tempfile.TemporaryDirectory() as name:
        peer = [peers, str(Path(__file__).with_name("peer.py")), name, str(TREES), str(threads)]
        runs = {"tidemill": [], "lightgbm": []}
        for turn in range(RUNS):
            make(Path(name), turn)
            runs["tidemill"].append(run([example, name, str(TREES)]))
            runs["lightgbm"].append(run(peer))
    medians = {who: {key: machine.median([run[key] for run in done]) for key in done[0]} for who, done in runs.items()}
    for who, done in runs.items():
        medians[who]["auc"] = sum(run["auc"] for run in done) / len(done)
    for who, found in medians.items():
        print(
            f"{data}, {who}: {found['seconds']:.2f} s ({found['bins_seconds']:.2f} s of them for bins), "
            f"{found['rss'] / 1e6:.0f} MB, test AUC {found['auc']:.5f}"
        )
    ratio = medians["lightgbm"]["seconds"] / medians["tidemill"]["seconds"]
    print(f"{data}: LightGBM takes {ratio:.2f} times as long")
