//! `network: auto` and ensembles, from the project file to the registered version.

use serde_json::Value;

use crate::support::{Project, SMALL};

fn project(network: &str) -> Project {
    let project = Project::small(400);
    project.write("tidemill.yaml", SMALL.replace("{ dense: { hidden: [8] } }", network).as_bytes());
    project
}

fn read(project: &Project, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(project.version("kind", 1).join(name)).unwrap()).unwrap()
}

#[test]
fn auto_registers_the_best_of_what_it_tried() {
    let project = project("{ auto: { time: 20s } }");
    let done = project.ok(&["run", "--json"]);
    let run = &done.json()["models"]["kind"];
    let tried = run["tried"].as_array().unwrap();
    assert!(tried.len() >= 3 && done.stderr.contains("picked: "), "{}", done.stderr);
    let score = |tried: &Value| tried["score"].as_f64();
    let best = tried.iter().filter_map(score).fold(f64::MIN, f64::max);
    assert_eq!(score(&tried[0]), Some(best), "best first");
    let validation = run["metrics"]["validation"]["auc"].as_f64().unwrap();
    assert!(validation >= best - 1e-6, "the model has {validation}, the best alone {best}");
    let shares: f64 = tried.iter().filter_map(|tried| tried["share"].as_f64()).sum();
    assert!((shares - 1.0).abs() < 1e-6, "{shares}");
    assert_eq!(read(&project, "auto.json").as_array().unwrap().len(), tried.len());
    // What is registered is a network like any other, and says which.
    let spec = &read(&project, "manifest.json").to_string();
    assert!(!spec.contains("\"network\":{\"auto\""), "{spec}");
    project.ok(&["predict", "-q", "--input", "rows.csv", "--output", "answers.csv"]);
}

#[test]
fn an_ensemble_is_trained_served_and_described_like_a_network() {
    let members = "{ ensemble: { combine: stacking, members: [{ network: linear }, { network: { dense: { hidden: [8] } }, \
                   train: { epochs: 4, batch_size: 32 } }] } }";
    let project = project(members);
    let run = project.ok(&["run", "--json"]).json();
    assert!(run["models"]["kind"]["metrics"]["test"]["auc"].as_f64().unwrap() > 0.9);
    project.ok(&["predict", "-q", "--input", "rows.csv", "--output", "answers.csv"]);
    let config = project.ok(&["config"]).stdout;
    project.write("tidemill.yaml", config.as_bytes());
    assert_eq!(project.ok(&["config"]).stdout, config, "what is printed reads back as the same");
    let wrong = project.run(&["run", "-q", "--set", "models.kind.network={ensemble: {members: [{network: lineer}]}}"]);
    assert!(wrong.stderr.contains("unknown choice \"lineer\"; did you mean \"linear\"?"), "{}", wrong.stderr);
    let none = project.run(&["run", "-q", "--set", "models.kind.network={ensemble: {members: []}}"]);
    assert!(none.stderr.contains("members: expected a list"), "{}", none.stderr);
}

#[test]
fn auto_without_time_is_refused() {
    let done = project("{ auto: { time: 0s } }").run(&["run", "-q"]);
    assert!(done.code == 1 && done.stderr.contains("expected a time above 0"), "{}", done.stderr);
}
