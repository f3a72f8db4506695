//! Several processes: a writer that dies at any moment, a second one that is refused, a reader beside a writer.
//!
//! The other process is this test executable again, running only the test `child` with a job in the environment.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::json;

use super::{add, check_sound, cycle, faults};
use crate::{ErrorKind, RunStatus, Store, verify};

const JOB: &str = "TIDEMILL_STORE_TEST_JOB";
const FOLDER: &str = "TIDEMILL_STORE_TEST_FOLDER";
const MODEL: &str = "digits";
const TRIALS: u64 = 50;

/// Does a job for another test; says what is durable on standard error, one line each.
#[test]
fn child() {
    let (Some(job), Some(folder)) = (std::env::var_os(JOB), std::env::var_os(FOLDER)) else { return };
    let job = job.into_string().unwrap();
    if let Some(at) = job.strip_prefix("exit at ") {
        faults::plan(faults::Plan::ExitAt(at.parse().unwrap()));
    }
    let store = Store::open(&folder).unwrap();
    match job.as_str() {
        "hold" => {
            eprintln!("open");
            std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        }
        "write 25" => (0..25).for_each(|_| write_round(&store)),
        "write" => loop {
            write_round(&store);
        },
        _ => eprintln!("version {}", cycle(&store, MODEL).unwrap()),
    }
}

fn write_round(store: &Store) {
    let run = store.begin_run(MODEL, "train", &json!({"epochs": 2})).unwrap();
    eprintln!("run {run}");
    for epoch in 1..=2 {
        store.record_epoch(run, epoch, &json!({"train_loss": 1.0 / epoch as f64})).unwrap();
        eprintln!("epoch {run} {epoch}");
    }
    let version = add(store, MODEL, Some(run), 0.5).unwrap();
    eprintln!("version {}", version.number);
    store.finish_run(run, crate::RunOutcome::Succeeded { version: version.number }).unwrap();
    eprintln!("succeeded {run}");
    let before = store.champion(MODEL).unwrap().unwrap().number;
    eprintln!("want {}", version.number);
    store.promote(MODEL, version.number).unwrap();
    eprintln!("champion {}", version.number);
    if version.number.is_multiple_of(3) {
        eprintln!("want {before}");
        eprintln!("champion {}", store.rollback(MODEL).unwrap().number);
    }
}

fn spawn(job: &str, folder: &Path) -> (Child, BufReader<ChildStderr>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::crash::child", "--nocapture"])
        .env(JOB, job)
        .env(FOLDER, folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stderr.take().unwrap());
    (child, said)
}

/// What a dead writer had said: all of it must still be there.
fn check_said(store: &Store, said: &[String]) {
    let versions: BTreeSet<u32> = store.versions(Some(MODEL)).unwrap().iter().map(|version| version.number).collect();
    let mut champions = BTreeSet::new();
    for line in said {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["run", id] => assert_eq!(store.run(crate::RunId(id.parse().unwrap())).unwrap().model, MODEL),
            ["epoch", id, epoch] => {
                let epochs = store.epochs(crate::RunId(id.parse().unwrap()), 0).unwrap();
                assert!(epochs.iter().any(|recorded| recorded.epoch.to_string() == epoch), "{line}");
            }
            ["version", number] => assert!(versions.contains(&number.parse().unwrap()), "{line}"),
            ["succeeded", id] => {
                assert_eq!(store.run(crate::RunId(id.parse().unwrap())).unwrap().status, RunStatus::Succeeded);
            }
            // Said before it is done: may have happened or not, and is no longer open once it is acknowledged.
            ["want", number] => _ = champions.insert(number.parse::<u32>().unwrap()),
            ["champion", number] => champions = BTreeSet::from([number.parse().unwrap()]),
            _ => panic!("the writer said {line:?}"),
        }
    }
    if let Some(champion) = store.champion(MODEL).unwrap() {
        assert!(champions.is_empty() || champions.contains(&champion.number), "{champions:?} {champion:?}");
    }
}

#[test]
fn killed_at_random_moments_nothing_acknowledged_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut said = Vec::new();
    let mut seed = 20_261_123_u64;
    for trial in 0..TRIALS {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (lines_before, micros) = ((seed >> 33) % 12, (seed >> 40) % 20_000);
        let (mut child, mut output) = spawn("write", folder.path());
        for _ in 0..lines_before {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            said.push(line.trim_end().to_owned());
        }
        let (_sender, receiver) = mpsc::channel::<()>();
        let _ = receiver.recv_timeout(Duration::from_micros(micros)); // nobody sends: waits that long
        child.kill().unwrap();
        child.wait().unwrap();
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        // a last line without its end was cut by the kill: it says nothing
        let whole = rest.rfind('\n').map_or("", |end| &rest[..end]);
        said.extend(whole.lines().filter(|line| !line.is_empty()).map(str::to_owned));
        let store = Store::open(folder.path()).unwrap_or_else(|error| panic!("trial {trial}: {error}"));
        assert!(store.repairs().rejected.is_empty(), "trial {trial}: {:?}", store.repairs());
        check_said(&store, &said);
        if trial % 10 == 9 {
            check_sound(&store, MODEL);
        }
    }
    assert!(said.iter().filter(|line| line.starts_with("version")).count() > 20, "the trials hardly wrote");
}

#[test]
fn ended_before_every_step_the_folder_opens_and_goes_on() {
    let mut adopted = 0;
    for at in 1.. {
        let folder = tempfile::tempdir().unwrap();
        let (mut child, output) = spawn(&format!("exit at {at}"), folder.path());
        let said: Vec<String> = output.lines().map(|line| line.unwrap()).collect();
        let ended = child.wait().unwrap();
        assert!(ended.success() || ended.code() == Some(9), "step {at}: {ended} {said:?}");
        let store = Store::open(folder.path()).unwrap_or_else(|error| panic!("step {at}: {error}"));
        assert!(store.repairs().rejected.is_empty(), "step {at}: {:?}", store.repairs());
        adopted += store.repairs().adopted.len();
        check_said(&store, &said);
        check_sound(&store, MODEL);
        let versions = store.versions(None).unwrap().len() as u32;
        assert_eq!(cycle(&store, MODEL).unwrap(), versions + 1);
        if ended.success() {
            assert!(at > 30, "only {at} steps");
            assert!(adopted > 0, "no crash fell between the folder and its row");
            return;
        }
    }
}

#[test]
fn second_process_is_refused_until_the_first_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, mut output) = spawn("hold", folder.path());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line.trim_end(), "open");
    let error = Store::open(folder.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let message = error.to_string();
    for part in [&format!("process {} (", child.id()), folder.path().to_str().unwrap(), "stop it"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(Store::read_only(folder.path()).unwrap().versions(None).unwrap().is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(cycle(&Store::open(folder.path()).unwrap(), MODEL).unwrap(), 1);
}

#[test]
fn reader_beside_a_writing_process_sees_whole_versions_only() {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::open(folder.path()).unwrap());
    let reader = Store::read_only(folder.path()).unwrap();
    let (mut child, output) = spawn("write 25", folder.path());
    let drain = std::thread::spawn(move || output.lines().count());
    let (mut seen, mut looks) = (0, 0);
    while child.try_wait().unwrap().is_none() {
        let versions = reader.versions(Some(MODEL)).unwrap();
        assert!(versions.len() >= seen, "a version vanished");
        for version in versions.iter().take(2) {
            verify(&version.folder).unwrap();
            assert_eq!(reader.epochs(version.run.unwrap(), 0).unwrap().len(), 2);
        }
        assert_eq!(versions.iter().filter(|version| version.champion).count(), versions.len().min(1));
        seen = versions.len();
        looks += 1;
    }
    assert!(child.wait().unwrap().success());
    assert!(drain.join().unwrap() > 100);
    assert_eq!(reader.versions(Some(MODEL)).unwrap().len(), 25);
    assert!(looks > 10, "only {looks} looks");
}
