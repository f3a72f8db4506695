//! What can be tried? Parameters, their values, and points: one value of each.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::random::Stream;
use crate::spec::{NumbersSpec, RangeScale, RangeSpec};
use crate::{Error, Result};

/// Values of a range without a step in a grid.
const GRID_POINTS: usize = 5;
/// Combinations of a grid.
const GRID_MAX: usize = 10_000;

/// All that can be tried. Parameters are in the order of their paths, so that `network` comes before `network.dense.dropout`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Space {
    pub(super) parameters: Vec<Parameter>,
}

/// A setting and its values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parameter {
    path: String,
    /// Place of the parameters whose path begins this one's, with the rest of the path.
    parents: Vec<(usize, String)>,
    pub(super) range: RangeSpec,
}

/// A value of each parameter: a number, or the place in a list of values. None where another parameter's value leaves no
/// room for it: `network.dense.dropout` beside `network: linear`.
pub(super) type Point = Vec<Option<f64>>;

impl Space {
    /// Refuses ranges without values.
    pub(super) fn new(parameters: &BTreeMap<String, RangeSpec>) -> Result<Self> {
        let paths: Vec<&String> = parameters.keys().collect();
        let mut made = Vec::with_capacity(paths.len());
        for (path, range) in parameters {
            check(range).map_err(|what| Error::invalid(format!("parameter \"{path}\": {what}")))?;
            let rest = |parent: &str| path.strip_prefix(parent)?.strip_prefix('.').map(str::to_owned);
            let parents = paths.iter().enumerate().filter_map(|(at, parent)| Some((at, rest(parent)?))).collect();
            made.push(Parameter { path: path.clone(), parents, range: range.clone() });
        }
        match made.is_empty() {
            true => Err(Error::invalid("a search without parameters has nothing to try")),
            false => Ok(Self { parameters: made }),
        }
    }

    /// Whether the values before parameter `at` leave room for it.
    pub(super) fn is_active(&self, point: &[Option<f64>], at: usize) -> bool {
        self.parameters[at]
            .parents
            .iter()
            .all(|(parent, rest)| point[*parent].is_some_and(|x| holds(&self.parameters[*parent].value(x), rest)))
    }

    /// A point whose values come from `draw`, one parameter after the other.
    pub(super) fn point(&self, mut draw: impl FnMut(usize, &Parameter) -> f64) -> Point {
        let mut point = Point::with_capacity(self.parameters.len());
        for (at, parameter) in self.parameters.iter().enumerate() {
            let value = self.is_active(&point, at).then(|| draw(at, parameter));
            point.push(value);
        }
        point
    }

    /// A point at random.
    pub(super) fn random(&self, stream: Stream, offset: u64) -> Point {
        self.point(|at, parameter| parameter.at_share(unit(stream, offset + at as u64)))
    }

    /// Every combination of the values, the last parameter changing first.
    ///
    /// # Errors
    /// More than 10,000 combinations.
    pub(super) fn grid(&self) -> Result<Vec<Point>> {
        let mut points = vec![Point::new()];
        for (at, parameter) in self.parameters.iter().enumerate() {
            let values = parameter.grid();
            let mut longer = Vec::with_capacity(points.len() * values.len());
            for point in points {
                if !self.is_active(&point, at) {
                    longer.push([point, vec![None]].concat());
                    continue;
                }
                longer.extend(values.iter().map(|value| [point.as_slice(), &[Some(*value)]].concat()));
            }
            if longer.len() > GRID_MAX {
                return Err(Error::invalid(format!(
                    "the grid has more than {GRID_MAX} combinations; take fewer values, or method random or tpe"
                )));
            }
            points = longer;
        }
        Ok(points)
    }

    /// How many points there are; none where some range has no end of numbers.
    pub(super) fn size(&self) -> Option<usize> {
        let finite = self.parameters.iter().all(|parameter| match &parameter.range {
            RangeSpec::Values(_) => true,
            RangeSpec::Numbers(numbers) => {
                let step = numbers.step.unwrap_or(if numbers.integer { 1.0 } else { 0.0 });
                step > 0.0 && (numbers.max - numbers.min) / step < GRID_POINTS as f64
            }
        });
        if finite { self.grid().ok().map(|points| points.len()) } else { None }
    }

    /// The settings of a point, by key path.
    pub(super) fn settings(&self, point: &Point) -> Vec<(String, Value)> {
        let both = self.parameters.iter().zip(point);
        both.filter_map(|(parameter, x)| Some((parameter.path.clone(), parameter.value((*x)?)))).collect()
    }
}

/// A number from 0 to below 1, from 53 bits.
pub(super) fn unit(stream: Stream, counter: u64) -> f64 {
    (stream.bits(counter) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Whether a key below this value can be set: `dense.dropout` below `dense` or `{dense: {...}}`.
fn holds(value: &Value, rest: &str) -> bool {
    let first = rest.split(['.', '[']).next().unwrap_or(rest);
    match value {
        Value::String(word) => word == first,
        Value::Object(inner) => inner.contains_key(first),
        _ => false,
    }
}

/// Says what is wrong with a range.
fn check(range: &RangeSpec) -> Result<(), String> {
    let numbers = match range {
        RangeSpec::Values(values) if values.is_empty() => return Err("an empty list leaves nothing to try".into()),
        RangeSpec::Values(_) => return Ok(()),
        RangeSpec::Numbers(numbers) => numbers,
    };
    let NumbersSpec { min, max, scale, step, integer } = *numbers;
    if !(min.is_finite() && max.is_finite()) {
        return Err("min and max have to be numbers".into());
    }
    if min > max {
        return Err(format!("min {min} is above max {max}"));
    }
    if scale == RangeScale::Log && min <= 0.0 {
        return Err(format!("a log scale has to begin above 0, min is {min}"));
    }
    if scale == RangeScale::Log && step.is_some() {
        return Err("a step is for a linear scale; leave out one of them".into());
    }
    if step.is_some_and(|step| !(step > 0.0 && step.is_finite())) {
        return Err("the step has to be above 0".into());
    }
    if integer && [Some(min), Some(max), step].into_iter().flatten().any(|x| x.fract() != 0.0 || x.abs() > 9e15) {
        return Err("min, max and step have to be whole numbers where integer is true".into());
    }
    Ok(())
}

/// What is wrong with a range, where anything is: an empty list, `min` above `max`, a log scale from 0.
pub fn range_error(range: &RangeSpec) -> Option<String> {
    check(range).err()
}

impl Parameter {
    /// The value at `x`, as the project file would have it.
    pub(super) fn value(&self, x: f64) -> Value {
        match &self.range {
            RangeSpec::Values(values) => values.get(x as usize).cloned().unwrap_or_default(),
            RangeSpec::Numbers(numbers) if numbers.integer => Value::from(x as i64),
            RangeSpec::Numbers(_) => Value::from(x),
        }
    }

    /// Where the numbers lie evenly: the ends of the range in its scale, with half a number beyond where they are whole.
    pub(super) fn bounds(&self) -> (f64, f64) {
        match &self.range {
            RangeSpec::Values(values) => (0.0, values.len() as f64),
            RangeSpec::Numbers(n) => {
                let half = n.step.unwrap_or(if n.integer { 1.0 } else { 0.0 }) / 2.0;
                match n.scale {
                    RangeScale::Linear => (n.min - half, n.max + half),
                    RangeScale::Log => ((n.min - half).max(n.min / 2.0).ln(), (n.max + half).ln()),
                }
            }
        }
    }

    /// From a number of the range to its scale.
    pub(super) fn to_scale(&self, x: f64) -> f64 {
        match &self.range {
            RangeSpec::Numbers(NumbersSpec { scale: RangeScale::Log, .. }) => x.ln(),
            _ => x,
        }
    }

    /// From the scale to the nearest number of the range, with four digits that count.
    pub(super) fn nearest(&self, x: f64) -> f64 {
        let n = match &self.range {
            RangeSpec::Values(values) => return x.floor().clamp(0.0, values.len() as f64 - 1.0),
            RangeSpec::Numbers(numbers) => numbers,
        };
        let x = if n.scale == RangeScale::Log { x.exp() } else { x };
        let step = n.step.or(n.integer.then_some(1.0));
        match step {
            Some(step) => {
                let last = ((n.max - n.min) / step + 1e-9).floor();
                short(n.min + ((x - n.min) / step).round().clamp(0.0, last) * step, 12).clamp(n.min, n.max)
            }
            None => short(x, 4).clamp(n.min, n.max),
        }
    }

    /// From 0 to below 1 to a number of the range.
    pub(super) fn at_share(&self, u: f64) -> f64 {
        let (low, high) = self.bounds();
        self.nearest(low + u * (high - low))
    }

    fn grid(&self) -> Vec<f64> {
        let n = match &self.range {
            RangeSpec::Values(values) => return (0..values.len()).map(|at| at as f64).collect(),
            RangeSpec::Numbers(numbers) => numbers,
        };
        let mut values: Vec<f64> = match n.step {
            Some(step) => {
                let steps = ((n.max - n.min) / step + 1e-9).floor().min(GRID_MAX as f64) as usize;
                (0..=steps).map(|k| short(n.min + k as f64 * step, 12)).collect()
            }
            None => {
                let (low, high) = (self.to_scale(n.min), self.to_scale(n.max));
                let at = |k: usize| self.nearest(low + (high - low) * k as f64 / (GRID_POINTS - 1) as f64);
                (0..GRID_POINTS).map(at).collect()
            }
        };
        values.dedup();
        values
    }
}

/// `x` with so many digits that count.
fn short(x: f64, digits: usize) -> f64 {
    format!("{x:.*e}", digits - 1).parse().unwrap_or(x)
}
