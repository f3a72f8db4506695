"""Steps of training against PyTorch, network by network: medians of interleaved runs.

`python bench/train/run.py [FAMILY...]`. RUNS (5) and PEERS (the Python that has PyTorch) come from the environment, and
EXAMPLE: the built `learn/examples/train_step.rs`. PyTorch runs in both memory formats of pictures; the faster one counts.
"""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import machine

RUNS = int(os.environ.get("RUNS", "5"))
peers = os.environ.get("PEERS", sys.executable)
example = os.environ.get("EXAMPLE", str(Path(machine.binary()).with_name("examples") / "train_step"))
# Steps of a run: some two seconds of each.
STEPS = {"dense": 3_000, "conv": 60, "lstm": 100, "transformer": 12, "resnet": 25, "minilm": 12}
PICTURES = ("conv", "resnet")


def one(command: list[str], **environment: str) -> dict:
    done = machine.measured(command, env={**os.environ, **environment})
    return {**json.loads(done["stdout"].splitlines()[-1]), "rss": done["peak_rss_bytes"]}


def compare(family: str) -> None:
    arguments = [family, str(STEPS[family]), "2"]
    ours, theirs = [], {}
    for _ in range(RUNS):
        ours.append(one([example, *arguments]))
        for form in ("1", "0") if family in PICTURES else ("0",):
            command = [peers, str(Path(__file__).with_name("peer.py")), *arguments]
            theirs.setdefault(form, []).append(one(command, CHANNELS_LAST=form))
    middle = lambda runs, key: machine.median([run[key] for run in runs])
    peer = min(theirs.values(), key=lambda runs: middle(runs, "microseconds"))
    mine, other = middle(ours, "microseconds"), middle(peer, "microseconds")
    memory = middle(ours, "rss") / 1e6, middle(peer, "rss") / 1e6
    print(
        f"{family}: {mine:,.0f} us per step, PyTorch {other:,.0f} us: {other / mine:.2f} times as fast; "
        f"{memory[0]:.0f} MB, PyTorch {memory[1]:.0f} MB; {ours[0]['parameters']:,} and {peer[0]['parameters']:,} parameters",
        flush=True,
    )


print(machine.describe())
for family in sys.argv[1:] or STEPS:
    compare(family)
