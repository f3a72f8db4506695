"""Trains the network of `run.py`'s settings (JSON, first argument) in PyTorch or Keras; prints seconds and accuracies.

The time is that of training alone (the epochs with their validation), on numbers that lie ready in memory; PyTorch in
its fastest usual form: no DataLoader, batches gathered by index from one tensor, `fused=True` for Adam.
"""

import gzip
import json
import os
import sys
import time

import numpy as np

asked = json.loads(sys.argv[1])
folder = asked["folder"]


def pictures(name: str) -> np.ndarray:
    with gzip.open(f"{folder}/{name}-images-idx3-ubyte.gz") as file:
        return np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 784).astype(np.float32) / 255


def labels(name: str) -> np.ndarray:
    with gzip.open(f"{folder}/{name}-labels-idx1-ubyte.gz") as file:
        return np.frombuffer(file.read(), np.uint8, offset=8).astype(np.int64)


def split() -> tuple[np.ndarray, np.ndarray]:
    """Rows for training and for validation: as many as Tidemill has."""
    order = np.random.default_rng(asked["seed"]).permutation(60_000)
    rows = asked["rows"]
    return order[:rows], order[rows:]


def with_torch() -> dict:
    import torch

    torch.set_num_threads(os.cpu_count())
    torch.manual_seed(asked["seed"])
    x, y = torch.from_numpy(pictures("train")), torch.from_numpy(labels("train"))
    training, validation = split()
    x_validation, y_validation = x[validation], y[validation]
    x, y = x[training], y[training]
    layers, width = [], 784
    for units in asked["hidden"]:
        layers += [torch.nn.Linear(width, units), torch.nn.ReLU(), torch.nn.Dropout(asked["dropout"])]
        width = units
    net = torch.nn.Sequential(*layers, torch.nn.Linear(width, 10))
    optimizer = torch.optim.Adam(net.parameters(), lr=asked["learning_rate"], fused=True)
    steps = asked["epochs"] * -(-len(x) // asked["batch_size"])
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
    loss_of = torch.nn.CrossEntropyLoss()
    begin = time.perf_counter()
    for _ in range(asked["epochs"]):
        net.train()
        order = torch.randperm(len(x))
        total = 0.0
        for rows in order.split(asked["batch_size"]):
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(net(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        net.eval()
        with torch.no_grad():
            (net(x_validation).argmax(1) == y_validation).float().mean().item()
    seconds = time.perf_counter() - begin
    with torch.no_grad():
        answers = net(torch.from_numpy(pictures("t10k"))).argmax(1).numpy()
    return {"seconds": seconds, "accuracy": float((answers == labels("t10k")).mean())}


def with_keras() -> dict:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras

    keras.utils.set_random_seed(asked["seed"])
    x, y = pictures("train"), labels("train")
    training, validation = split()
    hidden = []
    for units in asked["hidden"]:
        hidden += [keras.layers.Dense(units, activation="relu"), keras.layers.Dropout(asked["dropout"])]
    net = keras.Sequential([keras.Input((784,)), *hidden, keras.layers.Dense(10, activation="softmax")])
    steps = asked["epochs"] * -(-len(training) // asked["batch_size"])
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.PolynomialDecay(asked["learning_rate"], steps, 0.0))
    net.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    begin = time.perf_counter()
    net.fit(
        x[training],
        y[training],
        batch_size=asked["batch_size"],
        epochs=asked["epochs"],
        validation_data=(x[validation], y[validation]),
        verbose=0,
    )
    seconds = time.perf_counter() - begin
    _, accuracy = net.evaluate(pictures("t10k"), labels("t10k"), verbose=0)
    return {"seconds": seconds, "accuracy": float(accuracy)}


print(json.dumps({"torch": with_torch, "keras": with_keras}[asked["peer"]]()))
