use super::*;
use crate::features::{Affine, BagInput, ImageInput, NumberInput, SeriesInput, TextInput};
use crate::spec::{Balance, BatchSize, GradientBoostingSpec, NetSpec};
use crate::train::tests::{Essence, Setup, essence};
use crate::train::{TrainJob, Trained, train};

/// Rows that can be told apart by their first number.
fn numbered(rows: usize) -> Setup {
    let numbers = (0..rows).flat_map(|row| [row as f32, (row % 7) as f32]).collect();
    Setup::new(2, numbers, (0..rows).map(|row| (row % 2) as f32).collect(), 2)
}

fn spool_of(setup: &Setup, folder: &Path, files: usize, chunk: usize) -> Spool {
    let mut writer = SpoolWriter::create(folder, (&setup.numeric, &setup.target), files, 42).unwrap();
    for rows in setup.training.chunks(chunk) {
        let target: Vec<f32> = rows.iter().map(|row| setup.answers[*row as usize]).collect();
        writer.push(&setup.encoded.take(rows), &target).unwrap();
    }
    writer.finish().unwrap()
}

/// The first numbers of an epoch's rows, call by call.
fn epoch(spool: &Spool, epoch: usize, batch: usize) -> Vec<Vec<u32>> {
    let mut seen = Vec::new();
    let flow = spool.epoch((1, epoch), batch, |encoded, target, rows| {
        rows.iter().for_each(|row| {
            assert_eq!(target[*row as usize], (encoded.numbers[*row as usize * 2] as usize % 2) as f32);
        });
        seen.push(rows.iter().map(|row| encoded.numbers[*row as usize * 2] as u32).collect());
        Ok(Flow::Continue)
    });
    assert_eq!(flow.unwrap(), Flow::Continue);
    seen
}

#[test]
fn an_epoch_has_every_row_once_in_whole_batches_and_an_order_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let setup = numbered(5_000);
    for (files, batch) in [(1, 64), (7, 64), (200, 64), (7, 10_000)] {
        let spool = spool_of(&setup, &folder.path().join("rows"), files, 999);
        assert_eq!((spool.rows(), spool.files()), (4_000, files));
        let calls = epoch(&spool, 0, batch);
        let last = calls.len() - 1;
        assert!(calls[..last].iter().all(|rows| rows.len() % batch == 0), "{files} files");
        let mut all = calls.concat();
        assert_eq!(epoch(&spool, 0, batch), calls, "the same epoch, the same order");
        let other = epoch(&spool, 1, batch).concat();
        assert_ne!(other, all);
        // As far from each other as rows of a shuffled list: a third of its length.
        let apart: f64 = all.windows(2).map(|pair| f64::from(pair[0].abs_diff(pair[1]))).sum::<f64>() / 3_999.0;
        assert!((1_250.0..1_420.0).contains(&apart), "{files} files: {apart}");
        all.sort_unstable();
        assert_eq!(all, (0..4_000).collect::<Vec<_>>());
    }
}

#[test]
fn every_kind_of_feature_comes_back_as_it_was() {
    let numeric = NumericPart {
        numbers: vec![NumberInput {
            name: "n".into(),
            impute: 0.0,
            indicator: false,
            clip: [f32::NEG_INFINITY, f32::INFINITY],
            affine: Affine::IDENTITY,
        }],
        images: vec![ImageInput { name: "p".into(), height: 1, width: 2, channels: 3, affine: Affine::IDENTITY }],
        texts: vec![TextInput { name: "t".into(), length: 2, vocabulary: 1_000, unknown: TextInput::UNKNOWN }],
        bags: vec![BagInput { name: "b".into(), width: 9 }],
        series: vec![SeriesInput { name: "s".into(), steps: 3, impute: 0.0, affine: Affine::IDENTITY }],
        ..NumericPart::default()
    };
    let rows = 300usize;
    let mut bag = BagBlock::new(9);
    (0..rows).for_each(|row| bag.push((0..row % 4).map(|term| (term as u32 * 2, row as f32 + term as f32))));
    let encoded = Encoded {
        rows,
        numbers: (0..rows).map(|row| row as f32).collect(),
        images: vec![ImageBlock { values: 6, pixels: (0..rows * 6).map(|x| x as u8).collect() }],
        texts: vec![TokenBlock { length: 2, tokens: (0..rows * 2).map(|x| x as i32).collect() }],
        bags: vec![bag],
        series: vec![SeriesBlock { steps: 3, values: (0..rows * 3).map(|x| x as f32 / 8.0).collect() }],
        ..Encoded::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let target = crate::net::tests::target(0);
    let answers: Vec<f32> = (0..rows).map(|row| row as f32 / 3.0).collect();
    let mut writer = SpoolWriter::create(&folder.path().join("rows"), (&numeric, &target), 5, 7).unwrap();
    writer.push(&encoded, &answers).unwrap();
    let spool = writer.finish().unwrap();
    let mut found = 0;
    for file in 0..spool.files() {
        let block = spool.read(file).unwrap();
        let rows: Vec<u32> = block.encoded.numbers.iter().map(|row| *row as u32).collect();
        assert_eq!(block.encoded, encoded.take(&rows));
        assert!(rows.iter().zip(&block.target).all(|(row, answer)| *answer == answers[*row as usize]));
        found += rows.len();
    }
    assert_eq!(found, rows);
}

fn learn(setup: &Setup, spool: &Spool, checkpoint: Option<&Path>, resume: bool, stop: usize) -> Result<Trained> {
    let mut events = 0;
    train(TrainJob { spool: Some(spool), ..setup.job(checkpoint, resume) }, &mut |_| {
        events += 1;
        if events == stop { Flow::Stop } else { Flow::Continue }
    })
}

#[test]
fn a_run_from_disk_stops_and_goes_on_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::busy();
    let whole: Essence = {
        let spool = spool_of(&setup, &folder.path().join("rows"), 6, 50);
        essence(&learn(&setup, &spool, None, false, usize::MAX).unwrap())
    };
    assert!(!folder.path().join("rows").exists(), "the files go with the spool");
    for stop in [2, 9, 17, 30] {
        let kept = folder.path().join(format!("stopped-{stop}"));
        // The files are written again by whoever goes on, in other pieces.
        let spool = spool_of(&setup, &folder.path().join("rows"), 6, 50);
        assert!(!learn(&setup, &spool, Some(&kept), false, stop).unwrap().finished);
        let on = learn(&setup, &spool, Some(&kept), true, usize::MAX).unwrap();
        assert_eq!(essence(&on), whole, "stopped at event {stop}");
    }
    // Other rows are another run.
    let kept = folder.path().join("stopped-9");
    let mut other = Setup::busy();
    other.answers[3] = 1.0 - other.answers[3];
    let spool = spool_of(&other, &folder.path().join("rows"), 6, 50);
    let message = learn(&setup, &spool, Some(&kept), true, usize::MAX).unwrap_err().to_string();
    assert!(message.contains("rows"), "{message}");
}

#[test]
fn what_a_network_learns_from_disk_is_as_good_as_from_memory() {
    let folder = tempfile::tempdir().unwrap();
    let mut setup = Setup::busy();
    setup.spec.epochs = 30;
    let spool = spool_of(&setup, &folder.path().join("rows"), 4, 64);
    let from_disk = learn(&setup, &spool, None, false, usize::MAX).unwrap();
    let from_memory = setup.train().unwrap();
    let best = |trained: &Trained| trained.history[trained.best_epoch - 1].validation_loss;
    assert!((best(&from_disk) - best(&from_memory)).abs() < 0.1, "{} {}", best(&from_disk), best(&from_memory));
    assert!(best(&from_disk) < 0.6, "nothing was learned");
}

#[test]
fn what_cannot_be_read_from_disk_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut setup = Setup::busy();
    let spool = spool_of(&setup, &folder.path().join("rows"), 2, 64);
    let refused = |setup: &Setup, expected: &str| {
        let message = learn(setup, &spool, None, false, usize::MAX).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    setup.spec.batch_size = BatchSize::Full;
    refused(&setup, "train.batch_size: full needs all rows in memory, which do not fit; take a number of rows");
    setup.spec.batch_size = 16.into();
    setup.spec.balance = Balance::Oversample;
    refused(&setup, "train.balance: oversample needs all rows in memory, which do not fit; take weights");
    setup.spec.balance = Balance::None;
    setup.net = NetSpec::GradientBoosting(GradientBoostingSpec::default());
    refused(&setup, "bug in tidemill");
    // A file that was cut off, and one that was written over.
    let setup = Setup::busy();
    let path = spool.files[1].0.clone();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = learn(&setup, &spool, None, false, usize::MAX).unwrap_err();
    assert!(error.to_string().contains("001.rows"), "{error}");
    std::fs::write(&path, vec![0xff; bytes.len()]).unwrap();
    let error = learn(&setup, &spool, None, false, usize::MAX).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}

#[test]
fn rows_that_no_network_can_learn_from_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let setup = numbered(50);
    let mut writer = SpoolWriter::create(folder.path(), (&setup.numeric, &setup.target), 2, 1).unwrap();
    writer.push(&setup.encoded, &setup.answers).unwrap();
    let mut encoded = setup.encoded.clone();
    encoded.numbers[8] = f32::INFINITY;
    let message = writer.push(&encoded, &setup.answers).unwrap_err().to_string();
    assert!(message.starts_with("beyond training row 50: column \"n0\" is infinite"), "{message}");
}
