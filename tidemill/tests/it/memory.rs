//! A table that memory may not hold: a sample is looked at, the network learns from all of it, on disk.

use crate::resume::{interrupted, weights};
use crate::support::Project;

/// About 3 MB of rows for a bound of 1 MB.
const ROWS: usize = 120_000;
const SMALL_MEMORY: &[&str] = &["--set", "memory.rows_bytes_max=1048576"];
const QUICK: &[&str] = &["--set", "models.kind.train.epochs=2", "--set", "models.kind.train.batch_size=64"];

#[test]
fn a_network_learns_from_all_rows_of_a_table_that_memory_may_not_hold() {
    let project = Project::small(ROWS);
    let run = |more: &[&str]| project.run(&[&["run", "--json"], QUICK, SMALL_MEMORY, more].concat());
    let done = run(&[]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    for part in [
        "table \"rows\" has 120,000 rows",
        "more than memory.rows_bytes_max allows",
        "the network learns from all other training rows too",
        "training rows encoded into a file",
    ] {
        assert!(done.stderr.contains(part), "no {part:?} in: {}", done.stderr);
    }
    let held = number_before(&done.stderr, " of them, drawn at random");
    let learned = number_before(&done.stderr, " training rows encoded into");
    assert!((10_000..100_000).contains(&held), "{held}");
    // All but the validation and test rows, 15 % of the sample each.
    assert!((learned - (ROWS as i64 - held * 3 / 10)).abs() < 10, "{learned} learned from, {held} held");
    let accuracy = &done.json()["models"]["kind"]["metrics"]["test"]["accuracy"];
    assert!(accuracy.as_f64().unwrap() > 0.97, "{accuracy}");
    assert!(
        !project.path(".tidemill").join("runs").read_dir().unwrap().any(|run| run
            .unwrap()
            .path()
            .join("rows")
            .exists())
    );

    // The same again gives the same weights, and so does the snapshot of it.
    assert_eq!(run(&[]).code, 0);
    assert_eq!(run(&["--set", "models.kind.table=rows@1"]).code, 0);
    assert!((2..4).all(|version| weights(&project, version) == weights(&project, 1)));

    for (more, expected) in [
        (&["--set", "snapshots.enabled=false"][..], "and no others; snapshots are off"),
        (&["--set", "models.kind.network={random_forest: {}}"][..], "and no others; this kind of model needs its rows"),
    ] {
        let done = run(more);
        assert_eq!(done.code, 0, "{}", done.stderr);
        assert!(done.stderr.contains(expected), "{}", done.stderr);
    }
    let refused = run(&["--set", "models.kind.train.batch_size=full"]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("train.batch_size: full needs all rows in memory"), "{}", refused.stderr);
}

#[test]
fn a_large_table_of_test_rows_is_judged_by_a_sample_and_it_is_said() {
    let project = Project::small(ROWS);
    let other: String =
        (0..ROWS).map(|n| format!("{},red,{}\n", n as f64 / 1e5 - 0.6, if n > 0 { "up" } else { "down" })).collect();
    project.write("other.csv", format!("x,colour,kind\n{other}").as_bytes());
    let split = ["models.kind.split={tables: {test: other}}", "sources.other={csv: {path: other.csv}}"];
    let done = project.ok(&[&["run"], QUICK, SMALL_MEMORY, &["--set", split[0], "--set", split[1]]].concat());
    let collected = done.stderr.lines().find(|line| line.starts_with("collect")).unwrap();
    assert!(collected.contains("120,000 rows of 3 columns"), "{collected}");
    let judged = number_before(collected, " of 120,000 at random for test");
    assert!((1_000..20_000).contains(&judged), "{collected}");
}

#[test]
fn a_run_from_disk_that_was_killed_goes_on_to_the_same_weights() {
    let project = Project::small(ROWS);
    let long = ["models.kind.train.early_stopping.enabled=false", "models.kind.train.epochs=20"];
    let settings = [SMALL_MEMORY, &["--set", long[0], "--set", long[1]]].concat();
    project.ok(&[&["run", "-q"][..], &settings].concat());
    interrupted(&project, &settings, "KILL");
    assert!(weights(&project, 2) == weights(&project, 1));
}

fn number_before(text: &str, after: &str) -> i64 {
    let end = text.find(after).unwrap_or_else(|| panic!("no {after:?} in: {text}"));
    let digits: String = text[..end].chars().rev().take_while(|c| c.is_ascii_digit() || *c == ',').collect();
    digits.chars().rev().filter(char::is_ascii_digit).collect::<String>().parse().unwrap()
}
