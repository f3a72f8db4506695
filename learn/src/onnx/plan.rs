//! The nodes of a plan.
//!
//! ONNX has pictures as `[batch, channels, height, width]`, plans have the channels last: a value is turned where an
//! operation needs it the other way, and stays so as long as it can.

use super::graph::{Graph, Value, float, int, ints, text};
use super::network::{write_activation, write_head};
use super::numeric::Inputs;
use crate::kernels::RECONSTRUCTION_FLOOR;
use crate::net::plan::{Cell, Node, NodeId, Op, ParameterId, Pick, Plan, Window};
use crate::{Error, Result, Target, Tensor, Weights};

/// Added to what must not be looked at.
const FAR: f32 = -1e30;

/// Adds the plan's nodes on the numeric part's outputs; gives the answers `[batch, classes]` or `[batch]`.
pub(super) fn write(
    graph: &mut Graph,
    inputs: &Inputs,
    plan: &Plan,
    weights: &Weights,
    target: &Target,
) -> Result<Value> {
    let mut writer = Writer { graph, inputs, plan, weights, values: Vec::with_capacity(plan.nodes.len()) };
    for (id, node) in plan.nodes.iter().enumerate() {
        let value = writer.node(id, node)?;
        writer.values.push(value);
    }
    let last = writer.channels_last(plan.nodes.len() - 1)?;
    Ok(write_head(graph, &last, plan.head.activation, target))
}

/// A value and how its axes lie.
#[derive(Debug, Clone)]
struct Laid {
    value: Value,
    /// `[batch, channels, height, width]` instead of `[batch, height, width, channels]`.
    channels_first: bool,
}

struct Writer<'a> {
    graph: &'a mut Graph,
    inputs: &'a Inputs,
    plan: &'a Plan,
    weights: &'a Weights,
    values: Vec<Laid>,
}

impl Writer<'_> {
    fn node(&mut self, id: NodeId, node: &Node) -> Result<Laid> {
        let first = node.inputs.first().copied().unwrap_or_default();
        let last = |value: Value| Ok(Laid { value, channels_first: false });
        match &node.op {
            Op::Table => last(given(self.inputs.table.as_ref())?),
            Op::Code(number) => last(given(self.inputs.embedded.get(*number))?),
            Op::Image(number) => last(given(self.inputs.images.get(*number))?),
            Op::Tokens(number) => last(given(self.inputs.texts.get(*number))?),
            Op::Series => last(given(self.inputs.series.as_ref())?),
            Op::Conv { .. } => self.conv(id, node),
            Op::MaxPool(window) => {
                let input = self.channels_first(first)?;
                let value = self.graph.node_with("MaxPool", &[&input], window_settings(window));
                Ok(Laid { value, channels_first: true })
            }
            Op::BatchNorm { .. } => self.batch_norm(first, node),
            Op::Activate(activation) => {
                let Laid { value, channels_first } = self.values[first].clone();
                Ok(Laid { value: write_activation(self.graph, &value, *activation), channels_first })
            }
            Op::Add(activation) => {
                let channels_first = self.values[first].channels_first;
                let [one, other] = [node.inputs[0], node.inputs[1]].map(|id| match channels_first {
                    true => self.channels_first(id),
                    false => self.channels_last(id),
                });
                let sum = self.graph.node("Add", &[&one?, &other?]);
                Ok(Laid { value: self.activated(sum, *activation), channels_first })
            }
            Op::Dropout(_) => Ok(self.values[first].clone()),
            Op::Mean if self.values[first].channels_first && node.inputs.len() == 1 => {
                let mean = self.graph.node("GlobalAveragePool", &[&self.values[first].value]);
                last(self.graph.node_with("Flatten", &[&mean], vec![int("axis", 1)]))
            }
            _ => {
                let input = self.channels_last(first)?;
                let value = self.other(node, &input)?;
                last(value)
            }
        }
    }

    /// Operations on values whose channels lie last.
    fn other(&mut self, node: &Node, input: &Value) -> Result<Value> {
        match &node.op {
            Op::Embedding { table } => self.embedding(node, input, *table),
            Op::Positions { table } => self.positions(node, input, *table),
            Op::Linear { weight, bias, activation } => {
                let (weight, bias) = (self.tensor(*weight)?, self.tensor(*bias)?);
                let product = self.graph.node("MatMul", &[input, &weight]);
                let sum = self.graph.node("Add", &[&product, &bias]);
                Ok(self.activated(sum, *activation))
            }
            Op::Mean | Op::Max => self.over_steps(node, input),
            Op::Pick(which) => self.pick(node, *which, input),
            Op::LayerNorm { gain, bias, epsilon } => {
                let (gain, bias) = (self.tensor(*gain)?, self.tensor(*bias)?);
                let settings = vec![int("axis", -1), float("epsilon", *epsilon)];
                Ok(self.graph.node_with("LayerNormalization", &[input, &gain, &bias], settings))
            }
            Op::Attention { heads, .. } => self.attention(node, input, *heads),
            Op::Recurrent { .. } => self.recurrent(node, input),
            Op::Turn => {
                let lengths = self.lengths(node)?;
                let settings = vec![int("batch_axis", 0), int("time_axis", 1)];
                Ok(self.graph.node_with("ReverseSequence", &[input, &lengths], settings))
            }
            Op::Reconstruction { scale, offset } => {
                let back = self.channels_last(node.inputs[1])?;
                let error = self.graph.node("Sub", &[&back, input]);
                let square = self.graph.node("Mul", &[&error, &error]);
                let axes = self.graph.ints("/axes", &[1], &[-1]);
                let mean = self.graph.node_with("ReduceMean", &[&square, &axes], vec![int("keepdims", 1)]);
                let floor = self.graph.floats("/floor", &[], &[RECONSTRUCTION_FLOOR]);
                let mean = self.graph.node("Add", &[&mean, &floor]);
                let logarithm = self.graph.node("Log", &[&mean]);
                let (scale, offset) = (self.tensor(*scale)?, self.tensor(*offset)?);
                let scaled = self.graph.node("Mul", &[&logarithm, &scale]);
                Ok(self.graph.node("Add", &[&scaled, &offset]))
            }
            Op::Concat => {
                let parts = node.inputs.iter().map(|&id| self.channels_last(id)).collect::<Result<Vec<_>>>()?;
                let settings = vec![int("axis", -1)];
                Ok(self.graph.node_with("Concat", &parts.iter().collect::<Vec<_>>(), settings))
            }
            Op::Reshape => {
                let mut axes: Vec<i64> = std::iter::once(0).chain(node.shape.iter().map(|&n| n as i64)).collect();
                if node.timed {
                    axes[1] = -1;
                }
                Ok(self.graph.reshape(input, &axes))
            }
            other => Err(Error::Internal(format!("{other:?} does not work on channels that lie last"))),
        }
    }

    fn tensor(&mut self, id: ParameterId) -> Result<Value> {
        let name = &self.plan.parameters[id].name;
        let tensor = self.weights.get(name)?;
        Ok(self.graph.floats(name, &tensor.shape, &tensor.data))
    }

    fn read(&self, id: ParameterId) -> Result<&Tensor> {
        self.weights.get(&self.plan.parameters[id].name)
    }

    fn activated(&mut self, value: Value, activation: Option<crate::spec::Activation>) -> Value {
        activation.map_or(value.clone(), |activation| write_activation(self.graph, &value, activation))
    }

    fn channels_last(&mut self, id: NodeId) -> Result<Value> {
        self.turned(id, false)
    }

    fn channels_first(&mut self, id: NodeId) -> Result<Value> {
        self.turned(id, true)
    }

    fn turned(&mut self, id: NodeId, first: bool) -> Result<Value> {
        let Some(Laid { value, channels_first }) = self.values.get(id).cloned() else {
            return Err(Error::Internal("a node reads one behind it".into()));
        };
        Ok(match (first, channels_first) {
            (true, false) => self.graph.transpose(&value, &[0, 3, 1, 2]),
            (false, true) => self.graph.transpose(&value, &[0, 2, 3, 1]),
            _ => value,
        })
    }

    /// A convolution; a batch normalisation that alone reads it is folded into its weights.
    fn conv(&mut self, id: NodeId, node: &Node) -> Result<Laid> {
        let Op::Conv { window, weight, bias, groups, activation } = &node.op else {
            return Err(Error::Internal("not a convolution".into()));
        };
        let input = self.channels_first(node.inputs[0])?;
        let outputs = node.width();
        let mut data = self.read(*weight)?.data.clone();
        let mut offset = match bias {
            Some(bias) => self.read(*bias)?.data.clone(),
            None => vec![0.0; outputs],
        };
        if let Some((scale, shift)) = self.folded(id)? {
            for (n, x) in data.iter_mut().enumerate() {
                *x *= scale[n % outputs];
            }
            for ((x, scale), shift) in offset.iter_mut().zip(&scale).zip(&shift) {
                *x = *x * scale + shift;
            }
        }
        let &[high, wide, inputs, _] = self.read(*weight)?.shape.as_slice() else {
            return Err(Error::Internal("weights of a convolution have four axes".into()));
        };
        let taps = high * wide;
        let turned: Vec<f32> = (0..outputs * inputs * taps)
            .map(|n| {
                let (output, channel, tap) = (n / (inputs * taps), n / taps % inputs, n % taps);
                data[(tap * inputs + channel) * outputs + output]
            })
            .collect();
        let name = self.plan.parameters[*weight].name.clone();
        let kernel = self.graph.floats(&name, &[outputs, inputs, high, wide], &turned);
        let offset = self.graph.floats(&format!("{name}/bias"), &[outputs], &offset);
        let mut settings = window_settings(window);
        settings.push(int("group", *groups as i64));
        let sum = self.graph.node_with("Conv", &[&input, &kernel, &offset], settings);
        Ok(Laid { value: self.activated(sum, *activation), channels_first: true })
    }

    /// The batch normalisation that alone reads this convolution without activation, as `x * scale + shift`.
    fn folded(&self, conv: NodeId) -> Result<Option<(Vec<f32>, Vec<f32>)>> {
        let mut readers = self.plan.nodes.iter().filter(|node| node.inputs.contains(&conv));
        let plain = matches!(self.plan.nodes[conv].op, Op::Conv { activation: None, .. });
        match (readers.next(), readers.next()) {
            (Some(node), None) if plain && matches!(node.op, Op::BatchNorm { .. }) => self.as_affine(node).map(Some),
            _ => Ok(None),
        }
    }

    fn as_affine(&self, node: &Node) -> Result<(Vec<f32>, Vec<f32>)> {
        let Op::BatchNorm { gain, bias, statistics: [mean, variance], epsilon, .. } = &node.op else {
            return Err(Error::Internal("not a batch normalisation".into()));
        };
        let [gain, bias, mean, variance] =
            [self.read(*gain)?, self.read(*bias)?, self.read(*mean)?, self.read(*variance)?];
        let scale = |(gain, variance): (&f32, &f32)| {
            (f64::from(*gain) / (f64::from(*variance) + f64::from(*epsilon)).sqrt()) as f32
        };
        let scales: Vec<f32> = gain.data.iter().zip(&variance.data).map(scale).collect();
        let shift = |((bias, mean), scale): ((&f32, &f32), &f32)| bias - mean * scale;
        let shifts = bias.data.iter().zip(&mean.data).zip(&scales).map(shift).collect();
        Ok((scales, shifts))
    }

    fn batch_norm(&mut self, input: NodeId, node: &Node) -> Result<Laid> {
        let Laid { mut value, channels_first } = self.values[input].clone();
        if self.folded_into(input) {
            let Op::BatchNorm { activation, .. } = node.op else { return Ok(Laid { value, channels_first }) };
            return Ok(Laid { value: self.activated(value, activation), channels_first });
        }
        let (scale, shift) = self.as_affine(node)?;
        let axes = if channels_first { vec![scale.len(), 1, 1] } else { vec![scale.len()] };
        let (scale, shift) = (self.graph.floats("/scale", &axes, &scale), self.graph.floats("/shift", &axes, &shift));
        value = self.graph.node("Mul", &[&value, &scale]);
        value = self.graph.node("Add", &[&value, &shift]);
        if let Op::BatchNorm { activation, .. } = node.op {
            value = self.activated(value, activation);
        }
        Ok(Laid { value, channels_first })
    }

    fn folded_into(&self, input: NodeId) -> bool {
        matches!(self.folded(input), Ok(Some(_)))
    }

    fn embedding(&mut self, node: &Node, input: &Value, table: ParameterId) -> Result<Value> {
        let tensor = self.read(table)?;
        let (shape, mut data) = (tensor.shape.clone(), tensor.data.clone());
        if node.timed {
            data[..node.width()].fill(0.0); // the vector of the padding
        }
        let name = self.plan.parameters[table].name.clone();
        let table = self.graph.floats(&name, &shape, &data);
        Ok(self.graph.node_with("Gather", &[&table, input], vec![int("axis", 0)]))
    }

    fn positions(&mut self, node: &Node, input: &Value, table: ParameterId) -> Result<Value> {
        let (width, steps) = (node.width(), node.shape[0]);
        let data = self.read(table)?.data[..steps * width].to_vec();
        let name = self.plan.parameters[table].name.clone();
        let mut table = self.graph.floats(&name, &[steps, width], &data);
        if node.timed {
            let steps = self.steps(input);
            let (zero, axis) = (self.graph.ints("/zero", &[1], &[0]), self.graph.ints("/axis", &[1], &[0]));
            table = self.graph.node("Slice", &[&table, &zero, &steps, &axis]);
        }
        Ok(self.graph.node("Add", &[input, &table]))
    }

    /// Length of axis 1, as one whole number `[1]`.
    fn steps(&mut self, value: &Value) -> Value {
        let shape = self.graph.node("Shape", &[value]);
        let one = self.graph.ints("/one", &[1], &[1]);
        self.graph.node_with("Gather", &[&shape, &one], vec![int("axis", 0)])
    }

    /// The tokens that a node's second input names, as 1 and 0: `[batch, steps]`.
    fn mask(&mut self, node: &Node) -> Result<Option<Value>> {
        let Some(&tokens) = node.inputs.get(1) else { return Ok(None) };
        let tokens = self.channels_last(tokens)?;
        let zero = self.graph.ints("/padding", &[], &[0]);
        let valid = self.graph.node("Greater", &[&tokens, &zero]);
        Ok(Some(self.graph.cast(&valid)))
    }

    /// How many tokens each row has, whole numbers `[batch]`.
    fn lengths(&mut self, node: &Node) -> Result<Value> {
        let Some(mask) = self.mask(node)? else {
            return Err(Error::Internal("a text without tokens".into()));
        };
        let axes = self.graph.ints("/axes", &[1], &[1]);
        let lengths = self.graph.node_with("ReduceSum", &[&mask, &axes], vec![int("keepdims", 0)]);
        Ok(self.graph.node_with("Cast", &[&lengths], vec![int("to", 7)]))
    }

    /// `[batch, steps]` as `[batch, steps, 1]`.
    fn column(&mut self, value: &Value) -> Value {
        let axes = self.graph.ints("/axes", &[1], &[2]);
        self.graph.node("Unsqueeze", &[value, &axes])
    }

    /// 0 where the mask is 1, far below where it is 0.
    fn far(&mut self, mask: &Value) -> Value {
        let (one, far) = (self.graph.floats("/one", &[], &[1.0]), self.graph.floats("/far", &[], &[FAR]));
        let missing = self.graph.node("Sub", &[&one, mask]);
        self.graph.node("Mul", &[&missing, &far])
    }

    fn over_steps(&mut self, node: &Node, input: &Value) -> Result<Value> {
        let input = self.graph.reshape(input, &[0, -1, node.width() as i64]);
        let axes = self.graph.ints("/axes", &[1], &[1]);
        let gone = || vec![int("keepdims", 0)];
        let mask = match self.mask(node)? {
            Some(mask) => self.column(&mask),
            None if node.op == Op::Mean => return Ok(self.graph.node_with("ReduceMean", &[&input, &axes], gone())),
            None => return Ok(self.graph.node_with("ReduceMax", &[&input, &axes], gone())),
        };
        if node.op == Op::Max {
            let far = self.far(&mask);
            let seen = self.graph.node("Add", &[&input, &far]);
            return Ok(self.graph.node_with("ReduceMax", &[&seen, &axes], gone()));
        }
        let seen = self.graph.node("Mul", &[&input, &mask]);
        let sum = self.graph.node_with("ReduceSum", &[&seen, &axes], gone());
        let count = self.graph.node_with("ReduceSum", &[&mask, &axes], gone());
        Ok(self.graph.node("Div", &[&sum, &count]))
    }

    fn pick(&mut self, node: &Node, which: Pick, input: &Value) -> Result<Value> {
        if which == Pick::First || node.inputs.len() == 1 {
            let step = if which == Pick::First { 0 } else { -1 };
            let step = self.graph.ints("/step", &[], &[step]);
            return Ok(self.graph.node_with("Gather", &[input, &step], vec![int("axis", 1)]));
        }
        // The text turned round begins with its last word.
        let lengths = self.lengths(node)?;
        let settings = vec![int("batch_axis", 0), int("time_axis", 1)];
        let turned = self.graph.node_with("ReverseSequence", &[input, &lengths], settings);
        let step = self.graph.ints("/step", &[], &[0]);
        Ok(self.graph.node_with("Gather", &[&turned, &step], vec![int("axis", 1)]))
    }

    fn attention(&mut self, node: &Node, input: &Value, heads: usize) -> Result<Value> {
        let width = node.width();
        let each = width / heads;
        // [batch, steps, 3, heads, each] -> [3, batch, heads, steps, each]
        let split = self.graph.reshape(input, &[0, -1, 3, heads as i64, each as i64]);
        let split = self.graph.transpose(&split, &[2, 0, 3, 1, 4]);
        let [queries, keys, values] = [0, 1, 2].map(|part| {
            let part = self.graph.ints("/part", &[], &[part]);
            self.graph.node_with("Gather", &[&split, &part], vec![int("axis", 0)])
        });
        let keys = self.graph.transpose(&keys, &[0, 1, 3, 2]);
        let scores = self.graph.node("MatMul", &[&queries, &keys]);
        let root = self.graph.floats("/root", &[], &[1.0 / (each as f32).sqrt()]);
        let mut scores = self.graph.node("Mul", &[&scores, &root]);
        if let Some(mask) = self.mask(node)? {
            let far = self.far(&mask);
            let axes = self.graph.ints("/axes", &[2], &[1, 2]);
            let far = self.graph.node("Unsqueeze", &[&far, &axes]);
            scores = self.graph.node("Add", &[&scores, &far]);
        }
        let shares = self.graph.node_with("Softmax", &[&scores], vec![int("axis", -1)]);
        let context = self.graph.node("MatMul", &[&shares, &values]);
        let context = self.graph.transpose(&context, &[0, 2, 1, 3]);
        Ok(self.graph.reshape(&context, &[0, -1, width as i64]))
    }

    fn recurrent(&mut self, node: &Node, input: &Value) -> Result<Value> {
        let Op::Recurrent { cell, input: weight, recurrent, bias, reverse } = node.op else {
            return Err(Error::Internal("not a recurrent layer".into()));
        };
        let units = node.width();
        // Gates in the order of ONNX, by their place in ours.
        let (operation, order): (_, &[usize]) = match cell {
            Cell::Lstm => ("LSTM", &[0, 3, 1, 2]),
            Cell::Gru => ("GRU", &[1, 0, 2]),
        };
        let wide = order.len() * units;
        let column = |n: usize| order[n / units] * units + n % units;
        let turned = |tensor: &Tensor| -> Vec<f32> {
            let rows = tensor.shape[0];
            (0..wide * rows).map(|n| tensor.data[n % rows * wide + column(n / rows)]).collect()
        };
        let (from, again) = (turned(self.read(weight)?), turned(self.read(recurrent)?));
        // Those of the inputs' product, then those of the state's.
        let ours = &self.read(bias)?.data;
        let mut biases: Vec<f32> = (0..wide).map(|n| ours[column(n)]).collect();
        biases.resize(2 * wide, 0.0);
        if cell == Cell::Gru {
            biases[2 * wide - units..].copy_from_slice(&ours[wide..]);
        }
        let inputs = self.plan.parameters[weight].shape[0];
        let name = |id: ParameterId| self.plan.parameters[id].name.clone();
        let [weight, recurrent, bias] = [
            self.graph.floats(&name(weight), &[1, wide, inputs], &from),
            self.graph.floats(&name(recurrent), &[1, wide, units], &again),
            self.graph.floats(&name(bias), &[1, 2 * wide], &biases),
        ];
        let mut settings =
            vec![int("hidden_size", units as i64), text("direction", if reverse { "reverse" } else { "forward" })];
        if cell == Cell::Gru {
            settings.push(int("linear_before_reset", 1));
        }
        let steps_first = self.graph.transpose(input, &[1, 0, 2]);
        let read = self.graph.node_with(operation, &[&steps_first, &weight, &recurrent, &bias], settings);
        // [steps, 1, batch, units]
        let axes = self.graph.ints("/axes", &[1], &[1]);
        let read = self.graph.node("Squeeze", &[&read, &axes]);
        Ok(self.graph.transpose(&read, &[1, 0, 2]))
    }
}

fn window_settings(window: &Window) -> Vec<super::proto::AttributeProto> {
    vec![ints("kernel_shape", &window.kernel), ints("strides", &window.stride), ints("pads", &window.padding)]
}

fn given(value: Option<&Value>) -> Result<Value> {
    value.cloned().ok_or_else(|| Error::Internal("the plan reads what the features do not have".into()))
}
