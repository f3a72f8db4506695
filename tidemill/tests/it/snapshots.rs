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
