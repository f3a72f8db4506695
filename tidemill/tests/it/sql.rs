//! `tidemill sql`: queries over a project's sources and tables.

use std::io::Write;
use std::process::Stdio;

use crate::support::Project;

fn project() -> Project {
    let project = Project::new(
        "sources:\n  people: { csv: { path: people.csv } }\ntables:\n  grown: SELECT * FROM people WHERE age >= 18\n",
    );
    project.write("people.csv", "name,age\nLi,41\n\"O'Neil\",17\n数据,\nAda,36\n".as_bytes());
    project
}

#[test]
fn rows_are_shown_in_columns_and_as_json() {
    let project = project();
    let shown = project.ok(&["sql", "SELECT name, age FROM grown ORDER BY age DESC"]);
    assert_eq!(shown.stdout, "name  age\nLi     41\nAda    36\n");
    assert!(shown.stderr.contains("2 rows"), "{}", shown.stderr);
    let document = project.ok(&["sql", "--json", "--rows", "3", "SELECT * FROM people"]).json();
    assert_eq!(document["columns"], serde_json::json!(["name", "age"]));
    assert_eq!(document["rows"][2], serde_json::json!({"name": "数据", "age": null}));
    assert_eq!((document["rows"].as_array().unwrap().len(), &document["has_more"]), (3, &true.into()));
    let first = project.ok(&["sql", "--rows", "1", "SELECT name FROM people"]);
    assert_eq!(first.stdout, "name\nLi\n");
    assert!(first.stderr.contains("the first row"), "{}", first.stderr);
}

#[test]
fn a_query_comes_from_standard_input_and_its_rows_go_to_a_file() {
    let project = project();
    let mut command = project.command(&["sql", "--output", "out.jsonl"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"SELECT count(*) AS n, avg(age) AS age FROM people;\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 rows written to out.jsonl"));
    assert_eq!(std::fs::read_to_string(project.path("out.jsonl")).unwrap(), "{\"n\":4,\"age\":31.333333333333332}\n");
}

#[test]
fn wrong_queries_are_named() {
    let project = project();
    let check = |query: &str, code: i32, expected: &[&str]| {
        let done = project.run(&["sql", query]);
        assert_eq!(done.code, code, "{}", done.stderr);
        expected.iter().for_each(|part| assert!(done.stderr.contains(part), "no {part:?} in: {}", done.stderr));
        assert!(done.stdout.is_empty(), "{}", done.stdout);
    };
    check("SELECT * FROM poeple", 1, &["no table or source \"poeple\"", "did you mean \"people\"?", "grown, people"]);
    check("SELECT nam FROM people", 1, &["nam", "did you mean", "name"]);
    check("SELEC 1", 1, &["SQL"]);
    check("DROP TABLE people", 1, &["SQL"]);
    check("CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'", 1, &["SQL"]);
    check("COPY (SELECT 1) TO '/tmp/tidemill-copy.csv'", 1, &["SQL"]);
    check("SELECT * FROM '/etc/passwd'", 1, &["no table"]);
    check("", 2, &["no query"]);
}
