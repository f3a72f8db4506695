//! The same seed gives the same weights, bit for bit: twice, and after a stop or a kill and `--resume`.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::support::{Project, signal};

/// Long enough that a signal sent in epoch 2 arrives well before the end.
const LONG: &[&str] = &[
    "--set",
    "models.kind.train.epochs=250",
    "--set",
    "models.kind.train.batch_size=1",
    "--set",
    "models.kind.train.early_stopping.enabled=false",
    "--set",
    "models.kind.network.dense.dropout=0.2",
    "--set",
    "models.kind.evaluate.importance_rows_max=0",
];

pub fn weights(project: &Project, version: u32) -> Vec<u8> {
    std::fs::read(project.version("kind", version).join("weights.safetensors")).unwrap()
}

fn undisturbed() -> Vec<u8> {
    let project = Project::small(4_000);
    project.ok(&[&["run", "-q"], LONG].concat());
    weights(&project, 1)
}

#[test]
fn twice_the_same() {
    assert_eq!(undisturbed(), undisturbed());
}

/// Runs until epoch 2 is reported, sends the signal, resumes. What it said before.
pub fn interrupted(project: &Project, settings: &[&str], by: &str) -> Vec<String> {
    interrupted_and_then(project, settings, by, || {})
}

/// The same; something happens before it goes on.
fn interrupted_and_then(project: &Project, settings: &[&str], by: &str, happens: impl FnOnce()) -> Vec<String> {
    let mut child =
        project.command(&[&["run"], settings].concat()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("epoch   2")), "it got to epoch 2");
    signal(child.id(), by);
    let said: Vec<String> = lines.collect();
    let code = child.wait().unwrap().code();
    assert_ne!(code, Some(0), "{said:?}");
    happens();
    let done = project.ok(&[&["run", "--resume"], settings].concat());
    assert!(done.stderr.contains("resumed in epoch"), "{}", done.stderr);
    said
}

fn disturbed(by: &str) -> Project {
    let project = Project::small(4_000);
    let said = interrupted(&project, LONG, by);
    if by == "INT" {
        assert!(said.iter().any(|line| line.contains("--resume")), "{said:?}");
    }
    assert!(!said.iter().any(|line| line.starts_with("epoch 250")), "it was disturbed before its end");
    assert!(!project.version("kind", 2).exists());
    project
}

#[test]
fn after_a_stop_and_resume() {
    assert!(weights(&disturbed("INT"), 1) == undisturbed());
}

#[test]
fn a_run_goes_on_with_the_rows_it_began_with() {
    let project = Project::small(4_000);
    interrupted_and_then(&project, LONG, "KILL", || {
        let file = project.path("rows.csv");
        let rows = std::fs::read_to_string(&file).unwrap();
        let half: Vec<&str> = rows.lines().take(2_000).collect();
        std::fs::write(&file, half.join("\n")).unwrap();
    });
    assert!(weights(&project, 1) == undisturbed());
}

#[test]
fn after_a_kill_and_resume() {
    assert!(weights(&disturbed("KILL"), 1) == undisturbed());
}
