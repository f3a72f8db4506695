"""Boosted trees by LightGBM on a folder of `run.py`: prints JSON as `learn/examples/boosting.rs` does."""

import json
import sys
import time
from pathlib import Path

import lightgbm
import numpy as np
from sklearn.metrics import roc_auc_score

folder, trees, threads = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])


def part(name: str) -> tuple[np.ndarray, np.ndarray, list[int]]:
    target = np.fromfile(folder / f"{name}.target.f32", "float32")
    numbers = np.fromfile(folder / f"{name}.numbers.f32", "float32").reshape(len(target), -1)
    codes = np.fromfile(folder / f"{name}.codes.i32", "int32").reshape(len(target), -1)
    categories = list(range(numbers.shape[1], numbers.shape[1] + codes.shape[1]))
    return np.concatenate([numbers, codes.astype("float32")], 1), target, categories


x, y, categories = part("train")
test, truth, _ = part("test")
settings = {
    "objective": "binary", "num_leaves": 31, "learning_rate": 0.1, "max_bin": 255, "min_data_in_leaf": 20,
    "num_threads": threads, "verbose": -1,
}
begin = time.perf_counter()
rows = lightgbm.Dataset(x, y, categorical_feature=categories, params=settings)
rows.construct()
bins = time.perf_counter() - begin
model = lightgbm.train(settings, rows, trees)
seconds = time.perf_counter() - begin
print(json.dumps({"seconds": seconds, "bins_seconds": bins, "auc": roc_auc_score(truth, model.predict(test))}))
