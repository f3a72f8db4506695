//! Every operation's way back: from the gradient of its value to those of its inputs and parameters.

use super::forward::Work;
use super::net::{PlanNet, Tensors, parameters};
use super::room::{Kept, Room};
use super::shapes::take;
use super::{Op, Pick};
use crate::kernels::{self, AttentionDropout, AttentionInput, Buffer, Gate, LinearGradients, RecurrentGradients, Team};
use crate::net::Chance;

impl PlanNet {
    /// Adds the gradients of all parameters, from that of the logits.
    pub(super) fn backward(&mut self, chance: Chance) {
        let Self { plan, team, tensors, room, wanted, pending } = self;
        let last = plan.nodes.len() - 1;
        let outputs = plan.head.outputs;
        let mut gradient = room.borrow(room.count * outputs);
        for row in 0..room.count {
            gradient[row * outputs..][..outputs].copy_from_slice(room.logits.row(row));
        }
        room.gradients[last] = Some(gradient);
        for (id, node) in plan.nodes.iter().enumerate().rev() {
            let Some(mut gradient) = room.gradients[id].take() else { continue };
            let work =
                Work { plan, id, node, rows: room.count, length: room.length, chance: Some(chance), pending: *pending };
            let wants: Vec<bool> = node.inputs.iter().map(|&input| wanted[input]).collect();
            work.backward(team, tensors, room, &mut gradient, &wants);
            room.give_back(gradient);
        }
    }
}

impl Work<'_> {
    /// From `gradient`, that of this node's value, which is changed on the way.
    fn backward(&self, team: &mut Team, tensors: &mut Tensors, room: &mut Room, gradient: &mut Buffer, wants: &[bool]) {
        let used = self.used(self.node);
        let Some(&first) = self.node.inputs.first() else { return };
        let wanted = wants.first().is_some_and(|wanted| *wanted);
        match &self.node.op {
            Op::Embedding { table } => {
                let codes = &room.codes[first][..self.used(self.source())];
                let width = self.node.width();
                if self.node.timed {
                    super::forward::forget_padding(codes, width, &mut gradient[..used]);
                }
                kernels::scatter_add(team, &gradient[..used], codes, width, &mut tensors.gradients[*table]);
            }
            Op::Positions { table } => {
                let numbers = self.node.size(self.length);
                kernels::add_columns(team, &gradient[..used], &mut tensors.gradients[*table][..numbers]);
                self.pass(room, gradient, wanted);
            }
            Op::Add(activation) => {
                if let Some(activation) = activation {
                    let out = &room.values[self.id][..used];
                    team.split(team.threads(), &mut gradient[..used], 1, &|start, part| {
                        kernels::gradient(*activation, &out[start..][..part.len()], part);
                    });
                }
                for (&input, _) in self.node.inputs.iter().zip(wants).filter(|(_, wanted)| **wanted) {
                    self.give(room, input, |to| to.copy_from_slice(&gradient[..used]));
                }
            }
            Op::Concat => {
                let mut at = 0;
                for (&input, &wanted) in self.node.inputs.iter().zip(wants) {
                    let (width, whole) = (self.plan.nodes[input].width(), self.node.width());
                    if wanted {
                        self.give(room, input, |to| take(&gradient[..used], at, whole, to, width));
                    }
                    at += width;
                }
            }
            Op::Reshape => self.pass(room, gradient, wanted),
            Op::LayerNorm { gain, bias, .. } => {
                let Room { values, kept, .. } = room;
                if let Kept::LayerNorm(norm) = &mut kept[self.id] {
                    let input = &values[first][..used];
                    let value = self.value(&tensors.values, *gain);
                    let [gain, bias] = self.parts(&mut tensors.gradients, [*gain, *bias]);
                    norm.backward(team, input, value, &mut gradient[..used], gain, bias);
                }
                self.pass(room, gradient, wanted);
            }
            Op::Dropout(_) | Op::Activate(_) => {
                let Room { values, kept, .. } = room;
                match (&self.node.op, &kept[self.id]) {
                    (_, Kept::Mask(mask) | Kept::Slopes(mask)) => {
                        kernels::multiply(&mut gradient[..used], &mask[..used]);
                    }
                    (Op::Activate(activation), _) => {
                        kernels::gradient(*activation, &values[self.id][..used], &mut gradient[..used]);
                    }
                    _ => {}
                }
                self.pass(room, gradient, wanted);
            }
            _ => self.layer_backward(team, tensors, room, gradient, wanted),
        }
    }

    /// Operations that write the gradient of their one input anew.
    fn layer_backward(
        &self,
        team: &mut Team,
        tensors: &mut Tensors,
        room: &mut Room,
        gradient: &mut Buffer,
        wanted: bool,
    ) {
        let first = self.node.inputs[0];
        let (used, taken) = (self.used(self.node), self.used(self.source()));
        let mut back = room.borrow(taken);
        let earlier = self.earlier(tensors);
        let gradient = &mut gradient[..used];
        let Room { values, lengths, kept, .. } = room;
        // Of an embedding there is no value, and nobody asks for its gradient.
        let (input, out) = (values[first].get(..taken).unwrap_or_default(), &values[self.id][..used]);
        let mut to = wanted.then_some(&mut back[..taken]);
        match (&self.node.op, &mut kept[self.id]) {
            (Op::Linear { weight, bias, activation }, kept) => {
                let kept = match kept {
                    Kept::Slopes(slopes) => &slopes[..used],
                    _ => out,
                };
                let value = self.value(&tensors.values, *weight);
                let [weight, bias] = self.parts(&mut tensors.gradients, [*weight, *bias]);
                let to = LinearGradients { weight, bias, x: to.take() };
                kernels::linear_backward(team, self.layer(*activation), input, value, kept, gradient, to);
            }
            (Op::Conv { window, weight, bias, groups, activation }, Kept::Conv(scratch)) => {
                let shape = self.picture(window, *groups);
                if let Some(activation) = activation {
                    team.split(team.threads(), gradient, 1, &|start, part| {
                        kernels::gradient(*activation, &out[start..][..part.len()], part);
                    });
                }
                let value = self.value(&tensors.values, *weight);
                let (weight, bias) = match bias {
                    Some(bias) => {
                        let [weight, bias] = self.parts(&mut tensors.gradients, [*weight, *bias]);
                        (weight, bias)
                    }
                    None => {
                        let [weight] = self.parts(&mut tensors.gradients, [*weight]);
                        (weight, &mut [][..])
                    }
                };
                kernels::conv_gradient(team, self.rows, &shape, input, gradient, weight, bias, scratch);
                if let Some(to) = to.take() {
                    kernels::conv_backward(team, self.rows, &shape, gradient, value, to, scratch);
                }
            }
            (Op::MaxPool(window), Kept::Places(places)) => {
                if let Some(to) = to.take() {
                    kernels::max_pool_backward(team, self.rows, &self.pool(window), gradient, &places[..used], to);
                }
            }
            (&Op::BatchNorm { gain, bias, activation, .. }, Kept::BatchNorm(norm)) => {
                let gate = if activation.is_some() { Gate::Input } else { Gate::Open };
                let [gain, bias] = self.parts(&mut tensors.gradients, [gain, bias]);
                kernels::batch_norm_backward(team, input, gradient, gate, &mut back[..taken], gain, bias, norm);
            }
            (&Op::Recurrent { input: weight, recurrent, bias, .. }, Kept::Recurrent(layer)) => {
                let to = to.take().map(|to| {
                    to.fill(0.0);
                    to
                });
                let [input, hidden, bias] = self.parts(&mut tensors.gradients, [weight, recurrent, bias]);
                let gradients = RecurrentGradients { input, hidden, bias };
                layer.backward(team, self.rows, (gradient, self.node.width()), to, gradients);
            }
            (Op::Attention { dropout, .. }, Kept::Attention(attention)) => {
                let valid = self.steps(lengths).lengths;
                let dropout = self.chance(*dropout).map(|key| AttentionDropout { key, share: f64::from(*dropout) });
                if let Some(to) = to.take() {
                    attention.backward(team, AttentionInput { qkv: input, valid, dropout }, gradient, to);
                }
            }
            (op, kept) => {
                let (steps, Some(to)) = (self.steps(lengths), to.take()) else { return };
                match (op, kept) {
                    (Op::Mean, _) if steps.lengths.is_none() => {
                        kernels::global_average_backward(team, self.rows, steps.width, gradient, to);
                    }
                    (Op::Mean, _) => steps.mean_back(gradient, to),
                    (Op::Max, Kept::Places(places)) => steps.max_back(gradient, places, to),
                    (Op::Pick(which), _) => steps.pick_back(*which == Pick::Last, gradient, to),
                    (Op::Turn, _) => steps.turn(gradient, to),
                    _ => {}
                }
            }
        }
        for (id, earlier) in earlier {
            tensors.gradients[id].iter_mut().zip(earlier.iter()).for_each(|(sum, x)| *sum += x);
        }
        match wanted {
            true => self.merge(room, first, back),
            false => room.give_back(back),
        }
    }

    /// The gradients of earlier batches that this node's kernels would write over.
    fn earlier(&self, tensors: &Tensors) -> Vec<(usize, Buffer)> {
        match self.node.op {
            Op::Conv { .. } | Op::BatchNorm { .. } if self.pending => {
                parameters(&self.node.op).into_iter().map(|id| (id, tensors.gradients[id].clone())).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Hands this node's gradient on as that of its first input.
    fn pass(&self, room: &mut Room, gradient: &mut Buffer, wanted: bool) {
        if wanted {
            let back = std::mem::take(gradient);
            self.merge(room, self.node.inputs[0], back);
        }
    }

    /// Gives an input a gradient that `write` writes.
    fn give(&self, room: &mut Room, input: usize, write: impl FnOnce(&mut [f32])) {
        let used = self.used(&self.plan.nodes[input]);
        let mut back = room.borrow(used);
        write(&mut back[..used]);
        self.merge(room, input, back);
    }

    /// Gives an input a gradient; one that is there already is added to.
    fn merge(&self, room: &mut Room, input: usize, back: Buffer) {
        match &mut room.gradients[input] {
            Some(there) => {
                let used = self.rows * self.plan.nodes[input].size(self.length);
                there[..used].iter_mut().zip(&back[..used]).for_each(|(sum, x)| *sum += x);
                room.give_back(back);
            }
            none => *none = Some(back),
        }
    }
}
