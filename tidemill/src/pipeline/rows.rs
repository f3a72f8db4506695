//! The rows of several trainings: collected once, encoded once for each way of preparing them.

use std::sync::{Arc, Mutex, PoisonError};

use crate::config::ModelSpec;
use crate::failure::{Failure, Fault, Result};
use crate::pipeline::prepare::{Fitted, Seen, Set, encode, encode_training, fit};

/// Ways of preparing the rows that are kept.
const KEPT_MAX: usize = 4;

/// Training and validation rows.
pub(super) struct Rows {
    seen: Seen,
    kept: Mutex<Vec<(String, Arc<Encoding>)>>,
}

/// The rows as features that were fitted on the training rows.
pub(super) struct Encoding {
    pub(super) fitted: Fitted,
    pub(super) training: Set,
    pub(super) validation: Set,
}

impl Rows {
    pub(super) fn new(seen: Seen) -> Self {
        Self { seen, kept: Mutex::new(Vec::new()) }
    }

    /// The rows as this model reads them. Whoever asks for the same at the same time waits for it.
    pub(super) fn of(&self, spec: &ModelSpec) -> Result<Arc<Encoding>> {
        let key = serde_json::to_string(&spec.features);
        let key = key.map_err(|e| Failure::new(Fault::Ours, format!("the features as text: {e}")))?;
        let key = format!("{:?} {key}", spec.network.takes());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, found)) = kept.iter().find(|(known, _)| *known == key) {
            return Ok(Arc::clone(found));
        }
        let fitted = fit(spec, self.seen.task, &self.seen.train)?;
        let part = |rows: &[_]| encode(&fitted.features, &fitted.target, rows.to_vec());
        let training = encode_training(&fitted.features, &fitted.target, &self.seen.train)?;
        let validation = part(&self.seen.validation)?;
        let made = Arc::new(Encoding { fitted, training, validation });
        if kept.len() == KEPT_MAX {
            kept.remove(0);
        }
        kept.push((key, Arc::clone(&made)));
        Ok(made)
    }
}

impl Encoding {
    /// Bytes of the features, about.
    pub(super) fn bytes(&self) -> u64 {
        let rows = (self.training.len() + self.validation.len()) as u64;
        let images: usize = [&self.training, &self.validation]
            .iter()
            .flat_map(|set| &set.encoded.images)
            .map(|block| block.pixels.len())
            .sum();
        rows * 4 * (self.fitted.features.columns().len() as u64 + 1) + images as u64
    }
}
