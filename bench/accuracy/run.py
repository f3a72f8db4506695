"""How right are the examples? Runs each one from its data to a registered model with seeds that were not used to choose its
settings, and compares the mean test figure with a target.

`python bench/accuracy/run.py [EXAMPLE...]`; all of them where none is named. SEEDS (101,102,103) and OUT (a file for the
table as JSON) come from the environment, TIDEMILL and TIDEMILL_DATA as everywhere. Ends with 1 where a target is missed.
"""

import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import machine

SEEDS = [int(seed) for seed in os.environ.get("SEEDS", "101,102,103").split(",")]
#: Name, folder of the project, model, figure on the test rows, target; settings beside those of the project. An error has to
#: be at most its target.
TABLE = [
    {"name": "MNIST, dense", "project": "mnist", "model": "mnist", "metric": "accuracy", "target": 0.978},
    {"name": "MNIST, convolutions", "project": "mnist_cnn", "model": "mnist", "metric": "accuracy", "target": 0.993},
    {"name": "CIFAR-10, 5,000 pictures", "project": "cifar10", "model": "cifar10", "metric": "accuracy", "target": 0.65},
    {"name": "SST-2", "project": "sst2", "model": "sentiment", "metric": "accuracy", "target": 0.824},
    {"name": "ChnSentiCorp, unseen texts", "project": "chnsenticorp", "model": "review", "metric": "accuracy", "target": 0.928},
    {"name": "C-MAPSS FD001", "project": "cmapss", "model": "remaining_flights", "metric": "rmse", "target": 14.0},
    {"name": "Adult, auto", "project": "adult", "model": "income", "metric": "auc", "target": 0.928,
     "settings": ["models.income.network={auto: {time: 10m}}"]},
    {"name": "California housing, auto", "project": "california_housing", "model": "price", "metric": "rmse", "target": 47500.0},
]
ERRORS = {"rmse"}


def prepared(project: str, folder: Path) -> list[str]:
    """Settings for data that is made first: the pictures of CIFAR-10 from their batches."""
    if project != "cifar10" or (machine.data() / "cifar10").is_dir():
        return []
    script = machine.ROOT / "examples" / project / "prepare.py"
    machine.measured([sys.executable, str(script), str(machine.data() / "cifar10_subset"), str(folder / "cifar10")])
    paths = {"train": folder / "cifar10" / "train", "test": folder / "cifar10" / "test"}
    return [part for name, path in paths.items() for part in ("--set", f"sources.{name}_files.images.path={path}")]


def run(row: dict) -> dict:
    """The row with what was measured."""
    figures, seconds = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(machine.ROOT / "examples" / row["project"] / "tidemill.yaml", folder)
        settings = prepared(row["project"], folder)
        settings += [part for setting in row.get("settings", []) for part in ("--set", setting)]
        for seed in SEEDS:
            seeded = ["--set", f"models.{row['model']}.train.seed={seed}"]
            done = machine.measured([machine.binary(), "run", "--json", "-q", "-p", name, *settings, *seeded])
            report = json.loads(done["stdout"])["models"][row["model"]]
            figures.append(report["metrics"]["test"][row["metric"]])
            seconds.append(report["seconds"]["train"])
    mean = statistics.mean(figures)
    is_reached = mean <= row["target"] if row["metric"] in ERRORS else mean >= row["target"]
    return {**row, "mean": mean, "figures": figures, "train_seconds": statistics.median(seconds), "is_reached": is_reached}


def shown(row: dict) -> str:
    digits = 2 if row["metric"] in ERRORS else 4
    low, high = min(row["figures"]), max(row["figures"])
    mark = "reached" if row["is_reached"] else "MISSED"
    return (
        f"| {row['name']} | {row['metric']} | {row['mean']:.{digits}f} ({low:.{digits}f} to {high:.{digits}f}) "
        f"| {row['target']} | {mark} | {row['train_seconds']:.0f} s |"
    )


print(machine.describe())
print(f"seeds {', '.join(map(str, SEEDS))}\n")
print("| example | figure | mean on the test rows (from, to) | target | | training |\n|---|---|---|---|---|---|")
asked = sys.argv[1:] or [row["project"] for row in TABLE]
unknown = set(asked) - {row["project"] for row in TABLE}
if unknown:
    sys.exit(f"no example {', '.join(sorted(unknown))}; there are {', '.join(row['project'] for row in TABLE)}")
results = []
for row in TABLE:
    if row["project"] in asked:
        results.append(run(row))
        print(shown(results[-1]), flush=True)
if "OUT" in os.environ:
    table = {"machine": machine.describe(), "seeds": SEEDS, "results": results}
    Path(os.environ["OUT"]).write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
sys.exit(0 if all(row["is_reached"] for row in results) else 1)
