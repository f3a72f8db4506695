//! A plan on the CPU: forward, backward and the optimiser's step by our own kernels, in memory kept from step to step.

use std::collections::BTreeMap;

use super::room::Room;
use super::{Node, NodeId, Op, Parameter, Plan, Role};
use crate::kernels::{self, Buffer, Moments, Team, Update};
use crate::net::{Batch, Chance, loss_and_gradient};
use crate::{Result, Tensor, Weights};

/// Rows worked on at once where nothing is learned.
const ANSWER_ROWS: usize = 64;
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
        let room = Room::new(&plan, rows.max(ANSWER_ROWS));
        Ok(Self { team: Team::new(threads.clamp(1, THREADS_MAX)), tensors, room, wanted, plan })
    }

    /// Threads that work on a step.
    pub(crate) fn threads(&self) -> usize {
        self.team.threads()
    }

    /// Learns from one batch, as `FusedNet::step`.
    pub(crate) fn step(&mut self, batch: Batch, targets: &[f32], update: &Update, chance: Chance) -> f32 {
        let loss = self.gradients(batch, targets, chance);
        if loss.is_finite() {
            self.apply(update);
        }
        loss
    }

    /// Adds the batch's gradients to what is there, and gives its loss. Where the loss is not finite nothing is added.
    pub(crate) fn gradients(&mut self, batch: Batch, targets: &[f32], chance: Chance) -> f32 {
        self.room.fill(&self.plan, batch);
        self.forward(Some(chance));
        self.logits_to_matrix();
        let loss = loss_and_gradient(self.plan.head, &mut self.room.logits, targets);
        if loss.is_finite() {
            self.backward(chance);
        }
        loss
    }

    /// Moves every learned number by its gradient, which is 0 afterwards.
    pub(crate) fn apply(&mut self, update: &Update) {
        let plain = update.without_decay();
        let Tensors { values, gradients, moments } = &mut self.tensors;
        for (id, parameter) in self.plan.parameters.iter().enumerate().filter(|(_, p)| p.role.is_learned()) {
            let update = if parameter.role == Role::Weight { update } else { &plain };
            kernels::update(update, &mut values[id], &mut gradients[id], &mut moments[id]);
        }
    }

    /// Appends the last layer's outputs `[rows, outputs]` of any number of rows.
    pub(crate) fn logits(&mut self, batch: Batch, out: &mut Vec<f32>) {
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

    /// What the optimiser remembers: first and second moments by the names of the weights; empty where it needs none.
    pub(crate) fn moments(&self) -> [Weights; 2] {
        let moments = |pick: &dyn Fn(&Moments) -> &Buffer| {
            let buffers: Vec<Buffer> = self.tensors.moments.iter().map(|moments| pick(moments).clone()).collect();
            self.export(&buffers)
        };
        [moments(&|moments| &moments.first), moments(&|moments| &moments.second)]
    }

    fn export(&self, buffers: &[Buffer]) -> Weights {
        let tensor = |(buffer, parameter): (&Buffer, &Parameter)| {
            let data = buffer.get(..parameter.len())?.to_vec();
            Some((parameter.name.clone(), Tensor { shape: parameter.shape.clone(), data }))
        };
        let tensors: BTreeMap<_, _> = buffers.iter().zip(&self.plan.parameters).filter_map(tensor).collect();
        Weights { tensors }
    }

    /// Takes over what an optimiser remembered; `moments` as `moments()` gave them.
    pub(crate) fn restore(&mut self, moments: &[Weights; 2]) -> Result<()> {
        for (ours, parameter) in self.tensors.moments.iter_mut().zip(&self.plan.parameters) {
            for (which, kept) in [&mut ours.first, &mut ours.second].into_iter().enumerate() {
                if !kept.is_empty() && !moments[which].tensors.is_empty() {
                    let data = &moments[which].get(&parameter.name)?.data;
                    kept[..data.len()].copy_from_slice(data);
                }
            }
        }
        Ok(())
    }
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
