"""A step of training in PyTorch: `peer.py FAMILY [BATCHES] [EPOCHS]` prints what `learn/examples/train_step.rs` prints.

The same layers, batch sizes, optimiser (Adam, `fused=True`) and threads; rows lie ready in memory as numbers of 32 bits,
batches are gathered by index, the loss of every step is read.
"""

import json
import os
import sys
import time

import torch
from torch import nn

family, batches, epochs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(int(os.environ.get("THREADS", os.cpu_count())))
torch.manual_seed(42)


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(8, 64, batch_first=True)
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        return self.head(self.recurrent(x)[0][:, -1])


class Transformer(nn.Module):
    """Normalisation before each part, learned positions, the mean of all steps."""

    def __init__(self, words: int, length: int, width: int, layers: int, heads: int, inner: int, classes: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.positions = nn.Parameter(torch.zeros(length, width))
        layer = nn.TransformerEncoderLayer(width, heads, inner, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        return self.head(self.layers(self.words(x) + self.positions).mean(1))


class Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        around = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.around = around if stride != 1 or inputs != outputs else nn.Identity()

    def forward(self, x):
        return torch.relu(self.main(x) + self.around(x))


def resnet() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    width = 16
    for outputs in (16, 32, 64):
        for block in range(3):
            layers.append(Residual(width, outputs, 2 if outputs > 16 and block == 0 else 1))
            width = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def conv() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 14 * 14, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


def dense() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))


WORK = {
    "dense": (dense, 10, 32, (1, 28, 28), 0),
    "conv": (conv, 10, 64, (1, 28, 28), 0),
    "lstm": (Lstm, 10, 32, (96, 8), 0),
    "transformer": (lambda: Transformer(10_000, 128, 256, 4, 4, 1024, 10), 10, 16, (128,), 10_000),
    "resnet": (resnet, 10, 64, (3, 32, 32), 0),
    "minilm": (lambda: Transformer(30_522, 64, 384, 6, 12, 1536, 2), 2, 16, (64,), 30_522),
}
make, classes, batch, shape, words = WORK[family]
net = make()
count = batches * batch
x = torch.randint(1, words, (count, *shape)) if words else torch.rand(count, *shape)
y = torch.arange(count) * 7 % classes
if len(shape) == 3 and os.environ.get("CHANNELS_LAST", "1") == "1":
    net = net.to(memory_format=torch.channels_last)
    x = x.contiguous(memory_format=torch.channels_last)
optimizer = torch.optim.Adam(net.parameters(), fused=True)
loss_of = nn.CrossEntropyLoss()
seconds, losses = 0.0, []
for _ in range(epochs):
    begin, total = 0.0, 0.0
    for step, rows in enumerate(torch.randperm(count).split(batch)):
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(net(x[rows]), y[rows])
        loss.backward()
        optimizer.step()
        total += loss.item()
        if step == 0:
            begin = time.perf_counter()
    seconds += time.perf_counter() - begin
    losses.append(total / batches)
parameters = sum(p.numel() for p in net.parameters())
microseconds = seconds * 1e6 / (epochs * (batches - 1))
print(json.dumps({"family": family, "parameters": parameters, "batch": batch, "microseconds": microseconds, "losses": losses}))
