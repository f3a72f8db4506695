//! Which rows does an autoencoder learn from, and what do its errors mean?

use super::{Part, TrainJob};
use crate::error::did_you_mean;
use crate::net::{Batch, Design, Network, Place, calibrate};
use crate::spec::{AutoencoderSpec, NetSpec};
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
        let class = class(job)?;
        let validation = job.validation.rows.clone();
        for (name, part) in [("training", &mut job.training), ("validation", &mut job.validation)] {
            part.rows.retain(|row| part.target[*row as usize] == class);
            if part.rows.is_empty() {
                let label = job.target.label(class as u32).unwrap_or_default();
                return Err(Error::invalid(format!(
                    "network autoencoder learns from rows of the class \"{label}\", but no {name} row is of it; change the \
                     model's split, or name the usual class (network.autoencoder.usual)"
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

/// The number of the usual class: the one that was named, or the one with more training rows.
fn class(job: &TrainJob) -> Result<f32> {
    let Part { target, rows, .. } = &job.training;
    let NetSpec::Autoencoder(AutoencoderSpec { usual: Some(label), .. }) = job.net else {
        let seconds = rows.iter().filter(|row| target[**row as usize] == 1.0).count();
        return Ok(if 2 * seconds > rows.len() { 1.0 } else { 0.0 });
    };
    let known = || job.target.labels.iter().map(String::as_str);
    known().position(|class| class == label).map(|class| class as f32).ok_or_else(|| {
        let labels: Vec<String> = known().map(|label| format!("\"{label}\"")).collect();
        Error::invalid(format!(
            "network.autoencoder.usual is \"{label}\", but target \"{}\" has the classes {}{}",
            job.target.column,
            labels.join(" and "),
            did_you_mean(label, known())
        ))
    })
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
    fn the_usual_class_may_be_the_rarer_one() {
        let mut setup = anomalies(0.0);
        let named = |label: &str| {
            let spec = AutoencoderSpec { hidden: vec![8], code: 1, ..AutoencoderSpec::default() };
            NetSpec::Autoencoder(AutoencoderSpec { usual: Some(label.into()), ..spec })
        };
        setup.net = named("class 1");
        assert_eq!(super::class(&setup.job(None, false)).unwrap(), 1.0);
        setup.net = named("class1");
        let message = setup.train().unwrap_err().to_string();
        assert!(message.contains("has the classes \"class 0\" and \"class 1\"; did you mean"), "{message}");
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
