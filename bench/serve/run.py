"""`tidemill serve` on a trained example: seconds until ready, resident memory when idle, requests per second."""

import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import machine

RUNS = int(os.environ.get("RUNS", "5"))
REQUESTS = 2_000
tidemill = machine.binary()


def resident(process: int) -> int:
    with open(f"/proc/{process}/status", encoding="utf-8") as text:
        return next(int(line.split()[1]) * 1024 for line in text if line.startswith("VmRSS:"))


def ask(url: str, body: bytes | None = None) -> dict:
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as reply:
        return json.load(reply)


def once(project: str, row: object) -> tuple[float, int, float]:
    began = time.monotonic()
    with subprocess.Popen([tidemill, "serve", "-p", project, "--port", "0"], stdout=subprocess.PIPE, text=True) as server:
        address = next(line for line in server.stdout if "listening on" in line).split("listening on ")[1].strip()
        while True:
            try:
                ask(f"{address}/health/ready")
                break
            except OSError:
                pass
        ready = time.monotonic() - began
        time.sleep(1)
        idle = resident(server.pid)
        body = json.dumps({"input": row}).encode()
        host = address.removeprefix("http://")
        line = http.client.HTTPConnection(host)
        times = []
        for _ in range(REQUESTS):
            asked = time.perf_counter()
            line.request("POST", "/predict", body, {"content-type": "application/json"})
            line.getresponse().read()
            times.append(time.perf_counter() - asked)
        server.terminate()
    return ready, idle, statistics.median(times)


print(machine.describe())
with tempfile.TemporaryDirectory() as folder:
    machine.measured([tidemill, "demo", "--no-serve", "-q", "--folder", folder])
    usage = json.loads((Path(folder) / ".tidemill/models/digits/1/usage.json").read_text())
    turns = [once(folder, usage["input"]) for _ in range(RUNS)]
print(f"ready after {machine.median([t[0] for t in turns]) * 1e3:.0f} ms")
print(f"idle at {machine.median([t[1] for t in turns]) / 1e6:.1f} MB resident")
print(f"one row over one connection: median {machine.median([t[2] for t in turns]) * 1e6:.0f} microseconds")
