//! Which settings are tried, and how are they chosen?

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A search for good settings, by the validation rows alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TuneSpec {
    /// How the settings of the next trial are chosen.
    #[serde(default)]
    pub method: TuneMethod,
    /// Trials at most; where absent 20, and all of a grid.
    #[serde(default)]
    pub trials: Option<usize>,
    /// Time for all trials together; those that are not finished by then are left out.
    #[serde(default)]
    pub time: Option<TimeBudget>,
    /// The figure on the validation rows that trials are compared by.
    #[serde(default)]
    pub metric: TuneMetric,
    /// Trials at the same time, which share the cores; where absent as many as cores and memory allow. It does not change
    /// what is tried.
    #[serde(default)]
    pub at_once: Option<usize>,
    /// Seed of what is tried.
    #[serde(default = "seed")]
    pub seed: u64,
    /// What is tried: key paths of the model below `network`, `train` or `features`, such as
    /// `train.optimizer.adam.learning_rate`, and their values.
    pub parameters: BTreeMap<String, RangeSpec>,
}

fn seed() -> u64 {
    42
}

/// How the settings of a trial are chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TuneMethod {
    /// Every combination; 5 values of a range without a step.
    Grid,
    /// At random.
    Random,
    /// Near those that did well (tree-structured Parzen estimators, Bergstra et al. 2011).
    Tpe(TpeSpec),
    /// Many for a short time, the best of them for longer, again and again (successive halving, Jamieson and Talwalkar
    /// 2016).
    Halving(HalvingSpec),
}

impl Default for TuneMethod {
    fn default() -> Self {
        Self::Tpe(TpeSpec::default())
    }
}

/// Tree-structured Parzen estimators.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TpeSpec {
    /// Trials at random before the first that learns from others.
    pub startup: usize,
    /// Share of the trials that count as good.
    pub good_share: f64,
    /// Candidates of which the most promising is tried.
    pub candidates: usize,
}

impl Default for TpeSpec {
    fn default() -> Self {
        Self { startup: 8, good_share: 0.15, candidates: 24 }
    }
}

/// Successive halving.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HalvingSpec {
    /// The key path of the whole number that says how long a trial takes; the model's own value is the longest.
    pub resource: String,
    /// The shortest; where absent the longest divided by `factor` as often as trials allow.
    pub min: Option<usize>,
    /// One in so many goes on, for so many times as long.
    pub factor: usize,
}

impl Default for HalvingSpec {
    fn default() -> Self {
        Self { resource: "train.epochs".into(), min: None, factor: 3 }
    }
}

/// The values of a setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RangeSpec {
    /// These.
    Values(Vec<Value>),
    /// The numbers of a range.
    Numbers(NumbersSpec),
}

/// The numbers of a range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NumbersSpec {
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Where the numbers lie close to one another.
    #[serde(default)]
    pub scale: RangeScale,
    /// Distance between two numbers, from `min` on; where absent all numbers between. Of a linear scale.
    #[serde(default)]
    pub step: Option<f64>,
    /// Whole numbers only.
    #[serde(default)]
    pub integer: bool,
}

/// How numbers are spread over a range.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RangeScale {
    /// Evenly.
    #[default]
    Linear,
    /// Evenly by their logarithms: as many from 0.001 to 0.01 as from 0.01 to 0.1.
    Log,
}

/// The figure that trials are compared by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TuneMetric {
    /// Area under the ROC curve of two classes, accuracy of several, root mean squared error of numbers.
    #[default]
    Auto,
    /// Share of right answers.
    Accuracy,
    /// Mean of the recall of all classes.
    BalancedAccuracy,
    /// Area under the ROC curve.
    Auc,
    /// Mean of the F1 of all classes.
    F1Macro,
    /// Cross-entropy of the probabilities.
    LogLoss,
    /// Root mean squared error.
    Rmse,
    /// Mean absolute error.
    Mae,
    /// Share of the variance explained.
    R2,
}

impl TuneMetric {
    /// Its name among the figures of [`crate::Evaluation`], and whether more of it is better; none for `auto`.
    pub fn figure(self) -> Option<(&'static str, bool)> {
        Some(match self {
            Self::Auto => return None,
            Self::Accuracy => ("accuracy", true),
            Self::BalancedAccuracy => ("balanced_accuracy", true),
            Self::Auc => ("auc", true),
            Self::F1Macro => ("f1_macro", true),
            Self::LogLoss => ("log_loss", false),
            Self::Rmse => ("rmse", false),
            Self::Mae => ("mae", false),
            Self::R2 => ("r2", true),
        })
    }

    /// Whether it judges numbers; none for `auto`.
    pub fn is_of_numbers(self) -> Option<bool> {
        (self != Self::Auto).then_some(matches!(self, Self::Rmse | Self::Mae | Self::R2))
    }
}

/// A time: seconds as a number, or `90s`, `10m`, `2h` as text. Above 0, a year at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimeBudget(pub f64);

/// Longest time, in seconds.
const TIME_MAX: f64 = 365.0 * 86_400.0;

impl TimeBudget {
    /// As the standard library says it.
    pub fn duration(self) -> Duration {
        Duration::from_secs_f64(self.0.clamp(0.0, TIME_MAX))
    }

    fn read(text: &str) -> Option<f64> {
        let text = text.trim();
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match text[digits.len()..].trim() {
            "" | "s" => 1.0,
            "ms" => 1e-3,
            "m" | "min" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        digits.trim().parse::<f64>().ok().map(|number| number * unit)
    }

    fn check(seconds: f64) -> Result<Self, String> {
        match seconds > 0.0 && seconds <= TIME_MAX {
            true => Ok(Self(seconds)),
            false => Err(format!("expected a time above 0, a year at most, found {seconds} seconds")),
        }
    }
}

impl std::str::FromStr for TimeBudget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds = Self::read(text);
        seconds.ok_or_else(|| format!("expected a time such as 90s, 10m or 2h, found {text:?}")).and_then(Self::check)
    }
}

impl std::fmt::Display for TimeBudget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let whole = |unit: f64| self.0 >= unit && (self.0 / unit).fract() == 0.0;
        match self.0 {
            seconds if whole(3_600.0) => write!(f, "{}h", seconds / 3_600.0),
            seconds if whole(60.0) => write!(f, "{}m", seconds / 60.0),
            seconds => write!(f, "{seconds}s"),
        }
    }
}

impl Serialize for TimeBudget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeBudget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "seconds, or a time such as 90s, 10m or 2h")]
        enum Written {
            Seconds(f64),
            Text(String),
        }
        let read = match Written::deserialize(deserializer)? {
            Written::Seconds(seconds) => Self::check(seconds),
            Written::Text(text) => text.parse(),
        };
        read.map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for TimeBudget {
    fn schema_name() -> Cow<'static, str> {
        "TimeBudget".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A time: seconds as a number, or `90s`, `10m`, `2h`.",
            "anyOf": [{ "type": "number", "exclusiveMinimum": 0 }, { "type": "string", "minLength": 1 }]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        let read = |text: &str| text.parse::<TimeBudget>().map(|time| (time.0, time.to_string()));
        assert_eq!(read("90s"), Ok((90.0, "90s".into())));
        assert_eq!(read("10m"), Ok((600.0, "10m".into())));
        assert_eq!(read("1.5h"), Ok((5400.0, "90m".into())));
        assert_eq!(read("250 ms"), Ok((0.25, "0.25s".into())));
        assert_eq!(read("7"), Ok((7.0, "7s".into())));
        for wrong in ["", "m", "0s", "-5m", "ten minutes", "10 parsecs", "1e300h", "NaN"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert_eq!(serde_json::from_str::<TimeBudget>("30").unwrap(), TimeBudget(30.0));
        assert_eq!(serde_json::from_str::<TimeBudget>("\"2h\"").unwrap().duration(), Duration::from_secs(7_200));
        assert!(serde_json::from_str::<TimeBudget>("0").is_err());
    }
}
