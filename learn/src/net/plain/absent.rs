//! Stands for `net::plain` in a build without the feature "burn": a network that cannot be made.

use super::Batch;
use super::device::Accelerator;
use super::fused::Chance;
use super::{Design, Memory, StepRule};
use crate::kernels::Targets;
use crate::spec::Precision;
use crate::{Error, Result, Weights};

/// No network.
#[derive(Debug)]
pub(crate) enum PlainNet {}

impl PlainNet {
    /// Refuses; `check::device` said it in the user's words.
    pub(crate) fn new(_: Accelerator, _: &Design, _: &Weights) -> Result<Self> {
        Err(Error::Internal("this build has no devices of Burn".into()))
    }

    pub(crate) fn device(&self) -> String {
        match *self {}
    }

    pub(crate) fn step(&mut self, _: Batch, _: Targets, _: &StepRule, _: Chance) -> Result<f32> {
        match *self {}
    }

    pub(crate) fn logits(&mut self, _: Batch, _: &mut Vec<f32>) -> Result<()> {
        match *self {}
    }

    pub(crate) fn weights(&self) -> Result<Weights> {
        match *self {}
    }

    pub(crate) fn memory(&self) -> Result<Memory> {
        match *self {}
    }

    pub(crate) fn restore(&mut self, _: &Memory) -> Result<()> {
        match *self {}
    }
}

/// No device.
pub(crate) fn best(_: Precision) -> Option<Accelerator> {
    None
}

/// Refuses, as `PlainNet::new`.
pub(crate) fn check(_: Accelerator) -> Result<()> {
    Err(Error::Internal("this build has no devices of Burn".into()))
}
