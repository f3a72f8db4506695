//! Which rows does an autoencoder learn from, and what do its errors mean?

use super::{Part, TrainJob};
use crate::net::{Batch, Design, Network, Place, calibrate};
use crate::{Error, Result, Weights};

/// The rows of the class that has more training rows, and all validation rows, by which errors become probabilities.
#[derive(Debug)]
pub(super) struct Usual {
    class: f32,
    validation: Vec<u32>,
}

impl Usual {
    /// Leaves only the usual rows in the job's parts.
    pub(super) fn keep(job: &mut TrainJob) -> Result<Self> {
        let classes = |part: &Part| part.rows.iter().map(|row| part.target[*row as usize]).collect::<Vec<f32>>();
        let training = classes(&job.training);
        let seconds = training.iter().filter(|class| **class == 1.0).count();
        let class = if 2 * seconds > training.len() { 1.0 } else { 0.0 };
        let validation = job.validation.rows.clone();
        for (name, part) in [("training", &mut job.training), ("validation", &mut job.validation)] {
            part.rows.retain(|row| part.target[*row as usize] == class);
            if part.rows.is_empty() {
                let label = job.target.label(class as u32).unwrap_or_default();
                return Err(Error::invalid(format!(
                    "network autoencoder learns from rows of the class \"{label}\", which has more training rows, but no \
                     {name} row is of it; change the model's split"
                )));
            }
        }
        Ok(Self { class, validation })
    }

    /// Fits the last step from error to answer.
    pub(super) fn calibrate(&self, job: &TrainJob, design: &Design, weights: &mut Weights) -> Result<()> {
        let still = crate::kernels::Update::NONE.into();
        let mut net = Network::new(Place::Cpu, (design, job.numeric), weights, &Default::default(), 1, &still)?;
        let mut scores = Vec::with_capacity(self.validation.len());
        let batch = Batch { numeric: job.numeric, encoded: job.validation.encoded, rows: &self.validation };
        net.logits(batch, &mut scores)?;
        let classes: Vec<f32> = self.validation.iter().map(|row| job.validation.target[*row as usize]).collect();
        calibrate(weights, &scores, &classes, self.class);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Setup, essence};
    use crate::features::{CategoryInput, EmbeddedColumn};
    use crate::net::tests::target;
    use crate::spec::*;

    /// Rows on a line through space, and in every ninth place one beside it.
    fn anomalies(usual: f32) -> Setup {
        let rows = 450;
        let at = |row: usize| (row * 37 % 101) as f32 / 25.0 - 2.0;
        let beside = |row: usize| if row % 9 == 4 { 1.5 } else { 0.0 };
        let numbers =
            (0..rows).flat_map(|row| [at(row), 0.5 * at(row) + beside(row), -at(row), beside(row) - at(row)]).collect();
        let answers = (0..rows).map(|row| if row % 9 == 4 { 1.0 - usual } else { usual }).collect();
        let mut setup = Setup::new(4, numbers, answers, 2);
        setup.net = NetSpec::Autoencoder(AutoencoderSpec { hidden: vec![8], code: 1, ..AutoencoderSpec::default() });
        let optimizer = Optimizer::Adam(AdamSpec { learning_rate: 0.02, ..AdamSpec::default() });
        setup.spec = TrainSpec { epochs: 30, optimizer, ..setup.spec };
        setup
    }

    #[test]
    fn an_autoencoder_finds_what_is_unlike_the_rows_it_learned_from() {
        for usual in [0.0, 1.0] {
            let setup = anomalies(usual);
            let trained = setup.train().unwrap();
            assert_eq!(trained.history[0].metric, "loss");
            let answers = setup.learned(&trained);
            let wrong = (0..450).filter(|row| (answers[row * 2 + 1] > 0.5) != (setup.answers[*row] > 0.5)).count();
            assert!(wrong <= 5, "{wrong} of 450 wrong, usual {usual}");
            let unusual: Vec<u32> = setup.validation.iter().copied().filter(|row| row % 9 == 4).collect();
            let of_usual = unusual.iter().map(|row| answers[*row as usize * 2 + usual as usize]).sum::<f32>();
            assert!(of_usual < 0.2 * unusual.len() as f32, "{of_usual} for {} rows", unusual.len());
        }
    }

    #[test]
    fn an_autoencoder_goes_on_from_its_checkpoint() {
        let setup = anomalies(0.0);
        let whole = essence(&setup.train().unwrap());
        let folder = tempfile::tempdir().unwrap();
        assert!(!setup.until(folder.path(), false, 40).unwrap().finished);
        assert_eq!(essence(&setup.until(folder.path(), true, usize::MAX).unwrap()), whole);
    }

    #[test]
    fn an_autoencoder_says_what_it_cannot_learn_from() {
        let refused = |setup: &Setup, expected: &str| {
            let message = setup.train().unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        };
        let mut setup = anomalies(0.0);
        setup.target = target(0);
        refused(&setup, "its target needs two classes");
        let mut setup = anomalies(0.0);
        setup.spec.loss = Loss::MeanSquaredError;
        refused(&setup, "leave out train.loss");
        let mut setup = anomalies(0.0);
        setup.spec.early_stopping.metric = WatchedMetric::Auc;
        refused(&setup, "metric is auc, but target \"answer\" is not looked at while an autoencoder learns");
        let mut setup = anomalies(0.0);
        setup.validation.retain(|row| row % 9 == 4);
        refused(&setup, "no validation row is of it");
        let mut setup = anomalies(0.0);
        let column = EmbeddedColumn { name: "kind".into(), cardinality: 5, dimension: 3 };
        setup.numeric.categories = vec![CategoryInput::Embedding(column)];
        setup.encoded.codes = vec![0; 450];
        refused(&setup, "features.columns.kind.category.encode to one_hot");
    }
}
