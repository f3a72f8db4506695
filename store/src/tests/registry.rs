//! Versions from staging to champion, and folders that were tampered with.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::{add, check_sound, cycle, names, summary};
use crate::{Error, ErrorKind, Manifest, RunOutcome, RunStatus, Store, VersionSummary, check_model_name, verify};

fn check_kind<T: std::fmt::Debug>(outcome: Result<T, Error>, kind: ErrorKind, parts: &[&str]) {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    for part in parts {
        assert!(error.to_string().contains(part), "no {part:?} in {error}");
    }
}

#[test]
fn a_version_comes_back_as_it_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let run = store.begin_run("digits", "train", &json!({})).unwrap();
    let version = add(&store, "digits", Some(run), 0.75).unwrap();
    let expected = summary(Some(run), 0.75);
    assert_eq!((version.number, version.champion, version.run), (1, true, Some(run)));
    assert_eq!((&version.task, &version.primary), (&expected.task, &expected.primary));
    assert_eq!((&version.validation, &version.test), (&expected.validation, &expected.test));
    assert_eq!(version.size_bytes, "onnx of digits 0.75".len() as u64 + 5_000);
    assert_eq!(version.folder, store.folder().join("models/digits/1"));
    assert_eq!(fs::read_to_string(version.folder.join("model.onnx")).unwrap(), "onnx of digits 0.75");
    let manifest = verify(&version.folder).unwrap();
    assert_eq!(manifest.summary, expected);
    let listed: Vec<(&str, u64)> = manifest.files.iter().map(|file| (file.path.as_str(), file.bytes)).collect();
    assert_eq!(listed, [("model.onnx", 19), ("report/index.html", 0), ("weights.safetensors", 5_000)]);
    // SHA-256 of nothing, FIPS 180-4 test vector.
    assert_eq!(manifest.files[1].sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(store.version("digits", 1).unwrap(), version);
    drop(store);
    assert_eq!(Store::read_only(folder.path()).unwrap().version("digits", 1).unwrap(), version);
}

#[test]
fn names_that_could_escape_are_refused_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let long = "a".repeat(256);
    for name in ["..", ".", "a/b", "", " ", "%2e%2e", "%252e", "a\\b", "A", "ä", "a\0b", "a\n", "a.b", "/", &long] {
        check_kind(check_model_name(name), ErrorKind::Invalid, &["model name", "a-z, 0-9"]);
        let outcomes = [
            store.stage(name).map(drop),
            store.begin_run(name, "train", &json!({})).map(drop),
            store.versions(Some(name)).map(drop),
            store.version(name, 1).map(drop),
            store.champion(name).map(drop),
            store.promote(name, 1).map(drop),
            store.rollback(name).map(drop),
            store.promotions(name).map(drop),
            store.leaderboard(name).map(drop),
            store.last_resumable(name, "train").map(drop),
            store.record_failure(name, None, "why"),
        ];
        for outcome in outcomes {
            check_kind(outcome, ErrorKind::Invalid, &["model name"]);
        }
    }
    for name in ["a", "digits_2", "x-y", "0", &long[..64]] {
        check_model_name(name).unwrap();
    }
    assert!(names(&store.folder().join("models")).is_empty());
}

#[test]
fn champions_are_promoted_and_rolled_back_in_a_chain() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let champion = |store: &Store| store.champion("digits").unwrap().map(|version| version.number);
    assert_eq!(champion(&store), None);
    check_kind(store.rollback("digits"), ErrorKind::Conflict, &["\"digits\"", "no version yet"]);
    for _ in 0..3 {
        add(&store, "digits", None, 0.5).unwrap();
        assert_eq!(champion(&store), Some(1));
    }
    check_kind(store.rollback("digits"), ErrorKind::Conflict, &["no champion before version 1"]);
    for number in [2, 3, 3, 1] {
        assert!(store.promote("digits", number).unwrap().champion);
        assert_eq!(champion(&store), Some(number));
    }
    assert_eq!(store.rollback("digits").unwrap().number, 3);
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.rollback("digits").unwrap().number, 2);
    assert_eq!(store.promote("digits", 3).unwrap().number, 3);
    assert_eq!(store.rollback("digits").unwrap().number, 2);
    assert_eq!(store.rollback("digits").unwrap().number, 1);
    check_kind(store.rollback("digits"), ErrorKind::Conflict, &["no champion before version 1"]);
    let history = store.promotions("digits").unwrap();
    let history: Vec<_> = history.iter().map(|each| (each.version, each.rolled_back_unix_ms.is_some())).collect();
    assert_eq!(history, [(3, true), (1, true), (3, true), (2, true), (1, false)]);
    check_kind(store.promote("digits", 9), ErrorKind::NotFound, &["no version 9", "3, 2, 1"]);
    check_kind(store.promote("cats", 1), ErrorKind::NotFound, &["\"cats\"", "train it first"]);
    check_sound(&store, "digits");
}

/// Damages one file of a champion-to-be; verify and promote name it, the champion stays.
fn check_damage(damage: fn(&Path), parts: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    add(&store, "digits", None, 0.5).unwrap();
    let second = add(&store, "digits", None, 0.6).unwrap();
    damage(&second.folder);
    check_kind(verify(&second.folder), ErrorKind::Corrupt, parts);
    check_kind(store.promote("digits", 2), ErrorKind::Corrupt, parts);
    assert_eq!(store.champion("digits").unwrap().unwrap().number, 1);
    // A row with a damaged folder stays listed; opening does not touch it.
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.versions(Some("digits")).unwrap().len(), 2);
}

fn rewrite(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn damaged_versions_are_corrupt_and_name_the_file() {
    check_damage(
        |folder| rewrite(&folder.join("weights.safetensors"), |bytes| bytes.truncate(10)),
        &["weights.safetensors", "has 10 bytes, the manifest says 5000", "roll back"],
    );
    check_damage(
        |folder| rewrite(&folder.join("weights.safetensors"), |bytes| bytes[2_500] ^= 1),
        &["weights.safetensors", "has SHA-256 ", "the manifest says"],
    );
    check_damage(|folder| fs::remove_file(folder.join("model.onnx")).unwrap(), &["model.onnx", "is missing"]);
    check_damage(|folder| fs::remove_dir_all(folder.join("report")).unwrap(), &["index.html", "is missing"]);
    check_damage(|folder| fs::remove_file(folder.join("manifest.json")).unwrap(), &["manifest.json", "is missing"]);
    check_damage(|folder| fs::remove_dir_all(folder).unwrap(), &["manifest.json", "is missing"]);
    check_damage(|folder| rewrite(&folder.join("manifest.json"), |bytes| bytes[40] ^= 1), &["manifest.json", "match"]);
    check_damage(|folder| rewrite(&folder.join("manifest.sha256"), Vec::clear), &["manifest.json", "does not match"]);
    #[cfg(unix)]
    check_damage(
        |folder| {
            fs::remove_file(folder.join("model.onnx")).unwrap();
            std::os::unix::fs::symlink("/etc/hostname", folder.join("model.onnx")).unwrap();
        },
        &["model.onnx", "is no regular file"],
    );
}

/// Writes a manifest of our own making over that of a version.
fn forge(change: fn(&mut Manifest)) -> Result<Manifest, Error> {
    let folder = tempfile::tempdir().unwrap();
    let version = add(&Store::open(folder.path()).unwrap(), "digits", None, 0.5).unwrap();
    let mut manifest = verify(&version.folder).unwrap();
    change(&mut manifest);
    manifest.write(&version.folder).unwrap();
    verify(&version.folder)
}

#[test]
fn manifests_cannot_point_outside_their_folder() {
    forge(|_| {}).unwrap();
    check_kind(forge(|manifest| manifest.files[0].path = "../x".into()), ErrorKind::Corrupt, &["\"../x\", outside"]);
    check_kind(forge(|manifest| manifest.files[0].path = "/etc/passwd".into()), ErrorKind::Corrupt, &["outside"]);
    check_kind(forge(|manifest| manifest.files[0].path = "a\\..\\b".into()), ErrorKind::Corrupt, &["outside"]);
    check_kind(forge(|manifest| manifest.files[0].path = String::new()), ErrorKind::Corrupt, &["outside"]);
    check_kind(forge(|manifest| manifest.format = 2), ErrorKind::Unsupported, &["newer release", "layout 2"]);
}

#[test]
fn what_cannot_be_a_version_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let check = |fill: fn(&Path), change: fn(&mut VersionSummary), part: &str| {
        let staging = store.stage("digits").unwrap();
        fill(staging.path());
        let mut summary = summary(None, 0.5);
        change(&mut summary);
        check_kind(staging.commit(summary), ErrorKind::Invalid, &[part]);
        assert!(names(&store.folder().join("staging")).is_empty());
    };
    let file = |folder: &Path| fs::write(folder.join("model.onnx"), "x").unwrap();
    check(|_| {}, |_| {}, "holds no file");
    check(|folder| fs::write(folder.join("manifest.json"), "{}").unwrap(), |_| {}, "written by the store");
    check(file, |summary| summary.train_seconds = f64::NAN, "train_seconds is NaN");
    check(file, |summary| summary.predict_microseconds_per_row = -1.0, "must be finite");
    check(file, |summary| summary.test = json!("x".repeat(2 << 20)), "test metrics");
    #[cfg(unix)]
    check(|folder| std::os::unix::fs::symlink("/etc", folder.join("link")).unwrap(), |_| {}, "no links");
    check(|folder| fs::create_dir_all(folder.join("a/b/c/d/e/f/g/h/i")).unwrap(), |_| {}, "8 folders deep");
    drop(store.stage("digits").unwrap());
    assert!(names(&store.folder().join("staging")).is_empty());
    assert!(store.versions(None).unwrap().is_empty());
    assert_eq!(add(&store, "digits", None, f64::NAN).unwrap().primary.validation, None);
    check_sound(&store, "digits");
}

#[test]
fn threads_register_versions_without_gap_or_double() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let store = store.clone();
            scope.spawn(move || (0..4).for_each(|_| assert!(cycle(&store, "digits").unwrap() > 0)));
        }
    });
    assert_eq!(store.versions(Some("digits")).unwrap().len(), 16);
    check_sound(&store, "digits");
}

#[test]
fn leaderboard_is_in_order_of_merit() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let order = |model: &str| -> Vec<u32> {
        store.leaderboard(model).unwrap().versions.iter().map(|version| version.number).collect()
    };
    for score in [0.7, 0.9, f64::NAN, 0.8, 0.9] {
        add(&store, "digits", None, score).unwrap();
    }
    assert_eq!(order("digits"), [2, 5, 4, 1, 3]);
    for (metric, score) in [("mae", 0.1), ("rmse", 3.0), ("rmse", 2.0), ("rmse", f64::INFINITY)] {
        let staging = store.stage("house").unwrap();
        fs::write(staging.path().join("model.onnx"), "x").unwrap();
        let mut summary = summary(None, score);
        summary.primary.name = metric.into();
        summary.primary.higher_is_better = false;
        staging.commit(summary).unwrap();
    }
    assert_eq!(order("house"), [3, 2, 4, 1]);
    for failure in 0..105 {
        store.record_failure("digits", None, &format!("failure {failure}")).unwrap();
    }
    let failures = store.leaderboard("digits").unwrap().failures;
    assert_eq!(failures.len(), 100);
    assert_eq!((failures[0].why.as_str(), failures[99].why.as_str()), ("failure 104", "failure 5"));
    assert_eq!(order("unknown"), [0_u32; 0]);
}

#[test]
fn folders_without_a_row_are_adopted_or_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (0..3).for_each(|_| drop(add(&store, "digits", None, 0.5).unwrap()));
    let models = store.folder().join("models").join("digits");
    let run = store.begin_run("digits", "train", &json!({})).unwrap();
    store.finish_run(run, RunOutcome::Stopped).unwrap();
    drop(store);
    // The database is lost: the folders tell what there was. One is cut off, one is a copy under a wrong number.
    fs::remove_file(folder.path().join("tidemill.db")).unwrap();
    fs::remove_file(models.join("2").join("model.onnx")).unwrap();
    fs::rename(models.join("3"), models.join("7")).unwrap();
    fs::create_dir(folder.path().join("staging").join("left-over")).unwrap();
    fs::create_dir_all(folder.path().join("models").join("Not A Model").join("1")).unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.repairs().adopted, [("digits".to_owned(), 1)]);
    let reasons: Vec<&str> = store.repairs().rejected.iter().map(|(_, why)| why.as_str()).collect();
    assert!(reasons[0].contains("model.onnx: is missing"), "{reasons:?}");
    assert_eq!(reasons[1], "it is version 3 of model \"digits\"");
    assert_eq!(names(&store.folder().join("rejected")), ["digits-2", "digits-7"].map(String::from).into());
    assert_eq!(store.champion("digits").unwrap().unwrap().number, 1);
    assert_eq!(add(&store, "digits", None, 0.5).unwrap().number, 2);
    check_sound(&store, "digits");
    drop(store);
    assert_eq!(*Store::open(folder.path()).unwrap().repairs(), crate::Repairs::default());
}

#[test]
fn flipped_bytes_in_the_database_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (0..3).for_each(|_| assert!(cycle(&store, "digits").unwrap() > 0));
    drop(store);
    let database = folder.path().join("tidemill.db");
    let whole = fs::read(&database).unwrap();
    let mut refused = 0;
    for trial in 0..200_usize {
        let mut bytes = whole.clone();
        for flip in 0..4 {
            let at = (trial * 7_919 + flip * 104_729) % bytes.len();
            bytes[at] ^= 1 << (trial % 8);
        }
        fs::write(&database, bytes).unwrap();
        // Every answer is right or a clean error; this test fails by a panic only.
        refused += usize::from(read_everything(folder.path()).is_err());
        for leftover in ["tidemill.db-wal", "tidemill.db-shm"] {
            let _ = fs::remove_file(folder.path().join(leftover));
        }
    }
    assert!(refused > 0);
    fs::write(&database, whole).unwrap();
    read_everything(folder.path()).unwrap();
}

fn read_everything(folder: &Path) -> Result<(), Error> {
    let store = Store::open(folder)?;
    for run in store.runs(100)? {
        store.epochs(run.id, 0)?;
    }
    store.leaderboard("digits")?;
    store.promotions("digits")?;
    store.champion("digits")?.map_or(Ok(()), |version| verify(version.folder).map(drop))
}

#[test]
fn a_run_whose_version_is_there_has_succeeded() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let run = store.begin_run("digits", "train", &json!({})).unwrap();
    add(&store, "digits", Some(run), 0.5).unwrap();
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    let run = store.run(run).unwrap();
    assert_eq!((run.status, run.version), (RunStatus::Succeeded, Some(1)));
    assert!(store.repairs().interrupted.is_empty());
}
