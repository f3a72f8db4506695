"""A Flight SQL server that is not ours: pyarrow's, with the few messages of Flight SQL read and written by hand.

It knows no conditions: who asks looks at the rows again. What it is asked is written to the file `log`."""

import base64
import json
import pathlib
import re
import sys
import time

import pyarrow
import pyarrow.flight as flight

FOLDER = pathlib.Path(sys.argv[1])
PASSWORD = sys.argv[2]
IS_ENCRYPTED = sys.argv[3] == "tls"

PEOPLE = pyarrow.table(
    {
        "id": pyarrow.array([1, 2, 3, 4], pyarrow.int32()),
        "name": pyarrow.array(["O'Neil", "Li", None, "数据 🦀"]).dictionary_encode(),
        "share": pyarrow.array([0.5, None, 2.25, -1.0], pyarrow.float16()),
        "seen": pyarrow.array([0, 1_500, None, 86_400_000], pyarrow.timestamp("ms", "Asia/Shanghai")),
        "price": pyarrow.array(["1.25", "-0.01", None, "7"]).cast(pyarrow.decimal128(10, 2)),
    }
)
TABLES = {name: PEOPLE for name in ["people", "bound", "elsewhere", "on the web", "stalls", "changes"]}


def log(line):
    with open(FOLDER / "log", "a", encoding="utf-8") as out:
        out.write(line + "\n")


def read(data):
    """The fields of a message of protobuf, those of bytes and those of numbers."""
    found, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte, at = data[at], at + 1
            value, shift = value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    while at < len(data):
        key = number()
        value = number()
        if key & 7 == 2:
            found[key >> 3], at = data[at : at + value], at + value
        else:
            found[key >> 3] = value
    return found


def written(field, value):
    """A field of bytes."""

    def number(value):
        out = b""
        while value > 127:
            out, value = out + bytes([value & 127 | 128]), value >> 7
        return out + bytes([value])

    return number(field << 3 | 2) + number(len(value)) + value


def opened(command):
    parts = read(bytes(command))
    return parts[1].decode().rsplit(".", 1)[1], read(parts.get(2, b""))


class Server(flight.FlightServerBase):
    other = None
    asked = 0

    def get_flight_info(self, context, descriptor):
        kind, parts = opened(descriptor.command)
        if kind == "CommandGetTables":
            return self.info(descriptor, {"names": list(TABLES)})
        if kind == "CommandStatementQuery":
            return self.query(descriptor, parts[1].decode())
        if kind == "CommandPreparedStatementQuery":
            return self.query(descriptor, parts[1].decode())
        raise NotImplementedError(f"no {kind} here")

    def query(self, descriptor, sql):
        log(sql)
        found = re.match(r'SELECT (.*?) FROM "(.*?)"', sql)
        if found is None:
            raise pyarrow.ArrowInvalid("this is no query that I know")
        columns, name = found.groups()
        if name not in TABLES:
            raise KeyError(f"there is no table {name}")
        columns = TABLES[name].column_names if columns == "*" else re.findall(r'"(.*?)"', columns)
        return self.info(descriptor, {"table": name, "columns": columns})

    def info(self, descriptor, ticket):
        name = ticket.get("table")
        parts = [dict(ticket, part=part) for part in ([0, 1] if name else [0])]
        places = {"elsewhere": [f"grpc://127.0.0.1:{self.other}"], "on the web": ["https://files.example/x.arrow"]}
        endpoints = [flight.FlightEndpoint(json.dumps(part).encode(), places.get(name, [])) for part in parts]
        return flight.FlightInfo(pyarrow.schema([]), descriptor, endpoints, -1, -1)

    def do_get(self, context, ticket):
        wanted = json.loads(ticket.ticket)
        if "names" in wanted:
            names = wanted["names"]
            return flight.RecordBatchStream(pyarrow.table({"table_name": names, "table_type": ["TABLE"] * len(names)}))
        rows = TABLES[wanted["table"]].select(wanted["columns"])
        if wanted["table"] == "changes":
            Server.asked += 1
            if Server.asked > 1 and "id" in wanted["columns"]:
                rows = rows.set_column(0, "id", rows["id"].cast(pyarrow.string()))
        rows = rows.slice(2 * wanted["part"], 2)
        if wanted["table"] != "stalls":
            return flight.RecordBatchStream(rows)

        def slowly():
            yield rows
            time.sleep(3600)

        return flight.GeneratorStream(rows.schema, slowly())

    def do_action(self, context, action):
        kind, parts = opened(action.body.to_pybytes())
        sql = parts[1].decode()
        if '"bound"' not in sql or action.type != "CreatePreparedStatement":
            raise NotImplementedError("nothing is prepared here")
        if "?" not in sql:
            raise pyarrow.ArrowInvalid("placeholders are question marks here")
        kind = b"type.googleapis.com/arrow.flight.protocol.sql.ActionCreatePreparedStatementResult"
        return [written(1, kind) + written(2, written(1, sql.encode()))]

    def do_put(self, context, descriptor, reader, writer):
        log("values " + json.dumps(reader.read_all().to_pylist(), default=str))


class Nobody(flight.ServerAuthHandler):
    """What a handshake needs beside the headers."""

    def authenticate(self, outgoing, incoming):
        pass

    def is_valid(self, token):
        return ""


class Token(flight.ServerMiddleware):
    def sending_headers(self):
        return {"authorization": "Bearer open sesame"}


class Door(flight.ServerMiddlewareFactory):
    def start_call(self, info, headers):
        sent = [value for name, values in headers.items() if name.lower() == "authorization" for value in values]
        basic = "Basic " + base64.b64encode(f"reader:{PASSWORD}".encode()).decode()
        if sent and sent[0] == basic:
            return Token()
        if not sent or sent[0] != "Bearer open sesame":
            raise flight.FlightUnauthenticatedError("nobody knows you here")
        return None


def main():
    more = {}
    if IS_ENCRYPTED:
        pair = [(FOLDER / name).read_bytes() for name in ("server.crt", "server.key")]
        more["tls_certificates"] = [flight.CertKeyPair(*pair)]
    scheme = "grpc+tls" if IS_ENCRYPTED else "grpc"
    make = lambda: Server(f"{scheme}://127.0.0.1:0", auth_handler=Nobody(), middleware={"door": Door()}, **more)
    Server.other = make().port
    server = make()
    print(server.port, flush=True)
    server.serve()


main()
