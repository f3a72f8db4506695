//! Files as sources: the same rows from every format, folders that say something, and files that nobody should write.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Project, finish, optional, skipped};

/// Python with the packages that write the formats; says so where there is none.
pub fn python(script: &str, packages: &str, arguments: &[&Path]) -> Option<()> {
    let python = optional("TIDEMILL_PYTHON", "a Python that writes files")?;
    if !finish(Command::new(&python).args(["-c", &format!("import {packages}")])).stderr.is_empty() {
        skipped(&format!("{python} lacks one of {packages}"));
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(script);
    let done = finish(Command::new(&python).arg(script).args(arguments));
    assert_eq!(done.code, 0, "{}", done.stderr);
    Some(())
}

/// Rows as JSON objects; what is missing is null.
pub fn objects(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The first row that is another one.
fn difference(expected: &[Value], found: &[Value]) -> Option<String> {
    if expected.len() != found.len() {
        return Some(format!("{} rows where {} were expected", found.len(), expected.len()));
    }
    let differ = |(a, b): &(&Value, &Value)| {
        ["id", "x", "flag", "name", "day", "at"]
            .iter()
            .any(|key| a.get(key).unwrap_or(&Value::Null) != b.get(key).unwrap_or(&Value::Null))
    };
    expected.iter().zip(found).find(differ).map(|(a, b)| format!("{b} where {a} was expected"))
}

/// All columns in types that every format can tell.
pub const QUERY: &str = "SELECT id, x, flag, name, CAST(day AS VARCHAR) AS day, CAST(at AS BIGINT) AS at FROM";

/// The rows of a source are those that were written.
pub fn same(expected: &Path, found: &Path, source: &str) {
    assert_eq!(difference(&objects(expected), &objects(found)), None, "{source}");
}

#[test]
fn ten_thousand_rows_come_back_from_every_format() {
    let formats = [
        ("plain", "csv: rows.csv"),
        ("gzip", "csv: rows.csv.gz"),
        ("bzip2", "csv: rows.csv.bz2"),
        ("zip", "csv: rows.csv.zip"),
        ("json", "json: rows.jsonl"),
        ("parquet", "parquet: rows.parquet"),
        ("arrow", "arrow: rows.feather"),
        ("arrow_zstd", "arrow: packed.feather"),
        ("arrow_lz4", "arrow: lz4.feather"),
        ("stream", "arrow: rows.arrows"),
        ("avro", "avro: rows.avro"),
        ("xlsx", "excel: { path: rows.xlsx, sheet: Rows }"),
        ("xls", "excel: rows.xls"),
    ];
    let sources: String = formats.iter().map(|(name, source)| format!("  {name}: {{ {source} }}\n")).collect();
    let project = Project::new(&format!("sources:\n{sources}"));
    let packages = "pyarrow, openpyxl, fastavro, xlwt";
    let Some(()) = python("formats.py", packages, &[project.folder.path()]) else { return };
    for (name, _) in formats {
        let out = project.path("out.jsonl");
        project.ok(&["sql", &format!("{QUERY} {name} ORDER BY id"), "--output", out.to_str().unwrap()]);
        let expected = if name == "xlsx" { "expected-xlsx.jsonl" } else { "expected.jsonl" };
        same(&project.path(expected), &out, name);
    }
    // The kind of a file is seen by `init` too.
    let init = project.ok(&["init", "--force", "--from", "rows.xls", "--target", "flag"]);
    assert!(init.stdout.contains("10,000 rows of 6 columns"), "{}", init.stdout);
    let written = std::fs::read_to_string(project.path("tidemill.yaml")).unwrap();
    assert!(written.contains("{excel: {path: rows.xls}}"), "{written}");
}

#[test]
fn lines_and_folders_of_texts_are_rows() {
    let project = Project::new("sources:\n  log: { text: \"logs/*.log\" }\n  mails: { texts: mails }\n");
    project.write("logs/a.log", "started\nno route to host\n".as_bytes());
    project.write("logs/b.log", "结束\n".as_bytes());
    for (path, text) in
        [("mails/spam/1.txt", "win now"), ("mails/ham/1.txt", "see you\nat ten"), ("mails/ham/2.txt", "你好")]
    {
        project.write(path, text.as_bytes());
    }
    let shown = project.ok(&["sql", "SELECT line, text, path FROM log WHERE text <> 'started' ORDER BY path"]);
    assert_eq!(
        shown.stdout,
        "line  text              path\n   2  no route to host  logs/a.log\n   1  结束              logs/b.log\n"
    );
    let shown =
        project.ok(&["sql", "SELECT label, count(*) AS n, max(text) AS text FROM mails GROUP BY label ORDER BY label"]);
    assert_eq!(shown.stdout, "label  n  text\nham    2  你好\nspam   1  win now\n");
}

/// Files of folders that a condition rules out are not opened: a broken one in there bothers nobody.
#[test]
fn folders_are_columns_that_rule_files_out() {
    let project = Project::new(
        "sources:\n  logs: { csv: logs }\n  few: { csv: \"logs/year=2026/month=*/*.csv\" }\n  parts: { parquet: parts }\n",
    );
    project.write("logs/year=2025/month=12/a.csv", b"host,load\n\"broken\n");
    project.write("logs/year=2026/month=01/a.csv", b"host,load\na,0.5\nb,0.25\n");
    project.write("logs/year=2026/month=02/a.csv", b"host,load\na,1.5\n");
    for month in ["1", "2"] {
        let query = format!("SELECT host, load FROM few WHERE month = {month}");
        let out = project.path(&format!("parts/day=2026-0{month}-01/x.parquet"));
        std::fs::create_dir_all(out.parent().unwrap()).unwrap();
        project.ok(&["sql", &query, "--output", out.to_str().unwrap()]);
    }
    project.write("parts/day=2025-12-01/x.parquet", b"PAR1 broken");
    let check = |query: &str, expected: &str| assert_eq!(project.ok(&["sql", query]).stdout, expected, "{query}");
    let average = "SELECT month, avg(load) AS load FROM logs WHERE year = 2026 GROUP BY month ORDER BY month";
    check(average, "month   load\n    1  0.375\n    2    1.5\n");
    check("SELECT count(*) AS n FROM logs WHERE year > 2025 AND month IN (2, 3)", "n\n1\n");
    check("SELECT host, day FROM parts WHERE day >= '2026-02-01'", "host  day\na     2026-02-01\n");
    check("SELECT load, host FROM parts WHERE day = '2026-01-01' AND load > 0.3", "load  host\n 0.5  a\n");
    for query in ["SELECT count(*) FROM logs", "SELECT host FROM logs WHERE year < 2026"] {
        let error = project.run(&["sql", query]);
        assert_eq!(error.code, 1, "{}", error.stdout);
        assert!(error.stderr.contains("year=2025/month=12/a.csv, line 2: a quote is opened"), "{}", error.stderr);
    }
    let error = project.run(&["sql", "SELECT host FROM parts"]);
    assert!(error.stderr.contains("day=2025-12-01/x.parquet"), "{}", error.stderr);
}

#[test]
fn files_that_nobody_should_write_are_named() {
    let project = Project::new(
        "sources:\n  book: { excel: book.xlsx }\n  pack: { csv: pack.zip }\n  events: { avro: events.avro }\n  far: { csv: { path: \
         rows.csv, store: { region: eu-west-1 } } }\n",
    );
    let check = |query: &str, expected: &str| {
        let done = project.run(&["sql", query]);
        assert!(done.code != 0 && done.stderr.contains(expected), "{query}: {}", done.stderr);
    };
    project.write("book.xlsx", b"id,price\n1,2\n");
    check("SELECT * FROM book", "book.xlsx is no workbook, whatever its name says");
    check("SELECT * FROM pack", "no file");
    project.write("pack.zip", b"PK\x03\x04 and then nothing");
    check("SELECT * FROM pack", "pack.zip: no ZIP archive, or cut off");
    project.write("events.avro", b"Obj\x01\x02\x16avro.schema");
    check("SELECT * FROM events", "events.avro: the Avro file was cut off or changed");
    check("SELECT * FROM far", "store says how URLs are reached");
}
