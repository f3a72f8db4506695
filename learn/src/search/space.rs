//! Which points are there? Every dimension as a stretch of real numbers that can be drawn from and estimated on.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::random::Stream;
use crate::spec::RangeSpec;
use crate::{Error, Result};

/// Streams of random numbers from here on belong to the trials, one each.
const TRIAL_STREAM: u64 = 0x7475_6e65_0000;
/// Digits of a real number that are kept: a setting is to be read and written by people.
const DIGITS: i32 = 4;
/// Values of a choice.
const CHOICES_MAX: usize = 1_000;

/// The space of settings.
#[derive(Debug, Clone)]
pub(super) struct Space {
    pub(super) dimensions: Vec<Dimension>,
}

/// One key and its values. A value is a real number here: its logarithm, or its place among the choices.
#[derive(Debug, Clone)]
pub(super) struct Dimension {
    path: String,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// From low to high, in logarithms where `log`, rounded to whole numbers where `whole`.
    Range { low: f64, high: f64, log: bool, whole: bool },
    /// One of these.
    Choice(Vec<Value>),
}

impl Space {
    pub(super) fn new(ranges: &BTreeMap<String, RangeSpec>) -> Result<Self> {
        if ranges.is_empty() {
            return Err(Error::invalid(
                "tune.space is empty; name what may change, for example \
                 tune.space: { train.optimizer.adam.learning_rate: { log_uniform: [0.0001, 0.01] } }",
            ));
        }
        for path in ranges.keys() {
            let below =
                |other: &&String| other.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with(['.', '[']));
            if let Some(other) = ranges.keys().find(below) {
                return Err(Error::invalid(format!(
                    "tune.space: \"{other}\" lies below \"{path}\", which is in the space too; leave one of them out"
                )));
            }
        }
        let dimension =
            |(path, range): (&String, &RangeSpec)| Ok(Dimension { path: path.clone(), kind: Kind::new(path, range)? });
        Ok(Self { dimensions: ranges.iter().map(dimension).collect::<Result<_>>()? })
    }

    /// A point at random.
    pub(super) fn random(&self, seed: u64, trial: usize) -> Vec<f64> {
        let stream = stream(seed, trial);
        self.dimensions.iter().zip(0..).map(|(dimension, at)| dimension.kind.at(share(stream, at))).collect()
    }

    /// The values of a point by path.
    pub(super) fn setting(&self, point: &[f64]) -> Map<String, Value> {
        self.dimensions
            .iter()
            .zip(point)
            .map(|(dimension, &at)| (dimension.path.clone(), dimension.kind.value(at)))
            .collect()
    }
}

/// The random numbers of a trial.
pub(super) fn stream(seed: u64, trial: usize) -> Stream {
    Stream::new(seed, TRIAL_STREAM + trial as u64)
}

/// A number of a stream from 0 to below 1, with all the bits that an `f64` has.
pub(super) fn share(stream: Stream, counter: u64) -> f64 {
    (stream.bits(counter) >> 11) as f64 / (1u64 << 53) as f64
}

impl Kind {
    fn new(path: &str, range: &RangeSpec) -> Result<Self> {
        let refuse = |why: &str| Err(Error::invalid(format!("tune.space: \"{path}\" {why}")));
        let (low, high, log, whole) = match range {
            RangeSpec::Choice(values) if values.is_empty() => return refuse("has no values to choose from"),
            RangeSpec::Choice(values) if values.len() > CHOICES_MAX => return refuse("has more than 1,000 values"),
            RangeSpec::Choice(values) => return Ok(Self::Choice(values.clone())),
            RangeSpec::Uniform([low, high]) => (*low, *high, false, false),
            RangeSpec::LogUniform([low, high]) => (*low, *high, true, false),
            RangeSpec::Int([low, high]) => (*low as f64, *high as f64, false, true),
            RangeSpec::LogInt([low, high]) => (*low as f64, *high as f64, true, true),
        };
        if !low.is_finite() || !high.is_finite() || low > high {
            return refuse(&format!("goes from {low} to {high}; the first number has to be the lower one"));
        }
        if log && low <= 0.0 {
            return refuse(&format!("begins at {low}; a logarithmic range has to lie above 0"));
        }
        Ok(Self::Range { low, high, log, whole })
    }

    /// Lowest and highest place; whole numbers reach half a step beyond their ends, so that the ends are as likely.
    pub(super) fn bounds(&self) -> [f64; 2] {
        match self {
            Self::Choice(values) => [0.0, values.len() as f64],
            Self::Range { low, high, log, whole } => {
                let half = if *whole { 0.5 } else { 0.0 };
                let ends = [low - half, high + half];
                if *log { ends.map(f64::ln) } else { ends }
            }
        }
    }

    /// The place at this share of the way, 0 to below 1.
    pub(super) fn at(&self, share: f64) -> f64 {
        let [low, high] = self.bounds();
        self.round(low + share * (high - low))
    }

    /// The nearest place that stands for a value as it is written.
    pub(super) fn round(&self, place: f64) -> f64 {
        match self {
            Self::Choice(values) => place.floor().clamp(0.0, (values.len() - 1) as f64),
            Self::Range { log: true, .. } => self.number(place).ln(),
            Self::Range { .. } => self.number(place),
        }
    }

    /// `points` places at equal distances, both ends included.
    pub(super) fn grid(&self, points: usize) -> Vec<f64> {
        let mut places: Vec<f64> = match self {
            Self::Choice(values) => (0..values.len()).map(|place| place as f64).collect(),
            Self::Range { low, high, log, .. } => {
                let [low, high] = if *log { [low.ln(), high.ln()] } else { [*low, *high] };
                let last = points.saturating_sub(1).max(1) as f64;
                (0..points.max(1)).map(|point| self.round(low + (high - low) * point as f64 / last)).collect()
            }
        };
        places.dedup();
        places
    }

    fn number(&self, place: f64) -> f64 {
        let Self::Range { low, high, log, whole } = self else { return place };
        let number = if *log { place.exp() } else { place };
        let number = if *whole { number.round() } else { rounded(number) };
        number.clamp(*low, *high)
    }

    fn value(&self, place: f64) -> Value {
        match self {
            Self::Choice(values) => values.get(place as usize).cloned().unwrap_or_default(),
            Self::Range { whole: true, .. } => json!(self.number(place) as i64),
            Self::Range { .. } => json!(self.number(place)),
        }
    }
}

/// A number with few digits, the same however it is reached: it goes through its text.
fn rounded(number: f64) -> f64 {
    format!("{number:.*e}", DIGITS as usize - 1).parse().unwrap_or(number)
}
