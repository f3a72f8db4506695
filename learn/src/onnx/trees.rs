//! The nodes of decision trees. ONNX has trees only beside its own operators; here every row is at one node of every tree,
//! and as many times as the deepest tree has questions all rows take a step at once.

use super::graph::{Graph, Value, int, to_ints};
use super::network::write_head;
use super::numeric::Raw;
use crate::Target;
use crate::features::NumericPart;
use crate::net::HeadActivation;
use crate::trees::{Ensemble, LEAST, TreeDesign, TreeKind};

/// Adds the nodes of the trees; gives the answers `[batch, classes]` or `[batch]`.
pub(super) fn write(graph: &mut Graph, raw: &Raw, design: &TreeDesign, ensemble: &Ensemble, target: &Target) -> Value {
    let values = write_inputs(graph, raw, ensemble, design.inputs.rank_columns);
    let values = write_missing(graph, &values, &design.inputs.numeric, design.inputs.width(), ensemble);
    let (outputs, trees) = (design.head.outputs, ensemble.trees.len());
    let base = graph.floats("/base", &[outputs], &ensemble.base);
    let leaves = write_steps(graph, &values, ensemble);
    let flat: Vec<f32> = ensemble.trees.iter().flat_map(|tree| tree.values.iter().copied()).collect();
    let flat = graph.floats("trees.value", &[flat.len()], &flat);
    let answers = graph.node_with("Gather", &[&flat, &leaves], vec![int("axis", 0)]);
    let apart = graph.reshape(&answers, &[0, (trees / outputs) as i64, outputs as i64]);
    let axes = graph.ints("/axes", &[1], &[1]);
    let sums = graph.node_with("ReduceSum", &[&apart, &axes], vec![int("keepdims", 0)]);
    let mut sums = graph.node("Add", &[&sums, &base]);
    if matches!(design.kind, TreeKind::Forest(_)) {
        let part = graph.floats("/part", &[], &[outputs as f32 / trees.max(1) as f32]);
        let mean = graph.node("Mul", &[&sums, &part]);
        sums = write_link(graph, &mean, design.head.activation);
    }
    write_head(graph, &sums, design.head.activation, target)
}

/// The inputs of all rows `[batch, width]`, in the order of `trees::Inputs`; missing numbers are still NaN.
fn write_inputs(graph: &mut Graph, raw: &Raw, ensemble: &Ensemble, columns: usize) -> Value {
    let mut parts: Vec<Value> = raw.numbers.iter().cloned().collect();
    for (number, ranks) in ensemble.ranks.iter().enumerate() {
        let Some(codes) = &raw.codes else { break };
        let column = graph.columns(codes, &[number]);
        let last = graph.ints("/last_code", &[1], &[ranks.codes as i64 - 1]);
        let known = graph.node("Min", &[&column, &last]);
        let table = graph.floats(&format!("ranks.{number}"), &[ranks.codes, columns], &ranks.places);
        let places = graph.node_with("Gather", &[&table, &known], vec![int("axis", 0)]);
        parts.push(graph.reshape(&places, &[0, columns as i64]));
    }
    parts.extend(raw.bags.iter().cloned());
    for image in &raw.images {
        let flat = graph.node_with("Flatten", &[image], vec![int("axis", 1)]);
        parts.push(graph.cast(&flat));
    }
    // There is always an input: a design without one is refused.
    graph.beside(&parts).unwrap_or_else(|| graph.floats("/nothing", &[1, 0], &[]))
}

/// What goes to the head from the mean of a forest's trees, as `trees::link` has it.
fn write_link(graph: &mut Graph, mean: &Value, head: HeadActivation) -> Value {
    let highest = match head {
        HeadActivation::Linear => return mean.clone(),
        HeadActivation::Sigmoid => 1.0 - LEAST,
        HeadActivation::Softmax => f32::MAX,
    };
    let bounds = [LEAST, highest].map(|x| graph.floats("/bound", &[], &[x]));
    let mean = graph.node("Clip", &[mean, &bounds[0], &bounds[1]]);
    let logarithm = graph.node("Log", &[&mean]);
    if head == HeadActivation::Softmax {
        return logarithm;
    }
    let one = graph.floats("/one", &[], &[1.0]);
    let rest = graph.node("Sub", &[&one, &mean]);
    let rest = graph.node("Log", &[&rest]);
    graph.node("Sub", &[&logarithm, &rest])
}

/// Numbers within their clip, missing ones below and, behind all inputs, once more above all others: so a comparison
/// sends them to the side that a node wants. `[batch, 2 width]`, or `[batch, width]` where none is sent to the right.
fn write_missing(graph: &mut Graph, values: &Value, part: &NumericPart, width: usize, ensemble: &Ensemble) -> Value {
    let nodes = || ensemble.trees.iter().flat_map(|tree| &tree.nodes);
    let missing = graph.node("IsNaN", &[values]);
    let clips = part.numbers.iter().map(|number| number.clip);
    let mut present = values.clone();
    if clips.clone().flatten().any(f32::is_finite) {
        let open = [f32::NEG_INFINITY, f32::INFINITY];
        let clips: Vec<[f32; 2]> = clips.chain(std::iter::repeat(open)).take(width).collect();
        let lowest = graph.floats("/lowest", &[width], &clips.iter().map(|clip| clip[0]).collect::<Vec<_>>());
        let highest = graph.floats("/highest", &[width], &clips.iter().map(|clip| clip[1]).collect::<Vec<_>>());
        present = graph.node("Max", &[&present, &lowest]);
        present = graph.node("Min", &[&present, &highest]);
    }
    let filled = |graph: &mut Graph, x: f32| {
        let x = graph.floats("/missing", &[], &[x]);
        graph.node("Where", &[&missing, &x, &present])
    };
    let mut sides = vec![filled(graph, f32::NEG_INFINITY)];
    if nodes().any(|node| node.feature as usize >= width) {
        sides.push(filled(graph, f32::INFINITY));
    }
    graph.beside(&sides).unwrap_or_else(|| values.clone())
}

/// The leaf of every row in every tree, by its place among all nodes: int64 `[batch, trees]`.
fn write_steps(graph: &mut Graph, values: &Value, ensemble: &Ensemble) -> Value {
    let starts: Vec<i64> = (ensemble.trees.iter())
        .scan(0, |next, tree| Some(std::mem::replace(next, *next + tree.nodes.len() as i64)))
        .collect();
    let nodes =
        || starts.iter().zip(&ensemble.trees).flat_map(|(start, tree)| tree.nodes.iter().map(move |n| (start, n)));
    let count = ensemble.nodes();
    let feature: Vec<i64> = nodes().map(|(_, node)| i64::from(node.feature)).collect();
    let left: Vec<i64> = nodes().map(|(start, node)| start + i64::from(node.left)).collect();
    let threshold: Vec<f32> = nodes().map(|(_, node)| node.threshold).collect();
    let feature = graph.ints("trees.feature", &[count], &feature);
    let left = graph.ints("trees.left", &[count], &left);
    let threshold = graph.floats("trees.threshold", &[count], &threshold);
    let depth = ensemble.trees.iter().map(|tree| tree.depth()).max().unwrap_or(0);
    let along = || vec![int("axis", 0)];
    let roots = graph.ints("/roots", &[1, starts.len()], &starts);
    // One node for every row: whole numbers of the batch's length, all 0, and the roots.
    let first = graph.columns(values, &[0]);
    let none = graph.node("IsNaN", &[&first]);
    let none = to_ints(graph, &none);
    let mut at = graph.node("Add", &[&none, &roots]);
    for _ in 0..depth {
        let asked = graph.node_with("Gather", &[&feature, &at], along());
        let x = graph.node_with("GatherElements", &[values, &asked], vec![int("axis", 1)]);
        let limit = graph.node_with("Gather", &[&threshold, &at], along());
        let is_right = graph.node("Greater", &[&x, &limit]);
        let step = to_ints(graph, &is_right);
        let next = graph.node_with("Gather", &[&left, &at], along());
        at = graph.node("Add", &[&next, &step]);
    }
    at
}
