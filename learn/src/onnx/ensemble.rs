//! The nodes of an ensemble: those of its members, then their sum.

use super::graph::{Graph, Value, int};
use super::numeric::Inputs;
use crate::net::{Combination, Ensemble};
use crate::{Error, Result, Target, Task, Weights};

/// Adds the nodes of all members that count; gives the combined answers `[batch, classes]` or `[batch]`.
pub(super) fn write(
    graph: &mut Graph,
    inputs: &Inputs,
    ensemble: &Ensemble,
    weights: &Weights,
    target: &Target,
) -> Result<Value> {
    let combination = Combination::read(weights, ensemble.members.len(), ensemble.combine)?;
    let mut sum: Option<Value> = None;
    let count = ensemble.members.iter().zip(&combination.weights).enumerate();
    for (at, (member, weight)) in count.filter(|(_, (_, weight))| **weight != 0.0) {
        let answers = super::write_design(graph, inputs, member, &weights.member(at), target)?;
        let weight = graph.floats("/member_weight", &[], &[*weight]);
        let part = graph.node("Mul", &[&answers, &weight]);
        sum = Some(match sum {
            None => part,
            Some(sum) => graph.node("Add", &[&sum, &part]),
        });
    }
    let sum = sum.ok_or_else(|| Error::invalid("no member of the ensemble counts; take combine: mean"))?;
    Ok(match target.task {
        Task::Regression => {
            let bias = graph.floats("/bias", &[], &[combination.bias]);
            graph.node("Add", &[&sum, &bias])
        }
        _ if combination.is_logits => graph.node_with("Softmax", &[&sum], vec![int("axis", 1)]),
        _ => sum,
    })
}
