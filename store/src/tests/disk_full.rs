//! A disk that is really full: a small tmpfs, where the test may mount one.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::{add, check_sound, cycle, summary};
use crate::{Error, ErrorKind, RunOutcome, Store, verify, write_atomic};

/// A file system of 2 MiB, unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "tidemill-test"])
            .arg(folder.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(Self(folder))
    }

    /// Writes a file until nothing more fits.
    fn fill(&self) -> PathBuf {
        let path = self.0.path().join("filler");
        let mut file = File::create(&path).unwrap();
        while file.write_all(&[1; 512]).is_ok() {}
        path
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).output();
    }
}

fn check_full<T: std::fmt::Debug>(outcome: Result<T, Error>) {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    assert!(error.to_string().contains("free some space"), "{error}");
}

#[test]
fn full_disk_refuses_new_things_keeps_the_old_and_goes_on_when_freed() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: this test mounts a small tmpfs, which is not allowed here");
        return;
    };
    let data = disk.path().join("data");
    let store = Store::open(&data).unwrap();
    assert_eq!(cycle(&store, "digits").unwrap(), 1);
    write_atomic(data.join("report.html"), b"old").unwrap();
    let run = store.begin_run("digits", "train", &json!({})).unwrap();
    let staging = store.stage("digits").unwrap();
    fs::write(staging.path().join("model.onnx"), "x").unwrap();
    let filler = disk.fill();

    check_full(write_atomic(data.join("report.html"), &[2; 100_000]));
    assert_eq!(fs::read(data.join("report.html")).unwrap(), b"old");
    check_full(staging.commit(summary(Some(run), 0.9)));
    let record = json!({"text": "x".repeat(60_000)});
    let recorded = (1..100).find_map(|epoch| store.record_epoch(run, epoch, &record).err());
    check_full(recorded.map_or(Ok(()), Err));
    verify(store.champion("digits").unwrap().unwrap().folder).unwrap();
    assert_eq!(store.versions(None).unwrap().len(), 1);
    drop(store);
    // Opening a full disk either works or says that it is full; it loses nothing.
    match Store::open(&data) {
        Ok(store) => assert_eq!(store.champion("digits").unwrap().unwrap().number, 1),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}"),
    }

    fs::remove_file(filler).unwrap();
    let store = Store::open(&data).unwrap();
    let resumed = store.runs(1).unwrap().remove(0);
    assert_eq!(store.resume_run(resumed.id).unwrap().id, run);
    let version = add(&store, "digits", Some(run), 0.95).unwrap();
    assert_eq!(version.number, 2);
    store.finish_run(run, RunOutcome::Succeeded { version: 2 }).unwrap();
    check_sound(&store, "digits");
}
