//! Golden texts: what a wrong project file is answered with.

use std::path::Path;

use super::*;

fn environment(name: &str) -> Option<String> {
    match name {
        "DATA" => Some("/data".into()),
        "SECRET" => Some("hunter2".into()),
        "EPOCHS" => Some("7".into()),
        "NET" => Some("dense".into()),
        _ => None,
    }
}

fn load_with(yaml: &str, sets: &[&str]) -> Result<Project, ConfigErrors> {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    Project::parse(yaml, Path::new("p/tidemill.yaml"), &sets, &environment)
}

fn load(yaml: &str) -> Project {
    load_with(yaml, &[]).unwrap_or_else(|errors| panic!("{yaml}\n{errors}"))
}

/// A right project, with more keys of the model and more sections.
fn project(model: &str, more: &str) -> String {
    let mut text = "sources:\n  people: {csv: data/people.csv}\nmodels:\n  income:\n    table: people\n    target: income\n".to_owned();
    for line in model.lines() {
        text.push_str(&format!("    {line}\n"));
    }
    text + more
}

fn messages(yaml: &str, sets: &[&str]) -> Vec<String> {
    match load_with(yaml, sets) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.errors().iter().map(|error| error.message.clone()).collect(),
    }
}

/// The whole text of the errors of a file.
fn check(yaml: &str, expected: &str) {
    let found = match load_with(yaml, &[]) {
        Ok(_) => "right".to_owned(),
        Err(errors) => errors.to_string(),
    };
    assert_eq!(found, expected.trim(), "\n{yaml}\nfound:\n{found}\n");
    assert!(!found.contains("hunter2"));
}

/// The messages of the errors of a model, one a line.
fn check_model(model: &str, expected: &[&str]) {
    assert_eq!(messages(&project(model, ""), &[]), expected, "{model}");
}

/// The messages where `--set` lies over a right project.
fn check_set(set: &str, expected: &[&str]) {
    assert_eq!(messages(&project("network: dense\nfeatures: auto", ""), &[set]), expected, "{set}");
}

#[test]
fn see() {
    println!("{}", serde_json::to_string_pretty(&schema::described()).unwrap());
    println!("{}", serde_json::to_string_pretty(&json_schema()).unwrap());
    let project = load(&project("train: {epochs: '${EPOCHS}', optimiser: sgd, loss: mse}\nnetwork: ${NET}\nevaluate: {threshold: 0.4}", ""));
    println!("{}", project.render());
}
