//! Training of several networks that answer together: one after the other, then how their answers are combined.

use super::{EpochRecord, Flow, TrainEvent, TrainJob, Trained, train};
use crate::net::{Combination, Head, network_answers};
use crate::spec::{Combine, EnsembleSpec, TrainSpec};
use crate::{Error, Result, Weights};

/// Trains the members, each from the same rows and with a checkpoint of its own, and learns from the validation rows how to
/// combine them. Epochs are counted on from member to member.
pub(super) fn train_ensemble(
    job: &TrainJob,
    spec: &EnsembleSpec,
    on: &mut dyn FnMut(&TrainEvent) -> Flow,
) -> Result<Trained> {
    let head = Head::of(job.target, job.train.loss)?;
    // Refuses wrong members before the first is trained.
    crate::net::design(job.net, job.numeric, head)?;
    let held_out = job.validation.encoded.take(&job.validation.rows);
    let truth: Vec<f32> = job.validation.rows.iter().map(|row| job.validation.target[*row as usize]).collect();
    let (mut members, mut answers) = (Vec::new(), Vec::new());
    let (mut history, mut device) = (Vec::new(), String::new());
    for (number, member) in spec.members.iter().enumerate() {
        let own = member.train.as_ref().unwrap_or(job.train);
        let own = TrainSpec { loss: job.train.loss, device: job.train.device.clone(), ..own.clone() };
        let folder = job.checkpoint.map(|folder| folder.join(format!("member-{number}")));
        let member_job = TrainJob {
            numeric: job.numeric,
            target: job.target,
            net: &member.network,
            train: &own,
            training: job.training.clone(),
            validation: job.validation.clone(),
            spool: None,
            checkpoint: folder.as_deref(),
            resume: job.resume,
        };
        let before = history.len();
        let trained = train(member_job, &mut |event| on(&counted_on(event, before)))
            .map_err(|error| error.at(&format!("member {number} of the ensemble")))?;
        history.extend(trained.history.iter().map(|record| later(record, before)));
        device = trained.device;
        if !trained.finished {
            members.push(trained.weights);
            return Ok(unfinished(members, history, device));
        }
        let (net, weights) = (&member.network, &trained.weights);
        answers.push(network_answers(net, job.numeric, job.target, job.train.loss, weights, &held_out)?);
        members.push(trained.weights);
    }
    let combination = Combination::fit(spec.combine, job.target, head.loss, &answers, &truth);
    if !combination.weights.iter().all(|weight| weight.is_finite()) {
        return Err(Error::invalid("the answers of the members cannot be combined: some are no numbers"));
    }
    on(&TrainEvent::Stopped { reason: said(spec.combine, &combination) });
    let weights = Weights::ensemble(members, &combination);
    let parameters = weights.parameters();
    let best_epoch = history.iter().rposition(|record| record.best).map_or(0, |at| at + 1);
    Ok(Trained { weights, history, best_epoch, finished: true, device, parameters })
}

fn said(combine: Combine, combination: &Combination) -> String {
    let weights: Vec<String> = combination.weights.iter().map(|weight| format!("{weight:.2}")).collect();
    let how = match combine {
        Combine::Mean => "their mean",
        Combine::Weighted => "a weighted mean",
        Combine::Stacking => "stacked",
    };
    format!("{} members are combined, {how}: {}", combination.weights.len(), weights.join(", "))
}

/// What is there of an ensemble that was stopped on its way; its weights are none of a whole one.
fn unfinished(members: Vec<Weights>, history: Vec<EpochRecord>, device: String) -> Trained {
    let combination = Combination { weights: vec![0.0; members.len()], bias: 0.0, is_logits: false };
    let weights = Weights::ensemble(members, &combination);
    let parameters = weights.parameters();
    Trained { weights, history, best_epoch: 0, finished: false, device, parameters }
}

/// The event of a member, its epochs counted on from those of the members before.
fn counted_on(event: &TrainEvent, before: usize) -> TrainEvent {
    match event.clone() {
        TrainEvent::Epoch(record) => TrainEvent::Epoch(later(&record, before)),
        event => event,
    }
}

fn later(record: &EpochRecord, before: usize) -> EpochRecord {
    EpochRecord { epoch: record.epoch + before, ..record.clone() }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Setup;
    use super::*;
    use crate::Model;
    use crate::spec::{DenseSpec, GradientBoostingSpec, LinearSpec, MemberSpec, NetSpec};

    fn member(network: NetSpec) -> MemberSpec {
        MemberSpec { network, train: None }
    }

    /// A linear network, two dense ones of other sizes, one of them trained otherwise, and decision trees.
    fn ensemble(setup: &Setup, combine: Combine) -> EnsembleSpec {
        let dense = |hidden: usize| NetSpec::Dense(DenseSpec { hidden: vec![hidden], ..DenseSpec::default() });
        let train = TrainSpec { epochs: 2, seed: 5, ..setup.spec.clone() };
        let longer = MemberSpec { network: dense(12), train: Some(train) };
        let trees = GradientBoostingSpec { trees: 3, min_rows_per_leaf: 2, ..GradientBoostingSpec::default() };
        let linear = member(NetSpec::Linear(LinearSpec {}));
        let members = vec![linear, member(dense(7)), longer, member(NetSpec::GradientBoosting(trees))];
        EnsembleSpec { members, combine }
    }

    fn members(setup: &Setup) -> Vec<NetSpec> {
        ensemble(setup, Combine::Mean).members.into_iter().map(|member| member.network).collect()
    }

    #[test]
    fn the_answers_are_the_combined_answers_of_the_members_also_in_the_onnx_file() {
        for classes in [2, 0] {
            for combine in [Combine::Mean, Combine::Weighted, Combine::Stacking] {
                let mut setup = Setup::busy();
                setup.target = crate::net::tests::target(classes);
                setup.net = NetSpec::Ensemble(ensemble(&setup, combine));
                let trained = setup.train().unwrap();
                let combination = Combination::read(&trained.weights, 4, combine).unwrap();
                let (numeric, target, loss) = (&setup.numeric, &setup.target, setup.spec.loss);
                let alone = |(at, net): (usize, NetSpec)| {
                    let weights = trained.weights.member(at);
                    network_answers(&net, numeric, target, loss, &weights, &setup.encoded).unwrap()
                };
                let answers: Vec<Vec<f32>> = members(&setup).into_iter().enumerate().map(alone).collect();
                let together = setup.learned(&trained);
                assert_eq!(together, combination.apply(target, &answers));
                if combine == Combine::Mean {
                    let mean = |at: usize| answers.iter().map(|answers| answers[at]).sum::<f32>() / 4.0;
                    assert!((0..together.len()).all(|at| (together[at] - mean(at)).abs() < 1e-5));
                }
                let features = crate::model::tests::features(&setup.numeric);
                let onnx = crate::export_onnx(&features, target, &setup.net, loss, &trained.weights, None).unwrap();
                let model = Model::from_parts(features, target.clone(), &onnx).unwrap();
                let difference = model.agreement(&setup.encoded, &together).unwrap();
                assert!(difference < Model::TOLERANCE, "{classes} {combine:?}: {difference}");
            }
        }
    }

    #[test]
    fn members_are_trained_as_alone_and_a_stop_changes_nothing() {
        let mut setup = Setup::busy();
        setup.net = NetSpec::Ensemble(ensemble(&setup, Combine::Weighted));
        let whole = setup.train().unwrap();
        let epochs: Vec<usize> = whole.history.iter().map(|record| record.epoch).collect();
        assert_eq!(epochs, (1..=13).collect::<Vec<_>>(), "4, 4 and 2 epochs, 3 trees");
        let mut alone = Setup::busy();
        alone.net = members(&setup).remove(1);
        assert_eq!(whole.weights.member(1), alone.train().unwrap().weights);
        for stop in [3, 40, 70] {
            let folder = tempfile::tempdir().unwrap();
            let cut = setup.until(folder.path(), false, stop).unwrap();
            assert!(!cut.finished);
            let resumed = setup.until(folder.path(), true, usize::MAX).unwrap();
            assert_eq!(resumed.weights, whole.weights, "stopped at event {stop}");
        }
    }

    #[test]
    fn wrong_ensembles_are_refused_by_the_name_of_the_setting() {
        let refused = |members: Vec<MemberSpec>, expected: &str| {
            let mut setup = Setup::busy();
            setup.net = NetSpec::Ensemble(EnsembleSpec { members, combine: Combine::Mean });
            let message = setup.train().unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        };
        refused(vec![], "network.ensemble has 0 members");
        let inner = EnsembleSpec { members: vec![member(NetSpec::default())], combine: Combine::Mean };
        refused(vec![member(NetSpec::Ensemble(inner))], "members[0] is an ensemble");
        let wrong = DenseSpec { hidden: vec![0], ..DenseSpec::default() };
        let wrong = vec![member(NetSpec::default()), member(NetSpec::Dense(wrong))];
        refused(wrong, "network.ensemble.members[1]: network.dense.hidden[0] is 0");
        let train = TrainSpec { epochs: 0, ..TrainSpec::default() };
        let wrong = vec![MemberSpec { network: NetSpec::default(), train: Some(train) }];
        refused(wrong, "member 0 of the ensemble: ");
    }
}
