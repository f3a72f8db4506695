"""Profile, fit and transform to a feature matrix: Tidemill, Polars (lazy, streaming), pandas + scikit-learn, by turns, whole
processes that read a file and write a .npy. 10 million rows of 20 columns, from Parquet and from CSV. Medians.

`python bench/prepare/features.py [FOLDER]`: FOLDER keeps the generated rows. ROWS (10000000), RUNS (5; pandas runs once where
it is 1), KINDS (parquet,csv) and PEERS (the Python that has polars, pandas, scikit-learn) come from the environment.
"""

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import machine

RUNS, ROWS = int(os.environ.get("RUNS", "5")), int(os.environ.get("ROWS", "10000000"))
peers = os.environ.get("PEERS", sys.executable)
PROJECT = """
sources:
  requests: {{ {kind}: {{ path: {path} }} }}
models:
  bought:
    table: requests
    target: bought
    task: classification
    features:
      include: [width, latency_ms, bytes, price, quantity, score, temperature, load, at, device, country, status, page, referer]
      columns:
        latency_ms: number
        bytes: number
        price: number
        temperature: number
        at: {{ date: {{ parts: [month, weekday, hour], cyclical: false }} }}
        status: {{ category: {{ encode: one_hot }} }}
        device: {{ category: {{ encode: one_hot }} }}
        country: {{ category: {{ encode: one_hot }} }}
        page: {{ category: {{ encode: ordinal, values_max: 100000 }} }}
        referer: {{ category: {{ encode: ordinal }} }}
    network: linear
"""


def generated(folder: Path) -> None:
    if not (folder / "rows.parquet").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([peers, str(Path(__file__).with_name("generate.py")), str(folder), str(ROWS)], check=True)


def tidemill(project: Path, output: Path) -> dict:
    """The profile by SQL, then the features: two processes; times add up, the larger memory counts. Tidemill waits until the
    matrix is on the disk, its peers leave that to the system."""
    profile = machine.measured([machine.binary(), "sql", "--json", "-q", "-p", str(project), "SELECT * FROM profile('requests')"])
    assert '"latency_ms"' in profile["stdout"]
    matrix = machine.measured([machine.binary(), "features", "bought", "-q", "-p", str(project), "--output", str(output)])
    return {
        "seconds": profile["seconds"] + matrix["seconds"],
        "peak_rss_bytes": max(profile["peak_rss_bytes"], matrix["peak_rss_bytes"]),
        "parts": (profile["seconds"], matrix["seconds"]),
    }


def main(folder: Path) -> None:
    generated(folder)
    print(f"{machine.describe()}; {ROWS:,} rows")
    peer = str(Path(__file__).with_name("peer.py"))
    for kind in os.environ.get("KINDS", "parquet,csv").split(","):
        rows = folder / f"rows.{kind}"
        project = folder / f"project-{kind}"
        project.mkdir(exist_ok=True)
        (project / "tidemill.yaml").write_text(PROJECT.format(kind=kind, path=rows), encoding="utf-8")
        found = {"tidemill": [], "polars": [], "pandas": []}
        for run in range(RUNS):
            for name, runs in found.items():
                output = folder / f"{name}.npy"
                os.sync()  # what the last one left to be written is not to be waited for by the next
                if name == "tidemill":
                    runs.append(tidemill(project, output))
                elif name == "polars" or os.environ.get("PANDAS", "1") == "1":
                    runs.append(machine.measured([peers, peer, name, str(rows), str(output)]))
                last = runs[-1] if runs else {}
                print(f"  {kind} {name}: {last.get('seconds', 0):.1f} s {last.get('parts', '')}", flush=True)
        figure = lambda name, key: machine.median([run[key] for run in found[name]])
        ours = figure("tidemill", "seconds")
        print(f"{kind}: Tidemill {ours:.1f} s, {figure('tidemill', 'peak_rss_bytes') / 1e6:,.0f} MB", flush=True)
        for name in ["polars", "pandas"]:
            if found[name]:
                seconds, memory = figure(name, "seconds"), figure(name, "peak_rss_bytes") / 1e6
                print(f"{kind}: {name} {seconds:.1f} s, {memory:,.0f} MB: Tidemill is {seconds / ours:.2f} times as fast", flush=True)


if __name__ == "__main__":
    machine.in_folder(main)
