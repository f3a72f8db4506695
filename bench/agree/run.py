"""1,000 test rows of Adult through `/predict`, `tidemill predict` and ONNX Runtime: the largest difference."""

import json
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import numpy as np
import onnxruntime

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import machine

ROWS = 1_000
tidemill = machine.binary()
machine.data()
example = machine.ROOT / "examples" / "adult"


def by_onnx(onnx: Path, rows: list[dict]) -> np.ndarray:
    """The answers of ONNX Runtime, by the model's own description of its inputs."""
    session = onnxruntime.InferenceSession(str(onnx))
    features = json.loads(session.get_modelmeta().custom_metadata_map["features"])

    kinds = {column["name"]: column["kind"] for column in features["columns"]}

    def code(name: str, text: object) -> int:
        if text is None:
            return 1
        known = kinds[name]["category"]["values"]
        return known.index(text) + 2 if text in known else 0

    number = lambda value: float("nan") if value is None else float(value)
    feeds = {
        "numbers": np.array([[number(row[name]) for name in features["numbers"]] for row in rows], np.float32),
        "codes": np.array([[code(name, row[name]) for name in features["codes"]] for row in rows], np.int64),
    }
    return session.run(["probabilities"], feeds)[0][:, 1]


with tempfile.TemporaryDirectory() as folder:
    path = Path(folder)
    (path / "tidemill.yaml").write_text((example / "tidemill.yaml").read_text())
    machine.measured([tidemill, "run", "-q", "-p", folder, "--set", "models.income.train.epochs=3"])
    config = json.loads(machine.measured([tidemill, "config", "--json", "-p", folder])["stdout"])
    test = config["models"]["income"]["split"]["tables"]["test"]
    machine.measured([tidemill, "predict", "-p", folder, "--input", test, "--output", str(path / "out.jsonl")])
    with open(path / "out.jsonl", encoding="utf-8") as text:
        rows = [json.loads(line) for _, line in zip(range(ROWS), text)]
    label = max(name for name in rows[0] if name.startswith("probability_"))
    file = np.array([row[label] for row in rows])
    onnx_path = path / ".tidemill/models/income/1/model.onnx"
    features = json.loads((path / ".tidemill/models/income/1/usage.json").read_text())["input"].keys()
    inputs = [{name: row.get(name) for name in features} for row in rows]
    with subprocess.Popen([tidemill, "serve", "-p", folder, "--port", "0"], stdout=subprocess.PIPE, text=True) as server:
        address = next(line for line in server.stdout if "listening on" in line).split("listening on ")[1].strip()
        body = json.dumps({"input": inputs, "proba": True}).encode()
        request = urllib.request.Request(f"{address}/predict", body, {"content-type": "application/json"})
        reply = json.load(urllib.request.urlopen(request))
        server.terminate()
    name = label.removeprefix("probability_")
    http = np.array([shares[name] for shares in reply["probabilities"]])
    onnx = by_onnx(onnx_path, inputs)
print(f"{len(rows)} rows, largest difference: server and file {abs(http - file).max():.1e}, ONNX Runtime and file {abs(onnx - file).max():.1e}")
