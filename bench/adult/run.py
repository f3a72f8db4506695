"""CSV to registered model on Adult: Tidemill against pandas + scikit-learn + PyTorch. Medians of interleaved runs."""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import machine

RUNS = int(os.environ.get("RUNS", "5"))
peers = os.environ.get("PEERS", sys.executable)
data, tidemill = machine.data(), machine.binary()
example = machine.ROOT / "examples" / "adult"


def spec() -> dict:
    """The figures of the example, for the peer."""
    text = machine.measured([tidemill, "config", "--json", "-p", str(example)])["stdout"]
    project = json.loads(text)
    model = project["models"]["income"]
    dense, train = model["network"]["dense"], model["train"]
    source = next(iter(project["sources"].values()))["csv"]
    return {
        "columns": source["columns"],
        "hidden": dense["hidden"],
        "dropout": dense["dropout"],
        "epochs": train["epochs"],
        "batch_size": train["batch_size"],
        "learning_rate": train["optimizer"]["adam"]["learning_rate"],
        "weight_decay": train["weight_decay"],
        "patience": train["early_stopping"]["patience"],
        "seed": train["seed"],
        "validation_fraction": model["split"]["tables"]["validation_fraction"],
        "importance_rows": model["evaluate"]["importance_rows_max"],
    }


def ours() -> dict:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(example / "tidemill.yaml", folder)
        done = machine.measured([tidemill, "run", "--json", "-q", "-p", folder])
    report = json.loads(done["stdout"])["models"]["income"]
    return {"seconds": done["seconds"], "rss": done["peak_rss_bytes"], "auc": report["metrics"]["test"]["auc"], "stages": report["seconds"]}


def theirs(asked: str) -> dict:
    done = machine.measured([peers, str(Path(__file__).with_name("peer.py")), asked])
    report = json.loads(done["stdout"])
    return {"seconds": done["seconds"], "rss": done["peak_rss_bytes"], "auc": report["auc"], "stages": report["seconds"], "epochs": report["epochs"]}


print(machine.describe())
asked = json.dumps(spec())
a, b = [], []
for turn in range(RUNS):
    a.append(ours())
    b.append(theirs(asked))
    print(f"turn {turn + 1}: tidemill {a[-1]['seconds']:.2f} s, peer {b[-1]['seconds']:.2f} s", flush=True)
for name, runs in (("tidemill", a), ("pandas + scikit-learn + PyTorch", b)):
    stages = ", ".join(f"{stage} {machine.median([run['stages'][stage] for run in runs]):.2f}" for stage in runs[0]["stages"])
    print(
        f"{name}: {machine.median([run['seconds'] for run in runs]):.2f} s, "
        f"{machine.median([run['rss'] for run in runs]) / 1e6:.0f} MB, test AUC {machine.median([run['auc'] for run in runs]):.4f} ({stages})"
    )
print(f"ratio of medians: {machine.median([run['seconds'] for run in b]) / machine.median([run['seconds'] for run in a]):.2f} times as fast")
