//! Every combination of some values of each dimension.

use crate::random::permutation;
use crate::{Error, Result};

use super::space::Space;

/// Combinations of which some can be drawn.
const COMBINATIONS_MAX: usize = 1 << 20;
/// The random numbers that choose combinations where not all can be tried.
const STREAM: u64 = 0x6772_6964_0000;

/// Points of a grid, by number.
#[derive(Debug, Clone)]
pub(super) struct Grid {
    axes: Vec<Vec<f64>>,
    len: usize,
    /// Where there are more combinations than trials: which ones to try, so that none of the axes is left half seen.
    order: Option<Vec<u32>>,
}

impl Grid {
    pub(super) fn new(space: &Space, points: usize, trials: usize, seed: u64) -> Result<Self> {
        let axes: Vec<Vec<f64>> = space.dimensions.iter().map(|dimension| dimension.kind.grid(points)).collect();
        let product = axes.iter().try_fold(1usize, |product, axis| product.checked_mul(axis.len()));
        let Some(len) = product.filter(|len| *len <= COMBINATIONS_MAX) else {
            return Err(Error::invalid(format!(
                "the grid of tune.space has more than {COMBINATIONS_MAX} combinations; lower tune.strategy.grid.points, or \
                 take random or tpe"
            )));
        };
        let order = (len > trials).then(|| permutation(seed, STREAM, len as u32));
        Ok(Self { axes, len, order })
    }

    /// How many combinations there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The last dimension changes fastest.
    pub(super) fn point(&self, trial: usize) -> Vec<f64> {
        let mut rest = self.order.as_ref().map_or(trial, |order| order[trial] as usize);
        let mut point = Vec::with_capacity(self.axes.len());
        for axis in self.axes.iter().rev() {
            point.push(axis[rest % axis.len()]);
            rest /= axis.len();
        }
        point.reverse();
        point
    }
}
