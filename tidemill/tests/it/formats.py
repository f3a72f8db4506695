"""Writes the same ten thousand rows in every format that a source can be in, and once more as they are to come back."""

import bz2
import csv
import datetime
import gzip
import io
import json
import pathlib
import random
import sys
import zipfile

import fastavro
import openpyxl
import pyarrow
import pyarrow.feather
import pyarrow.parquet
import xlwt

COUNT = 10_000
NAMES = ["id", "x", "flag", "name", "day", "at"]


def rows():
    chance = random.Random(7)
    words = ["数据中心", "Zürich", "🦀 crab", "say \"hi\"", "a,b;c", "two\nlines", "Ünïcödé", "plain", "наука", "ひらがな"]
    for n in range(COUNT):
        value = lambda make, odds=9: None if chance.randrange(odds) == 0 else make()
        yield [
            n,
            value(lambda: chance.choice([chance.uniform(-1e6, 1e6), 1e300, -2.5e-300, 0.1, 7.0])),
            value(lambda: chance.random() < 0.5),
            value(lambda: f"{chance.choice(words)} {chance.randrange(1000)}"),
            value(lambda: datetime.date(1971, 1, 1) + datetime.timedelta(days=chance.randrange(20_000))),
            value(lambda: datetime.datetime(1971, 1, 1) + datetime.timedelta(milliseconds=500 * chance.randrange(3_000_000_000))),
        ]


def main(folder):
    data = list(rows())
    micros = lambda at: None if at is None else (at - datetime.datetime(1970, 1, 1)) // datetime.timedelta(microseconds=1)
    # openpyxl writes numbers with 16 digits.
    for name, number in [("expected.jsonl", lambda x: x), ("expected-xlsx.jsonl", lambda x: x and float(f"{x:.16g}"))]:
        with open(folder / name, "w", encoding="utf-8") as out:
            for row in data:
                shown = [row[0], number(row[1]), *row[2:4], row[4] and row[4].isoformat(), micros(row[5])]
                out.write(json.dumps(dict(zip(NAMES, shown)), ensure_ascii=False) + "\n")

    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(NAMES)
    for row in data:
        flag = "" if row[2] is None else str(row[2]).lower()
        at = "" if row[5] is None else row[5].isoformat(sep=" ")
        writer.writerow([row[0], row[1], flag, row[3], row[4], at])
    text = text.getvalue().encode()
    (folder / "rows.csv").write_bytes(text)
    (folder / "rows.csv.gz").write_bytes(gzip.compress(text, 1))
    (folder / "rows.csv.bz2").write_bytes(bz2.compress(text, 1))
    with zipfile.ZipFile(folder / "rows.csv.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        lines = text.split(b"\r\n", 1)
        half = text.index(b"\r\n5000,") + 2
        archive.writestr("a/rows-1.csv", text[:half])
        archive.writestr("a/rows-2.csv", lines[0] + b"\r\n" + text[half:])
        archive.writestr("readme.md", "two parts")
    with open(folder / "rows.jsonl", "w", encoding="utf-8") as out:
        for row in data:
            shown = [*row[:4], row[4] and row[4].isoformat(), row[5] and row[5].isoformat()]
            out.write(json.dumps(dict(zip(NAMES, shown))) + "\n")

    types = [pyarrow.int64(), pyarrow.float64(), pyarrow.bool_(), pyarrow.string(), pyarrow.date32(), pyarrow.timestamp("us")]
    schema = pyarrow.schema(list(zip(NAMES, types)))
    table = pyarrow.Table.from_arrays([pyarrow.array(column, kind) for column, kind in zip(zip(*data), types)], schema=schema)
    pyarrow.parquet.write_table(table, folder / "rows.parquet", row_group_size=3_000)
    pyarrow.feather.write_feather(table, folder / "rows.feather", compression="uncompressed", chunksize=3_000)
    encoded = table.set_column(3, "name", table["name"].dictionary_encode())
    with pyarrow.ipc.new_stream(folder / "rows.arrows", encoded.schema) as out:
        out.write_table(encoded, max_chunksize=3_000)
    if pyarrow.Codec.is_available("zstd"):
        pyarrow.feather.write_feather(table, folder / "packed.feather", compression="zstd")
        pyarrow.feather.write_feather(table, folder / "lz4.feather", compression="lz4")

    optional = lambda kind: ["null", kind]
    fields = ["long", optional("double"), optional("boolean"), optional("string"),
              optional({"type": "int", "logicalType": "date"}), optional({"type": "long", "logicalType": "local-timestamp-micros"})]
    avro = {"type": "record", "name": "row", "fields": [{"name": n, "type": t} for n, t in zip(NAMES, fields)]}
    with open(folder / "rows.avro", "wb") as out:
        fastavro.writer(out, avro, [dict(zip(NAMES, row)) for row in data], codec="deflate")

    book = openpyxl.Workbook(write_only=True)
    book.create_sheet("Notes").append(["not this one"])
    sheet = book.create_sheet("Rows")
    sheet.append(NAMES)
    for row in data:
        sheet.append(row)
    book.save(folder / "rows.xlsx")
    book = xlwt.Workbook(encoding="utf-8")
    sheet = book.add_sheet("Rows")
    day, at = xlwt.easyxf(num_format_str="YYYY-MM-DD"), xlwt.easyxf(num_format_str="YYYY-MM-DD HH:MM:SS.0")
    for column, name in enumerate(NAMES):
        sheet.write(0, column, name)
    for number, row in enumerate(data, 1):
        for column, value in enumerate(row):
            if column == 5 and value is not None:  # xlwt would leave the fractions of seconds out
                value = (value - datetime.datetime(1899, 12, 30)) / datetime.timedelta(days=1)
            if value is not None:
                sheet.write(number, column, value, {4: day, 5: at}.get(column, xlwt.Style.default_style))
    book.save(str(folder / "rows.xls"))


main(pathlib.Path(sys.argv[1]))
