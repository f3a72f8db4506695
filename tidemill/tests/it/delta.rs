//! Tables of Delta Lake that another program wrote: each of their versions, value by value.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::files::{objects, python};
use crate::objects::S3;
use crate::servers::free_port;
use crate::support::{Project, finish};

/// Versions of the table `plain`.
const VERSIONS: u64 = 6;
/// All columns of `plain`, in types that JSON can tell.
const PLAIN: &str = "SELECT id, tiny, small, whole, long, x, y, flag, name, raw, CAST(amount AS VARCHAR) AS amount, \
                     CAST(day AS VARCHAR) AS day, CAST(at AS BIGINT) AS at, CAST(wall AS BIGINT) AS wall, tags, place, \
                     counts FROM";

/// Writes the tables, below `lake`, or more rows to one of them; says so where nobody can.
fn written(folder: &Path) -> Option<()> {
    python("delta.py", "pyarrow, deltalake", &[folder])
}

/// The rows of a query.
fn rows(project: &Project, mut command: Command) -> Vec<Value> {
    let out = project.path("out.jsonl");
    let done = finish(command.args(["--output", out.to_str().unwrap()]));
    assert_eq!(done.code, 0, "{}", done.stderr);
    objects(&out)
}

fn sql(project: &Project, query: &str) -> Vec<Value> {
    rows(project, project.command(&["sql", query]))
}

/// The first row that is another one than was written.
fn difference(expected: &[Value], found: &[Value]) -> Option<String> {
    if expected.len() != found.len() {
        return Some(format!("{} rows where {} were expected", found.len(), expected.len()));
    }
    expected.iter().zip(found).find(|(a, b)| a != b).map(|(a, b)| format!("{b} where {a} was expected"))
}

/// A query is refused with all of these words.
fn refused(project: &Project, query: &str, expected: &[&str]) {
    let done = project.run(&["sql", query]);
    assert_eq!(done.code, 1, "{query}: {}", done.stderr);
    for part in expected {
        assert!(done.stderr.contains(part), "{query}: no {part:?} in: {}", done.stderr);
    }
    assert!(!done.stderr.contains("ERROR"), "said once is enough: {}", done.stderr);
}

#[test]
fn every_version_and_moment_gives_what_was_written() {
    let mut yaml = "sources:\n  newest: { delta: lake/plain }\n".to_owned();
    for version in 0..VERSIONS {
        yaml += &format!("  v{version}: {{ delta: {{ path: lake/plain, version: {version} }} }}\n");
        let time = format!("2026-01-01T0{version}:30:00Z");
        yaml += &format!("  t{version}: {{ delta: {{ path: lake/plain, time: \"{time}\" }} }}\n");
    }
    let project = Project::new(&yaml);
    let Some(()) = written(project.folder.path()) else { return };
    let expected = |version: u64| objects(&project.path(&format!("expected/plain-{version}.jsonl")));
    for version in 0..VERSIONS {
        for source in [format!("v{version}"), format!("t{version}")] {
            let found = sql(&project, &format!("{PLAIN} {source} ORDER BY id"));
            assert_eq!(difference(&expected(version), &found), None, "{source}");
        }
    }
    assert_eq!(difference(&expected(VERSIONS - 1), &sql(&project, &format!("{PLAIN} newest ORDER BY id"))), None);

    // Rows come in the order in which they were written, whatever the names of their files.
    let ids: Vec<u64> = sql(&project, "SELECT id FROM v1").iter().map(|row| row["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, (0..10_000).collect::<Vec<u64>>());
    let counted = project.ok(&["sql", "SELECT count(*) AS n FROM v2 WHERE id >= 5000"]).stdout;
    let above = expected(2).iter().filter(|row| row["id"].as_u64() >= Some(5_000)).count();
    assert_eq!(counted, format!("   n\n{above}\n"));
    assert_eq!(sql(&project, "SELECT id FROM v1 LIMIT 3").len(), 3);
}

#[test]
fn old_versions_of_a_cleaned_log_are_told_from_those_that_never_were() {
    let project = Project::new(
        "sources:\n  newest: { delta: lake/plain }\n  old: { delta: { path: lake/plain, version: 2 } }\n  \
         absent: { delta: { path: lake/plain, version: 6 } }\n  \
         early: { delta: { path: lake/plain, time: \"2026-01-01T02:30:00Z\" } }\n  \
         twice: { delta: { path: lake/plain, version: 2, time: \"2026-01-01T02:30:00Z\" } }\n  \
         no_table: { delta: lake/plain/_delta_log }\n",
    );
    let Some(()) = written(project.folder.path()) else { return };
    refused(&project, "SELECT * FROM absent", &["lake/plain has no version 6; there are 0 to 5"]);
    refused(&project, "SELECT * FROM twice", &["at a version or at a time; leave one of them out"]);
    refused(
        &project,
        "SELECT * FROM no_table",
        &["is no Delta table, as there is no folder _delta_log", "did you mean"],
    );
    for version in 0..4 {
        std::fs::remove_file(project.path(&format!("lake/plain/_delta_log/{version:020}.json"))).unwrap();
    }
    refused(&project, "SELECT * FROM old", &["no version 2 any more, as its log was cleaned; there are 4 to 5"]);
    let first = "has no version of 2026-01-01T02:30:00.000Z; the first that is there is of 2026-01-01T04:00:00.000Z";
    refused(&project, "SELECT * FROM early", &[first]);
    let expected = objects(&project.path("expected/plain-5.jsonl"));
    let found = sql(&project, &format!("{PLAIN} newest ORDER BY id"));
    assert_eq!(difference(&expected, &found), None, "the checkpoint is enough");
    std::fs::remove_file(project.path("lake/plain/_delta_log/00000000000000000004.checkpoint.parquet")).unwrap();
    std::fs::remove_file(project.path("lake/plain/_delta_log/_last_checkpoint")).unwrap();
    refused(&project, "SELECT * FROM newest", &["its log was cleaned of what is needed: there are versions 4 to 5"]);
}

#[test]
fn partitions_that_a_condition_rules_out_are_not_opened() {
    let project = Project::new(
        "sources:\n  oldest: { delta: { path: lake/parts, version: 0 } }\n  newest: { delta: lake/parts }\n",
    );
    let Some(()) = written(project.folder.path()) else { return };
    for (source, version) in [("oldest", 0), ("newest", 2)] {
        let expected = objects(&project.path(&format!("expected/parts-{version}.jsonl")));
        let found = sql(&project, &format!("SELECT id, city, year, flag, share FROM {source} ORDER BY id"));
        assert_eq!(difference(&expected, &found), None, "{source}");
        let odd = expected.iter().filter(|row| row["city"] == "a/b=c d%" && row["year"] == 2026).count();
        let asked = format!("SELECT share, year, city FROM {source} WHERE year = 2026 AND city = 'a/b=c d%'");
        assert_eq!(sql(&project, &asked).len(), odd, "{source}");
        let cities = sql(&project, &format!("SELECT DISTINCT city FROM {source} ORDER BY city"));
        assert_eq!(cities.len(), 5, "four of them, and rows of none");
    }
    std::fs::remove_dir_all(project.path("lake/parts/city=plain")).unwrap();
    let expected = objects(&project.path("expected/parts-2.jsonl"));
    let count = expected.iter().filter(|row| row["city"] == "上海").count();
    assert_eq!(sql(&project, "SELECT id FROM newest WHERE city = '上海'").len(), count);
    refused(
        &project,
        "SELECT max(id) FROM newest",
        &["lake/parts: its file ", "city=plain", " is gone; VACUUM takes away"],
    );
}

#[test]
fn snapshots_tell_the_version_and_go_on_where_the_last_one_ended() {
    let project = Project::new("sources:\n  parts: { delta: lake/parts }\nsnapshots: { cursors: { parts: id } }\n");
    let Some(()) = written(project.folder.path()) else { return };
    let take = || project.ok(&["data", "take", "parts", "--incremental"]).stdout;
    let version = |name: &str| {
        let shown = project.ok(&["data", "show", name, "--json"]).json();
        shown["snapshot"]["sources"]["versions"]["parts"].clone()
    };
    assert!(take().contains("parts@1: 7,215 rows"));
    assert_eq!(version("parts@1"), 2);
    let Some(()) = written(project.folder.path()) else { return };
    let taken = take();
    assert!(taken.contains("parts@2: 7,218 rows, 3 of them new"), "{taken}");
    assert_eq!(version("parts@2"), 3);
    assert_eq!(sql(&project, "SELECT id FROM \"parts@2\" WHERE city = 'Köln'").len(), 3);

    let init = project.ok(&["init", "--force", "--from", "lake/parts", "--target", "flag"]);
    assert!(init.stdout.contains("7,218 rows of 5 columns"), "{}", init.stdout);
    let text = std::fs::read_to_string(project.path("tidemill.yaml")).unwrap();
    assert!(text.contains("{delta: {path: lake/parts}}"), "{text}");
}

#[test]
fn a_table_of_a_bucket_is_read_like_one_of_a_folder() {
    let files = Project::new("");
    let Some(()) = written(files.folder.path()) else { return };
    let Some(server) = S3::start(files.folder.path()) else { return };
    let store = server.store();
    let source = |name: &str, path: &str| format!("  {name}: {{ delta: {{ path: \"{path}\", {store} }} }}\n");
    let mut yaml = "sources:\n".to_owned();
    yaml += &source("plain", "s3://tide/lake/plain/");
    yaml += &source("parts", "s3://tide/lake/parts");
    yaml += &source("third", "s3://tide/lake/plain").replace("plain\",", "plain\", version: 2,");
    yaml += &source("ninth", "s3://tide/lake/plain").replace("plain\",", "plain\", version: 9,");
    yaml += &source("no_table", "s3://tide/expected");
    yaml += &source("no_bucket", "s3://tied/lake/plain");
    yaml += &source("wrong_key", "s3://tide/lake/plain").replace("${S3_SECRET}", "not the secret");
    let nobody = format!("http://127.0.0.1:{}", free_port());
    yaml += &source("silent", "s3://tide/lake/plain").replace(server.address(), &nobody);
    let project = Project::new(&yaml);
    let expected = |name: &str| objects(&files.path(&format!("expected/{name}.jsonl")));
    let found = |query: &str| rows(&project, server.command(&project, &["sql", query]));
    assert_eq!(difference(&expected("plain-5"), &found(&format!("{PLAIN} plain ORDER BY id"))), None);
    assert_eq!(difference(&expected("plain-2"), &found(&format!("{PLAIN} third ORDER BY id"))), None);
    let parts = found("SELECT id, city, year, flag, share FROM parts ORDER BY id");
    assert_eq!(difference(&expected("parts-2"), &parts), None);
    for (name, expected) in [
        ("ninth", "s3://tide/lake/plain has no version 9; there are 0 to 5"),
        ("no_table", "s3://tide/expected is no Delta table"),
        ("no_bucket", "there is no bucket s3://tied"),
        ("wrong_key", "the server refuses it"),
        ("silent", "s3://tide/lake/plain/_delta_log cannot be read: "),
    ] {
        let done = finish(&mut server.command(&project, &["sql", &format!("SELECT * FROM {name}")]));
        assert!(done.code != 0 && done.stderr.contains(expected), "{name}: {}", done.stderr);
        assert!(!done.stderr.contains("not the secret"), "{}", done.stderr);
    }
}
