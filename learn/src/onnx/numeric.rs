//! The nodes of the features' numeric part: the operations of `NumericPart::write_dense`, in the same order on `f32`.

use super::graph::{Element, Graph, Value, int};
use crate::features::{Affine, CategoryInput, ImageInput, NumberInput, NumericPart, SeriesInput};

/// The inputs of the graph that hold no order: what they are fed is not scaled yet.
pub(super) struct Raw {
    /// `[batch, numbers]`; nothing where there is none.
    pub(super) numbers: Option<Value>,
    /// `[batch, categories]`; nothing where there is none.
    pub(super) codes: Option<Value>,
    /// Pictures `[batch, height, width, channels]` of bytes.
    pub(super) images: Vec<Value>,
    /// The weighted terms of each text `[batch, terms]`.
    pub(super) bags: Vec<Value>,
}

/// What the numeric part leaves to the network.
pub(super) struct Inputs {
    /// What decision trees ask about.
    pub(super) raw: Raw,
    /// `[batch, table_width]`; nothing where the width is 0.
    pub(super) table: Option<Value>,
    /// The scaled pictures `[batch, height, width, channels]`.
    pub(super) images: Vec<Value>,
    /// The codes of each embedded category `[batch]`, in order.
    pub(super) embedded: Vec<Value>,
    /// The tokens of each text, int64 `[batch, length]`.
    pub(super) texts: Vec<Value>,
    /// The scaled series side by side `[batch, steps, series]`; nothing where there is none.
    pub(super) series: Option<Value>,
}

impl Inputs {
    /// `[batch, dense_width]`: the table and the pictures as one row of numbers; nothing where the width is 0.
    pub(super) fn dense(&self, graph: &mut Graph) -> Option<Value> {
        let mut parts: Vec<Value> = self.table.iter().cloned().collect();
        for image in &self.images {
            parts.push(graph.node_with("Flatten", &[image], vec![int("axis", 1)]));
        }
        graph.beside(&parts)
    }
}

/// Adds the inputs that hold no order.
pub(super) fn write_raw(graph: &mut Graph, part: &NumericPart) -> Raw {
    let numbers = (!part.numbers.is_empty()).then(|| graph.input("numbers", Element::Float, &[part.numbers.len()]));
    let codes = (!part.categories.is_empty()).then(|| graph.input("codes", Element::Int64, &[part.categories.len()]));
    let images = part
        .images
        .iter()
        .map(|image| graph.input(&image.name, Element::Uint8, &[image.height, image.width, image.channels]))
        .collect();
    let bags = part.bags.iter().map(|bag| graph.input(&bag.name, Element::Float, &[bag.width])).collect();
    Raw { numbers, codes, images, bags }
}

/// Adds inputs and nodes of the numeric part.
pub(super) fn write(graph: &mut Graph, part: &NumericPart) -> Inputs {
    let raw = write_raw(graph, part);
    let texts = part.texts.iter().map(|text| graph.sequence(&text.name, Element::Int64)).collect();
    let series = part.series.first().map(|first| {
        let input = graph.input("series", Element::Float, &[first.steps, part.series.len()]);
        write_series(graph, &part.series, &input)
    });
    let mut dense = Vec::new();
    if let Some(numbers) = &raw.numbers {
        dense.extend(write_numbers(graph, &part.numbers, numbers));
    }
    let mut embedded = Vec::new();
    if let Some(codes) = &raw.codes {
        dense.extend(write_ordinals(graph, &part.categories, codes));
        dense.extend(write_one_hots(graph, &part.categories, codes));
        embedded = write_embedded(graph, &part.categories, codes);
    }
    dense.extend(raw.bags.iter().cloned());
    let scaled = |graph: &mut Graph, (image, input): (&ImageInput, &Value)| {
        let pixels = graph.cast(input);
        write_affine(graph, &pixels, &[image.affine], &[])
    };
    let table = graph.beside(&dense);
    let images = part.images.iter().zip(&raw.images).map(|pair| scaled(graph, pair)).collect();
    Inputs { raw, table, images, embedded, texts, series }
}

/// Scaled numbers, then the indicators of missing ones.
fn write_numbers(graph: &mut Graph, inputs: &[NumberInput], numbers: &Value) -> Vec<Value> {
    let constant = |graph: &mut Graph, name: &str, of: &dyn Fn(&NumberInput) -> f32| {
        graph.floats(name, &[inputs.len()], &inputs.iter().map(of).collect::<Vec<_>>())
    };
    let missing = graph.node("IsNaN", &[numbers]);
    let impute = constant(graph, "/impute", &|input| input.impute);
    let mut values = graph.node("Where", &[&missing, &impute, numbers]);
    if inputs.iter().any(|input| input.clip[0].is_finite() || input.clip[1].is_finite()) {
        let lowest = constant(graph, "/lowest", &|input| input.clip[0]);
        let highest = constant(graph, "/highest", &|input| input.clip[1]);
        values = graph.node("Max", &[&values, &lowest]);
        values = graph.node("Min", &[&values, &highest]);
    }
    let affines: Vec<Affine> = inputs.iter().map(|input| input.affine).collect();
    let mut parts = vec![write_affine(graph, &values, &affines, &[inputs.len()])];
    let indicators: Vec<usize> = (0..inputs.len()).filter(|&i| inputs[i].indicator).collect();
    if !indicators.is_empty() {
        let flags = graph.cast(&missing);
        parts.push(graph.columns(&flags, &indicators));
    }
    parts
}

/// Scaled series: every step of one on the scale of its column.
fn write_series(graph: &mut Graph, inputs: &[SeriesInput], values: &Value) -> Value {
    let missing = graph.node("IsNaN", &[values]);
    let impute: Vec<f32> = inputs.iter().map(|input| input.impute).collect();
    let impute = graph.floats("/series_impute", &[inputs.len()], &impute);
    let values = graph.node("Where", &[&missing, &impute, values]);
    let affines: Vec<Affine> = inputs.iter().map(|input| input.affine).collect();
    write_affine(graph, &values, &affines, &[inputs.len()])
}

fn write_ordinals(graph: &mut Graph, categories: &[CategoryInput], codes: &Value) -> Option<Value> {
    let (index, affines): (Vec<usize>, Vec<Affine>) = (categories.iter().enumerate())
        .filter_map(|(i, category)| match category {
            CategoryInput::Ordinal { affine, .. } => Some((i, *affine)),
            _ => None,
        })
        .unzip();
    if index.is_empty() {
        return None;
    }
    let picked = graph.columns(codes, &index);
    let picked = graph.cast(&picked);
    Some(write_affine(graph, &picked, &affines, &[affines.len()]))
}

/// All one-hots at once: each code is repeated as often as it has values and compared with each of them. Three nodes
/// for any number of columns, where `OneHot` would take two for each.
fn write_one_hots(graph: &mut Graph, categories: &[CategoryInput], codes: &Value) -> Option<Value> {
    let (index, values): (Vec<usize>, Vec<i64>) = (categories.iter().enumerate())
        .filter_map(|(i, category)| match category {
            CategoryInput::OneHot { cardinality, .. } => Some((i, *cardinality as i64)),
            _ => None,
        })
        .flat_map(|(i, cardinality)| (0..cardinality).map(move |code| (i, code)))
        .unzip();
    if index.is_empty() {
        return None;
    }
    let repeated = graph.columns(codes, &index);
    let values = graph.ints("/values", &[values.len()], &values);
    let hot = graph.node("Equal", &[&repeated, &values]);
    Some(graph.cast(&hot))
}

fn write_embedded(graph: &mut Graph, categories: &[CategoryInput], codes: &Value) -> Vec<Value> {
    (0..categories.len())
        .filter(|&i| matches!(categories[i], CategoryInput::Embedding(_)))
        .map(|i| {
            let column = graph.ints("/column", &[], &[i as i64]);
            graph.node_with("Gather", &[codes, &column], vec![int("axis", 1)])
        })
        .collect()
}

/// `(x - shift) * scale` along the last axis, or by one figure (`shape` empty); nothing where it changes nothing.
fn write_affine(graph: &mut Graph, value: &Value, affines: &[Affine], shape: &[usize]) -> Value {
    let mut value = value.clone();
    if affines.iter().any(|affine| affine.shift != 0.0) {
        let shift = graph.floats("/shift", shape, &affines.iter().map(|affine| affine.shift).collect::<Vec<_>>());
        value = graph.node("Sub", &[&value, &shift]);
    }
    if affines.iter().any(|affine| affine.scale != 1.0) {
        let scale = graph.floats("/scale", shape, &affines.iter().map(|affine| affine.scale).collect::<Vec<_>>());
        value = graph.node("Mul", &[&value, &scale]);
    }
    value
}
