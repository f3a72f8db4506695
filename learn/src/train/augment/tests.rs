//! Batches that are varied, and whole runs on them.

use super::*;
use crate::net::plan::tests::{mixed as rows, picture, series, text};
use crate::spec::{ConvSpec, Flip, NetSpec, Optimizer, RecurrentSpec, SgdSpec, TextConvSpec};
use crate::train::tests::{Setup, essence};

/// Every change that this input allows.
fn every(numeric: &NumericPart) -> Augment {
    let mut augment = Augment::default();
    if !numeric.images.is_empty() {
        let flip = Flip::Both;
        augment.image = ImageAugment { rotate: 20.0, scale: 0.2, shift: 0.1, crop: 1, flip, ..augment.image };
        augment.image = ImageAugment { brightness: 0.2, noise: 0.05, cutout: 2, mixup: 0.4, ..augment.image };
    }
    if !numeric.texts.is_empty() {
        augment.text.token_dropout = 0.3;
    }
    if !numeric.series.is_empty() {
        augment.series = SeriesAugment { jitter: 0.1, scale: 0.1, window: 0.7 };
    }
    augment
}

fn inputs() -> [(NetSpec, NumericPart); 3] {
    let conv = ConvSpec { blocks: vec![vec![3]], hidden: vec![4], ..ConvSpec::default() };
    let text_conv = TextConvSpec { dimension: 4, channels: 4, ..TextConvSpec::default() };
    let recurrent = RecurrentSpec { units: vec![5], hidden: vec![], ..RecurrentSpec::default() };
    [
        (NetSpec::Conv(conv), picture(6, 2)),
        (NetSpec::TextConv(text_conv), text(7)),
        (NetSpec::Recurrent(recurrent), series(6, 2)),
    ]
}

fn setup(net: NetSpec, numeric: NumericPart) -> Setup {
    let answers: Vec<f32> = (0..60).map(|row| (row % 2) as f32).collect();
    let mut setup = Setup::new(0, vec![], answers, 2);
    setup.encoded = rows(&numeric, 60);
    (setup.net, setup.numeric) = (net, numeric);
    setup.spec.epochs = 2;
    setup
}

#[test]
fn nothing_is_changed_where_nothing_is_asked() {
    assert!(Augmenter::new(&Augment::default(), 1).is_none());
}

#[test]
fn a_row_is_changed_by_its_place_in_the_epoch_and_by_nothing_else() {
    for (_, numeric) in inputs() {
        let mut augment = every(&numeric);
        augment.image.mixup = 0.0; // which looks at the whole batch
        let encoded = rows(&numeric, 9);
        let changed = |seed, epoch, first, rows: &[u32]| {
            let batch = Batch { numeric: &numeric, encoded: &encoded, rows };
            let targets = Targets::from(&[0.0; 9][..rows.len()]);
            let changed = Augmenter::new(&augment, seed).unwrap().change(batch, targets, Place { epoch, first });
            let (batch, _) = changed.batch(&numeric, targets);
            batch.encoded.take(batch.rows)
        };
        // Not compared as numbers: missing ones are no numbers.
        let same = |a: &Encoded, b: &Encoded| format!("{a:?}") == format!("{b:?}");
        let batch = changed(3, 1, 20, &[5, 8, 5]);
        assert!(same(&batch.take(&[1]), &changed(3, 1, 21, &[8])));
        assert!(!same(&batch.take(&[0]), &batch.take(&[2])), "a row that comes twice");
        assert!(!same(&batch, &encoded.take(&[5, 8, 5])));
        assert!(!same(&batch, &changed(3, 2, 20, &[5, 8, 5])) && !same(&batch, &changed(4, 1, 20, &[5, 8, 5])));
    }
}

#[test]
fn mixed_rows_count_by_their_shares_and_classes() {
    let numeric = picture(4, 1);
    let mut augment = Augment::default();
    augment.image.mixup = 0.5;
    let encoded = rows(&numeric, 6);
    let batch = Batch { numeric: &numeric, encoded: &encoded, rows: &[0, 1, 2, 3, 4, 5] };
    let (values, weights) = ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 2.0, 1.0, 2.0, 1.0, 2.0]);
    let targets = Targets { values: &values, weights: &weights, mixed: None };
    let changed = Augmenter::new(&augment, 1).unwrap().change(batch, targets, Place { epoch: 0, first: 0 });
    let (found, targets) = changed.batch(&numeric, targets);
    let mixed = targets.mixed.unwrap();
    assert_eq!(targets.values, values);
    for row in 0..6 {
        let (own, other) = (targets.weights[row] / weights[row], mixed.values[row] as usize);
        assert!((own + mixed.weights[row] / weights[other] - 1.0).abs() < 1e-6, "row {row}");
        let pixel = |row: usize| f32::from(encoded.images[0].pixels[row * 16]);
        let expected = own * pixel(row) + (1.0 - own) * pixel(other);
        assert!((f32::from(found.encoded.images[0].pixels[row * 16]) - expected).abs() <= 0.5, "row {row}");
    }
}

#[test]
fn a_resumed_run_sees_the_same_changes() {
    for (net, numeric) in inputs() {
        let mut setup = setup(net, numeric);
        let plain = setup.train().unwrap();
        setup.spec.augment = every(&setup.numeric);
        let whole = setup.train().unwrap();
        assert!(essence(&whole) != essence(&plain), "{:?}", setup.net);
        for stop in [2, 3, 6] {
            let folder = tempfile::tempdir().unwrap();
            assert!(!setup.until(folder.path(), false, stop).unwrap().finished);
            let resumed = setup.until(folder.path(), true, usize::MAX).unwrap();
            assert!(resumed.finished && essence(&resumed) == essence(&whole), "{:?} stopped at {stop}", setup.net);
        }
        // Other changes are another run.
        let folder = tempfile::tempdir().unwrap();
        setup.until(folder.path(), false, 3).unwrap();
        setup.spec.augment = Augment::default();
        let message = setup.until(folder.path(), true, usize::MAX).unwrap_err().to_string();
        assert!(message.contains("made with other settings"), "{message}");
    }
}

#[test]
fn validation_rows_are_not_changed() {
    for (net, numeric) in inputs() {
        // A step so small that no weight moves: what is found depends on the rows alone. Batches of all rows have the same
        // statistics whatever their order.
        let mut setup = setup(net, numeric);
        setup.spec.optimizer = Optimizer::Sgd(SgdSpec { learning_rate: 1e-30, ..SgdSpec::default() });
        if let NetSpec::Conv(conv) = &mut setup.net {
            conv.normalization = crate::spec::Normalization::None;
        }
        let plain = setup.train().unwrap();
        setup.spec.augment = every(&setup.numeric);
        let varied = setup.train().unwrap();
        for (plain, varied) in plain.history.iter().zip(&varied.history) {
            assert_eq!(plain.validation_loss.to_bits(), varied.validation_loss.to_bits());
            assert_ne!(plain.train_loss, varied.train_loss);
        }
    }
}

#[test]
fn a_run_refuses_changes_to_inputs_it_has_not() {
    let [(net, numeric), ..] = inputs();
    let mut setup = setup(net, numeric);
    setup.spec.augment.text.token_dropout = 0.1;
    let message = setup.train().unwrap_err().to_string();
    assert_eq!(message, "train.augment.text.token_dropout is set, but the model reads no texts; leave it out");
}
