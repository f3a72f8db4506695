//! A full disk at the Nth step of everything that writes, once and for good.

use std::cell::Cell;
use std::io;
use std::path::Path;

use super::{add, check_sound, cycle};
use crate::{Error, ErrorKind, Result, Store};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Plan {
    None,
    FullOnceAt(u64),
    FullFrom(u64),
    ExitAt(u64),
}

thread_local! {
    static PLAN: Cell<Plan> = const { Cell::new(Plan::None) };
    static STEPS: Cell<u64> = const { Cell::new(0) };
}

/// Counts the steps of this thread from 1 on and plays the fault.
pub(crate) fn plan(plan: Plan) {
    PLAN.set(plan);
    STEPS.set(0);
}

/// Steps of this thread since the plan was made.
pub(crate) fn steps() -> u64 {
    STEPS.get()
}

/// Called by `files` before each change of the disk.
#[allow(clippy::disallowed_methods, reason = "the fault is that the process ends here")]
pub(crate) fn step(path: &Path) -> Result<()> {
    let step = STEPS.get() + 1;
    STEPS.set(step);
    match PLAN.get() {
        Plan::ExitAt(at) if step == at => std::process::exit(9),
        Plan::FullOnceAt(at) if step == at => Err(Error::io(path, io::ErrorKind::StorageFull.into())),
        Plan::FullFrom(from) if step >= from => Err(Error::io(path, io::ErrorKind::StorageFull.into())),
        _ => Ok(()),
    }
}

/// Fails step after step until a whole cycle passes; after each failure the store works on, and so does a fresh one.
fn check_every_step(fault: fn(u64) -> Plan) {
    let mut failures = 0;
    for at in 1.. {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(add(&store, "digits", None, 0.5).unwrap().number, 1);
        plan(fault(at));
        let outcome = cycle(&store, "digits");
        let hit = steps() >= at;
        plan(Plan::None);
        let versions = store.versions(Some("digits")).unwrap().len() as u32;
        match outcome {
            Ok(number) => assert_eq!(number, 2),
            Err(error) => {
                failures += 1;
                assert_eq!(error.kind(), ErrorKind::Exhausted, "step {at}: {error}");
                assert!(error.to_string().contains("free some space"), "{error}");
                assert!(error.to_string().contains(folder.path().to_str().unwrap()), "{error}");
            }
        }
        // The same process goes on as if nothing had been.
        assert_eq!(cycle(&store, "digits").unwrap(), versions + 1, "step {at}");
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        assert!(store.repairs().rejected.is_empty(), "step {at}: {:?}", store.repairs());
        check_sound(&store, "digits");
        if !hit {
            assert!(failures > 20, "only {failures} of {at} steps failed the cycle");
            return;
        }
    }
}

#[test]
fn full_disk_once_at_every_step() {
    check_every_step(Plan::FullOnceAt);
}

#[test]
fn full_disk_for_good_from_every_step() {
    check_every_step(Plan::FullFrom);
}

#[test]
fn full_disk_at_every_step_of_opening() {
    for at in 1.. {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("new").join("data");
        plan(Plan::FullOnceAt(at));
        let opened = Store::open(&data);
        let hit = steps() >= at;
        plan(Plan::None);
        if let Err(error) = &opened {
            assert_eq!(error.kind(), ErrorKind::Exhausted, "step {at}: {error}");
        }
        drop(opened);
        assert_eq!(cycle(&Store::open(&data).unwrap(), "digits").unwrap(), 1);
        check_sound(&Store::open(&data).unwrap(), "digits");
        if !hit {
            assert!(at > 10, "opening has only {at} steps");
            return;
        }
    }
}
