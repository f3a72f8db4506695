//! What training stops at or refuses, and what it says.

use super::*;

#[test]
fn more_epochs_are_refused_where_the_step_sizes_depend_on_them() {
    let mut setup = Setup::busy();
    setup.spec.schedule = Schedule::Cosine(CosineSchedule::default());
    let folder = tempfile::tempdir().unwrap();
    assert!(setup.until(folder.path(), false, usize::MAX).unwrap().finished);
    setup.spec.epochs = 9;
    let message = setup.until(folder.path(), true, usize::MAX).unwrap_err().to_string();
    assert!(message.contains("made with other settings (network, training, features or target;"), "{message}");
}

#[test]
fn foreign_and_cut_checkpoints_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut setup = Setup::busy();
    setup.until(folder.path(), false, 9).unwrap();
    let check = |setup: &Setup, expected: &str| {
        let error = setup.until(folder.path(), true, usize::MAX).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        error
    };
    setup.spec.weight_decay = 0.5;
    check(&setup, "made with other settings");
    setup.spec.weight_decay = 0.01;
    setup.encoded.numbers[5] += 0.5;
    check(&setup, "made with other rows");
    setup.encoded.numbers[5] -= 0.5;
    let file = checkpoint::path(folder.path());
    let bytes = std::fs::read(&file).unwrap();
    for length in [0, 4, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&file, &bytes[..length]).unwrap();
        let error = check(&setup, "without resume, to begin anew");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{length} bytes");
    }
    // Without resume a broken checkpoint is in nobody's way.
    assert!(setup.until(folder.path(), false, usize::MAX).unwrap().finished);
}

#[test]
fn a_step_too_large_is_stopped_with_what_to_try() {
    let x: Vec<f32> = (0..100).map(|n| n as f32).collect();
    let mut setup = Setup::new(1, x.clone(), x, 0);
    setup.net = NetSpec::Dense(DenseSpec { hidden: vec![], ..DenseSpec::default() });
    setup.spec.optimizer = Optimizer::Sgd(SgdSpec { learning_rate: 10.0, momentum: 0.0, nesterov: false });
    let error = setup.train().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let message = error.to_string();
    for part in ["diverged in epoch 1 at step ", "the loss is ", "train.optimizer.sgd.learning_rate (now 10, try 1)"] {
        assert!(message.contains(part), "{message}");
    }
    setup.spec.schedule = Schedule::Constant(ConstantSchedule { warm_up_steps: 100, ..ConstantSchedule::default() });
    let message = setup.train().unwrap_err().to_string();
    assert!(message.contains("(now 10, try 1; schedule constant has come to "), "{message}");
}

#[test]
fn rows_that_give_no_finite_loss_are_named() {
    // Square of the one value beyond f32's range; the others are harmless.
    let mut x: Vec<f32> = (0..100).map(|n| n as f32 / 100.0).collect();
    let mut setup = Setup::new(1, x.clone(), x.clone(), 0);
    setup.net = NetSpec::Dense(DenseSpec { hidden: vec![], ..DenseSpec::default() });
    x[17] = 3e38;
    setup.answers = x;
    let message = setup.train().unwrap_err().to_string();
    assert!(message.contains("the loss is inf, by training row 17; lower"), "{message}");
}

#[test]
fn rows_that_are_no_numbers_are_named() {
    let check = |change: &dyn Fn(&mut Setup), expected: &str| {
        let mut setup = Setup::new(2, vec![0.5; 40], (0..20).map(|n| (n % 3) as f32).collect(), 3);
        change(&mut setup);
        let error: Error = setup.train().unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(
        &|s| s.encoded.numbers[7] = f32::INFINITY,
        "column \"n1\" is infinite, or too large for the network, in training row 3;",
    );
    check(
        &|s| s.encoded.numbers[34] = f32::NEG_INFINITY,
        "column \"n0\" is infinite, or too large for the network, in validation row 17;",
    );
    check(&|s| s.encoded.numbers.fill(f32::INFINITY), "in training rows 0, 1, 2, 3, 4 and 11 more;");
    check(&|s| s.answers[2] = f32::NAN, "target \"answer\" is no usable value in training row 2");
    check(&|s| s.answers[2] = 3.0, "target \"answer\" is no usable value in training row 2");
    check(&|s| s.validation.clear(), "there are no validation rows; change the model's split");
    check(&|s| s.training.clear(), "there are no training rows");
    check(&|s| s.spec.early_stopping.metric = WatchedMetric::Auc, "has more than two classes");
    check(&|s| s.spec.device = "cuda:1".into(), "--features cuda");
}
