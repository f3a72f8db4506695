//! What is done with each column, step by step, and what was it fitted to? For people who want to see it.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Features;
use super::column::{Column, ColumnKind, Vocabulary};
use super::combined::{Combined, CombinedKind};
use super::curve::Curve;
use super::number;
use super::numeric::{Affine, CategoryInput, NumberInput};
use super::prepared::Prepared;
use super::text::TextCode;
use crate::spec::DistanceTo;

/// Values and figures of a list that are shown.
const SHOWN_MAX: usize = 10;

/// A feature, step by step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FeatureSteps {
    /// The column, or what is made of several.
    pub name: String,
    /// `number`, `category`, `product` and so on, or `left out`.
    pub feature: String,
    /// In words.
    pub how: String,
    /// Inputs of the network it becomes; an embedded category, a text or a series that is read in order is one.
    pub inputs: usize,
    /// What is done, in order.
    pub steps: Vec<Step>,
}

/// One step and what it was fitted to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// `impute`, `clip`, `scale` and so on.
    pub step: &'static str,
    /// Its figures by name.
    pub figures: Map<String, Value>,
}

impl Step {
    fn new(step: &'static str, figures: Value) -> Self {
        let figures = if let Value::Object(figures) = figures { figures } else { Map::new() };
        Self { step, figures }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.step.replace('_', " "))?;
        for (name, value) in &self.figures {
            let value = match value {
                Value::String(text) => text.clone(),
                Value::Number(x) if !x.is_i64() && !x.is_u64() => {
                    x.as_f64().map_or_else(String::new, super::values::short)
                }
                Value::Array(items) => {
                    let items = items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned));
                    format!("[{}]", items.collect::<Vec<_>>().join(", "))
                }
                other => other.to_string(),
            };
            write!(f, " {}={value}", name.replace('_', " "))?;
        }
        Ok(())
    }
}

/// Where the inputs of the next feature are.
#[derive(Default)]
struct Place {
    number: usize,
    code: usize,
}

/// All features in order, then what is left out.
pub(super) fn steps(features: &Features) -> Vec<FeatureSteps> {
    let how = |name: &str| {
        let choice = features.choices.iter().find(|choice| choice.column == name);
        choice.map(|choice| choice.how.clone()).unwrap_or_default()
    };
    let mut place = Place::default();
    let mut found = Vec::new();
    for column in &features.columns {
        let mut steps = host_steps(column);
        if let Some(neighbour) = neighbour(features, &column.name) {
            steps.push(neighbour);
        }
        let inputs = place.inputs(features, column.numbers(), column.cardinality().is_some(), &mut steps);
        let apart = matches!(column.prepared, Prepared::Apart { .. });
        let whole = !apart && column.numbers() == 0 && column.cardinality().is_none() || column.is_sequence();
        found.push(FeatureSteps {
            name: column.name.clone(),
            feature: column.kind.word().into(),
            how: how(&column.name),
            inputs: inputs + usize::from(whole),
            steps,
        });
    }
    for combined in &features.combined {
        let mut steps = vec![combined_step(combined)];
        let inputs = place.inputs(features, combined.numbers(), combined.cardinality().is_some(), &mut steps);
        let (name, feature) = (combined.name.clone(), combined.word().into());
        found.push(FeatureSteps { how: how(&name), name, feature, inputs, steps });
    }
    let left_out = features.choices.iter().filter(|choice| choice.feature == "left out");
    found.extend(left_out.map(|choice| FeatureSteps {
        name: choice.column.clone(),
        feature: choice.feature.clone(),
        how: choice.how.clone(),
        inputs: 0,
        steps: vec![],
    }));
    found
}

impl Place {
    /// Adds the steps of the numeric part; gives the number of inputs.
    fn inputs(&mut self, features: &Features, numbers: usize, coded: bool, steps: &mut Vec<Step>) -> usize {
        let inputs = &features.numeric.numbers[self.number..self.number + numbers];
        self.number += numbers;
        match inputs {
            [input] => steps.extend(number_steps(input)),
            several => {
                for input in several.iter().take(SHOWN_MAX) {
                    let mut figures = scale(input.affine);
                    figures["input"] = json!(input.name);
                    figures["impute"] = number::json(input.impute);
                    steps.push(Step::new("scale", figures));
                }
            }
        }
        let mut count = numbers + inputs.iter().filter(|input| input.indicator).count();
        if coded {
            let (step, width) = category_step(&features.numeric.categories[self.code]);
            steps.push(step);
            count += width;
            self.code += 1;
        }
        count
    }
}

fn scale(affine: Affine) -> Value {
    json!({ "shift": number::json(affine.shift), "scale": number::json(affine.scale) })
}

fn number_steps(input: &NumberInput) -> Vec<Step> {
    let mut steps = vec![Step::new("impute", json!({ "value": number::json(input.impute) }))];
    if input.indicator {
        steps.push(Step::new("indicator", json!({})));
    }
    let [low, high] = input.clip;
    if low.is_finite() || high.is_finite() {
        steps.push(Step::new("clip", json!({ "low": number::json(low), "high": number::json(high) })));
    }
    if input.affine != Affine::IDENTITY {
        steps.push(Step::new("scale", scale(input.affine)));
    }
    steps
}

fn category_step(input: &CategoryInput) -> (Step, usize) {
    match input {
        CategoryInput::OneHot { cardinality, .. } => {
            (Step::new("one_hot", json!({ "inputs": cardinality })), *cardinality)
        }
        CategoryInput::Ordinal { affine, .. } => (Step::new("ordinal", scale(*affine)), 1),
        CategoryInput::Embedding(column) => {
            (Step::new("embedding", json!({ "codes": column.cardinality, "dimension": column.dimension })), 1)
        }
    }
}

fn vocabulary(values: &Vocabulary) -> Step {
    let first: Vec<&String> = values.values().iter().take(SHOWN_MAX).collect();
    Step::new("vocabulary", json!({ "values": values.values().len(), "first": first }))
}

/// What the host part does.
fn host_steps(column: &Column) -> Vec<Step> {
    let mut steps = Vec::new();
    match &column.kind {
        ColumnKind::Number { min, max, .. } => {
            steps.push(Step::new("read", json!({ "min": number::json(*min), "max": number::json(*max) })));
        }
        ColumnKind::Category { values } if !values.values().is_empty() => steps.push(vocabulary(values)),
        ColumnKind::Category { .. } | ColumnKind::Boolean => {}
        ColumnKind::Date { min, max, parts } => {
            steps.push(Step::new("read", json!({ "min": min, "max": max })));
            let cyclical = parts.iter().filter(|part| part.cyclical).count();
            steps.push(Step::new("parts", json!({ "parts": parts.len(), "cyclical": cyclical })));
        }
        ColumnKind::Image { height, width, channels, .. } => {
            steps.push(Step::new("resize", json!({ "height": height, "width": width, "channels": channels })));
        }
        ColumnKind::Text { code, .. } => steps.push(match code {
            TextCode::Tokens { .. } => Step::new("tokens", json!({})),
            TextCode::TfIdf { .. } => Step::new("tf_idf", json!({})),
            TextCode::Hashing { .. } => Step::new("hashing", json!({})),
        }),
        ColumnKind::Series { steps: length, min, max, .. } => {
            let figures = json!({ "steps": length, "min": number::json(*min), "max": number::json(*max) });
            steps.push(Step::new("read", figures));
        }
    }
    steps.extend(prepared_step(&column.prepared));
    steps
}

fn prepared_step(prepared: &Prepared) -> Option<Step> {
    let some = |values: &[f32]| -> Vec<Value> { values.iter().take(SHOWN_MAX).map(|&x| number::json(x)).collect() };
    Some(match prepared {
        Prepared::Plain => return None,
        Prepared::Apart { .. } => Step::new("read_for_others", json!({})),
        Prepared::Curve(Curve::Log) => Step::new("log", json!({})),
        Prepared::Curve(Curve::YeoJohnson { lambda }) => {
            Step::new("yeo_johnson", json!({ "lambda": number::json(*lambda) }))
        }
        Prepared::Curve(Curve::Quantile { table, normal }) => {
            let middle = table.get(table.len() / 2).copied().unwrap_or_default();
            let to = if *normal { "normal" } else { "uniform" };
            Step::new("quantile", json!({ "to": to, "quantiles": table.len(), "median": number::json(middle) }))
        }
        Prepared::Bins { edges } => Step::new("bins", json!({ "bins": edges.len() + 1, "edges": some(edges) })),
        Prepared::Hashed { buckets } => Step::new("hashing", json!({ "buckets": buckets })),
        Prepared::Target(table) => {
            let means = some(table.means(Vocabulary::UNKNOWN));
            let smoothing = number::json(table.smoothing);
            Step::new(
                "target",
                json!({ "smoothing": smoothing, "folds": table.folds, "seed": table.seed, "means": means }),
            )
        }
        Prepared::Holidays(days) => Step::new("holidays", json!({ "days": days.len() })),
        Prepared::Statistics(of) => Step::new("figures", json!({ "of": of.names(), "alone": of.alone })),
    })
}

fn neighbour(features: &Features, name: &str) -> Option<Step> {
    let neighbours = features.neighbours.as_ref()?;
    let asked = neighbours.columns.iter().find(|column| column.name == name && column.count > 0)?;
    let others = neighbours.columns.len() - 1;
    Some(Step::new("neighbours", json!({ "count": asked.count, "rows": neighbours.len(), "by_columns": others })))
}

fn combined_step(combined: &Combined) -> Step {
    match &combined.kind {
        CombinedKind::Product { of } => Step::new("product", json!({ "of": of })),
        CombinedKind::Cross { of, values } => {
            // The separator is for programs; people read a sign.
            let first = values.values().iter().take(SHOWN_MAX).map(|pair| pair.replace('\u{1f}', " & "));
            let first: Vec<String> = first.collect();
            Step::new("cross", json!({ "of": of, "values": values.values().len(), "first": first }))
        }
        CombinedKind::Distance { from, to } => {
            let to = match to {
                DistanceTo::Columns(to) => json!(to),
                DistanceTo::Point(to) => json!(to),
            };
            Step::new("distance", json!({ "from": from, "to": to }))
        }
        CombinedKind::Missing { of } => Step::new("missing", json!({ "of": of })),
    }
}
