"""The same work as `tidemill run -p examples/adult` with pandas, scikit-learn and PyTorch: CSV to a saved, evaluated model.

Prints one JSON document. Network, optimiser, batch size, epochs at most, patience and split sizes are those of the example.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.inspection import permutation_importance
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss, precision_recall_curve, roc_auc_score, roc_curve
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

spec = json.loads(sys.argv[1])
folder = Path(os.environ["TIDEMILL_DATA"]) / "adult"
torch.manual_seed(spec["seed"])
torch.set_num_threads(2)
seconds = {}
began = time.monotonic()


def lap(stage: str) -> None:
    global began
    seconds[stage] = time.monotonic() - began
    began = time.monotonic()


read = dict(header=None, names=spec["columns"], na_values="?", skipinitialspace=True)
train = pd.read_csv(folder / "adult-train.csv.gz", **read)
test = pd.read_csv(folder / "adult-test.csv.gz", **read)
for table in (train, test):
    table["income"] = table["income"].str.rstrip(".")
lap("collect")

# the audit: profile, missing values, duplicates, overlap of training and test rows
profile = train.describe(include="all")
missing = train.isna().sum()
duplicates = train.duplicated().sum()
overlap = len(train.merge(test, how="inner"))
for column in train.select_dtypes("number"):
    np.histogram(train[column], bins=20)
top = {column: train[column].value_counts().head(10) for column in train}

y_train, y_test = (train["income"] == ">50K").to_numpy(np.float32), (test["income"] == ">50K").to_numpy(np.float32)


def prepared(table: pd.DataFrame) -> pd.DataFrame:
    """What the SQL of the example does."""
    table = table.drop(columns=["income", "fnlwgt"])
    table["age_band"] = (table["age"] // 5).astype(str)
    table["hours_band"] = (table["hours_per_week"] // 5).astype(str)
    for amount in ("gain", "loss"):
        table[f"{amount}_amount"] = table[f"capital_{amount}"].astype(str)
        table[f"capital_{amount}"] = np.log1p(table[f"capital_{amount}"])
    return table


x_train, x_test = prepared(train), prepared(test)
x_train, x_valid, y_train, y_valid = train_test_split(
    x_train, y_train, test_size=spec["validation_fraction"], stratify=y_train, random_state=spec["seed"]
)
numbers = x_train.select_dtypes("number").columns
amounts = ["gain_amount", "loss_amount"]
texts = [column for column in x_train if column not in set(numbers) and column not in amounts]
prepare = ColumnTransformer(
    [
        ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        ("amounts", OneHotEncoder(min_frequency=10, handle_unknown="infrequent_if_exist", sparse_output=False), amounts),
        ("texts", make_pipeline(SimpleImputer(strategy="constant", fill_value="?"), OneHotEncoder(handle_unknown="ignore", sparse_output=False)), texts),
    ]
)
a = torch.from_numpy(prepare.fit_transform(x_train).astype(np.float32))
b = torch.from_numpy(prepare.transform(x_valid).astype(np.float32))
c = torch.from_numpy(prepare.transform(x_test).astype(np.float32))
target = torch.from_numpy(y_train)
lap("prepare")

layers, width = [], a.shape[1]
for units in spec["hidden"]:
    layers += [torch.nn.Linear(width, units), torch.nn.ReLU()]
    if spec["dropout"]:
        layers.append(torch.nn.Dropout(spec["dropout"]))
    width = units
net = torch.nn.Sequential(*layers, torch.nn.Linear(width, 1))
optimizer = torch.optim.Adam(net.parameters(), lr=spec["learning_rate"], weight_decay=spec["weight_decay"])
loss_of = torch.nn.BCEWithLogitsLoss()
best, best_state, waited, epochs = -1.0, None, 0, 0
for epoch in range(spec["epochs"]):
    net.train()
    order = torch.randperm(len(a))
    for start in range(0, len(a), spec["batch_size"]):
        rows = order[start : start + spec["batch_size"]]
        optimizer.zero_grad()
        loss_of(net(a[rows]).squeeze(1), target[rows]).backward()
        optimizer.step()
    net.eval()
    with torch.no_grad():
        score = roc_auc_score(y_valid, net(b).squeeze(1).numpy())
    epochs = epoch + 1
    if score > best:
        best, best_state, waited = score, {k: v.clone() for k, v in net.state_dict().items()}, 0
    else:
        waited += 1
        if waited >= spec["patience"]:
            break
net.load_state_dict(best_state)
net.eval()
lap("train")


class Wrapped:
    """The fitted pipeline as scikit-learn expects it for permutation importance."""

    def fit(self, *_):
        return self

    def predict_proba(self, rows):
        with torch.no_grad():
            p = torch.sigmoid(net(torch.from_numpy(prepare.transform(rows).astype(np.float32)))).numpy()
        return np.hstack([1 - p, p])


def auc(model, rows, truth):
    return roc_auc_score(truth, model.predict_proba(rows)[:, 1])


with torch.no_grad():
    p = torch.sigmoid(net(c)).squeeze(1).numpy()
figures = {
    "auc": roc_auc_score(y_test, p),
    "accuracy": accuracy_score(y_test, p >= 0.5),
    "f1": f1_score(y_test, p >= 0.5),
    "log_loss": log_loss(y_test, p),
}
confusion_matrix(y_test, p >= 0.5), roc_curve(y_test, p), precision_recall_curve(y_test, p)
sample = x_test.iloc[: spec["importance_rows"]]
permutation_importance(Wrapped(), sample, y_test[: spec["importance_rows"]], scoring=auc, n_repeats=1, random_state=0)
lap("evaluate")

with tempfile.TemporaryDirectory() as out:
    torch.save(net.state_dict(), Path(out) / "weights.pt")
    import pickle

    (Path(out) / "prepare.pkl").write_bytes(pickle.dumps(prepare))
lap("deploy")
print(json.dumps({"auc": float(figures["auc"]), "epochs": epochs, "seconds": seconds}))
