//! Are device and rows such that training is possible? Said before it starts.

use super::{Part, TrainJob};
use crate::features::{CategoryInput, NumericPart};
use crate::net::{Accelerator, Kind, Place, Which, best_accelerator, check_accelerator};
use crate::spec::{Precision, TrainSpec};
use crate::{Error, Result, Target, Task};

/// Rows named in a message.
const NAMED_ROWS_MAX: usize = 5;

/// Where the network will live. Refuses devices that this build or this machine does not have, and a precision that the
/// device lacks.
pub(super) fn device(train: &TrainSpec) -> Result<Place> {
    let place = place(&train.device, train.precision).map_err(|error| error.at("train.device"))?;
    if place == Place::Cpu && train.precision != Precision::F32 {
        return Err(Error::invalid(format!(
            "train.precision: {} is for GPUs; the CPU, where this would be trained, computes in f32",
            train.precision.name()
        )));
    }
    if let Place::Burn(accelerator) = place {
        check_accelerator(accelerator).map_err(|error| error.at("train.device"))?;
    }
    Ok(place)
}

/// Refuses the name of a device (`train.device`) that is none, or that this build has no way to. Whether the machine has
/// it is seen when training begins.
pub fn check_device(device: &str) -> Result<()> {
    if device == "auto" { Ok(()) } else { place(device, Precision::F32).map(|_| ()) }
}

/// `flex`, the reference in Burn's own operations, is for comparisons and not offered in messages.
fn place(device: &str, precision: Precision) -> Result<Place> {
    if device == "auto" {
        return Ok(best_accelerator(precision).map_or(Place::Cpu, Place::Burn));
    }
    if device == "cpu" {
        return Ok(Place::Cpu);
    }
    let (name, number) = device.split_once(':').unwrap_or((device, "0"));
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
    let which = if number == "all" { Ok(Which::All) } else { number.parse().map(Which::One) };
    let (Some(kind), Ok(which)) = (kind, which) else {
        return Err(Error::invalid(format!(
            "{device:?} is no device; expected \"auto\", \"cpu\", or \"cuda\", \"rocm\", \"metal\", \"vulkan\" or \"wgpu\" with the \
             number of the GPU, as \"cuda:0\", or all of them, \"cuda:all\""
        )));
    };
    if !kind.is_built() {
        let feature = if kind == Kind::Flex { "burn" } else { name };
        return Err(Error::Unsupported(format!(
            "this build cannot use {device:?}: build with `--features {feature}`, or take \"auto\" or \"cpu\""
        )));
    }
    Ok(Place::Burn(Accelerator { kind, which, precision }))
}

/// Refuses parts without rows, and rows that no network can learn from.
pub(super) fn check_parts(job: &TrainJob) -> Result<()> {
    for (name, part) in [("training", &job.training), ("validation", &job.validation)] {
        if part.rows.is_empty() {
            return Err(Error::invalid(format!("there are no {name} rows; change the model's split")));
        }
        check_rows(name, part, job.numeric, job.target)?;
    }
    Ok(())
}

/// Refuses rows whose features or target are no finite numbers, naming column and rows.
pub(super) fn check_rows(name: &str, part: &Part, numeric: &NumericPart, target: &Target) -> Result<()> {
    let rows = part.encoded.rows.min(part.target.len());
    if part.rows.iter().any(|row| *row as usize >= rows) {
        return Err(Error::Internal(format!("a {name} row lies beyond the {rows} rows given")));
    }
    check_numbers(name, part, numeric)?;
    check_codes(name, part, numeric)?;
    check_target(name, part, target)
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

pub(super) fn named(rows: Vec<u32>) -> String {
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

    #[test]
    fn absent_devices_are_said_with_the_feature_they_need() {
        let on = |device: &str, precision: Precision| {
            super::device(&TrainSpec { device: device.into(), precision, ..TrainSpec::default() })
        };
        let device = |name: &str| on(name, Precision::F32);
        assert_eq!(device("cpu").unwrap(), Place::Cpu);
        let message = on("cpu", Precision::Bf16).unwrap_err().to_string();
        assert!(message.contains("train.precision: bf16 is for GPUs"), "{message}");
        #[cfg(feature = "burn")]
        {
            assert_eq!(device("flex").unwrap(), Place::FLEX);
            assert!(device("flex:1").unwrap_err().to_string().contains("this machine has one such device, 0"));
        }
        let ways = [Kind::Cuda, Kind::Rocm, Kind::Metal, Kind::Vulkan, Kind::Wgpu];
        for kind in ways.into_iter().filter(|kind| !kind.is_built()) {
            let message = device(&format!("{}:1", kind.name())).unwrap_err().to_string();
            assert!(message.starts_with("train.device: this build cannot use"), "{message}");
            assert!(message.contains(&format!("--features {}", kind.name())), "{message}");
            let message = device(&format!("{}:all", kind.name())).unwrap_err().to_string();
            assert!(message.contains("this build cannot use"), "{message}");
        }
        for name in ["tpu", "cuda:x", "cpu:0"] {
            let message = check_device(name).unwrap_err().to_string();
            assert!(message.starts_with(&format!("{name:?} is no device; expected \"auto\"")), "{message}");
        }
    }
}
