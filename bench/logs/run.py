"""Templates of a million generated lines of a log: `tidemill sql` (whole process: heads, templates, grouped by template) and
drain3 (messages alone, read ahead) by turns. Medians, lines per second, grouping accuracy against the templates they were
generated from.

`python bench/logs/run.py [FOLDER]`: FOLDER keeps the generated lines. LINES (1000000), RUNS (3) and PEERS (the Python that has
drain3) come from the environment. Ends with 1 where ours groups fewer lines rightly than drain3.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import machine

RUNS, LINES = int(os.environ.get("RUNS", "3")), int(os.environ.get("LINES", "1000000"))
peers = os.environ.get("PEERS", sys.executable)
TEMPLATES = [
    "Accepted connection from {ip}:{port} on interface eth{few}",
    "Connection from {ip}:{port} closed after {number} ms",
    "Receiving block blk_{big} src: /{ip}:{port} dest: /{ip}:{port}",
    "PacketResponder {few} for block blk_{big} terminating",
    "Verification succeeded for blk_{big}",
    "GPU {few} temperature {number} C above the limit of 85 C",
    "GPU {few} double bit error at address {hex}",
    "Fan {few} of node{number} stands still",
    "Volume {name} is {few}0 percent full",
    "Job {uuid} submitted by {name} to queue {queue}",
    "Job {uuid} started on node{number} with {few} GPUs",
    "Job {uuid} finished with exit code {few} after {number}s",
    "Checkpoint of step {number} written to /scratch/{name}/{uuid} in {number} ms",
    "Retry {few} of request {hex} to {ip}: timeout",
    "Request {hex} answered with status 200 in {number} ms",
    "Cache of {name} evicted {number} entries, {number} bytes free",
    "Leader of shard {few} is now {ip}:{port}",
    "Snapshot {uuid} of {name} removed",
    "Cooling loop {few} flow {number} l/min below {number} l/min",
    "Scheduler heartbeat lost",
    "Scheduler heartbeat restored",
    "Rack {few} power draw {number} W",
]
DRAIN3 = """
import json, sys, time
from drain3 import TemplateMiner
from drain3.masking import MaskingInstruction
from drain3.template_miner_config import TemplateMinerConfig
config = TemplateMinerConfig()
bounds = r"((?<=[^A-Za-z0-9])|^)", r"((?=[^A-Za-z0-9])|$)"
mask = lambda pattern, name: MaskingInstruction(bounds[0] + "(" + pattern + ")" + bounds[1], name)
config.masking_instructions = [
    mask(r"([0-9a-f]{2,}:){3,}([0-9a-f]{2,})", "ID"), mask(r"\\d{1,3}\\.\\d{1,3}\\.\\d{1,3}\\.\\d{1,3}", "IP"),
    mask(r"([0-9a-f]{6,} ?){3,}", "SEQ"), mask(r"([0-9A-F]{4} ?){4,}", "SEQ"), mask(r"0x[a-f0-9A-F]+", "HEX"),
    mask(r"[\\-\\+]?\\d+", "NUM"),
]
miner = TemplateMiner(config=config)
messages = [line.rstrip("\\n").split(" ", 4)[4] for line in open(sys.argv[1], encoding="utf-8")]
begin = time.monotonic()
ids = [miner.add_log_message(message)["cluster_id"] for message in messages]
seconds = time.monotonic() - begin
json.dump(ids, open(sys.argv[2], "w"))
print(json.dumps({"seconds": seconds, "templates": len(miner.drain.clusters)}))
"""


def generated(folder: Path) -> tuple[Path, list[int]]:
    path, labels = folder / "app.log", folder / "labels.json"
    if not labels.exists():
        chosen = random.Random(7)
        names = ["home", "data", "models", "alice", "bob", "archive"]
        part = {
            "ip": lambda: f"10.{chosen.randrange(256)}.{chosen.randrange(256)}.{chosen.randrange(256)}",
            "port": lambda: str(chosen.randrange(1024, 65536)),
            "few": lambda: str(chosen.randrange(1, 8)),
            "number": lambda: str(chosen.randrange(1, 100_000)),
            "big": lambda: str(chosen.randrange(-(2**63), 2**63)),
            "hex": lambda: f"0x{chosen.randrange(2**48):x}",
            "uuid": lambda: "-".join(f"{chosen.randrange(16**n):0{n}x}" for n in (8, 4, 4, 4, 12)),
            "name": lambda: chosen.choice(names),
            "queue": lambda: chosen.choice(["batch", "night", "debug"]),
        }
        pieces = [[piece.split("}") if at else [None, piece] for at, piece in enumerate(text.split("{"))] for text in TEMPLATES]
        all_labels = []
        with path.open("w", encoding="utf-8") as out:
            for n in range(LINES):
                label = min(int(chosen.expovariate(0.15)), len(TEMPLATES) - 1)
                all_labels.append(label)
                message = "".join((part[name]() if name else "") + rest for name, rest in pieces[label])
                at = f"2026-01-{1 + n * 28 // LINES:02} {n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02},{n % 1000:03}"
                out.write(f"{at} {('INFO', 'WARN', 'ERROR')[n % 3]} c.Store{label % 4}: {message}\n")
        labels.write_text(json.dumps(all_labels), encoding="utf-8")
    return path, json.loads(labels.read_text(encoding="utf-8"))


def accuracy(found: list, labels: list[int]) -> float:
    """Share of the lines whose group has the lines of their label and no others."""
    both, ours, theirs = Counter(zip(found, labels)), Counter(found), Counter(labels)
    right = sum(count for (group, label), count in both.items() if count == ours[group] == theirs[label])
    return right / len(labels)


def main(folder: Path) -> int:
    path, labels = generated(folder)
    project = folder / "project"
    project.mkdir(exist_ok=True)
    (project / "tidemill.yaml").write_text(f"sources:\n  app: {{ logs: {{ path: {path} }} }}\n", encoding="utf-8")
    tidemill = [machine.binary(), "sql", "-q", "-p", str(project)]
    print(f"{machine.describe()}; {len(labels):,} lines, {path.stat().st_size / 1e6:.0f} MB, {len(set(labels))} templates")
    ours, plain, theirs = [], [], []
    for _ in range(RUNS):
        ours.append(machine.measured([*tidemill, "--json", "SELECT template, count(*) AS n FROM app GROUP BY template"]))
        plain.append(machine.measured([*tidemill, "--json", "SELECT level, count(*) AS n FROM app GROUP BY level"]))
        theirs.append(machine.measured([peers, "-c", DRAIN3, str(path), str(folder / "ids.json")]))
    subprocess.run([*tidemill, "SELECT template_id FROM app", "--output", str(folder / "ids.csv")], check=True, capture_output=True)
    found = (folder / "ids.csv").read_text(encoding="utf-8").split()[1:]
    scores = accuracy(found, labels), accuracy(json.loads((folder / "ids.json").read_text(encoding="utf-8")), labels)
    alone = machine.median([json.loads(run["stdout"])["seconds"] for run in theirs])
    for name, seconds, memory, score in [
        ("tidemill, templates", machine.median([run["seconds"] for run in ours]), ours, scores[0]),
        ("tidemill, heads alone", machine.median([run["seconds"] for run in plain]), plain, None),
        ("drain3, templates", alone, theirs, scores[1]),
    ]:
        peak = machine.median([run["peak_rss_bytes"] for run in memory]) / 1e6
        told = "" if score is None else f", grouping accuracy {score:.3f}"
        print(f"{name}: {seconds:.2f} s, {len(labels) / seconds:,.0f} lines/s, {peak:.0f} MB{told}")
    print(f"{alone / machine.median([run['seconds'] for run in ours]):.1f} times as fast as drain3")
    return int(scores[0] < scores[1])


if len(sys.argv) > 1:
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    sys.exit(main(Path(sys.argv[1])))
else:
    with tempfile.TemporaryDirectory() as name:
        sys.exit(main(Path(name)))
