//! Writes a plan down, node by node, with the shapes that follow.

use super::{Cell, Init, Node, NodeId, Op, Parameter, ParameterId, Pick, Plan, Role, Window};
use crate::features::{NumericPart, TextInput};
use crate::net::Head;
use crate::spec::Activation;
use crate::{Error, Result};

/// Learned numbers a network may have: 1 GiB of `f32`, of which training keeps four.
const PARAMETERS_MAX: usize = 1 << 28;
/// Standard deviation of fresh vectors of tokens, as BERT has it (Devlin et al. 2019).
const VECTOR_DEVIATION: f32 = 0.02;
/// Half the range of the numbers of a fresh category vector.
const CATEGORY_BOUND: f32 = 0.05;

/// A plan that grows.
#[derive(Debug)]
pub(crate) struct Builder<'a> {
    /// What the rows hold.
    pub(crate) numeric: &'a NumericPart,
    nodes: Vec<Node>,
    parameters: Vec<Parameter>,
}

impl<'a> Builder<'a> {
    /// An empty plan on these features.
    pub(crate) fn new(numeric: &'a NumericPart) -> Self {
        Self { numeric, nodes: Vec::new(), parameters: Vec::new() }
    }

    /// Ends the plan: a linear layer `output` gives what the head needs.
    pub(crate) fn finish(mut self, input: NodeId, head: Head) -> Result<Plan> {
        self.linear("output", input, head.outputs, None)?;
        self.end(head)
    }

    /// Ends the plan with the last node as it is.
    pub(crate) fn end(self, head: Head) -> Result<Plan> {
        let plan = Plan { nodes: self.nodes, parameters: self.parameters, head };
        let numbers: usize = plan.parameters.iter().map(Parameter::len).sum();
        match numbers > PARAMETERS_MAX {
            true => Err(Error::invalid(format!(
                "the network would have {numbers} parameters, {PARAMETERS_MAX} are allowed; make it narrower"
            ))),
            false => Ok(plan),
        }
    }

    /// The shape of a node's value.
    pub(crate) fn shape(&self, node: NodeId) -> &[usize] {
        &self.nodes[node].shape
    }

    fn width(&self, node: NodeId) -> usize {
        self.nodes[node].width()
    }

    fn push(&mut self, op: Op, inputs: &[NodeId], shape: Vec<usize>, timed: bool) -> NodeId {
        self.nodes.push(Node { op, inputs: inputs.to_vec(), shape, timed });
        self.nodes.len() - 1
    }

    /// A node with the shape of its first input.
    fn alike(&mut self, op: Op, inputs: &[NodeId]) -> NodeId {
        let Node { shape, timed, .. } = &self.nodes[inputs[0]];
        let (shape, timed) = (shape.clone(), *timed);
        self.push(op, inputs, shape, timed)
    }

    fn parameter(&mut self, name: String, shape: &[usize], init: Init, role: Role) -> ParameterId {
        self.parameters.push(Parameter { name, shape: shape.to_vec(), init, role });
        self.parameters.len() - 1
    }

    /// Everything that is no picture, text or series, with the vectors of embedded categories: `[width]`. Nothing where
    /// there is no such column.
    pub(crate) fn table(&mut self) -> Option<NodeId> {
        let mut parts = Vec::new();
        let width = self.numeric.table_width();
        if width > 0 {
            parts.push(self.push(Op::Table, &[], vec![width], false));
        }
        for (number, column) in self.numeric.embedded().enumerate() {
            let code = self.push(Op::Code(number), &[], vec![1], false);
            let shape = [column.cardinality, column.dimension];
            let name = format!("embedding.{}.weight", column.name);
            let table = self.parameter(name, &shape, Init::Uniform(CATEGORY_BOUND), Role::Weight);
            parts.push(self.push(Op::Embedding { table }, &[code], vec![column.dimension], false));
        }
        self.concat(&parts)
    }

    /// The picture of a column: `[height, width, channels]`.
    pub(crate) fn image(&mut self, number: usize) -> NodeId {
        let image = &self.numeric.images[number];
        self.push(Op::Image(number), &[], vec![image.height, image.width, image.channels], false)
    }

    /// The series columns side by side: `[steps, series]`; nothing where there is none.
    pub(crate) fn series(&mut self) -> Option<NodeId> {
        let steps = self.numeric.series.first()?.steps;
        Some(self.push(Op::Series, &[], vec![steps, self.numeric.series.len()], false))
    }

    /// The tokens of a text column, whole numbers `[length]`.
    pub(crate) fn tokens(&mut self, number: usize) -> NodeId {
        let length = self.numeric.texts[number].length;
        self.push(Op::Tokens(number), &[], vec![length], true)
    }

    /// A vector per token: `[length, width]`.
    pub(crate) fn vectors(&mut self, name: &str, tokens: NodeId, text: &TextInput, width: usize) -> NodeId {
        let shape = [text.vocabulary, width];
        let name = format!("{name}.weight");
        let table = self.parameter(name, &shape, Init::Normal(VECTOR_DEVIATION), Role::Weight);
        self.push(Op::Embedding { table }, &[tokens], vec![text.length, width], true)
    }

    /// Adds a learned vector per step of at most `steps`.
    pub(crate) fn positions(&mut self, name: &str, input: NodeId, steps: usize) -> NodeId {
        let shape = [steps.max(self.shape(input)[0]), self.width(input)];
        let table = self.parameter(format!("{name}.weight"), &shape, Init::Normal(VECTOR_DEVIATION), Role::Weight);
        self.alike(Op::Positions { table }, &[input])
    }

    /// `activation(x W + b)` along the last axis.
    pub(crate) fn linear(
        &mut self,
        name: &str,
        input: NodeId,
        outputs: usize,
        activation: Option<Activation>,
    ) -> Result<NodeId> {
        let inputs = self.width(input);
        if inputs == 0 || outputs == 0 {
            return Err(Error::invalid(format!("layer \"{name}\" would have {inputs} inputs and {outputs} outputs")));
        }
        let init = Init::Fan { inputs, outputs, activation };
        let weight = self.parameter(format!("{name}.weight"), &[inputs, outputs], init, Role::Weight);
        let bias = self.parameter(format!("{name}.bias"), &[outputs], Init::Constant(0.0), Role::Bias);
        let Node { shape, timed, .. } = &self.nodes[input];
        let (mut shape, timed) = (shape.clone(), *timed);
        if let Some(last) = shape.last_mut() {
            *last = outputs;
        }
        Ok(self.push(Op::Linear { weight, bias, activation }, &[input], shape, timed))
    }

    /// A convolution over a picture; without a bias where a normalisation follows (`activation` none, `bias` false).
    pub(crate) fn conv(&mut self, name: &str, input: NodeId, layer: ConvLayer) -> Result<NodeId> {
        let ConvLayer { outputs, window, groups, activation, bias } = layer;
        let shape = self.pooled(name, input, window, outputs)?;
        let inputs = self.width(input);
        if groups == 0 || !inputs.is_multiple_of(groups) || !outputs.is_multiple_of(groups) {
            return Err(Error::invalid(format!(
                "layer \"{name}\": {inputs} inputs and {outputs} outputs cannot be divided into {groups} groups"
            )));
        }
        let [high, wide] = window.kernel;
        let fan = |channels: usize| high * wide * channels;
        let init = Init::Fan {
            inputs: fan(inputs / groups),
            outputs: fan(outputs / groups),
            activation: activation.or(Some(Activation::Relu)),
        };
        let axes = [high, wide, inputs / groups, outputs];
        let weight = self.parameter(format!("{name}.weight"), &axes, init, Role::Weight);
        let bias = bias.then(|| self.parameter(format!("{name}.bias"), &[outputs], Init::Constant(0.0), Role::Bias));
        let timed = self.nodes[input].timed;
        Ok(self.push(Op::Conv { window, weight, bias, groups, activation }, &[input], shape, timed))
    }

    /// The largest value of each window.
    pub(crate) fn max_pool(&mut self, name: &str, input: NodeId, window: Window) -> Result<NodeId> {
        let shape = self.pooled(name, input, window, self.width(input))?;
        Ok(self.push(Op::MaxPool(window), &[input], shape, false))
    }

    /// The shape after a window went over a picture.
    fn pooled(&self, name: &str, input: NodeId, window: Window, outputs: usize) -> Result<Vec<usize>> {
        let &[height, width, _] = self.shape(input) else {
            let shape = self.shape(input);
            return Err(Error::invalid(format!("layer \"{name}\" needs a picture, its input is {shape:?}")));
        };
        match window.places(height, width) {
            Some([down, right]) => Ok(vec![down, right, outputs]),
            None => Err(Error::invalid(format!(
                "layer \"{name}\": its window of {:?} does not fit into its input of [{height}, {width}]; take fewer \
                 layers that make the picture smaller, or larger pictures",
                window.kernel
            ))),
        }
    }

    /// Batch normalisation, then ReLU where asked.
    pub(crate) fn batch_norm(&mut self, name: &str, input: NodeId, activation: Option<Activation>) -> NodeId {
        self.batch_norm_with(name, input, activation, 1e-5)
    }

    /// The same with `epsilon` added to the variance.
    pub(crate) fn batch_norm_with(
        &mut self,
        name: &str,
        input: NodeId,
        activation: Option<Activation>,
        epsilon: f32,
    ) -> NodeId {
        let shape = [self.width(input)];
        let [gain, bias, mean, variance] = [
            ("weight", 1.0, Role::Bias),
            ("bias", 0.0, Role::Bias),
            ("running_mean", 0.0, Role::Statistic),
            ("running_var", 1.0, Role::Statistic),
        ]
        .map(|(part, start, role)| self.parameter(format!("{name}.{part}"), &shape, Init::Constant(start), role));
        let op = Op::BatchNorm { gain, bias, statistics: [mean, variance], epsilon, activation };
        self.alike(op, &[input])
    }

    /// Layer normalisation over the last axis.
    pub(crate) fn layer_norm(&mut self, name: &str, input: NodeId, epsilon: f32) -> NodeId {
        let shape = [self.width(input)];
        let gain = self.parameter(format!("{name}.weight"), &shape, Init::Constant(1.0), Role::Bias);
        let bias = self.parameter(format!("{name}.bias"), &shape, Init::Constant(0.0), Role::Bias);
        self.alike(Op::LayerNorm { gain, bias, epsilon }, &[input])
    }

    /// Puts every number through a function.
    pub(crate) fn activate(&mut self, input: NodeId, activation: Activation) -> NodeId {
        self.alike(Op::Activate(activation), &[input])
    }

    /// The sum of two values of one shape, then the activation.
    pub(crate) fn add(&mut self, one: NodeId, other: NodeId, activation: Option<Activation>) -> NodeId {
        debug_assert_eq!(self.shape(one), self.shape(other));
        self.alike(Op::Add(activation), &[one, other])
    }

    /// How far `back` is from `given`, a logarithm, times and plus two numbers of these names.
    pub(crate) fn reconstruction(&mut self, given: NodeId, back: NodeId, [scale, offset]: [&str; 2]) -> NodeId {
        debug_assert_eq!(self.shape(given), self.shape(back));
        let mut fixed = |name: &str, start| self.parameter(name.to_owned(), &[1], Init::Constant(start), Role::Frozen);
        let (scale, offset) = (fixed(scale, 1.0), fixed(offset, 0.0));
        self.push(Op::Reconstruction { scale, offset }, &[given, back], vec![1], false)
    }

    /// Leaves a share of the numbers out while learning; nothing where the share is 0.
    pub(crate) fn dropout(&mut self, input: NodeId, share: f64) -> NodeId {
        match share > 0.0 {
            true => self.alike(Op::Dropout(share as f32), &[input]),
            false => input,
        }
    }

    /// Multi-head self-attention with its projections: `[steps, width]`.
    pub(crate) fn attention(
        &mut self,
        name: &str,
        input: NodeId,
        tokens: Option<NodeId>,
        heads: usize,
        dropout: f64,
    ) -> Result<NodeId> {
        let width = self.width(input);
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(Error::invalid(format!(
                "layer \"{name}\": a width of {width} cannot be divided into {heads} heads"
            )));
        }
        let joined = self.linear(&format!("{name}.qkv"), input, 3 * width, None)?;
        let inputs: Vec<NodeId> = std::iter::once(joined).chain(tokens).collect();
        let Node { shape, timed, .. } = &self.nodes[input];
        let (shape, timed) = (shape.clone(), *timed);
        let context = self.push(Op::Attention { heads, dropout: dropout as f32 }, &inputs, shape, timed);
        self.linear(&format!("{name}.output"), context, width, None)
    }

    /// A recurrent layer `[steps, units]`, over the reversed sequence too where `both`: `[steps, 2 units]`.
    pub(crate) fn recurrent(
        &mut self,
        name: &str,
        input: NodeId,
        tokens: Option<NodeId>,
        layer: RecurrentLayer,
    ) -> Result<NodeId> {
        let RecurrentLayer { cell, units, both } = layer;
        let forward = self.one_way(&format!("{name}.forward"), input, cell, units, false);
        if !both {
            return Ok(forward);
        }
        let backward = match tokens {
            // The padding at a text's end must not be read first.
            Some(tokens) => {
                let turned = self.alike(Op::Turn, &[input, tokens]);
                let read = self.one_way(&format!("{name}.backward"), turned, cell, units, false);
                self.alike(Op::Turn, &[read, tokens])
            }
            None => self.one_way(&format!("{name}.backward"), input, cell, units, true),
        };
        self.concat(&[forward, backward]).ok_or_else(|| Error::Internal("two values side by side are none".into()))
    }

    fn one_way(&mut self, name: &str, node: NodeId, cell: Cell, units: usize, reverse: bool) -> NodeId {
        let (inputs, wide) = (self.width(node), cell.gates() * units);
        // As PyTorch begins.
        let init = Init::Uniform(1.0 / (units as f32).sqrt());
        let input = self.parameter(format!("{name}.input"), &[inputs, wide], init, Role::Weight);
        let recurrent = self.parameter(format!("{name}.recurrent"), &[units, wide], init, Role::Weight);
        let bias = self.parameter(format!("{name}.bias"), &[4 * units], init, Role::Bias);
        let Node { shape, timed, .. } = &self.nodes[node];
        let (shape, timed) = (vec![shape[0], units], *timed);
        self.push(Op::Recurrent { cell, input, recurrent, bias, reverse }, &[node], shape, timed)
    }

    /// The mean over all axes but the last: `[width]`.
    pub(crate) fn mean(&mut self, input: NodeId, tokens: Option<NodeId>) -> NodeId {
        self.over_steps(Op::Mean, input, tokens)
    }

    /// The largest value over all axes but the last: `[width]`.
    pub(crate) fn max(&mut self, input: NodeId, tokens: Option<NodeId>) -> NodeId {
        self.over_steps(Op::Max, input, tokens)
    }

    /// One vector of a sequence: `[width]`.
    pub(crate) fn pick(&mut self, which: Pick, input: NodeId, tokens: Option<NodeId>) -> NodeId {
        self.over_steps(Op::Pick(which), input, tokens)
    }

    fn over_steps(&mut self, op: Op, input: NodeId, tokens: Option<NodeId>) -> NodeId {
        let inputs: Vec<NodeId> = std::iter::once(input).chain(tokens).collect();
        let width = self.width(input);
        self.push(op, &inputs, vec![width], false)
    }

    /// Values side by side along the last axis; a single one stays as it is, none is nothing.
    pub(crate) fn concat(&mut self, parts: &[NodeId]) -> Option<NodeId> {
        let (&first, rest) = parts.split_first()?;
        if rest.is_empty() {
            return Some(first);
        }
        let mut shape = self.shape(first).to_vec();
        let width = parts.iter().map(|&part| self.width(part)).sum();
        if let Some(last) = shape.last_mut() {
            *last = width;
        }
        let timed = self.nodes[first].timed;
        Some(self.push(Op::Concat, parts, shape, timed))
    }

    /// The same numbers under other axes. Of a timed value the first axis stays.
    pub(crate) fn reshape(&mut self, input: NodeId, shape: Vec<usize>) -> NodeId {
        debug_assert_eq!(shape.iter().product::<usize>(), self.shape(input).iter().product::<usize>());
        let timed = self.nodes[input].timed;
        self.push(Op::Reshape, &[input], shape, timed)
    }

    /// All numbers in one row.
    pub(crate) fn flatten(&mut self, input: NodeId) -> NodeId {
        let numbers = self.shape(input).iter().product();
        match self.shape(input).len() {
            1 => input,
            _ => self.reshape(input, vec![numbers]),
        }
    }
}

/// A convolution's figures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvLayer {
    /// Channels out.
    pub(crate) outputs: usize,
    /// Kernel, stride, padding.
    pub(crate) window: Window,
    /// 1, or as many as there are channels (depthwise).
    pub(crate) groups: usize,
    /// Fused into it.
    pub(crate) activation: Option<Activation>,
    /// None is needed where a batch normalisation follows.
    pub(crate) bias: bool,
}

/// A recurrent layer's figures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecurrentLayer {
    /// LSTM or GRU.
    pub(crate) cell: Cell,
    /// Units of each direction.
    pub(crate) units: usize,
    /// Bidirectional.
    pub(crate) both: bool,
}
