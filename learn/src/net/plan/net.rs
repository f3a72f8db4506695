//! A plan on the CPU: forward, backward and the optimiser's step by our own kernels, in memory kept from step to step.

use std::collections::BTreeMap;

use super::room::Room;
use super::{Node, NodeId, Op, Parameter, Plan, Role};
use crate::kernels::{self, Buffer, Moments, Targets, Team, Update};
use crate::net::{Batch, Chance, Memory, StepRule, loss_and_gradient};
use crate::{Result, Tensor, Weights};

/// Rows worked on at once where nothing is learned.
const ANSWER_ROWS: usize = 64;
/// Numbers of all values of those rows, 256 MiB, where a row of a large network has many.
const ANSWER_NUMBERS: usize = 1 << 26;
/// More threads than this wait for one another longer than they work.
const THREADS_MAX: usize = 32;

/// A network with all it needs to learn.
#[derive(Debug)]
pub(crate) struct PlanNet {
    pub(super) plan: Plan,
    pub(super) team: Team,
    pub(super) tensors: Tensors,
    pub(super) room: Room,
    /// Per node whether something before it is learned, so that its gradient is wanted.
    pub(super) wanted: Vec<bool>,
    /// Whether the gradients are those of a step that has not all its batches yet.
    pub(super) pending: bool,
}

/// The parameters at work, each by its place in the plan.
#[derive(Debug)]
pub(super) struct Tensors {
    pub(super) values: Vec<Buffer>,
    /// 0 between steps; empty where no step wants one.
    pub(super) gradients: Vec<Buffer>,
    moments: Vec<Moments>,
}

impl PlanNet {
    /// A network with these weights that learns up to `rows` rows at a time by steps of the kind of `update`.
    pub(crate) fn new(plan: Plan, weights: &Weights, rows: usize, update: &Update, threads: usize) -> Result<Self> {
        crate::net::check_weights(&plan.shapes(), weights)?;
        let wanted = wanted(&plan);
        let mut tensors = Tensors { values: vec![], gradients: vec![], moments: vec![] };
        for parameter in &plan.parameters {
            let data = &weights.get(&parameter.name)?.data;
            let mut value = Buffer::zeros(data.len());
            value[..data.len()].copy_from_slice(data);
            tensors.values.push(value);
            tensors.gradients.push(Buffer::default());
            let learned = if parameter.role.is_learned() { data.len() } else { 0 };
            tensors.moments.push(Moments::zeros(update, learned));
        }
        for (node, _) in plan.nodes.iter().zip(&wanted).filter(|(_, wanted)| **wanted) {
            // A frozen tensor beside a learned one gets a gradient that nobody reads.
            for id in parameters(&node.op) {
                tensors.gradients[id] = Buffer::zeros(plan.parameters[id].len());
            }
        }
        let per_row: usize = plan.nodes.iter().map(|node| node.size(usize::MAX)).sum();
        let room = Room::new(&plan, rows.max(ANSWER_ROWS.min((ANSWER_NUMBERS / per_row.max(1)).max(1))));
        let team = Team::new(threads.clamp(1, THREADS_MAX));
        Ok(Self { team, tensors, room, wanted, plan, pending: false })
    }

    /// Threads that work on a step.
    pub(crate) fn threads(&self) -> usize {
        self.team.threads()
    }

    /// Learns from one batch, as `FusedNet::step`, by the whole rule.
    pub(crate) fn step(&mut self, batch: Batch, targets: Targets, rule: &StepRule, chance: Chance) -> f32 {
        let _small = kernels::FlushDenormals::new();
        self.room.fill(&self.plan, batch);
        self.forward(Some(chance));
        self.logits_to_matrix();
        let loss = loss_and_gradient(self.plan.head, &mut self.room.logits, targets);
        if !loss.is_finite() {
            return loss;
        }
        if rule.share != 1.0 {
            kernels::scale(&mut self.room.logits.data, rule.share);
        }
        self.backward(chance);
        self.pending = !rule.steps;
        if rule.steps {
            self.clip(rule);
            self.apply(&rule.update);
        }
        loss
    }

    fn clip(&mut self, rule: &StepRule) {
        let learned = self.plan.parameters.iter().zip(&mut self.tensors.gradients);
        let mut gradients: Vec<&mut [f32]> = learned
            .filter(|(parameter, _)| parameter.role.is_learned())
            .map(|(_, gradient)| &mut gradient[..])
            .collect();
        rule.clip(&mut gradients);
    }

    /// Moves every learned number by its gradient, which is 0 afterwards.
    fn apply(&mut self, update: &Update) {
        let plain = update.without_decay();
        let Self { team, tensors: Tensors { values, gradients, moments }, .. } = self;
        for (id, parameter) in self.plan.parameters.iter().enumerate().filter(|(_, p)| p.role.is_learned()) {
            let update = if parameter.role == Role::Weight { update } else { &plain };
            kernels::update_on(team, update, &mut values[id], &mut gradients[id], &mut moments[id]);
        }
    }

    /// Appends the last layer's outputs `[rows, outputs]` of any number of rows.
    pub(crate) fn logits(&mut self, batch: Batch, out: &mut Vec<f32>) {
        let _small = kernels::FlushDenormals::new();
        for rows in batch.rows.chunks(self.room.rows) {
            self.room.fill(&self.plan, Batch { rows, ..batch });
            self.forward(None);
            if let Some(last) = self.room.values.last() {
                out.extend_from_slice(&last[..rows.len() * self.plan.head.outputs]);
            }
        }
    }

    /// The last node's outputs to where the loss reads them.
    fn logits_to_matrix(&mut self) {
        let Room { logits, values, count, .. } = &mut self.room;
        if let Some(last) = values.last() {
            let outputs = self.plan.head.outputs;
            (0..*count).for_each(|row| logits.row_mut(row).copy_from_slice(&last[row * outputs..][..outputs]));
        }
    }

    /// The learned numbers and the statistics.
    pub(crate) fn weights(&self) -> Weights {
        self.export(&self.tensors.values)
    }

    /// What is kept beside the weights.
    pub(crate) fn memory(&self) -> Memory {
        let moments = |which: usize| {
            let kept = self.tensors.moments.iter().map(|moments| moments.all()[which].clone());
            self.export(&kept.collect::<Vec<_>>())
        };
        let gradients = if self.pending { self.export(&self.tensors.gradients) } else { Weights::default() };
        [moments(0), moments(1), moments(2), gradients]
    }

    fn export(&self, buffers: &[Buffer]) -> Weights {
        let tensor = |(buffer, parameter): (&Buffer, &Parameter)| {
            let data = buffer.get(..parameter.len())?.to_vec();
            Some((parameter.name.clone(), Tensor { shape: parameter.shape.clone(), data }))
        };
        let tensors: BTreeMap<_, _> = buffers.iter().zip(&self.plan.parameters).filter_map(tensor).collect();
        Weights { tensors }
    }

    /// Takes over what was kept beside the weights, as `memory()` gave it.
    pub(crate) fn restore(&mut self, memory: &Memory) -> Result<()> {
        let [moments @ .., gradients] = memory;
        let Tensors { moments: ours, gradients: sums, .. } = &mut self.tensors;
        for ((ours, sum), parameter) in ours.iter_mut().zip(sums).zip(&self.plan.parameters) {
            for (kept, from) in ours.all_mut().into_iter().zip(moments) {
                take_over(kept, from, &parameter.name)?;
            }
            take_over(sum, gradients, &parameter.name)?;
        }
        self.pending = !gradients.tensors.is_empty();
        Ok(())
    }
}

fn take_over(ours: &mut Buffer, from: &Weights, name: &str) -> Result<()> {
    if !ours.is_empty() && !from.tensors.is_empty() {
        let data = &from.get(name)?.data;
        ours[..data.len()].copy_from_slice(data);
    }
    Ok(())
}

/// Which nodes' gradients lead to something that is learned.
fn wanted(plan: &Plan) -> Vec<bool> {
    let mut wanted: Vec<bool> = Vec::with_capacity(plan.nodes.len());
    for node in &plan.nodes {
        let learns = parameters(&node.op).iter().any(|&parameter| plan.parameters[parameter].role.is_learned());
        wanted.push(learns || node.inputs.iter().any(|&input| wanted[input]));
    }
    wanted
}

/// The parameters an operation reads.
pub(super) fn parameters(op: &Op) -> Vec<usize> {
    match *op {
        Op::Embedding { table } | Op::Positions { table } => vec![table],
        Op::Linear { weight, bias, .. } => vec![weight, bias],
        Op::Conv { weight, bias, .. } => std::iter::once(weight).chain(bias).collect(),
        Op::BatchNorm { gain, bias, .. } | Op::LayerNorm { gain, bias, .. } => vec![gain, bias],
        Op::Recurrent { input, recurrent, bias, .. } => vec![input, recurrent, bias],
        _ => Vec::new(),
    }
}

/// Where the tokens of a sequence's rows are named: the last input of nodes that read them.
pub(super) fn tokens_of(node: &Node) -> Option<NodeId> {
    node.inputs.get(1).copied()
}
