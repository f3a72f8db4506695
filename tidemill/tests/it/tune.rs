//! `tidemill tune`: the same seed gives the same leaderboard, also after a kill; wrong ranges are refused with their place.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Project, SMALL, signal};

const SEARCH: &str = "
    tune:
      trials: 14
      parameters:
        train.optimizer.adam.learning_rate: { min: 0.0001, max: 0.1, scale: log }
        network: [linear, dense]
        network.dense.hidden: [[4], [16], [16, 8]]
        network.dense.dropout: { min: 0.0, max: 0.5 }
";

fn project(rows: usize, search: &str) -> Project {
    let project = Project::small(rows);
    project.write("tidemill.yaml", format!("{}{}", SMALL.trim_end(), search.trim_end()).as_bytes());
    project
}

/// What has to be the same: numbers, settings and scores of the trials, in the order of the leaderboard.
fn board(document: &Value) -> Vec<(u64, String, Option<f64>)> {
    let trials = document["trials"].as_array().unwrap();
    let one =
        |trial: &Value| (trial["number"].as_u64().unwrap(), trial["settings"].to_string(), trial["score"].as_f64());
    trials.iter().map(one).collect()
}

#[test]
fn the_same_seed_gives_the_same_leaderboard_one_or_several_at_once() {
    let first = project(400, SEARCH).ok(&["tune", "--json", "-q"]).json();
    let alone = project(400, SEARCH).ok(&["tune", "--json", "-q", "--set", "models.kind.tune.at_once=1"]).json();
    assert_eq!(board(&first), board(&alone));
    assert_eq!(first["trials"].as_array().unwrap().len(), 14);
    assert_eq!((first["metric"].as_str(), first["higher_is_better"].as_bool()), (Some("auc"), Some(true)));
    let scores: Vec<f64> = board(&first).iter().filter_map(|(_, _, score)| *score).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "best first: {scores:?}");
    let other = project(400, SEARCH).ok(&["tune", "--json", "-q", "--set", "models.kind.tune.seed=2"]).json();
    assert_ne!(board(&first), board(&other));
}

#[test]
fn what_was_found_is_what_a_run_with_it_gives() {
    let project = project(400, SEARCH);
    let tuned = project.ok(&["tune", "kind", "--json", "-q", "--trials", "6", "--apply"]).json();
    let registered = &tuned["registered"];
    assert_eq!(registered["version"], 1);
    let score = tuned["best"]["score"].as_f64().unwrap();
    assert_eq!(registered["metrics"]["validation"]["auc"].as_f64(), Some(score), "the version has the trial's score");
    assert!(tuned["trials"][0]["metrics"].get("auc").is_some());
    assert!(!tuned["trials"].to_string().contains("test"), "trials know nothing of test rows");
    let sets: Vec<&str> = tuned["best"]["set"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let arguments: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    let run = project.ok(&[["run", "--json", "-q"].as_slice(), &arguments].concat()).json();
    assert_eq!(run["models"]["kind"]["metrics"]["validation"]["auc"].as_f64(), Some(score));
    let said = project.ok(&["tune", "--trials", "2"]).stdout;
    assert!(said.contains("tidemill run kind --set") && said.contains("test rows were not looked at"), "{said}");
}

#[test]
fn a_killed_search_goes_on_after_its_finished_trials() {
    let whole = board(&project(2_000, SEARCH).ok(&["tune", "--json", "-q"]).json());
    let project = project(2_000, SEARCH);
    let mut child = project.command(&["tune"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let done = lines.by_ref().filter(|line| line.starts_with("trial")).take(3).count();
    signal(child.id(), "KILL");
    let more = lines.filter(|line| line.starts_with("trial")).count();
    child.wait().unwrap();
    assert!(done == 3 && done + more < 14, "it was killed on its way");
    let resumed = project.ok(&["tune", "--resume", "--json"]);
    let carried = resumed.stderr.lines().filter(|line| line.starts_with("trial")).count();
    assert!(resumed.stderr.contains("going on after"), "{}", resumed.stderr);
    assert!(carried <= 14 - done, "{carried} trials after {done} that were finished");
    assert_eq!(board(&resumed.json()), whole);
}

#[test]
fn other_settings_are_another_search() {
    let project = project(4_000, SEARCH);
    let mut child = project.command(&["tune"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("trial")));
    signal(child.id(), "INT");
    let said: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(said.iter().any(|line| line.contains("tidemill tune kind --resume")), "{said:?}");
    let done = project.run(&["tune", "--resume", "--set", "models.kind.train.epochs=2"]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("other settings or rows"), "{}", done.stderr);
}

#[test]
fn time_ends_a_search_and_trials_that_fail_say_why() {
    let project = project(4_000, SEARCH);
    let failing = ["--set", "models.kind.tune.parameters={network: [linear, lenet]}"];
    let tuned = project.ok(&[["tune", "--json", "-q"].as_slice(), &failing].concat()).json();
    let why = tuned["trials"][1]["why"].as_str().unwrap();
    assert!(why.contains("image") || why.contains("picture"), "{why}");
    let all = project
        .run(&[["tune", "-q"].as_slice(), &["--set", "models.kind.tune.parameters={network: [lenet]}"]].concat());
    assert_eq!(all.code, 1);
    assert!(all.stderr.contains("all 1 trials failed"), "{}", all.stderr);
    let late = project.ok(&["tune", "--json", "-q", "--time", "2s", "--trials", "10000"]).json();
    assert!(late["ended"].as_str().unwrap().starts_with("2s are over"), "{}", late["ended"]);
    let none = project.run(&["tune", "-q", "--time", "1ms"]);
    assert!(none.code == 1 && none.stderr.contains("more time"), "{}", none.stderr);
}

#[test]
fn halving_gives_few_trials_many_epochs() {
    let search = SEARCH.replace("trials: 14", "trials: 9\n      method: { halving: { min: 1 } }");
    let tuned = project(400, &search).ok(&["tune", "--json", "-q", "--set", "models.kind.train.epochs=9"]).json();
    let of = |epochs: u64| {
        let is = |trial: &&Value| trial["settings"].to_string().contains(&format!("[\"train.epochs\",{epochs}]"));
        tuned["trials"].as_array().unwrap().iter().filter(is).count()
    };
    assert_eq!([of(1), of(3), of(9)], [9, 3, 1]);
}

#[test]
fn wrong_searches_are_refused_with_their_place() {
    let check = |search: &str, expected: &[&str]| {
        let project = project(20, &format!("\n    tune:\n{search}"));
        let done = project.run(&["tune", "-q"]);
        assert_eq!(done.code, 1, "{search}: {}", done.stderr);
        for text in expected {
            assert!(done.stderr.contains(text), "no {text:?} in: {}", done.stderr);
        }
    };
    let parameter = |line: &str, expected: &[&str]| {
        check(&format!("      parameters:\n        {line}"), &[&["tidemill.yaml:12:"], expected].concat());
    };
    parameter(
        "train.optimizer.adam.learning_rat: [0.1]",
        &["unknown key \"learning_rat\"", "did you mean \"learning_rate\"?"],
    );
    parameter(
        "netwerk.dense.dropout: [0.1]",
        &["\"netwerk.dense.dropout\" cannot be tuned; did you mean \"network\"?"],
    );
    parameter("split.fraction.test: [0.1]", &["cannot be tuned", "which rows it is judged on"]);
    parameter("train.seed: [1, 2]", &["cannot be tuned"]);
    parameter("train.epochs: []", &["an empty list leaves nothing to try"]);
    parameter("train.epochs: { min: 5, max: 2, integer: true }", &["min 5 is above max 2"]);
    parameter("train.epochs: { min: 1, max: 4 }", &["expected an integer", "integer: true"]);
    parameter("train.l1: { min: 0, max: 1, scale: log }", &["a log scale has to begin above 0"]);
    parameter("train.l1: { min: -1, max: 1 }", &["expected a number of at least 0, found -1"]);
    parameter("network: [linear, dens]", &["unknown choice \"dens\"", "did you mean \"dense\"?"]);
    parameter("network.dense.hidden: [[8], [0]]", &["hidden[0]", "found 0"]);
    check("      parameters: {}", &["there is nothing to try", "tidemill.yaml:11:"]);
    check("      parameters: { network: [linear], network.dense.dropout: [0.1] }", &["has no effect"]);
    check("      trials: 0\n      parameters: { train.l1: [0] }", &["expected an integer from 1", "found 0"]);
    check("      time: 0s\n      parameters: { train.l1: [0] }", &["expected a time above 0", "tidemill.yaml:11:"]);
    check("      time: soon\n      parameters: { train.l1: [0] }", &["a time such as 90s, 10m or 2h"]);
    check("      metric: rmse\n      parameters: { train.l1: [0] }", &["rmse", "does not have"]);
    check(
        "      method: tpa\n      parameters: { train.l1: [0] }",
        &["unknown choice \"tpa\"", "did you mean \"tpe\"?"],
    );
    let halving = "      method: { halving: { resource: train.epoch } }\n      parameters: { train.l1: [0] }";
    check(halving, &["\"train.epoch\" is no key path", "tidemill.yaml:11:"]);
    let none = Project::small(20).run(&["tune", "-q"]);
    assert!(none.code == 1 && none.stderr.contains("no section \"tune\""), "{}", none.stderr);
    let usage = project(20, SEARCH).run(&["tune", "-q", "--trials", "0"]);
    assert!(usage.code == 2 && usage.stderr.contains("tune.trials"), "{}", usage.stderr);
}
