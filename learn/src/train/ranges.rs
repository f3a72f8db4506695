//! Are the settings of training in their range? Said before it starts.

use super::rate::warm_up;
use crate::spec::{BatchSize, Loss, Optimizer, Schedule, TrainSpec};
use crate::{Error, Result};

/// Refuses settings outside their range, naming the setting.
pub(super) fn check(spec: &TrainSpec) -> Result<()> {
    count("epochs", spec.epochs)?;
    if let BatchSize::Rows(rows) = spec.batch_size {
        count("batch_size", rows)?;
    }
    at_least_0("weight_decay", spec.weight_decay)?;
    at_least_0("l1", spec.l1)?;
    spec.clip_norm.map_or(Ok(()), |norm| above_0("clip_norm", norm))?;
    spec.clip_value.map_or(Ok(()), |size| above_0("clip_value", size))?;
    count("accumulate", spec.accumulate)?;
    check_optimizer(spec)?;
    check_schedule(&spec.schedule)?;
    check_loss(spec.loss)?;
    below_1("label_smoothing", spec.label_smoothing)?;
    for (label, weight) in &spec.class_weights {
        at_least_0(&format!("class_weights.{label:?}"), *weight)?;
    }
    count("early_stopping.patience", spec.early_stopping.patience)?;
    at_least_0("early_stopping.min_delta", spec.early_stopping.min_delta)
}

fn check_optimizer(spec: &TrainSpec) -> Result<()> {
    let optimizer = &spec.optimizer;
    let at = |key: &str| format!("optimizer.{}.{key}", optimizer.name());
    above_0(&at("learning_rate"), optimizer.learning_rate())?;
    match optimizer {
        Optimizer::Sgd(of) => {
            below_1(&at("momentum"), of.momentum)?;
            match of.nesterov && of.momentum == 0.0 {
                true => Err(Error::invalid(format!("train.{} needs momentum, which is 0; set it too", at("nesterov")))),
                false => Ok(()),
            }
        }
        Optimizer::Adam(of) => check_adam(&at, [of.beta1, of.beta2], of.epsilon),
        Optimizer::Adamw(of) => {
            at_least_0(&at("weight_decay"), of.weight_decay)?;
            // Both at once would decay weights twice, and who writes one for the other gets what they did not ask for.
            if spec.weight_decay != 0.0 {
                return Err(Error::invalid(format!(
                    "train.weight_decay is {}, but adamw has its own; set train.optimizer.adamw.weight_decay instead",
                    spec.weight_decay
                )));
            }
            check_adam(&at, [of.beta1, of.beta2], of.epsilon)
        }
        Optimizer::Adagrad(of) => above_0(&at("epsilon"), of.epsilon),
        Optimizer::Adadelta(of) => {
            below_1(&at("rho"), of.rho)?;
            above_0(&at("epsilon"), of.epsilon)
        }
        Optimizer::Rmsprop(of) => {
            below_1(&at("alpha"), of.alpha)?;
            below_1(&at("momentum"), of.momentum)?;
            above_0(&at("epsilon"), of.epsilon)
        }
    }
}

fn check_adam(at: &dyn Fn(&str) -> String, [beta1, beta2]: [f64; 2], epsilon: f64) -> Result<()> {
    below_1(&at("beta1"), beta1)?;
    below_1(&at("beta2"), beta2)?;
    above_0(&at("epsilon"), epsilon)
}

fn check_schedule(schedule: &Schedule) -> Result<()> {
    let at = |key: &str| format!("schedule.{}.{key}", schedule.name());
    at_least_0(&at("warm_up_epochs"), warm_up(schedule).0)?;
    match schedule {
        Schedule::Constant(_) => Ok(()),
        Schedule::Step(of) => {
            count(&at("every_epochs"), of.every_epochs)?;
            within(&at("factor"), of.factor, of.factor > 0.0 && of.factor <= 1.0, "above 0 and at most 1")
        }
        Schedule::Linear(of) => share(&at("final_fraction"), of.final_fraction),
        Schedule::Cosine(of) => share(&at("final_fraction"), of.final_fraction),
        Schedule::OneCycle(of) => {
            let (rise, initial) = (of.rise, of.initial_fraction);
            within(&at("rise"), rise, rise > 0.0 && rise < 1.0, "above 0 and below 1")?;
            within(&at("initial_fraction"), initial, initial > 0.0 && initial <= 1.0, "above 0 and at most 1")?;
            share(&at("final_fraction"), of.final_fraction)
        }
        Schedule::OnPlateau(of) => {
            count(&at("patience"), of.patience)?;
            within(&at("factor"), of.factor, of.factor > 0.0 && of.factor < 1.0, "above 0 and below 1")?;
            at_least_0(&at("min_delta"), of.min_delta)?;
            share(&at("min_fraction"), of.min_fraction)
        }
    }
}

fn check_loss(loss: Loss) -> Result<()> {
    match loss {
        Loss::Huber(of) => above_0("loss.huber.delta", of.delta),
        Loss::Quantile(of) => {
            let is_between = of.quantile > 0.0 && of.quantile < 1.0;
            within("loss.quantile.quantile", of.quantile, is_between, "above 0 and below 1")
        }
        Loss::Focal(of) => at_least_0("loss.focal.gamma", of.gamma),
        _ => Ok(()),
    }
}

fn within(name: &str, value: f64, is_good: bool, range: &str) -> Result<()> {
    match is_good {
        true => Ok(()),
        false => Err(Error::invalid(format!("train.{name} is {value}, expected {range}"))),
    }
}

fn count(name: &str, value: usize) -> Result<()> {
    within(name, value as f64, value >= 1, "at least 1")
}

fn above_0(name: &str, value: f64) -> Result<()> {
    within(name, value, value > 0.0 && value.is_finite(), "above 0")
}

fn at_least_0(name: &str, value: f64) -> Result<()> {
    within(name, value, value >= 0.0 && value.is_finite(), "at least 0")
}

fn below_1(name: &str, value: f64) -> Result<()> {
    within(name, value, (0.0..1.0).contains(&value), "0 to below 1")
}

fn share(name: &str, value: f64) -> Result<()> {
    within(name, value, (0.0..=1.0).contains(&value), "0 to 1")
}

#[cfg(test)]
mod tests {
    use super::check as check_spec;
    use crate::spec::*;

    #[test]
    #[allow(clippy::too_many_lines, reason = "one line per setting")]
    fn settings_outside_their_range_are_refused_by_name() {
        let check = |spec: TrainSpec, expected: &str| {
            assert_eq!(check_spec(&spec).unwrap_err().to_string(), expected);
        };
        let spec = TrainSpec::default;
        let adam = |adam: AdamSpec| TrainSpec { optimizer: Optimizer::Adam(adam), ..spec() };
        assert!(check_spec(&spec()).is_ok());
        check(TrainSpec { epochs: 0, ..spec() }, "train.epochs is 0, expected at least 1");
        check(TrainSpec { batch_size: 0.into(), ..spec() }, "train.batch_size is 0, expected at least 1");
        check(TrainSpec { weight_decay: -1.0, ..spec() }, "train.weight_decay is -1, expected at least 0");
        check(
            adam(AdamSpec { learning_rate: 0.0, ..AdamSpec::default() }),
            "train.optimizer.adam.learning_rate is 0, expected above 0",
        );
        check(
            adam(AdamSpec { beta2: 1.0, ..AdamSpec::default() }),
            "train.optimizer.adam.beta2 is 1, expected 0 to below 1",
        );
        let sgd = SgdSpec { learning_rate: f64::NAN, ..SgdSpec::default() };
        check(
            TrainSpec { optimizer: Optimizer::Sgd(sgd), ..spec() },
            "train.optimizer.sgd.learning_rate is NaN, expected above 0",
        );
        let stopping = EarlyStopping { patience: 0, ..EarlyStopping::default() };
        check(
            TrainSpec { early_stopping: stopping, ..spec() },
            "train.early_stopping.patience is 0, expected at least 1",
        );
        let adamw = Optimizer::Adamw(AdamwSpec::default());
        check(
            TrainSpec { optimizer: adamw, weight_decay: 0.1, ..spec() },
            "train.weight_decay is 0.1, but adamw has its own; set train.optimizer.adamw.weight_decay instead",
        );
        let nesterov = Optimizer::Sgd(SgdSpec { nesterov: true, ..SgdSpec::default() });
        check(
            TrainSpec { optimizer: nesterov, ..spec() },
            "train.optimizer.sgd.nesterov needs momentum, which is 0; set it too",
        );
        let rmsprop = Optimizer::Rmsprop(RmspropSpec { alpha: 1.0, ..RmspropSpec::default() });
        check(TrainSpec { optimizer: rmsprop, ..spec() }, "train.optimizer.rmsprop.alpha is 1, expected 0 to below 1");
        check(TrainSpec { label_smoothing: 1.0, ..spec() }, "train.label_smoothing is 1, expected 0 to below 1");
        let weights = [("rare".to_owned(), -2.0)].into();
        check(
            TrainSpec { class_weights: weights, ..spec() },
            "train.class_weights.\"rare\" is -2, expected at least 0",
        );
        check(TrainSpec { clip_norm: Some(0.0), ..spec() }, "train.clip_norm is 0, expected above 0");
        check(TrainSpec { clip_value: Some(-1.0), ..spec() }, "train.clip_value is -1, expected above 0");
        check(TrainSpec { accumulate: 0, ..spec() }, "train.accumulate is 0, expected at least 1");
        check(TrainSpec { l1: -0.5, ..spec() }, "train.l1 is -0.5, expected at least 0");
        let cosine = CosineSchedule { final_fraction: 1.5, ..CosineSchedule::default() };
        check(
            TrainSpec { schedule: Schedule::Cosine(cosine), ..spec() },
            "train.schedule.cosine.final_fraction is 1.5, expected 0 to 1",
        );
        let plateau = PlateauSchedule { factor: 1.0, ..PlateauSchedule::default() };
        check(
            TrainSpec { schedule: Schedule::OnPlateau(plateau), ..spec() },
            "train.schedule.on_plateau.factor is 1, expected above 0 and below 1",
        );
        let constant = ConstantSchedule { warm_up_epochs: -1.0, warm_up_steps: 0 };
        check(
            TrainSpec { schedule: Schedule::Constant(constant), ..spec() },
            "train.schedule.constant.warm_up_epochs is -1, expected at least 0",
        );
        check(
            TrainSpec { loss: Loss::Quantile(QuantileSpec { quantile: 1.0 }), ..spec() },
            "train.loss.quantile.quantile is 1, expected above 0 and below 1",
        );
        check(
            TrainSpec { loss: Loss::Focal(FocalSpec { gamma: -1.0 }), ..spec() },
            "train.loss.focal.gamma is -1, expected at least 0",
        );
    }
}
