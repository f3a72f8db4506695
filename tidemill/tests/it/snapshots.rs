//! What a model learned from is frozen, listed, found again, and taken away by a rule.

use crate::support::Project;

#[test]
fn a_run_freezes_its_rows_and_the_same_rows_are_kept_once() {
    let project = Project::small(300);
    let first = project.ok(&["run", "--json", "-q"]).json();
    assert_eq!(first["models"]["kind"]["snapshots"][0]["name"], "rows@1");
    let again = project.ok(&["run", "--json", "-q"]).json();
    assert_eq!(first["models"]["kind"]["snapshots"], again["models"]["kind"]["snapshots"]);

    let listed = project.ok(&["data", "list", "--json"]).json();
    let snapshots = listed["snapshots"].as_array().unwrap();
    assert_eq!(snapshots.len(), 1);
    assert_eq!((&snapshots[0]["rows"], &snapshots[0]["number"]), (&300.into(), &1.into()));
    assert_eq!(snapshots[0]["versions"], serde_json::json!([["kind", 1], ["kind", 2]]));
    let shown = project.ok(&["data", "show", "rows@1"]).stdout;
    for part in ["300 rows", "SELECT * FROM \"rows\"", "version 2 of \"kind\"", "rows.csv", "colour", "up (151)"] {
        assert!(shown.contains(part), "no {part:?} in {shown}");
    }
    let manifest = std::fs::read_to_string(project.version("kind", 2).join("manifest.json")).unwrap();
    assert!(manifest.contains(snapshots[0]["content"].as_str().unwrap()), "{manifest}");
}

#[test]
fn a_model_learns_the_same_from_a_snapshot_after_its_source_changed() {
    let project = Project::small(300);
    let before = project.ok(&["run", "--json", "-q"]).json();
    let text = std::fs::read_to_string(project.path("rows.csv")).unwrap();
    project.write("rows.csv", text.replace("up\n", "down\n").as_bytes());
    let frozen = project.ok(&["run", "--json", "-q", "--set", "models.kind.table=rows@1"]).json();
    assert_eq!(before["models"]["kind"]["metrics"], frozen["models"]["kind"]["metrics"]);
    assert_eq!(frozen["models"]["kind"]["snapshots"][0]["name"], "rows@1");
    let weights = |number| std::fs::read(project.version("kind", number).join("weights.safetensors")).unwrap();
    assert_eq!(weights(1), weights(2));

    let count = |table: &str| {
        let query = format!("SELECT count(*) AS n FROM {table} WHERE kind = 'up'");
        project.ok(&["sql", "--json", &query]).json()["rows"][0]["n"].as_str().unwrap().parse::<u32>().unwrap()
    };
    assert!(count("\"rows@1\"") > 100);
    assert_eq!(count("rows"), 0);
}

#[test]
fn snapshots_are_taken_by_hand_and_pruned_by_the_rule() {
    let project = Project::small(50);
    project.ok(&["run", "-q"]);
    for n in 0..4 {
        let text = std::fs::read_to_string(project.path("rows.csv")).unwrap();
        project.write("rows.csv", format!("{text}0.{n},red,up\n").as_bytes());
        let taken = project.ok(&["data", "take", "rows", "--json"]).json();
        assert_eq!(taken["snapshots"][0]["rows"], 51 + n);
    }
    let pruned = project.ok(&["data", "prune", "--keep", "1", "--json"]).json();
    assert_eq!(pruned["snapshots"], serde_json::json!(["rows@2", "rows@3", "rows@4"]), "rows@1 has a version");
    let left = project.ok(&["data", "list", "--json"]).json();
    let numbers: Vec<_> = left["snapshots"].as_array().unwrap().iter().map(|one| one["number"].clone()).collect();
    assert_eq!(numbers, [5, 1]);
    let files = std::fs::read_dir(project.path(".tidemill/snapshots")).unwrap().count();
    assert_eq!(files, 4, "two contents, each with its description");
}

#[test]
fn wrong_names_are_said() {
    let project = Project::small(50);
    project.ok(&["data", "take", "rows"]);
    let check = |arguments: &[&str], code: i32, expected: &[&str]| {
        let done = project.run(arguments);
        assert_eq!(done.code, code, "{}", done.stderr);
        expected.iter().for_each(|part| assert!(done.stderr.contains(part), "no {part:?} in: {}", done.stderr));
    };
    check(&["data", "take", "row"], 1, &["no table or source \"row\"", "did you mean \"rows\"?"]);
    check(&["data", "take", "rows@1"], 2, &["\"rows@1\" is a snapshot already"]);
    check(&["data", "show", "rows"], 2, &["\"rows\" is no snapshot", "TABLE@NUMBER"]);
    check(&["data", "show", "rows@7"], 1, &["no snapshot \"rows@7\"", "there are: rows@1"]);
    check(&["sql", "SELECT * FROM \"rows@7\""], 1, &["no snapshot \"rows@7\""]);
    check(&["data", "prune", "--keep", "0"], 1, &["keep 1 at least"]);
    check(&["run", "--set", "snapshots.unused_kept=0"], 2, &["snapshots.unused_kept"]);
}

#[test]
fn freezing_can_be_left_out() {
    let project = Project::small(50);
    let done = project.ok(&["run", "--json", "-q", "--set", "snapshots.enabled=false"]).json();
    assert!(done["models"]["kind"].get("snapshots").is_none());
    assert!(project.ok(&["data", "list"]).stdout.contains("no snapshots yet"));
}

#[test]
fn what_changed_between_two_snapshots_is_told() {
    let project = Project::small(300);
    project.ok(&["data", "take", "rows"]);
    let text = std::fs::read_to_string(project.path("rows.csv")).unwrap();
    let moved: String = text.lines().skip(11).map(|line| format!("1{}\n", line.trim_start_matches('-'))).collect();
    project.write("rows.csv", format!("x,colour,kind\n{moved}").as_bytes());
    project.ok(&["data", "take", "rows"]);

    let shown = project.ok(&["data", "diff", "rows@1", "rows@2"]).stdout;
    for part in ["rows@1 -> rows@2: 300 rows, then 290: 10 fewer", "DRIFT Kolmogorov-Smirnov p = ", "Float64"] {
        assert!(shown.contains(part), "no {part:?} in {shown}");
    }
    let found = project.ok(&["data", "diff", "rows@1", "rows", "--json"]).json();
    assert_eq!((&found["rows_before"], &found["rows_after"], &found["by_key"]), (&300.into(), &290.into(), &().into()));
    assert_eq!(found["drifted"], serde_json::json!(["x"]), "colour and kind are as they were");
    assert_eq!(found["columns"][0]["after"]["missing"], 0);
    let refused = project.run(&["data", "diff", "rows@1", "rows@2", "--fail-on-drift", "--json"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("1 of 3 compared columns drift: x"), "{}", refused.stderr);
    assert_eq!(refused.json()["drifted"], serde_json::json!(["x"]));
    project.ok(&["data", "diff", "rows@2", "rows@2", "--fail-on-drift"]);
}

#[test]
fn rows_are_compared_by_their_keys_and_files_too() {
    let project = Project::small(20);
    project.write("old.csv", b"id,day,n\n1,mon,5\n1,tue,6\n2,mon,7\n");
    project.write("new.csv", b"id,day,n,note\n1,tue,6,a\n2,mon,8,\n3,mon,9,b\n");
    let by_key = ["data", "diff", "old.csv", "new.csv", "--key", "id,day"];
    let shown = project.ok(&by_key).stdout;
    for part in [
        "3 rows in both",
        "columns added: note",
        "rows by id, day: 1 same, 1 added, 1 removed, 1 changed",
        "changed: n in 1",
        "+ id = 3, day = mon: n = 9, note = b",
        "- id = 1, day = mon: n = 5",
        "~ id = 2, day = mon: n: 7 -> 8",
    ] {
        assert!(shown.contains(part), "no {part:?} in {shown}");
    }
    let check = |arguments: &[&str], expected: &[&str]| {
        let done = project.run(arguments);
        assert_eq!(done.code, 1, "{}", done.stderr);
        expected.iter().for_each(|part| assert!(done.stderr.contains(part), "no {part:?} in: {}", done.stderr));
    };
    check(&["data", "diff", "row", "new.csv"], &["no table or source \"row\"", "did you mean \"rows\"?"]);
    project.ok(&["data", "take", "rows"]);
    check(&["data", "diff", "rows@3", "rows"], &["no snapshot \"rows@3\""]);
    check(&["data", "diff", "old.csv", "gone.csv"], &["gone.csv"]);
    check(&["data", "diff", "old.csv", "new.csv", "--key", "id"], &["\"id\" cannot be the key", "\"old.csv\""]);
    check(&["data", "diff", "old.csv", "new.csv", "--key", "dy"], &["no column \"dy\"", "did you mean \"day\"?"]);
}

const EVENTS: &str = "sources:\n  events: { csv: { path: events.csv } }\ntables:\n  odd: SELECT * FROM events WHERE id % 2 = 1\n\
                      snapshots: { cursors: { events: id, odd: id } }\n";

fn events(rows: &str) -> Project {
    let project = Project::new(EVENTS);
    project.write("events.csv", format!("id,day,n\n{rows}").as_bytes());
    project
}

#[test]
fn later_rows_are_put_behind_those_of_the_last_snapshot() {
    let project = events("1,2026-01-01,5\n2,2026-01-02,6\n");
    let take =
        |table: &str| project.ok(&["data", "take", table, "--incremental", "--json"]).json()["snapshots"][0].clone();
    let (first, same) = (take("events"), take("events"));
    assert_eq!((&first["rows"], &first["number"]), (&2.into(), &1.into()));
    assert_eq!(first, same, "nothing came, so the snapshot stays");
    // the row below the cursor changed: that cannot be seen
    project.write("events.csv", b"id,day,n\n1,2026-01-01,9\n2,2026-01-02,6\n3,2026-01-03,7\n5,2026-01-05,8\n");
    let shown = project.ok(&["data", "take", "events", "--incremental"]).stdout;
    assert!(shown.contains("events@2: 4 rows, 2 of them new"), "{shown}");
    let listed = project.ok(&["data", "list", "--json"]).json()["snapshots"][0].clone();
    assert_eq!(listed["query"], "SELECT * FROM \"events@1\" UNION ALL SELECT * FROM \"events\" WHERE \"id\" > 2");
    let found = project.ok(&["sql", "--json", "SELECT * FROM \"events@2\""]).json()["rows"].clone();
    let values: Vec<&str> = found.as_array().unwrap().iter().map(|row| row["n"].as_str().unwrap()).collect();
    assert_eq!(values, ["5", "6", "7", "8"]);
    assert_eq!(take("odd")["rows"], 3);
    assert_eq!(project.ok(&["data", "take", "events", "--json"]).json()["snapshots"][0]["number"], 3, "a whole one");
}

#[test]
fn cursors_that_are_none_are_named() {
    let project = events("1,2026-01-01,5\n2,2026-01-02,6\n");
    let check = |arguments: &[&str], code: i32, expected: &[&str]| {
        let done = project.run(arguments);
        assert_eq!(done.code, code, "{}", done.stderr);
        expected.iter().for_each(|part| assert!(done.stderr.contains(part), "no {part:?} in: {}", done.stderr));
    };
    let take = ["data", "take", "events", "--incremental"];
    let with = |set: &'static str| [take.as_slice(), &["--set", set]].concat();
    check(&with("snapshots.cursors.events=idd"), 1, &["no column \"idd\"", "did you mean \"id\"?"]);
    check(&with("snapshots.cursors.event=id"), 2, &["no table or source \"event\"", "did you mean \"events\"?"]);
    project.write("plain.yaml", b"sources:\n  events: { csv: { path: events.csv } }\n");
    let plain = project.path("plain.yaml");
    let mut command = crate::support::tidemill();
    let done = crate::support::finish(command.args(take).arg("-p").arg(plain));
    assert!(done.code == 1 && done.stderr.contains("\"events\" has no cursor; name the column"), "{}", done.stderr);

    project.ok(&take);
    project.write("events.csv", b"id,day,n\n1,2026-01-01,5\n,2026-01-03,6\n");
    check(&take, 1, &["\"id\" of \"events\" cannot be a cursor: 1 row has no value"]);
    project.write("events.csv", b"id,day,n,more\n3,2026-01-01,5,1\n");
    check(&take, 1, &["new column \"more\"", "since events@1", "tidemill data take events"]);
    project.write("events.csv", b"id,day,n\n3,2026-01-01,5.5\n");
    check(&take, 1, &["\"n\" has become Float64 from Int64"]);
}

#[test]
fn snapshots_are_taken_on_a_schedule() {
    let project = events("1,2026-01-01,5\n2,2026-01-02,6\n");
    let yaml = format!("{EVENTS}expectations:\n  events:\n    - range: {{ column: n, max: 10 }}\n");
    project.write("tidemill.yaml", yaml.as_bytes());
    let every = ["collect", "--every", "200ms", "--for", "4s", "--json"];
    let done = project.ok(&every).json();
    assert!(done["snapshots"]["events"]["done"].as_u64().unwrap() >= 2, "{done}");
    assert_eq!((&done["snapshots"]["events"]["newest"], &done["snapshots"]["odd"]), (&"events@1".into(), &().into()));
    project.write("events.csv", b"id,day,n\n2,2026-01-02,6\n3,2026-01-03,70\n");
    let broken = project.run(&every);
    assert_eq!(broken.code, 1);
    assert!(broken.stderr.contains("\"events\" breaks 1 of its 1 expectations"), "{}", broken.stderr);
    assert_eq!(project.ok(&["data", "list", "--json"]).json()["snapshots"].as_array().unwrap().len(), 1);
    project.write("events.csv", b"id,day,n\n2,2026-01-02,6\n3,2026-01-03,7\n");
    let done = project.ok(&["collect", "events", "odd", "--every", "10m", "--for", "6s", "--json"]).json();
    assert_eq!(
        (&done["snapshots"]["events"]["newest"], &done["snapshots"]["odd"]["done"]),
        (&"events@2".into(), &1.into())
    );
    let wrong = project.run(&["collect", "--every", "1ms"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("100ms at least"), "{}", wrong.stderr);
}
