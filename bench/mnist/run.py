"""Training 784-128-ReLU-10-softmax on MNIST: Tidemill against PyTorch and Keras. Medians of interleaved runs.

`python bench/mnist/run.py [TIDEMILL]`. RUNS (5), EPOCHS (those of the example) and PEERS (the Python that has them)
come from the environment. The time compared is that of training: the epochs with their validation.
"""

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
data, tidemill = machine.data(), sys.argv[1] if len(sys.argv) > 1 else machine.binary()
example = machine.ROOT / "examples" / "mnist"


def spec() -> dict:
    """The figures of the example, for the peers."""
    text = machine.measured([tidemill, "config", "--json", "-p", str(example)])["stdout"]
    model = json.loads(text)["models"]["mnist"]
    train = model["train"]
    assert train["schedule"] == {"linear": {"final_fraction": 0.0, "warm_up_epochs": 0.0, "warm_up_steps": 0}}, train["schedule"]
    rows = round(60_000 * (1 - model["split"]["tables"]["validation_fraction"]))
    return {
        "folder": str(data / "mnist"),
        "hidden": model["network"]["dense"]["hidden"],
        "dropout": model["network"]["dense"]["dropout"],
        "epochs": int(os.environ.get("EPOCHS", train["epochs"])),
        "batch_size": train["batch_size"],
        "learning_rate": train["optimizer"]["adam"]["learning_rate"],
        "seed": train["seed"],
        "rows": rows,
    }


def ours(asked: dict) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(example / "tidemill.yaml", folder)
        epochs = f"models.mnist.train.epochs={asked['epochs']}"
        done = machine.measured([tidemill, "run", "--json", "-q", "-p", folder, "--set", epochs])
    report = json.loads(done["stdout"])["models"]["mnist"]
    accuracy = report["metrics"]["test"]["accuracy"]
    return {"seconds": report["seconds"]["train"], "whole": done["seconds"], "rss": done["peak_rss_bytes"], "accuracy": accuracy}


def theirs(peer: str, asked: dict) -> dict:
    text = json.dumps({**asked, "peer": peer})
    done = machine.measured([peers, str(Path(__file__).with_name("peer.py")), text])
    report = json.loads(done["stdout"].splitlines()[-1])
    return {**report, "whole": done["seconds"], "rss": done["peak_rss_bytes"]}


print(machine.describe())
asked = spec()
print(f"{asked['rows']} training rows, {asked['epochs']} epochs, batches of {asked['batch_size']}, Adam")
runs = {"tidemill": [], "torch": [], "keras": []}
for turn in range(RUNS):
    runs["tidemill"].append(ours(asked))
    for peer in ("torch", "keras"):
        runs[peer].append(theirs(peer, asked))
    print(f"turn {turn + 1}: " + ", ".join(f"{name} {done[-1]['seconds']:.2f} s" for name, done in runs.items()), flush=True)
medians = {name: {key: machine.median([run[key] for run in done]) for key in done[0]} for name, done in runs.items()}
for name, found in medians.items():
    steps = asked["epochs"] * -(-asked["rows"] // asked["batch_size"])
    print(
        f"{name}: training {found['seconds']:.2f} s ({found['seconds'] / steps * 1e6:.0f} us per step), whole process {found['whole']:.2f} s, "
        f"{found['rss'] / 1e6:.0f} MB, test accuracy {found['accuracy']:.4f}"
    )
for peer in ("torch", "keras"):
    ratio = medians[peer]["seconds"] / medians["tidemill"]["seconds"]
    print(f"{peer}: training {ratio:.2f} times as long, memory {medians[peer]['rss'] / medians['tidemill']['rss']:.1f} times as much")
