//! Which settings are worth a try?
//!
//! A search asks for batches of trials and is told their scores. What it asks for depends on the seed and on the scores of
//! the batches before alone, never on time, on the machine, or on how many trials of a batch ran at once.
//!
//! *Good for*: spaces, grids, random points, tree-structured Parzen estimators, successive halving. *Not for*: training
//! (`train`), what a key path means (`tidemill`).

mod candidates;
mod halving;
mod space;
#[cfg(test)]
mod tests;
mod tpe;

use std::collections::HashSet;

use serde_json::Value;

use crate::random::{Stream, permutation};
use crate::spec::{TuneMethod, TuneSpec};
use crate::{Error, Result};

pub use candidates::{Candidate, candidates};
use halving::Rungs;
pub use space::range_error;
use space::{Point, Space};
use tpe::Tpe;

/// Trials where the spec does not say.
const TRIALS: usize = 20;
/// Trials of a batch where each is to learn from those before.
const BATCH: usize = 4;
/// Points drawn to find one that was not tried yet.
const DRAWS_MAX: u64 = 64;
/// Streams of random numbers, by what they are for.
const DRAW_STREAM: u64 = 0x7475_6e65;
const ORDER_STREAM: u64 = 0x6f72_6465;

/// Settings to try.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Its number, from 1.
    pub number: usize,
    /// Key paths of the model and their values.
    pub settings: Vec<(String, Value)>,
}

/// A search over the settings of a model.
#[derive(Debug)]
pub struct Search {
    space: Space,
    seed: u64,
    method: Method,
    /// Trials at most; of halving, those of the first rung.
    trials: usize,
    /// What was asked for, in order.
    asked: Vec<Asked>,
    /// The scores of the trials before those that are being made, lower is better; none where a trial failed.
    scores: Vec<Option<f64>>,
}

#[derive(Debug)]
enum Method {
    /// These points, in this order.
    Fixed(Vec<Point>),
    Tpe(Tpe),
    Halving(Rungs),
}

/// A trial as the search knows it.
#[derive(Debug, Clone, PartialEq)]
struct Asked {
    point: Point,
    /// How long it takes, where the method says.
    resource: Option<usize>,
}

impl Search {
    /// A search over `spec.parameters`. `longest` is the model's own value of halving's resource.
    ///
    /// # Errors
    /// A range without values, a grid of more than 10,000 combinations, halving that begins above its end.
    pub fn new(spec: &TuneSpec, longest: Option<usize>) -> Result<Self> {
        let space = Space::new(&spec.parameters)?;
        let size = space.size().unwrap_or(usize::MAX);
        let wanted = spec.trials.unwrap_or(TRIALS);
        let (method, trials) = match &spec.method {
            TuneMethod::Grid => {
                let mut points = space.grid()?;
                let trials = spec.trials.unwrap_or(points.len()).min(points.len());
                if trials < points.len() {
                    // A part of a grid in its order would leave the first parameters at their first values.
                    let order = permutation(spec.seed, ORDER_STREAM, points.len() as u32);
                    points = order.iter().take(trials).map(|at| points[*at as usize].clone()).collect();
                }
                (Method::Fixed(points), trials)
            }
            TuneMethod::Random => {
                let trials = wanted.min(size);
                let mut seen = HashSet::new();
                let points = (0..trials).map(|k| fresh(&space, spec.seed, k, &mut seen)).collect();
                (Method::Fixed(points), trials)
            }
            TuneMethod::Tpe(tpe) => (Method::Tpe(Tpe::new(tpe)), wanted.min(size)),
            TuneMethod::Halving(halving) => {
                let longest = longest.ok_or_else(|| Error::Internal("halving without its resource".into()))?;
                let trials = wanted.min(size);
                (Method::Halving(Rungs::new(halving, trials, longest)?), trials)
            }
        };
        Ok(Self { space, seed: spec.seed, method, trials, asked: Vec::new(), scores: Vec::new() })
    }

    /// How many trials there will be at most.
    pub fn trials(&self) -> usize {
        match &self.method {
            Method::Fixed(points) => points.len(),
            Method::Tpe(_) => self.trials,
            Method::Halving(rungs) => rungs.trials(),
        }
    }

    /// The trials of the next batch; none when the search is over.
    pub fn ask(&mut self) -> Vec<Trial> {
        let first = self.scores.len();
        self.asked.truncate(first);
        let batch = self.batch();
        self.asked.extend(batch);
        let resource = match &self.method {
            Method::Halving(rungs) => rungs.resource().to_owned(),
            _ => String::new(),
        };
        let trial = |(number, asked): (usize, &Asked)| {
            let mut settings = self.space.settings(&asked.point);
            settings.extend(asked.resource.map(|units| (resource.clone(), Value::from(units))));
            Trial { number: number + 1, settings }
        };
        self.asked.iter().enumerate().skip(first).map(trial).collect()
    }

    /// The scores of the trials asked for, in their order: lower is better, none for a trial that failed.
    pub fn tell(&mut self, scores: &[Option<f64>]) {
        self.scores.extend(scores.iter().map(|score| score.filter(|score| score.is_finite())));
        self.scores.truncate(self.asked.len());
    }

    fn batch(&self) -> Vec<Asked> {
        let done = self.scores.len();
        let plain = |point: Point| Asked { point, resource: None };
        match &self.method {
            Method::Fixed(points) => points.iter().skip(done).cloned().map(plain).collect(),
            Method::Tpe(tpe) => self.tpe_batch(tpe).into_iter().map(plain).collect(),
            Method::Halving(rungs) => {
                let mut seen = HashSet::new();
                let mut point = |k: usize| fresh(&self.space, self.seed, k, &mut seen);
                let first = |count: usize| (0..count).map(&mut point).collect();
                rungs.next(&self.asked, &self.scores, first)
            }
        }
    }

    fn tpe_batch(&self, tpe: &Tpe) -> Vec<Point> {
        let done = self.scores.len();
        let startup = tpe.startup().min(self.trials);
        let end = if done < startup { startup } else { (done + BATCH).min(self.trials) };
        let mut points: Vec<Point> = self.asked[..done].iter().map(|asked| asked.point.clone()).collect();
        let mut seen: HashSet<Vec<Option<u64>>> = points.iter().map(bits).collect();
        for number in done..end {
            let point = match done < startup {
                true => fresh(&self.space, self.seed, number, &mut seen),
                false => {
                    let stream = Stream::new(self.seed, DRAW_STREAM + 1 + number as u64);
                    let draws =
                        (0..DRAWS_MAX).map(|draw| tpe.suggest(&self.space, &points, &self.scores, stream, draw));
                    first_unseen(draws, &mut seen)
                }
            };
            points.push(point);
        }
        points.split_off(done)
    }
}

/// Point `number` of a search at random, none of those seen where there are others.
fn fresh(space: &Space, seed: u64, number: usize, seen: &mut HashSet<Vec<Option<u64>>>) -> Point {
    let stream = Stream::new(seed, DRAW_STREAM + 1 + number as u64);
    let width = space.parameters.len() as u64;
    first_unseen((0..DRAWS_MAX).map(|draw| space.random(stream, draw * width)), seen)
}

fn first_unseen(draws: impl Iterator<Item = Point>, seen: &mut HashSet<Vec<Option<u64>>>) -> Point {
    let mut last = Point::new();
    for point in draws {
        if seen.insert(bits(&point)) {
            return point;
        }
        last = point;
    }
    last
}

fn bits(point: &Point) -> Vec<Option<u64>> {
    point.iter().map(|x| x.map(f64::to_bits)).collect()
}
