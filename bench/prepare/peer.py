"""What `bench/prepare/features.py` compares with: profile, fit and transform of the same columns by pandas and scikit-learn, or by
Polars (lazy, streaming). `python peer.py pandas|polars FILE OUTPUT` writes the matrix to OUTPUT (.npy)."""

import sys
from pathlib import Path

import numpy as np

NUMBERS = ["width", "latency_ms", "bytes", "price", "quantity", "score", "temperature", "load"]
ONE_HOT = ["device", "country", "status"]
ORDINAL = ["page", "referer"]
PARTS = ["month", "weekday", "hour"]


def by_pandas(file: Path, output: Path) -> None:
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

    rows = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file, parse_dates=["at"])
    profile = {
        "figures": rows.describe(percentiles=[0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]),
        "missing": rows.isna().sum(),
        "distinct": rows.nunique(),
        "frequent": {name: rows[name].value_counts().head(10) for name in rows.select_dtypes(["object", "string"])},
    }
    assert len(profile["distinct"]) == 20
    rows["month"], rows["weekday"], rows["hour"] = rows["at"].dt.month, rows["at"].dt.weekday, rows["at"].dt.hour
    prepare = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), NUMBERS + PARTS),
            ("one hot", OneHotEncoder(sparse_output=False, handle_unknown="ignore", dtype=np.float32), ONE_HOT),
            ("ordinal", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ORDINAL),
        ]
    )
    np.save(output, prepare.fit(rows).transform(rows).astype(np.float32))


def by_polars(file: Path, output: Path) -> None:
    import polars as pl
    import polars.selectors as cs

    rows = pl.scan_parquet(file) if file.suffix == ".parquet" else pl.scan_csv(file, try_parse_dates=True)
    numeric, every = cs.numeric(), pl.all()
    shares = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]
    figures = rows.select(
        every.null_count().name.suffix(" missing"),
        every.approx_n_unique().name.suffix(" distinct"),
        numeric.mean().name.suffix(" mean"),
        numeric.std().name.suffix(" deviation"),
        numeric.min().name.suffix(" min"),
        numeric.max().name.suffix(" max"),
        *[numeric.quantile(share).name.suffix(f" {share}") for share in shares],
    )
    words = [name for name, kind in rows.collect_schema().items() if kind == pl.String]
    frequent = [rows.group_by(name).len().sort("len", descending=True).head(10) for name in words]
    profile = pl.collect_all([figures, *frequent], engine="streaming")
    assert profile[0].width > 100
    at = pl.col("at")
    rows = rows.with_columns(at.dt.month().alias("month"), at.dt.weekday().alias("weekday"), at.dt.hour().alias("hour"))
    all_numbers = NUMBERS + PARTS
    fitted = rows.select(
        *[pl.col(name).median().alias(name) for name in all_numbers],
    )
    values = [rows.select(pl.col(name).unique().sort()) for name in ONE_HOT + ORDINAL]
    fitted, *values = pl.collect_all([fitted, *values], engine="streaming")
    median = fitted.row(0, named=True)
    filled = rows.select(pl.col(name).fill_null(median[name]) for name in all_numbers)
    scales = filled.select(
        *[pl.col(name).mean().alias(f"{name} mean") for name in all_numbers],
        *[pl.col(name).std(ddof=0).alias(f"{name} std") for name in all_numbers],
    )
    scale = scales.collect(engine="streaming").row(0, named=True)
    known = dict(zip(ONE_HOT + ORDINAL, (frame.to_series() for frame in values)))
    columns = [
        ((pl.col(name).fill_null(median[name]) - scale[f"{name} mean"]) / scale[f"{name} std"]).cast(pl.Float32)
        for name in all_numbers
    ]
    for name in ONE_HOT:
        columns += [(pl.col(name) == value).fill_null(False).cast(pl.Float32).alias(f"{name}={value}") for value in known[name].drop_nulls()]
    for name in ORDINAL:
        words = known[name].drop_nulls()
        codes = pl.col(name).cast(pl.Enum(words)).to_physical()
        columns.append(codes.cast(pl.Float32).fill_null(-1))
    np.save(output, rows.select(columns).collect(engine="streaming").to_numpy())


{"pandas": by_pandas, "polars": by_polars}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
