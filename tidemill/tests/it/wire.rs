//! SQL over PostgreSQL's protocol: psql, a driver of Python, what tools of business intelligence look at.

use std::process::{Command, Stdio};

use crate::support::{Done, Project, SqlServer, finish, optional, skipped};

const KEY: &str = "a key of tide & mill";

fn start(project: &Project, key: Option<&str>) -> SqlServer {
    SqlServer::start(project, "--sql-port", "postgresql", key)
}

fn psql(server: &SqlServer, password: &str, query: &str) -> Done {
    let mut client = Command::new("psql");
    client.args(["-h", "127.0.0.1", "-p", &server.port, "-U", "reader", "-d", "tidemill", "-X", "-A", "-t", "-w"]);
    finish(client.args(["-v", "ON_ERROR_STOP=1", "-c", query]).env("PGPASSWORD", password))
}

fn has_psql() -> bool {
    let is_there = Command::new("psql").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !is_there {
        skipped("psql is not installed (Debian's package postgresql-client)");
    }
    is_there
}

#[test]
fn psql_reads_tables_models_and_the_catalogue() {
    if !has_psql() {
        return;
    }
    let project = Project::small(300);
    project.ok(&["run", "-q"]);
    let server = start(&project, Some(KEY));
    let ask = |query: &str| {
        let done = psql(&server, KEY, query);
        assert_eq!(done.code, 0, "{query}: {}", done.stderr);
        done.stdout.trim().to_owned()
    };
    assert_eq!(ask("SELECT count(*), min(colour) FROM rows"), "300|blue");
    assert_eq!(ask("SELECT predict('kind') FROM (SELECT 0.9 AS x, 'red' AS colour)"), "up");
    let asked =
        "SELECT predicted_kind, predicted_kind_probs FROM ML.PREDICT(MODEL kind, (SELECT 0.9 AS x, 'red' AS colour))";
    let answer = ask(asked);
    assert!(answer.starts_with("up|") && answer.contains("down"), "{answer}");
    assert_eq!(ask("SELECT count(*) FROM ML.EVALUATE(MODEL kind, TABLE rows)"), "1");
    assert!(ask("\\dt").contains("rows"), "{}", ask("\\dt"));
    let described = ask("\\d rows");
    for part in ["x|double precision", "colour|", "kind|"] {
        assert!(described.contains(part), "no {part:?} in {described}");
    }
    let catalogue = "SELECT c.relname, a.attname, t.typname FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = 'public' AND a.attnum > 0 ORDER BY a.attnum";
    assert_eq!(ask(catalogue).lines().next(), Some("rows|x|float8"));
    let columns =
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'rows' ORDER BY ordinal_position";
    assert_eq!(ask(columns), "x\ncolour\nkind");
    assert_eq!(ask("BEGIN; SELECT 1; COMMIT").lines().nth(1), Some("1"));
}

#[test]
fn nobody_changes_anything_and_nobody_enters_without_the_key() {
    if !has_psql() {
        return;
    }
    let project = Project::small(50);
    let server = start(&project, Some(KEY));
    let wrong = psql(&server, "a key of somebody else", "SELECT 1");
    assert_eq!(wrong.code, 2, "{}", wrong.stdout);
    assert!(wrong.stderr.to_lowercase().contains("password"), "{}", wrong.stderr);
    let target = project.path("copied.csv");
    let refused = |query: &str, expected: &[&str]| {
        let done = psql(&server, KEY, query);
        assert_ne!(done.code, 0, "{query}: {}", done.stdout);
        expected.iter().for_each(|part| assert!(done.stderr.contains(part), "no {part:?} in: {}", done.stderr));
    };
    refused("DROP TABLE rows", &["read-only"]);
    refused("CREATE TABLE more AS SELECT 1", &["read-only"]);
    refused("CREATE OR REPLACE MODEL kind AS SELECT * FROM rows", &["CREATE MODEL", "read-only", "tidemill sql"]);
    refused("SELECT * FROM ML.PREDICT(MODEL kid, TABLE rows)", &["did you mean \"kind\"?"]);
    refused("INSERT INTO rows VALUES (1, 'red', 'up')", &["read-only"]);
    refused("EXPLAIN ANALYZE INSERT INTO rows VALUES (1, 'red', 'up')", &["read-only"]);
    refused("CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'", &[]);
    refused(&format!("COPY (SELECT 1) TO '{}'", target.display()), &["read-only"]);
    refused("SELECT * FROM '/etc/passwd'", &[]);
    refused(
        "SET datafusion.execution.batch_size = 1",
        &["that a client may change", "datafusion.execution.batch_size"],
    );
    refused("SELECT colur FROM rows", &["did you mean \"colour\"?"]);
    refused("SELECT * FROM row", &["row"]);
    assert!(!target.exists());
    assert_eq!(psql(&server, KEY, "SELECT count(*) FROM rows").stdout.trim(), "50");
}

#[test]
fn a_driver_of_python_binds_values() {
    let Some(python) = optional("TIDEMILL_PYTHON", "a driver of Python") else { return };
    let project = Project::small(300);
    let server = start(&project, None);
    let script = format!(
        "import psycopg\n\
         with psycopg.connect('postgresql://anybody@127.0.0.1:{}/tidemill') as connection:\n\
        \x20   one = connection.execute('SELECT count(*) FROM rows WHERE colour = %s AND x > %s', ('red', -2.0)).fetchone()\n\
        \x20   print(one)\n\
        \x20   rows = connection.execute('SELECT x, colour FROM rows ORDER BY x LIMIT 2').fetchall()\n\
        \x20   print(len(rows), type(rows[0][0]).__name__, type(rows[0][1]).__name__)\n",
        server.port
    );
    let done = finish(Command::new(python).args(["-c", &script]));
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(done.stdout, "(100,)\n2 float str\n");
}
