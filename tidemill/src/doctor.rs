//! `tidemill doctor`: trains on 100 generated rows and checks disk, memory and devices.

use std::sync::atomic::AtomicBool;

use serde_json::json;

use crate::commands::{load_from, open};
use crate::failure::{Failure, Result};
use crate::machine;
use crate::pipeline::{self, Options, Place};
use crate::terminal::{Terminal, bytes};

/// What a small project needs.
const DISK_BYTES_MIN: u64 = 1_000_000_000;
const MEMORY_BYTES_MIN: u64 = 1_000_000_000;

const PROJECT: &str = "\
sources:
  line: { csv: { path: line.csv } }
models:
  line:
    table: line
    target: y
    network: { dense: { hidden: [] } }
    train: { epochs: 60, batch_size: 10, optimizer: { sgd: { learning_rate: 0.05 } }, seed: 1 }
";

/// Says SUCCESS, or what is wrong.
pub fn doctor(terminal: &Terminal) -> Result<()> {
    let here = std::env::current_dir().map_err(|e| Failure::io(std::path::Path::new("."), &e))?;
    let checks = [
        ("disk", disk(&here)),
        ("memory", memory()),
        ("devices", Ok(format!("cpu with {} cores", machine::cores()))),
        ("training", training()),
    ];
    let mut wrong = Vec::new();
    let mut document = serde_json::Map::new();
    for (name, outcome) in checks {
        match outcome {
            Ok(text) => {
                terminal.result(format!("ok     {name:<9} {text}"));
                document.insert(name.into(), json!({ "ok": true, "found": text }));
            }
            Err(failure) => {
                terminal.result(format!("WRONG  {name:<9} {failure}"));
                document.insert(name.into(), json!({ "ok": false, "found": failure.message }));
                wrong.push(name);
            }
        }
    }
    document.insert("success".into(), json!(wrong.is_empty()));
    terminal.document(&document);
    if wrong.is_empty() {
        terminal.result("SUCCESS");
        return Ok(());
    }
    Err(Failure::input(format!("not fit for work: {}", wrong.join(", "))))
}

fn disk(folder: &std::path::Path) -> Result<String> {
    match machine::disk_free_bytes(folder) {
        Some(free) if free < DISK_BYTES_MIN => Err(Failure::input(format!(
            "{} free in {}, {} needed; free some space or work elsewhere",
            bytes(free),
            folder.display(),
            bytes(DISK_BYTES_MIN)
        ))),
        Some(free) => Ok(format!("{} free in {}", bytes(free), folder.display())),
        None => Ok("the system does not tell".to_owned()),
    }
}

fn memory() -> Result<String> {
    match machine::memory_available_bytes() {
        Some(free) if free < MEMORY_BYTES_MIN => {
            Err(Failure::input(format!("{} available, {} needed", bytes(free), bytes(MEMORY_BYTES_MIN))))
        }
        Some(free) => Ok(format!("{} available", bytes(free))),
        None => Ok("the system does not tell".to_owned()),
    }
}

/// y = 2x + 1 on 100 rows, the whole way, in a folder that is removed afterwards.
fn training() -> Result<String> {
    let folder = std::env::temp_dir().join(format!("tidemill-doctor-{}", std::process::id()));
    let outcome = train_in(&folder);
    let removed = std::fs::remove_dir_all(&folder);
    let r2 = outcome?;
    removed.map_err(|e| Failure::io(&folder, &e))?;
    if r2 < 0.99 {
        return Err(Failure::input(format!(
            "a line was learned with R2 {r2:.3}, 0.99 is expected; please report this"
        )));
    }
    Ok(format!("100 rows the whole way, R2 {r2:.4}"))
}

fn train_in(folder: &std::path::Path) -> Result<f64> {
    std::fs::create_dir_all(folder).map_err(|e| Failure::io(folder, &e))?;
    let rows: String = (0..100).map(|x| format!("{x},{}\n", 2 * x + 1)).collect();
    store::write_atomic(folder.join("line.csv"), format!("x,y\n{rows}").as_bytes())?;
    store::write_atomic(folder.join(crate::config::FILE_NAME), PROJECT.as_bytes())?;
    let project = load_from(folder, &[])?;
    let store = open(&project)?;
    let runtime = pipeline::runtime()?;
    let place = Place { project: &project, store: &store, runtime: runtime.handle() };
    let never = AtomicBool::new(false);
    let summary = pipeline::run(&place, project.model("line")?, &Options::new(&never), &mut |_| ())?;
    let r2 = summary.metrics.get("test").and_then(|metrics| metrics.get("r2")).copied();
    r2.ok_or_else(|| Failure::input("the run gave no R2; please report this"))
}
