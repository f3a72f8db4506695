"""Asks a server for Flight SQL as people do: by the driver of ADBC, which is not ours. Ends with `fine`."""

import sys
import threading

import adbc_driver_flightsql.dbapi as dbapi

PORT, KEY = sys.argv[1:]


def connect(password=KEY):
    sent = {"username": "anybody", "password": password}
    return dbapi.connect(f"grpc://127.0.0.1:{PORT}", db_kwargs=sent, autocommit=True)


def ask(connection, sql, values=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall()


def refused(work, *words):
    try:
        work()
    except dbapi.Error as error:
        missing = [word for word in words if word not in str(error)]
        assert not missing, f"no {missing} in {error}"
    else:
        raise AssertionError(f"not refused: {words}")


def catalogue(connection):
    info = connection.adbc_get_info()
    assert info["vendor_name"] == "tidemill", info
    assert info["vendor_arrow_version"], info
    assert connection.adbc_get_table_types() == ["TABLE", "VIEW"], connection.adbc_get_table_types()
    [found] = connection.adbc_get_objects(depth="all").read_all().to_pylist()
    assert found["catalog_name"] == "tidemill", found
    [schema] = found["catalog_db_schemas"]
    assert schema["db_schema_name"] == "public", schema
    tables = {table["table_name"]: table for table in schema["db_schema_tables"]}
    kinds = {name: table["table_type"] for name, table in tables.items()}
    assert kinds == {"rows": "TABLE", "reds": "VIEW"}, kinds
    columns = [column["column_name"] for column in tables["rows"]["table_columns"]]
    assert columns == ["x", "colour", "kind"], columns
    names = connection.adbc_get_table_schema("rows").names
    assert names == ["x", "colour", "kind"], names
    [found] = connection.adbc_get_objects(depth="tables", table_name_filter="re%").read_all().to_pylist()
    [table] = found["catalog_db_schemas"][0]["db_schema_tables"]
    assert table["table_name"] == "reds", table


def main():
    with connect() as connection:
        assert ask(connection, "SELECT count(*), min(colour) FROM rows") == [(300, "blue")]
        sql = "SELECT count(*) FROM rows WHERE colour = ? AND x > ?"
        assert ask(connection, sql, ("red", -2.0)) == [(100,)]
        assert ask(connection, sql, ("it's none", -2.0)) == [(0,)]
        assert ask(connection, "SELECT count(*) FROM rows WHERE colour = $1", ("blue",)) == [(100,)]
        assert ask(connection, "SELECT * FROM rows WHERE x > 5") == []
        assert ask(connection, "SELECT predict('kind') FROM (SELECT 0.9 AS x, 'red' AS colour)") == [("up",)]
        assert ask(connection, "SELECT '数据 🦀' AS text, NULL AS nothing") == [("数据 🦀", None)]
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM rows LIMIT 7")
            table = cursor.fetch_arrow_table()
            assert (table.num_rows, table.column_names) == (7, ["x", "colour", "kind"]), table
        catalogue(connection)
        refused(lambda: ask(connection, "SELECT colur FROM rows"), 'did you mean "colour"?')
        refused(lambda: ask(connection, "SELECT * FROM row"), 'no table "row"', 'did you mean "rows"?')
        refused(lambda: ask(connection, "DROP TABLE rows"), "only SELECT can be used here")
        refused(lambda: ask(connection, "CREATE MODEL m AS SELECT * FROM rows"), "read-only", "tidemill sql")
        refused(lambda: ask(connection, "SELECT * FROM '/etc/passwd'"))
        refused(lambda: ask(connection, "SELECT count(*) FROM rows WHERE colour = ?", ("red", 1)), "1 parameters, but 2 values")
        with connection.cursor() as cursor:
            refused(lambda: cursor.executescript("DROP TABLE rows"), "read-only")
            refused(lambda: cursor.adbc_ingest("more", table))
        # Who goes away in the middle ends the query.
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM generate_series(1, 100000000000)")
            assert cursor.fetch_record_batch().read_next_batch().num_rows > 0
        assert ask(connection, "SELECT count(*) FROM reds") == [(100,)]

    refused(lambda: ask(connect("a key of somebody else"), "SELECT 1"), "the password is wrong")

    counts = []

    def many():
        with connect() as connection:
            counts.extend(ask(connection, "SELECT count(*) FROM rows")[0][0] for _ in range(20))

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [300] * 80, counts
    print("fine")


main()
