//! Puts an ONNX graph together: every value has a name of its own, every node one output.

use std::collections::BTreeSet;

use super::proto::{
    AttributeProto, DimensionProto, GraphProto, NodeProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto,
};

/// Name of the axis that can be of any length.
const BATCH: &str = "batch";

/// Element types, by their numbers in `TensorProto.DataType`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Element {
    Float = 1,
    Uint8 = 2,
    Int64 = 7,
}

/// A value in the graph.
#[derive(Debug, Clone)]
pub(super) struct Value(String);

/// A graph that grows node by node.
#[derive(Debug, Default)]
pub(super) struct Graph {
    proto: GraphProto,
    names: BTreeSet<String>,
}

impl Graph {
    /// An empty graph that will end in this output.
    pub(super) fn new(output: &str) -> Self {
        Self { proto: GraphProto::default(), names: BTreeSet::from([output.to_owned()]) }
    }

    /// An input `[batch, axes...]`; it gets another name where this one is taken.
    pub(super) fn input(&mut self, name: &str, element: Element, axes: &[usize]) -> Value {
        let value = self.name(name);
        self.proto.input.push(describe(&value, element, axes));
        value
    }

    /// An input `[batch, length]` whose length is open too.
    pub(super) fn sequence(&mut self, name: &str, element: Element) -> Value {
        let value = self.name(name);
        let length = DimensionProto { dim_value: None, dim_param: Some(format!("{}_length", value.0)) };
        let mut described = describe(&value, element, &[]);
        if let Some(TypeProto { tensor_type: Some(TensorTypeProto { shape: Some(shape), .. }) }) = &mut described.r#type
        {
            shape.dim.push(length);
        }
        self.proto.input.push(described);
        value
    }

    /// A constant of floats.
    pub(super) fn floats(&mut self, name: &str, shape: &[usize], data: &[f32]) -> Value {
        self.constant(name, Element::Float, shape, data.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    /// A constant of whole numbers.
    pub(super) fn ints(&mut self, name: &str, shape: &[usize], data: &[i64]) -> Value {
        self.constant(name, Element::Int64, shape, data.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    /// An operation of the default domain and its output.
    pub(super) fn node(&mut self, operation: &str, inputs: &[&Value]) -> Value {
        self.node_with(operation, inputs, Vec::new())
    }

    /// Other axes: 0 keeps the length it has, -1 takes what is left.
    pub(super) fn reshape(&mut self, value: &Value, axes: &[i64]) -> Value {
        let axes = self.ints("/shape", &[axes.len()], axes);
        self.node("Reshape", &[value, &axes])
    }

    /// Axes in another order.
    pub(super) fn transpose(&mut self, value: &Value, order: &[usize]) -> Value {
        self.node_with("Transpose", &[value], vec![ints("perm", order)])
    }

    /// An operation with settings, and its output.
    pub(super) fn node_with(&mut self, operation: &str, inputs: &[&Value], settings: Vec<AttributeProto>) -> Value {
        let output = self.name(&format!("/{operation}"));
        self.proto.node.push(NodeProto {
            input: inputs.iter().map(|value| value.0.clone()).collect(),
            output: vec![output.0.clone()],
            name: Some(output.0.clone()),
            op_type: Some(operation.to_owned()),
            attribute: settings,
        });
        output
    }

    /// `Concat` of values `[batch, ...]` along axis 1; a single one stays as it is.
    pub(super) fn beside(&mut self, values: &[Value]) -> Option<Value> {
        match values {
            [] => None,
            [one] => Some(one.clone()),
            several => Some(self.node_with("Concat", &several.iter().collect::<Vec<_>>(), vec![int("axis", 1)])),
        }
    }

    /// Columns of a value `[batch, columns]`: `[batch, index.len()]`.
    pub(super) fn columns(&mut self, value: &Value, index: &[usize]) -> Value {
        let index: Vec<i64> = index.iter().map(|&i| i as i64).collect();
        let index = self.ints("/columns", &[index.len()], &index);
        self.node_with("Gather", &[value, &index], vec![int("axis", 1)])
    }

    /// `value` as floats.
    pub(super) fn cast(&mut self, value: &Value) -> Value {
        self.node_with("Cast", &[value], vec![int("to", Element::Float as i64)])
    }

    /// Ends the graph: `value`, which nothing else reads, becomes the output `[batch, axes...]` under its name.
    pub(super) fn finish(mut self, value: &Value, output: &str, axes: &[usize]) -> GraphProto {
        for node in &mut self.proto.node {
            for name in node.output.iter_mut().filter(|name| **name == value.0) {
                output.clone_into(name);
            }
        }
        self.proto.output.push(describe(&Value(output.to_owned()), Element::Float, axes));
        self.proto.name = Some("tidemill".to_owned());
        self.proto
    }

    fn constant(&mut self, name: &str, element: Element, shape: &[usize], bytes: Vec<u8>) -> Value {
        let value = self.name(name);
        self.proto.initializer.push(TensorProto {
            dims: shape.iter().map(|&length| length as i64).collect(),
            data_type: Some(element as i32),
            name: Some(value.0.clone()),
            raw_data: Some(bytes),
        });
        value
    }

    /// This name, or with a number behind it where it is taken.
    fn name(&mut self, wanted: &str) -> Value {
        let wanted = if wanted.is_empty() { "input" } else { wanted };
        let mut name = wanted.to_owned();
        let mut number = 1;
        while !self.names.insert(name.clone()) {
            number += 1;
            name = format!("{wanted}_{number}");
        }
        Value(name)
    }
}

/// `value` as whole numbers.
pub(super) fn to_ints(graph: &mut Graph, value: &Value) -> Value {
    graph.node_with("Cast", &[value], vec![int("to", Element::Int64 as i64)])
}

/// A whole-number setting.
pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), i: Some(value), r#type: Some(2), ..AttributeProto::default() }
}

/// A float setting.
pub(super) fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), f: Some(value), r#type: Some(1), ..AttributeProto::default() }
}

/// A text setting.
pub(super) fn text(name: &str, value: &str) -> AttributeProto {
    let s = Some(value.as_bytes().to_vec());
    AttributeProto { name: Some(name.to_owned()), s, r#type: Some(3), ..AttributeProto::default() }
}

/// A setting of several whole numbers.
pub(super) fn ints(name: &str, values: &[usize]) -> AttributeProto {
    let ints = values.iter().map(|&value| value as i64).collect();
    AttributeProto { name: Some(name.to_owned()), ints, r#type: Some(7), ..AttributeProto::default() }
}

fn describe(value: &Value, element: Element, axes: &[usize]) -> ValueInfoProto {
    let batch = DimensionProto { dim_value: None, dim_param: Some(BATCH.to_owned()) };
    let fixed = axes.iter().map(|&length| DimensionProto { dim_value: Some(length as i64), dim_param: None });
    let shape = TensorShapeProto { dim: std::iter::once(batch).chain(fixed).collect() };
    let tensor_type = Some(TensorTypeProto { elem_type: Some(element as i32), shape: Some(shape) });
    ValueInfoProto { name: Some(value.0.clone()), r#type: Some(TypeProto { tensor_type }) }
}
