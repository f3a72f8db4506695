//! Are the settings of training in their range? Said before it starts.

use super::rate::warm_up;
use crate::spec::{Loss, Optimizer, Schedule, TrainSpec};
use crate::{Error, Result};

/// Refuses settings outside their range, naming the setting.
pub(super) fn check(spec: &TrainSpec) -> Result<()> {
    count("epochs", spec.epochs)?;
    count("batch_size", spec.batch_size)?;
    at_least_0("weight_decay", spec.weight_decay)?;
    check_optimizer(&spec.optimizer)?;
    check_schedule(&spec.schedule)?;
    check_loss(spec.loss)?;
    count("early_stopping.patience", spec.early_stopping.patience)?;
    at_least_0("early_stopping.min_delta", spec.early_stopping.min_delta)
}

fn check_optimizer(optimizer: &Optimizer) -> Result<()> {
    match optimizer {
        Optimizer::Sgd(sgd) => {
            above_0("optimizer.sgd.learning_rate", sgd.learning_rate)?;
            below_1("optimizer.sgd.momentum", sgd.momentum)
        }
        Optimizer::Adam(adam) => {
            above_0("optimizer.adam.learning_rate", adam.learning_rate)?;
            below_1("optimizer.adam.beta1", adam.beta1)?;
            below_1("optimizer.adam.beta2", adam.beta2)?;
            above_0("optimizer.adam.epsilon", adam.epsilon)
        }
    }
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
    fn settings_outside_their_range_are_refused_by_name() {
        let check = |spec: TrainSpec, expected: &str| {
            assert_eq!(check_spec(&spec).unwrap_err().to_string(), expected);
        };
        let spec = TrainSpec::default;
        let adam = |adam: AdamSpec| TrainSpec { optimizer: Optimizer::Adam(adam), ..spec() };
        assert!(check_spec(&spec()).is_ok());
        check(TrainSpec { epochs: 0, ..spec() }, "train.epochs is 0, expected at least 1");
        check(TrainSpec { batch_size: 0, ..spec() }, "train.batch_size is 0, expected at least 1");
        check(TrainSpec { weight_decay: -1.0, ..spec() }, "train.weight_decay is -1, expected at least 0");
        check(
            adam(AdamSpec { learning_rate: 0.0, ..AdamSpec::default() }),
            "train.optimizer.adam.learning_rate is 0, expected above 0",
        );
        check(
            adam(AdamSpec { beta2: 1.0, ..AdamSpec::default() }),
            "train.optimizer.adam.beta2 is 1, expected 0 to below 1",
        );
        let sgd = SgdSpec { learning_rate: f64::NAN, momentum: 0.0 };
        check(
            TrainSpec { optimizer: Optimizer::Sgd(sgd), ..spec() },
            "train.optimizer.sgd.learning_rate is NaN, expected above 0",
        );
        let stopping = EarlyStopping { patience: 0, ..EarlyStopping::default() };
        check(
            TrainSpec { early_stopping: stopping, ..spec() },
            "train.early_stopping.patience is 0, expected at least 1",
        );
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
