//! Training as a whole: what is learned, when it ends, and that a stop changes nothing.

mod refused;

use std::path::Path;

use super::*;
use crate::features::{Affine, CategoryInput, EmbeddedColumn, Encoded, NumberInput, NumericPart};
use crate::net::network_answers;
use crate::spec::*;
use crate::{Error, ErrorKind, Target};

/// All that a job borrows.
pub(super) struct Setup {
    pub(super) numeric: NumericPart,
    pub(super) encoded: Encoded,
    pub(super) answers: Vec<f32>,
    pub(super) target: Target,
    pub(super) net: NetSpec,
    pub(super) spec: TrainSpec,
    pub(super) training: Vec<u32>,
    pub(super) validation: Vec<u32>,
}

impl Setup {
    /// Rows of plain numbers; the last fifth is for validation.
    pub(super) fn new(width: usize, numbers: Vec<f32>, answers: Vec<f32>, classes: usize) -> Self {
        let rows = answers.len() as u32;
        let number = |n: usize| NumberInput {
            name: format!("n{n}"),
            impute: 0.0,
            indicator: false,
            clip: [f32::NEG_INFINITY, f32::INFINITY],
            affine: Affine::IDENTITY,
        };
        Self {
            numeric: NumericPart { numbers: (0..width).map(number).collect(), ..NumericPart::default() },
            encoded: Encoded { rows: answers.len(), numbers, ..Encoded::default() },
            answers,
            target: crate::net::tests::target(classes),
            net: NetSpec::Dense(DenseSpec { hidden: vec![8], ..DenseSpec::default() }),
            spec: TrainSpec { batch_size: 16.into(), epochs: 4, ..TrainSpec::default() },
            training: (0..rows * 4 / 5).collect(),
            validation: (rows * 4 / 5..rows).collect(),
        }
    }

    /// Two interleaved classes with a category of little meaning, dropout and decay: every part of a step works.
    pub(super) fn busy() -> Self {
        let rows = 203;
        let numbers: Vec<f32> = (0..rows * 3).map(|n| ((n * 31 % 97) as f32 - 48.0) / 30.0).collect();
        let class = |row: usize| f32::from(numbers[row * 3] * numbers[row * 3 + 1] > 0.1);
        let answers = (0..rows).map(class).collect();
        let mut setup = Self::new(3, numbers, answers, 2);
        let column = EmbeddedColumn { name: "kind".into(), cardinality: 5, dimension: 3 };
        setup.numeric.categories = vec![CategoryInput::Embedding(column)];
        setup.encoded.codes = (0..rows).map(|row| (row * row % 5) as i32).collect();
        setup.net = NetSpec::Dense(DenseSpec {
            hidden: vec![20, 9],
            dropout: 0.3,
            activation: Activation::Relu,
            ..DenseSpec::default()
        });
        setup.spec.weight_decay = 0.01;
        setup.spec.early_stopping.enabled = false;
        setup
    }

    pub(super) fn job<'a>(&'a self, checkpoint: Option<&'a Path>, resume: bool) -> TrainJob<'a> {
        let part = |rows: &[u32]| Part { encoded: &self.encoded, target: &self.answers, rows: rows.to_vec() };
        TrainJob {
            numeric: &self.numeric,
            target: &self.target,
            net: &self.net,
            train: &self.spec,
            training: part(&self.training),
            validation: part(&self.validation),
            spool: None,
            checkpoint,
            resume,
        }
    }

    pub(super) fn train(&self) -> Result<Trained> {
        train(self.job(None, false), &mut |_| Flow::Continue)
    }

    /// Trains until the event number `stop`.
    pub(super) fn until(&self, folder: &Path, resume: bool, stop: usize) -> Result<Trained> {
        let mut events = 0;
        train(self.job(Some(folder), resume), &mut |_| {
            events += 1;
            if events == stop { Flow::Stop } else { Flow::Continue }
        })
    }

    pub(super) fn learned(&self, trained: &Trained) -> Vec<f32> {
        let Self { numeric, target, net, spec, encoded, .. } = self;
        network_answers(net, numeric, target, spec.loss, &trained.weights, encoded).unwrap()
    }
}

/// What must be the same in two runs: all but the time they took.
pub(super) type Essence = (crate::Weights, usize, Vec<(usize, u64, u64, bool)>);

pub(super) fn essence(trained: &Trained) -> Essence {
    let figures = |r: &EpochRecord| (r.epoch, r.train_loss.to_bits(), r.validation_metric.to_bits(), r.best);
    (trained.weights.clone(), trained.best_epoch, trained.history.iter().map(figures).collect())
}

#[test]
fn exclusive_or_is_learned() {
    let corner = |n: usize| ((n % 2) as f32, (n / 2 % 2) as f32);
    let numbers = (0..400).flat_map(|n| [corner(n).0, corner(n).1]).collect();
    let answers = (0..400).map(|n| f32::from(corner(n).0 != corner(n).1)).collect();
    for (activation, loss) in [
        (Activation::Relu, Loss::Auto),
        (Activation::Tanh, Loss::CategoricalCrossEntropy),
        (Activation::LeakyRelu, Loss::MeanSquaredError),
        (Activation::Sigmoid, Loss::Auto),
    ] {
        let mut setup = Setup::new(2, Vec::clone(&numbers), Vec::clone(&answers), 2);
        setup.net = NetSpec::Dense(DenseSpec { hidden: vec![16], activation, dropout: 0.0, ..DenseSpec::default() });
        let optimizer = Optimizer::Adam(AdamSpec { learning_rate: 0.03, ..AdamSpec::default() });
        setup.spec = TrainSpec { epochs: 60, optimizer, loss, ..setup.spec };
        setup.spec.early_stopping.enabled = false;
        let trained = setup.train().unwrap();
        let best = trained.history.last().unwrap().validation_metric;
        assert_eq!(best, 1.0, "{activation:?} {loss:?}");
        let answers = setup.learned(&trained);
        for (row, expected) in [0.0f32, 1.0, 1.0, 0.0].into_iter().enumerate() {
            assert_eq!((answers[row * 2 + 1] > 0.5), (expected > 0.5), "{activation:?} {loss:?} row {row}");
        }
    }
}

#[test]
fn a_noisy_line_gives_its_coefficients() {
    // y = 2 x + 1 with a fixed "noise" that sums to nearly nothing.
    let x: Vec<f32> = (0..500).map(|n| (n * 37 % 500) as f32 / 250.0 - 1.0).collect();
    let y: Vec<f32> =
        x.iter().enumerate().map(|(n, x)| 2.0 * x + 1.0 + ((n * 7919 % 101) as f32 - 50.0) / 200.0).collect();
    let (mut xx, mut xy, mut sx, mut sy) = (0.0, 0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(&y).take(400).map(|(x, y)| (f64::from(*x), f64::from(*y))) {
        (xx, xy, sx, sy) = (xx + x * x, xy + x * y, sx + x, sy + y);
    }
    let slope = (xy - sx * sy / 400.0) / (xx - sx * sx / 400.0);
    let intercept = (sy - slope * sx) / 400.0;
    let mut setup = Setup::new(1, x, y, 0);
    (setup.target.mean, setup.target.scale) = (sy / 400.0, 1.2);
    setup.net = NetSpec::Dense(DenseSpec { hidden: vec![], ..DenseSpec::default() });
    let optimizer = Optimizer::Sgd(SgdSpec { learning_rate: 0.1, momentum: 0.0, nesterov: false });
    setup.spec = TrainSpec { epochs: 100, batch_size: 400.into(), optimizer, ..setup.spec };
    setup.spec.early_stopping.enabled = false;
    setup.spec.early_stopping.metric = WatchedMetric::Loss;
    let trained = setup.train().unwrap();
    let (weight, bias) = (&trained.weights.tensors["dense.0.weight"], &trained.weights.tensors["dense.0.bias"]);
    let found = (f64::from(weight.data[0]) * 1.2, f64::from(bias.data[0]) * 1.2 + sy / 400.0);
    // Least squares on the training rows, by its closed form.
    assert!((found.0 - slope).abs() < 0.01 && (found.1 - intercept).abs() < 0.01, "{found:?} for {slope}, {intercept}");
    let record = trained.history.last().unwrap();
    assert!(record.metric == "loss" && record.validation_metric == record.validation_loss);
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_seed_others() {
    let mut setup = Setup::busy();
    let first = essence(&setup.train().unwrap());
    assert!(first == essence(&setup.train().unwrap()));
    setup.spec.seed += 1;
    assert!(first.0 != setup.train().unwrap().weights);
}

#[test]
fn a_run_stopped_anywhere_and_resumed_ends_with_the_same_bits() {
    let mut setup = Setup::busy();
    let optimizers = [
        Optimizer::default(),
        Optimizer::Sgd(SgdSpec { learning_rate: 0.1, momentum: 0.9, nesterov: false }),
        Optimizer::Sgd(SgdSpec { learning_rate: 0.1, momentum: 0.0, nesterov: false }),
    ];
    let plain = Schedule::default();
    let schedules = [
        Schedule::Step(StepSchedule { every_epochs: 1, warm_up_steps: 7, ..StepSchedule::default() }),
        Schedule::Linear(LinearSchedule::default()),
        Schedule::Cosine(CosineSchedule { warm_up_epochs: 0.5, ..CosineSchedule::default() }),
        Schedule::OneCycle(OneCycleSchedule::default()),
        Schedule::OnPlateau(PlateauSchedule { patience: 1, factor: 0.5, ..PlateauSchedule::default() }),
    ];
    let all = optimizers.iter().map(|optimizer| (optimizer, &plain));
    for (optimizer, schedule) in all.chain(schedules.iter().map(|schedule| (&optimizers[0], schedule))) {
        (setup.spec.optimizer, setup.spec.schedule) = (optimizer.clone(), schedule.clone());
        let whole = setup.train().unwrap();
        // 11 batches and one epoch per 12 events after the first: within, at the end of and between epochs.
        for stop in [1, 2, 7, 12, 13, 14, 24, 30, 48] {
            let folder = tempfile::tempdir().unwrap();
            let stopped = setup.until(folder.path(), false, stop).unwrap();
            assert!(!stopped.finished && checkpoint::path(folder.path()).exists());
            // A second stop soon after the first.
            assert!(!setup.until(folder.path(), true, 3).is_ok_and(|trained| trained.finished) || stop >= 46);
            let resumed = setup.until(folder.path(), true, usize::MAX).unwrap();
            assert!(resumed.finished);
            assert!(essence(&resumed) == essence(&whole), "{optimizer:?}, {schedule:?} stopped at {stop}");
            // A finished run gives its result again.
            assert!(essence(&setup.until(folder.path(), true, usize::MAX).unwrap()) == essence(&whole));
        }
    }
}

#[test]
fn trees_stopped_anywhere_and_resumed_end_with_the_same_bits() {
    let mut setup = Setup::busy();
    let spec = GradientBoostingSpec { trees: 12, min_rows_per_leaf: 4, ..GradientBoostingSpec::default() };
    let fractions = GradientBoostingSpec { row_fraction: 0.6, feature_fraction: 0.7, ..spec.clone() };
    let forest = RandomForestSpec { trees: 12, ..RandomForestSpec::default() };
    let cases = [
        (NetSpec::GradientBoosting(spec), Balance::None),
        (NetSpec::GradientBoosting(fractions.clone()), Balance::Oversample),
        (NetSpec::GradientBoosting(fractions), Balance::Weights),
        (NetSpec::RandomForest(forest), Balance::Weights),
    ];
    for (net, balance) in cases {
        (setup.net, setup.spec.balance) = (net, balance);
        let whole = setup.train().unwrap();
        assert_eq!(whole.history.len(), 12);
        for stop in [1, 2, 3, 4, 9, 20] {
            let folder = tempfile::tempdir().unwrap();
            let stopped = setup.until(folder.path(), false, stop).unwrap();
            assert!(!stopped.finished && checkpoint::path(folder.path()).exists());
            let resumed = setup.until(folder.path(), true, usize::MAX).unwrap();
            assert!(resumed.finished && essence(&resumed) == essence(&whole), "{balance:?} stopped at {stop}");
            let again = setup.until(folder.path(), true, usize::MAX).unwrap();
            assert!(essence(&again) == essence(&whole), "{balance:?} stopped at {stop}, then asked again");
        }
    }
}

#[test]
fn boosting_ends_when_validation_gains_no_more() {
    let mut setup = Setup::busy();
    // Every fourth answer is wrong: soon only those are left to learn.
    setup.answers.iter_mut().step_by(4).for_each(|answer| *answer = 1.0 - *answer);
    let spec =
        GradientBoostingSpec { trees: 500, patience: 4, min_rows_per_leaf: 3, ..GradientBoostingSpec::default() };
    setup.net = NetSpec::GradientBoosting(spec);
    setup.spec.early_stopping.enabled = true;
    let trained = setup.train().unwrap();
    assert_eq!(trained.history.len(), trained.best_epoch + 4);
    assert!(trained.history.iter().all(|record| record.metric == "loss"));
    assert_eq!(trained.weights.tensors["trees.nodes"].data.len(), trained.best_epoch);
    let best = trained.history.iter().map(|record| record.validation_loss).fold(f64::INFINITY, f64::min);
    assert_eq!(best, trained.history[trained.best_epoch - 1].validation_loss);
}

#[test]
fn a_killed_run_goes_on_from_its_last_checkpoint_to_the_same_bits() {
    let setup = Setup::busy();
    let whole = setup.train().unwrap();
    let folder = tempfile::tempdir().unwrap();
    setup.until(folder.path(), false, 9).unwrap();
    let killed = std::panic::catch_unwind(|| {
        let mut events = 0;
        train(setup.job(Some(folder.path()), true), &mut |_| {
            events += 1;
            assert!(events < 20, "the process dies here");
            Flow::Continue
        })
    });
    assert!(killed.is_err());
    assert!(essence(&setup.until(folder.path(), true, usize::MAX).unwrap()) == essence(&whole));
}

#[test]
fn more_epochs_go_on_where_fewer_ended() {
    let mut setup = Setup::busy();
    let whole = setup.train().unwrap();
    let folder = tempfile::tempdir().unwrap();
    setup.spec.epochs = 2;
    assert!(setup.until(folder.path(), false, usize::MAX).unwrap().finished);
    setup.spec.epochs = 4;
    assert!(essence(&setup.until(folder.path(), true, usize::MAX).unwrap()) == essence(&whole));
}

#[test]
fn the_step_size_follows_the_schedule_and_is_told() {
    let mut setup = Setup::busy();
    let rates = |setup: &Setup| setup.train().unwrap().history.iter().map(|r| r.learning_rate).collect::<Vec<_>>();
    assert_eq!(rates(&setup), [0.001; 4]);
    let constant = setup.train().unwrap();
    // 11 steps an epoch: the last one of the run is step 43 of 44.
    setup.spec.schedule = Schedule::Linear(LinearSchedule::default());
    let found = rates(&setup);
    for (epoch, rate) in found.iter().enumerate() {
        let expected = 0.001 * (1.0 - (11.0 * (epoch as f64 + 1.0) - 1.0) / 44.0);
        assert!((rate / expected - 1.0).abs() < 1e-12, "epoch {}: {rate} for {expected}", epoch + 1);
    }
    assert_ne!(setup.train().unwrap().weights, constant.weights);
    // No gain is ever enough: the rate falls after every epoch but the first.
    let plateau = PlateauSchedule { patience: 1, factor: 0.5, min_delta: 10.0, ..PlateauSchedule::default() };
    setup.spec.schedule = Schedule::OnPlateau(plateau);
    assert_eq!(rates(&setup), [0.001, 0.001, 0.0005, 0.000_25]);
}

#[test]
fn a_rare_class_is_found_where_it_counts_as_much_as_the_others() {
    // 11 of 400 rows are of the second class, in the middle of others that are not: by rows it is never the answer.
    let numbers: Vec<f32> = (0..400).map(|n| (n * 37 % 400) as f32 / 200.0 - 1.0).collect();
    let answers = numbers.iter().enumerate().map(|(n, x)| f32::from(*x > 0.6 && n % 7 == 0)).collect();
    let mut setup = Setup::new(1, numbers.clone(), answers, 2);
    setup.spec.optimizer = Optimizer::Adam(AdamSpec { learning_rate: 0.02, ..AdamSpec::default() });
    setup.spec.epochs = 20;
    setup.spec.early_stopping.enabled = false;
    setup.spec.early_stopping.metric = WatchedMetric::Loss;
    let found = |setup: &Setup| {
        let trained = setup.train().unwrap();
        let answers = setup.learned(&trained);
        (0..400).filter(|row| setup.answers[*row] == 1.0 && answers[row * 2 + 1] > 0.5).count()
    };
    let rare = setup.answers.iter().filter(|class| **class == 1.0).count();
    assert_eq!((rare, found(&setup)), (11, 0));
    for balance in [Balance::Weights, Balance::Oversample] {
        setup.spec.balance = balance;
        assert!(found(&setup) >= 10, "{balance:?}: {} of {rare}", found(&setup));
    }
    setup.spec.balance = Balance::None;
    setup.spec.class_weights = [("class 1".to_owned(), 20.0)].into();
    assert!(found(&setup) >= 10, "weights: {} of {rare}", found(&setup));
}

#[test]
fn training_ends_when_validation_gains_no_more_and_keeps_the_best_epoch() {
    // Validation rows contradict the training rows: the better the fit, the worse their loss.
    let numbers: Vec<f32> = (0..100).map(|n| (n % 10) as f32 / 5.0 - 0.9).collect();
    let answers = (0..100).map(|n| f32::from((numbers[n] > 0.0) == (n < 80))).collect();
    let mut setup = Setup::new(1, numbers.clone(), answers, 2);
    let optimizer = Optimizer::Adam(AdamSpec { learning_rate: 0.05, ..AdamSpec::default() });
    setup.spec = TrainSpec { epochs: 50, optimizer, ..setup.spec };
    setup.spec.early_stopping = EarlyStopping { metric: WatchedMetric::Loss, patience: 3, ..EarlyStopping::default() };
    let (mut policy, mut reason) = (String::new(), String::new());
    let trained = train(setup.job(None, false), &mut |event| {
        match event {
            TrainEvent::Started { stopping, .. } => policy.clone_from(stopping),
            TrainEvent::Stopped { reason: why } => reason.clone_from(why),
            _ => {}
        }
        Flow::Continue
    })
    .unwrap();
    assert_eq!(
        policy,
        "when validation loss has not got better for 3 epochs, after 50 at the latest; the best epoch is kept"
    );
    assert!(reason.starts_with("validation loss has not got better for 3 epochs; epoch "), "{reason}");
    assert_eq!(trained.history.len(), trained.best_epoch + 3);
    let best = &trained.history[trained.best_epoch - 1];
    assert!(best.best && trained.history[trained.best_epoch..].iter().all(|record| !record.best));
    // The weights given are those of the best epoch: they have its loss.
    let answers = setup.learned(&trained);
    let losses = setup.validation.iter().map(|&row| {
        let class = setup.answers[row as usize] as usize;
        -f64::from(answers[row as usize * 2 + class]).ln()
    });
    let loss = losses.sum::<f64>() / setup.validation.len() as f64;
    assert!((loss / best.validation_loss - 1.0).abs() < 1e-5, "{loss} for {}", best.validation_loss);
}

#[test]
fn a_sweep_suggests_a_step_size_that_learns_and_stops_where_the_loss_breaks_away() {
    let setup = {
        let x: Vec<f32> = (0..500).map(|n| (n * 37 % 500) as f32 / 250.0 - 1.0).collect();
        let y = x.iter().map(|x| 2.0 * x + 1.0).collect();
        let mut setup = Setup::new(1, x, y, 0);
        setup.net = NetSpec::Dense(DenseSpec { hidden: vec![], ..DenseSpec::default() });
        setup.spec.optimizer = Optimizer::Sgd(SgdSpec::default());
        setup
    };
    let curve = |sweep| find_learning_rate(setup.job(None, false), &sweep, &mut |_| Flow::Continue).unwrap();
    let found = curve(RateSweep { to: 100.0, ..RateSweep::default() });
    assert!(found.broke_away && found.points.len() < 300);
    assert!(found.points.windows(2).all(|pair| pair[0].learning_rate < pair[1].learning_rate));
    // The loss is (w x - y)^2 with x^2 about 1/3: SGD breaks away from 2 / (2 (1 + 1/3)) on at the latest.
    let last = found.points.last().unwrap().learning_rate;
    assert!(last > 0.5 && last < 10.0, "{last}");
    assert!(found.suggestion > 0.01 && found.suggestion < 0.3, "{}", found.suggestion);
    assert_eq!(found, curve(RateSweep { to: 100.0, ..RateSweep::default() }));
    let refused = RateSweep { from: 1.0, to: 0.1, steps: 300 };
    let message = find_learning_rate(setup.job(None, false), &refused, &mut |_| Flow::Continue).unwrap_err();
    assert!(message.to_string().contains("from 1 to 0.1 in 300 steps"), "{message}");
    let stopped = find_learning_rate(setup.job(None, false), &RateSweep::default(), &mut |_| Flow::Stop);
    assert!(stopped.unwrap_err().to_string().contains("was stopped"));
}

#[test]
fn training_goes_on_from_a_file_with_another_head_and_frozen_tensors() {
    let folder = tempfile::tempdir().unwrap();
    let mut setup = Setup::busy();
    let before = setup.train().unwrap().weights;
    let path = folder.path().join("weights.safetensors");
    before.save(&path).unwrap();
    setup.spec.start_from = Some(path.to_string_lossy().into_owned());
    setup.spec.freeze = vec!["embedding.*".into(), "dense.0.weight".into()];
    setup.spec.seed += 1;
    // Three classes where there were two: the last layer has another shape.
    setup.target = crate::net::tests::target(3);
    let after = setup.train().unwrap();
    for (name, tensor) in &after.weights.tensors {
        let stays = name.starts_with("embedding.") || name == "dense.0.weight";
        assert_eq!(before.tensors[name] == *tensor, stays, "{name}");
    }
    assert_eq!(after.parameters, 20 + 20 * 9 + 9 + 9 * 3 + 3);
    let resumed =
        setup.until(folder.path(), false, 9).and_then(|_| setup.until(folder.path(), true, usize::MAX)).unwrap();
    assert_eq!(essence(&resumed), essence(&after));
    setup.net = NetSpec::Dense(DenseSpec { hidden: vec![20, 8], ..DenseSpec::default() });
    let message = setup.train().unwrap_err().to_string();
    assert!(
        message.starts_with("train.start_from: ")
            && message.contains("\"dense.1.weight\" is [20, 9], expected [20, 8]")
    );
}
