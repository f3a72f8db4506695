//! Is what training was given possible? Said before it starts.

use super::{Part, TrainJob};
use crate::features::{CategoryInput, NumericPart};
use crate::net::Place;
use crate::spec::{Optimizer, TrainSpec};
use crate::{Error, Result, Target, Task};

/// Rows named in a message.
const NAMED_ROWS_MAX: usize = 5;

/// Refuses settings outside their range, naming the setting.
pub(super) fn check_spec(spec: &TrainSpec) -> Result<()> {
    let within = |name: &str, value: f64, good: bool, range: &str| match good {
        true => Ok(()),
        false => Err(Error::invalid(format!("train.{name} is {value}, expected {range}"))),
    };
    within("epochs", spec.epochs as f64, spec.epochs >= 1, "at least 1")?;
    within("batch_size", spec.batch_size as f64, spec.batch_size >= 1, "at least 1")?;
    let decay = spec.weight_decay;
    within("weight_decay", decay, decay >= 0.0 && decay.is_finite(), "at least 0")?;
    let rate = |name: &str, value: f64| within(name, value, value > 0.0 && value.is_finite(), "above 0");
    let share = |name: &str, value: f64| within(name, value, (0.0..1.0).contains(&value), "0 to below 1");
    match &spec.optimizer {
        Optimizer::Sgd(sgd) => {
            rate("optimizer.sgd.learning_rate", sgd.learning_rate)?;
            share("optimizer.sgd.momentum", sgd.momentum)?;
        }
        Optimizer::Adam(adam) => {
            rate("optimizer.adam.learning_rate", adam.learning_rate)?;
            share("optimizer.adam.beta1", adam.beta1)?;
            share("optimizer.adam.beta2", adam.beta2)?;
            rate("optimizer.adam.epsilon", adam.epsilon)?;
        }
    }
    let stopping = &spec.early_stopping;
    within("early_stopping.patience", stopping.patience as f64, stopping.patience >= 1, "at least 1")?;
    let delta = stopping.min_delta;
    within("early_stopping.min_delta", delta, delta >= 0.0 && delta.is_finite(), "at least 0")
}

/// Where the network will live. Refuses devices this build does not have. `flex`, the reference in Burn's own
/// operations, is for comparisons and not offered in messages.
pub(super) fn device(device: &str) -> Result<Place> {
    let kind = device.split(':').next().unwrap_or(device);
    let missing = |what: &str, feature: &str| {
        Err(Error::Unsupported(format!(
            "train.device is \"{device}\", but this build cannot use {what}: it would have to be built with the \
             feature \"{feature}\"; take \"auto\" or \"cpu\""
        )))
    };
    match kind {
        _ if device == "auto" || device == "cpu" => Ok(Place::Cpu),
        _ if device == "flex" => Ok(Place::Flex),
        "cuda" => missing("NVIDIA GPUs", "cuda"),
        "rocm" => missing("AMD GPUs", "rocm"),
        "metal" => missing("Apple GPUs", "metal"),
        "vulkan" | "wgpu" | "webgpu" => missing("GPUs through Vulkan", "vulkan"),
        _ => Err(Error::invalid(format!("train.device is \"{device}\", expected \"auto\" or \"cpu\""))),
    }
}

/// Refuses parts without rows, and rows whose features or target are no finite numbers, naming column and rows.
pub(super) fn check_parts(job: &TrainJob) -> Result<()> {
    for (name, part) in [("training", &job.training), ("validation", &job.validation)] {
        if part.rows.is_empty() {
            return Err(Error::invalid(format!("there are no {name} rows; change the model's split")));
        }
        let rows = part.encoded.rows.min(part.target.len());
        if part.rows.iter().any(|row| *row as usize >= rows) {
            return Err(Error::Internal(format!("a {name} row lies beyond the {rows} rows given")));
        }
        check_numbers(name, part, job.numeric)?;
        check_codes(name, part, job.numeric)?;
        check_target(name, part, job.target)?;
    }
    Ok(())
}

fn check_numbers(name: &str, part: &Part, numeric: &NumericPart) -> Result<()> {
    let width = numeric.numbers.len();
    let bad = |&row: &u32| {
        let values = &part.encoded.numbers[row as usize * width..][..width];
        let scaled = numeric.numbers.iter().zip(values).map(|(input, x)| (input, input.scaled(*x)));
        scaled.into_iter().find(|(_, x)| !x.is_finite()).map(|(input, _)| (row, input))
    };
    let mut found = part.rows.iter().filter_map(bad);
    let Some((row, input)) = found.next() else { return Ok(()) };
    let rows: Vec<u32> =
        std::iter::once(row).chain(found.filter(|(_, i)| i.name == input.name).map(|(row, _)| row)).collect();
    Err(Error::invalid(format!(
        "column \"{}\" is infinite, or too large for the network, in {name} {}; clip it (features.columns.{}.number.clip)",
        input.name,
        named(rows),
        input.name
    )))
}

fn check_codes(name: &str, part: &Part, numeric: &NumericPart) -> Result<()> {
    let width = numeric.categories.len();
    for row in &part.rows {
        let codes = &part.encoded.codes[*row as usize * width..][..width];
        for (category, &code) in numeric.categories.iter().zip(codes) {
            let cardinality = match category {
                CategoryInput::OneHot { cardinality, .. } => *cardinality,
                CategoryInput::Embedding(column) => column.cardinality,
                CategoryInput::Ordinal { .. } => continue,
            };
            if !(0..cardinality as i64).contains(&i64::from(code)) {
                return Err(Error::Internal(format!("{name} row {row} has code {code}, of {cardinality} codes")));
            }
        }
    }
    Ok(())
}

fn check_target(name: &str, part: &Part, target: &Target) -> Result<()> {
    let classes = target.labels.len() as f32;
    let good = |value: f32| match target.task {
        Task::Regression => value.is_finite(),
        Task::Binary | Task::Multiclass => value >= 0.0 && value < classes && value.fract() == 0.0,
    };
    let bad: Vec<u32> = part.rows.iter().copied().filter(|row| !good(part.target[*row as usize])).collect();
    match bad.is_empty() {
        true => Ok(()),
        false => {
            Err(Error::invalid(format!("target \"{}\" is no usable value in {name} {}", target.column, named(bad))))
        }
    }
}

fn named(rows: Vec<u32>) -> String {
    let shown: Vec<String> = rows.iter().take(NAMED_ROWS_MAX).map(u32::to_string).collect();
    match (rows.len(), rows.len().saturating_sub(NAMED_ROWS_MAX)) {
        (1, _) => format!("row {}", shown.join(", ")),
        (_, 0) => format!("rows {}", shown.join(", ")),
        (_, more) => format!("rows {} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{AdamSpec, EarlyStopping, SgdSpec};

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
    }

    #[test]
    fn absent_devices_are_said_with_the_feature_they_need() {
        assert_eq!(
            ["auto", "cpu", "flex"].map(|name| device(name).ok()),
            [Place::Cpu, Place::Cpu, Place::Flex].map(Some)
        );
        for (name, feature) in [("cuda:0", "cuda"), ("rocm", "rocm"), ("metal", "metal"), ("vulkan:1", "vulkan")] {
            let message = device(name).unwrap_err().to_string();
            assert!(message.contains(&format!("feature \"{feature}\"")), "{message}");
        }
        assert_eq!(device("tpu").unwrap_err().to_string(), "train.device is \"tpu\", expected \"auto\" or \"cpu\"");
    }
}
