//! Every operation's way back: from the gradient of its value to those of its inputs and parameters.

use super::forward::Work;
use super::net::{PlanNet, Tensors, parameters};
use super::room::{Kept, Room};
use super::shapes::take;
use super::{Op, Pick};
use crate::kernels::{self, Buffer, LinearGradients, RecurrentGradients, Team};
use crate::net::Chance;
use crate::spec::Activation;

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

/// A layer's way back.
struct Pass<'p> {
    input: &'p [f32],
    out: &'p [f32],
    /// Of the output; changed on the way.
    gradient: &'p mut [f32],
    /// Of the input, to be written.
    back: &'p mut [f32],
    /// Whether somebody will read it.
    wanted: bool,
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
                self.pass(team, room, gradient, wanted);
            }
            Op::Add(activation) => self.sum_backward(team, room, *activation, gradient, wants),
            Op::Concat => {
                let mut at = 0;
                for (&input, &wanted) in self.node.inputs.iter().zip(wants) {
                    let (width, whole) = (self.plan.nodes[input].width(), self.node.width());
                    if wanted {
                        let numbers = self.used(&self.plan.nodes[input]);
                        let mut back = room.borrow(numbers);
                        take(&gradient[..used], at, whole, &mut back[..numbers], width);
                        self.merge(team, room, input, back);
                    }
                    at += width;
                }
            }
            Op::Reshape => self.pass(team, room, gradient, wanted),
            Op::LayerNorm { gain, bias, .. } => {
                let Room { values, kept, .. } = room;
                if let Kept::LayerNorm(norm) = &mut kept[self.id] {
                    let input = &values[first][..used];
                    let value = self.value(&tensors.values, *gain);
                    let [gain, bias] = self.parts(&mut tensors.gradients, [*gain, *bias]);
                    norm.backward(team, input, value, &mut gradient[..used], gain, bias);
                }
                self.pass(team, room, gradient, wanted);
            }
            Op::Reconstruction { scale, .. } => {
                let scale = self.value(&tensors.values, *scale)[0];
                self.reconstruction_backward(team, room, scale, &gradient[..used], wants);
            }
            Op::Dropout(_) | Op::Activate(_) => {
                let Room { values, kept, .. } = room;
                match (&self.node.op, &kept[self.id]) {
                    (_, Kept::Mask(mask) | Kept::Slopes(mask)) => {
                        kernels::multiply_on(team, &mut gradient[..used], &mask[..used]);
                    }
                    (Op::Activate(activation), _) => {
                        kernels::gradient(*activation, &values[self.id][..used], &mut gradient[..used]);
                    }
                    _ => {}
                }
                self.pass(team, room, gradient, wanted);
            }
            _ => self.layer_backward(team, tensors, room, gradient, wanted),
        }
    }

    /// Of a sum: every input gets the gradient, the first one the numbers themselves.
    fn sum_backward(
        &self,
        team: &mut Team,
        room: &mut Room,
        activation: Option<Activation>,
        gradient: &mut Buffer,
        wants: &[bool],
    ) {
        let used = self.used(self.node);
        if let Some(activation) = activation {
            activation_back(team, activation, &room.values[self.id][..used], &mut gradient[..used]);
        }
        let wanting = || self.node.inputs.iter().zip(wants).filter(|(_, wanted)| **wanted).map(|(&input, _)| input);
        for input in wanting().skip(1) {
            let mut back = room.borrow(used);
            kernels::copy(team, &gradient[..used], &mut back[..used]);
            self.merge(team, room, input, back);
        }
        if let Some(input) = wanting().next() {
            self.merge(team, room, input, std::mem::take(gradient));
        }
    }

    /// Of a reconstruction: both inputs move towards one another.
    fn reconstruction_backward(&self, team: &mut Team, room: &mut Room, scale: f32, gradient: &[f32], wants: &[bool]) {
        let [given, back] = [self.node.inputs[0], self.node.inputs[1]];
        let taken = self.used(self.source());
        for (input, other, wanted) in [(given, back, wants[0]), (back, given, wants[1])] {
            if wanted {
                let mut to = room.borrow(taken);
                let [near, far] = [input, other].map(|id| &room.values[id][..taken]);
                kernels::reconstruction_backward(far, near, scale, gradient, &mut to[..taken]);
                self.merge(team, room, input, to);
            }
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
        let Room { values, lengths, kept, .. } = room;
        let pass = Pass {
            // Of an embedding there is no value, and nobody asks for its gradient.
            input: values[first].get(..taken).unwrap_or_default(),
            out: &values[self.id][..used],
            gradient: &mut gradient[..used],
            back: &mut back[..taken],
            wanted,
        };
        let steps = self.steps(lengths);
        match (&self.node.op, &mut kept[self.id]) {
            (Op::Mean, _) if steps.lengths.is_none() => {
                kernels::global_average_backward(team, self.rows, steps.width, pass.gradient, pass.back);
            }
            (Op::Mean, _) => steps.mean_back(pass.gradient, pass.back),
            (Op::Max, Kept::Places(places)) => steps.max_back(pass.gradient, places, pass.back),
            (Op::Pick(which), _) => steps.pick_back(*which == Pick::Last, pass.gradient, pass.back),
            (Op::Turn, _) => steps.turn(pass.gradient, pass.back),
            (Op::MaxPool(window), Kept::Places(places)) => {
                let (shape, places) = (self.pool(window), &places[..used]);
                kernels::max_pool_backward(team, self.rows, &shape, pass.gradient, places, pass.back);
            }
            (Op::Attention { dropout, .. }, Kept::Attention(attention)) => {
                let input = self.attention_input(pass.input, steps.lengths, *dropout);
                attention.backward(team, input, pass.gradient, pass.back);
            }
            (_, kept) => self.weights_backward(team, tensors, kept, pass),
        }
        for (id, earlier) in earlier {
            tensors.gradients[id].iter_mut().zip(earlier.iter()).for_each(|(sum, x)| *sum += x);
        }
        match wanted {
            true => self.merge(team, room, first, back),
            false => room.give_back(back),
        }
    }

    /// Layers with weights.
    fn weights_backward(&self, team: &mut Team, tensors: &mut Tensors, kept: &mut Kept, pass: Pass) {
        let Pass { input, out, gradient, back, wanted } = pass;
        match (&self.node.op, kept) {
            (Op::Linear { weight, bias, activation }, kept) => {
                let kept = match kept {
                    Kept::Slopes(slopes) => &slopes[..out.len()],
                    _ => out,
                };
                let value = self.value(&tensors.values, *weight);
                let [weight, bias] = self.parts(&mut tensors.gradients, [*weight, *bias]);
                let to = LinearGradients { weight, bias, x: wanted.then_some(back) };
                kernels::linear_backward(team, self.layer(*activation), input, value, kept, gradient, to);
            }
            (Op::Conv { window, weight, bias, groups, activation }, Kept::Conv(scratch)) => {
                let shape = self.picture(window, *groups);
                if let Some(activation) = activation {
                    activation_back(team, *activation, out, gradient);
                }
                let value = self.value(&tensors.values, *weight);
                let all = &mut tensors.gradients;
                let (weight, bias) = match bias {
                    Some(bias) => <(&mut [f32], &mut [f32])>::from(self.parts(all, [*weight, *bias])),
                    None => {
                        let [weight] = self.parts(all, [*weight]);
                        (weight, &mut [][..])
                    }
                };
                kernels::conv_gradient(team, self.rows, &shape, input, gradient, weight, bias, scratch);
                if wanted {
                    kernels::conv_backward(team, self.rows, &shape, gradient, value, back, scratch);
                }
            }
            (&Op::BatchNorm { gain, statistics: [_, variance], epsilon, activation, .. }, _)
                if self.is_frozen(gain) =>
            {
                let [gain, variance] = [gain, variance].map(|id| self.value(&tensors.values, id));
                let scales: Vec<f32> = gain.iter().zip(variance).map(|(g, v)| g / (v + epsilon).sqrt()).collect();
                let rows = back.chunks_exact_mut(scales.len()).zip(gradient.chunks_exact(scales.len()));
                for ((back, gradient), out) in rows.zip(out.chunks_exact(scales.len())) {
                    for (n, scale) in scales.iter().enumerate() {
                        let open = activation.is_none() || out[n] > 0.0;
                        back[n] = if open { gradient[n] * scale } else { 0.0 };
                    }
                }
            }
            (&Op::BatchNorm { gain, bias, activation, .. }, Kept::BatchNorm(norm)) => {
                let [gain, bias] = self.parts(&mut tensors.gradients, [gain, bias]);
                kernels::batch_norm_backward(team, input, gradient, activation.is_some(), back, gain, bias, norm);
            }
            (&Op::Recurrent { input: weight, recurrent, bias, .. }, Kept::Recurrent(layer)) => {
                back.fill(0.0);
                let [input, hidden, bias] = self.parts(&mut tensors.gradients, [weight, recurrent, bias]);
                let gradients = RecurrentGradients { input, hidden, bias };
                let to = wanted.then_some(back);
                layer.backward(team, self.rows, (gradient, self.node.width()), to, gradients);
            }
            _ => {}
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
    fn pass(&self, team: &mut Team, room: &mut Room, gradient: &mut Buffer, wanted: bool) {
        if wanted {
            let back = std::mem::take(gradient);
            self.merge(team, room, self.node.inputs[0], back);
        }
    }

    /// Gives an input a gradient; one that is there already is added to.
    fn merge(&self, team: &mut Team, room: &mut Room, input: usize, back: Buffer) {
        match &mut room.gradients[input] {
            Some(there) => {
                let used = self.rows * self.plan.nodes[input].size(self.length);
                kernels::add(team, &mut there[..used], &back[..used]);
                room.give_back(back);
            }
            none => *none = Some(back),
        }
    }
}

/// From the gradient of an activation's outputs to that of its inputs.
fn activation_back(team: &mut Team, activation: Activation, out: &[f32], gradient: &mut [f32]) {
    team.split(team.threads(), gradient, 1, &|start, part| {
        kernels::gradient(activation, &out[start..][..part.len()], part);
    });
}
