"""Writes tables of Delta Lake, version by version, and the rows that each version is to give, as JSON lines by `id`."""

import datetime
import decimal
import json
import os
import pathlib
import random
import sys

import pyarrow
from deltalake import DeltaTable, write_deltalake

COUNT = 10_000
WORDS = ["数据中心", "Zürich", "🦀 crab", 'say "hi"', "a,b;c", "two\nlines", "наука", "ひらがな", "plain", ""]
CITIES = ["München", "上海", "a/b=c d%", "plain"]
BEGIN = datetime.datetime(1971, 1, 1)
SCHEMA = pyarrow.schema([
    ("id", pyarrow.int64()),
    ("tiny", pyarrow.int8()),
    ("small", pyarrow.int16()),
    ("whole", pyarrow.int32()),
    ("long", pyarrow.int64()),
    ("x", pyarrow.float64()),
    ("y", pyarrow.float32()),
    ("flag", pyarrow.bool_()),
    ("name", pyarrow.string()),
    ("raw", pyarrow.binary()),
    ("amount", pyarrow.decimal128(12, 2)),
    ("day", pyarrow.date32()),
    ("at", pyarrow.timestamp("us", tz="UTC")),
    ("wall", pyarrow.timestamp("us")),
    ("tags", pyarrow.list_(pyarrow.string())),
    ("place", pyarrow.struct([("city", pyarrow.string()), ("zone", pyarrow.int32())])),
    ("counts", pyarrow.map_(pyarrow.string(), pyarrow.int64())),
])
PARTS = pyarrow.schema([
    ("id", pyarrow.int64()),
    ("city", pyarrow.string()),
    ("year", pyarrow.int32()),
    ("flag", pyarrow.bool_()),
    ("share", pyarrow.float64()),
])


def row(n, chance):
    value = lambda make: None if chance.randrange(9) == 0 else make()
    moment = lambda: BEGIN + datetime.timedelta(microseconds=chance.randrange(3_000_000_000_000_000))
    return {
        "id": n,
        "tiny": value(lambda: chance.choice([-128, 127, chance.randrange(-128, 128)])),
        "small": value(lambda: chance.choice([-(2**15), 2**15 - 1, chance.randrange(1000)])),
        "whole": value(lambda: chance.choice([-(2**31), 2**31 - 1, chance.randrange(10**6)])),
        "long": value(lambda: chance.choice([-(2**63), 2**63 - 1, chance.randrange(10**12)])),
        "x": value(lambda: chance.choice([chance.uniform(-1e6, 1e6), 1e300, -2.5e-300, 0.1, 7.0])),
        "y": value(lambda: chance.randrange(-(2**20), 2**20) / 4),
        "flag": value(lambda: chance.random() < 0.5),
        "name": value(lambda: f"{chance.choice(WORDS)} {chance.randrange(1000)}"),
        "raw": value(lambda: chance.randbytes(chance.randrange(5))),
        "amount": value(lambda: decimal.Decimal(chance.randrange(-(10**12) + 1, 10**12)).scaleb(-2)),
        "day": value(lambda: moment().date()),
        "at": value(lambda: moment().replace(tzinfo=datetime.timezone.utc)),
        "wall": value(moment),
        "tags": value(lambda: [value(lambda: chance.choice(WORDS)) for _ in range(chance.randrange(4))]),
        "place": value(lambda: {"city": value(lambda: chance.choice(CITIES)), "zone": value(lambda: chance.randrange(20))}),
        "counts": value(lambda: [(word, chance.randrange(100)) for word in chance.sample(WORDS, chance.randrange(3))]),
    }


def part(n, chance):
    value = lambda make: None if chance.randrange(9) == 0 else make()
    return {
        "id": n,
        "city": value(lambda: chance.choice(CITIES)),
        "year": value(lambda: chance.randrange(2024, 2027)),
        "flag": chance.random() < 0.5,
        "share": value(chance.random),
    }


def shown(row):
    """A row as the test asks for it: what is missing is left out."""
    micros = lambda at: (at.replace(tzinfo=None) - datetime.datetime(1970, 1, 1)) // datetime.timedelta(microseconds=1)
    forms = {
        "raw": bytes.hex,
        "amount": str,
        "day": lambda day: day.isoformat(),
        "at": micros,
        "wall": micros,
        "place": lambda place: {key: value for key, value in place.items() if value is not None},
        "counts": dict,
    }
    return {key: forms.get(key, lambda value: value)(value) for key, value in row.items() if value is not None}


class Table:
    """A table, its rows as they are to be, and a version an hour apart from the one before."""

    def __init__(self, folder, name, schema, **options):
        self.folder, self.name, self.schema, self.options = folder, name, schema, options
        self.path = folder / "lake" / name
        self.rows, self.version = [], 0

    def write(self, rows, mode="append"):
        self.rows = rows if mode == "overwrite" else self.rows + rows
        table = pyarrow.Table.from_pylist(rows, schema=self.schema)
        write_deltalake(self.path, table, mode=mode, **(self.options if self.version == 0 else {}))
        self.written()

    def delete(self, condition, is_left):
        self.rows = [row for row in self.rows if is_left(row)]
        DeltaTable(self.path).delete(condition)
        self.written()

    def written(self):
        expected = self.folder / "expected" / f"{self.name}-{self.version}.jsonl"
        expected.parent.mkdir(exist_ok=True)
        with open(expected, "w", encoding="utf-8") as out:
            for row in sorted(self.rows, key=lambda row: row["id"]):
                out.write(json.dumps(shown(row), ensure_ascii=False) + "\n")
        assert DeltaTable(self.path).version() == self.version, "one version for each change"
        log = self.path / "_delta_log" / f"{self.version:020}.json"
        at = datetime.datetime(2026, 1, 1, self.version, tzinfo=datetime.timezone.utc).timestamp()
        os.utime(log, (at, at))
        self.version += 1


def main(folder):
    chance = random.Random(7)
    rows = [row(n, chance) for n in range(COUNT)]
    # What the log says of old versions is kept, although they look older than the month that it is kept by itself.
    plain = Table(folder, "plain", SCHEMA, configuration={"delta.enableExpiredLogCleanup": "false"})
    plain.write(rows[:6_000])
    plain.write(rows[6_000:])
    plain.delete("id % 7 = 0", lambda row: row["id"] % 7 != 0)
    plain.write([row(n, chance) for n in range(500)], mode="overwrite")
    plain.write([row(n, chance) for n in range(500, 600)])
    DeltaTable(plain.path).create_checkpoint()
    plain.write([row(n, chance) for n in range(600, 650)])

    parts = Table(folder, "parts", PARTS, partition_by=["city", "year"])
    parts.write([part(n, chance) for n in range(COUNT)])
    parts.delete("year = 2025", lambda row: row["year"] != 2025)
    parts.write([part(n, chance) for n in range(COUNT, COUNT + 100)])


def more(folder):
    """Three rows behind those of the newest version of `parts`."""
    rows = [{"id": COUNT + 100 + n, "city": "Köln", "year": 2026, "flag": True, "share": 0.5} for n in range(3)]
    write_deltalake(folder / "lake" / "parts", pyarrow.Table.from_pylist(rows, schema=PARTS), mode="append")


if pathlib.Path(sys.argv[1]).joinpath("lake").exists():
    more(pathlib.Path(sys.argv[1]))
else:
    main(pathlib.Path(sys.argv[1]))
