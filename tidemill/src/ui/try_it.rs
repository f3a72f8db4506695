//! Try it: a form made from what a model reads, a canvas to draw on, and the answer with its probabilities.

use std::collections::BTreeMap;

use learn::features::{Column, ColumnKind};
use maud::{Markup, html};
use serde_json::Value;

use super::format;
use super::page::{Context, Place, copy_button, layout, segment};
use super::usage::{Call, curl};
use super::words::Word as W;

/// A category with no more values than this is a list to choose from; above, a field with suggestions.
const SELECT_VALUES_MAX: usize = 60;
/// Suggestions of a category with many values.
const SUGGESTIONS_MAX: usize = 500;
/// Pictures offered to choose from.
const SAMPLES_MAX: usize = 12;

/// What the page needs of an endpoint.
#[derive(Debug, Clone)]
pub struct TryView {
    /// The endpoint.
    pub endpoint: String,
    /// All endpoints that answer, for the switch between them.
    pub endpoints: Vec<String>,
    /// The model behind it.
    pub model: String,
    /// The version that answers.
    pub version: u32,
    /// What it predicts.
    pub target: String,
    /// What it reads: `Features::columns`.
    pub columns: Vec<Column>,
    /// Of two classes, the probability from which the second one is answered.
    pub threshold: Option<f64>,
    /// Address of this server, for the command: `http://127.0.0.1:8000`.
    pub address: String,
    /// Pictures to choose from by column, as `data:image/png;base64,...`.
    pub samples: BTreeMap<String, Vec<String>>,
}

/// The page at `/try/{endpoint}`.
pub fn try_it(context: &Context, view: &TryView) -> Markup {
    let title = context.fill(W::TryTitle, &[("endpoint", &view.endpoint)]);
    let input: serde_json::Map<String, Value> =
        view.columns.iter().map(|column| (column.name.clone(), column.example.clone())).collect();
    let call = Call { address: &view.address, endpoint: &view.endpoint, input: &Value::Object(input), proba: true };
    let body = html! {
        div.head {
            div {
                h1 { (title) }
                p.lead { (context.fill(W::TryLead, &[("target", &view.target)])) " "
                    a href=(format!("/models/{}/{}", segment(&view.model), view.version)) {
                        (view.model) " · " (context.fill(W::VersionNumber, &[("version", &view.version.to_string())]))
                    }
                }
            }
            @if view.endpoints.len() > 1 {
                nav.actions aria-label=(context.t(W::Endpoints)) {
                    @for other in view.endpoints.iter().filter(|name| **name != view.endpoint) {
                        a.button.quiet.small href=(format!("/try/{}", segment(other))) { (other) }
                    }
                }
            }
        }
        div.try {
            section.card aria-labelledby="input" {
                h2 #input { (context.t(W::TryInput)) }
                form #try-form data-endpoint=(view.endpoint) {
                    div.fields {
                        @for (place, column) in view.columns.iter().enumerate() { (field(context, view, place, column)) }
                    }
                    p { button type="submit" { (context.t(W::TryAsk)) } }
                }
                noscript { p.notice.warn { (context.t(W::TryNeedsScript)) } }
            }
            section.card.answer aria-labelledby="answer-title" {
                h2 #answer-title { (context.t(W::TryAnswer)) }
                div #answer aria-live="polite" { p.muted { (context.t(W::TryNoAnswer)) } }
                @if let Some(threshold) = view.threshold {
                    p.muted.small { (context.fill(W::ThresholdNote, &[("threshold", &format::number(threshold))])) }
                }
            }
            section.card.command aria-labelledby="command-title" {
                h2 #command-title { (context.t(W::TryCommand)) }
                p.muted.small { (context.t(W::TryCommandLead)) }
                div.code { pre { code #try-command { (curl(&call)) } } (copy_button(context, "#try-command")) }
            }
        }
    };
    layout(context, Place::Try, &title, false, &body)
}

fn field(context: &Context, view: &TryView, place: usize, column: &Column) -> Markup {
    let id = format!("field-{place}");
    match &column.kind {
        ColumnKind::Image { height, width, channels, .. } => {
            let samples = view.samples.get(&column.name).map(Vec::as_slice).unwrap_or_default();
            picture(context, &id, column, [*height, *width, *channels], samples)
        }
        ColumnKind::Boolean => html! {
            div.field data-column=(column.name) data-kind="boolean" {
                label for=(id) {
                    input id=(id) type="checkbox" data-value checked[column.example == Value::Bool(true)];
                    (column.name)
                }
            }
        },
        ColumnKind::Number { min, max, integer } => {
            let hint = context.fill(
                W::HintRange,
                &[("min", &format::number(f64::from(*min))), ("max", &format::number(f64::from(*max)))],
            );
            single(
                &id,
                column,
                "number",
                Some(&hint),
                &html! {
                    input id=(id) type="number" step=(if *integer { "1" } else { "any" }) value=(example(column)) data-value
                        aria-describedby=(format!("{id}-hint"));
                },
            )
        }
        ColumnKind::Date { min, max, .. } => {
            let hint = context.fill(W::HintRange, &[("min", &format::time(min)), ("max", &format::time(max))]);
            let (kind, value) = date_input(&example(column), min);
            single(
                &id,
                column,
                "date",
                Some(&hint),
                &html! {
                    input id=(id) type=(kind) value=(value) step=[(kind == "datetime-local").then_some("1")] data-value
                        aria-describedby=(format!("{id}-hint"));
                },
            )
        }
        ColumnKind::Category { values } => category(context, &id, column, values.values()),
        ColumnKind::Text { .. } => area(&id, column, "text", None),
        ColumnKind::Series { steps, min, max, .. } => {
            let figures = [
                ("steps", &steps.to_string()),
                ("min", &format::number(f64::from(*min))),
                ("max", &format::number(f64::from(*max))),
            ];
            area(
                &id,
                column,
                "series",
                Some(&context.fill(W::HintSeries, &figures.map(|(key, value)| (key, value.as_str())))),
            )
        }
    }
}

/// Room for a text, or for numbers with commas between them.
fn area(id: &str, column: &Column, kind: &str, hint: Option<&str>) -> Markup {
    html! {
        div.field.full data-column=(column.name) data-kind=(kind) {
            label for=(id) { (column.name) }
            textarea id=(id) rows="5" data-value aria-describedby=[hint.map(|_| format!("{id}-hint"))] { (example(column)) }
            @if let Some(hint) = hint { p.hint id=(format!("{id}-hint")) { (hint) } }
        }
    }
}

fn single(id: &str, column: &Column, kind: &str, hint: Option<&str>, control: &Markup) -> Markup {
    html! {
        div.field data-column=(column.name) data-kind=(kind) {
            label for=(id) { (column.name) }
            (control)
            @if let Some(hint) = hint { p.hint id=(format!("{id}-hint")) { (hint) } }
        }
    }
}

fn category(context: &Context, id: &str, column: &Column, values: &[String]) -> Markup {
    let chosen = example(column);
    if values.is_empty() {
        // Values are hashed: any may come, none is known.
        return single(id, column, "category", None, &html! { input id=(id) type="text" value=(chosen) data-value; });
    }
    if values.len() <= SELECT_VALUES_MAX {
        return single(
            id,
            column,
            "category",
            None,
            &html! {
                select id=(id) data-value {
                    @for value in values { option value=(value) selected[*value == chosen] { (value) } }
                    option value="" selected[chosen.is_empty()] { (context.t(W::NoValue)) }
                }
            },
        );
    }
    let hint = context.fill(W::HintValues, &[("count", &format::count(values.len() as u64))]);
    let list = format!("{id}-values");
    single(
        id,
        column,
        "category",
        Some(&hint),
        &html! {
            input id=(id) type="text" list=(list) value=(chosen) autocomplete="off" data-value
                aria-describedby=(format!("{id}-hint"));
            datalist id=(list) { @for value in values.iter().take(SUGGESTIONS_MAX) { option value=(value) {} } }
        },
    )
}

/// A drawing pad, an upload and a few pictures to choose from; `shape` is height, width and channels.
fn picture(context: &Context, id: &str, column: &Column, shape: [usize; 3], samples: &[String]) -> Markup {
    let [height, width, channels] = shape;
    // The digits of MNIST fill a box of 20 of 28 pixels; sets of tiny pictures use all they have.
    let fill = if height.min(width) >= 20 { 20.0 / 28.0 } else { 1.0 };
    html! {
        fieldset.field.full data-column=(column.name) data-kind="image" data-height=(height) data-width=(width)
            data-channels=(channels) data-fill=(format!("{fill:.4}")) {
            legend { (column.name) }
            div.draw {
                div {
                    canvas.pad width="280" height="280" role="img" aria-label=(context.t(W::DrawHere)) {}
                    p.hint { (context.t(W::DrawHint)) }
                }
                div.side {
                    button.quiet.small type="button" data-clear { (context.t(W::Clear)) }
                    div {
                        label for=(id) { (context.t(W::Upload)) }
                        input id=(id) type="file" accept="image/*";
                    }
                    @if !samples.is_empty() {
                        div {
                            p.hint { (context.t(W::OrChoose)) }
                            div.samples {
                                @for (place, sample) in samples.iter().take(SAMPLES_MAX).enumerate() {
                                    button type="button" data-sample
                                        aria-label=(context.fill(W::Sample, &[("number", &(place + 1).to_string())])) {
                                        img src=(sample) alt="";
                                    }
                                }
                            }
                        }
                    }
                    div {
                        p.hint { (context.fill(W::ModelSees, &[("size", &format!("{width} × {height}"))])) }
                        img.preview alt=(context.t(W::PreviewAlt)) hidden;
                    }
                }
            }
        }
    }
}

/// The example as the text of a form field.
fn example(column: &Column) -> String {
    match &column.example {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(Value::to_string).collect::<Vec<_>>().join(", "),
        Value::Null | Value::Object(_) => String::new(),
        other => other.to_string(),
    }
}

/// Type and value of the field for a date: with a time where the training rows had one.
fn date_input(example: &str, min: &str) -> (&'static str, String) {
    let text = if example.is_empty() { min } else { example };
    let timed = text.is_ascii() && text.len() >= 16 && matches!(text.as_bytes()[10], b'T' | b' ');
    match text.get(..10) {
        Some(date) if !timed => ("date", date.to_owned()),
        Some(date) => {
            let time = text.get(11..19).filter(|time| time.as_bytes()[5] == b':').or_else(|| text.get(11..16));
            ("datetime-local", format!("{date}T{}", time.unwrap_or("00:00")))
        }
        None => ("date", String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_field_has_a_time_where_the_rows_had_one() {
        let check = |example: &str, expected: (&str, &str)| {
            let (kind, value) = date_input(example, "2020-01-01");
            assert_eq!((kind, value.as_str()), expected, "{example}");
        };
        check("2024-05-06", ("date", "2024-05-06"));
        check("2024-05-06T07:08:09Z", ("datetime-local", "2024-05-06T07:08:09"));
        check("2024-05-06 07:08", ("datetime-local", "2024-05-06T07:08"));
        check("", ("date", "2020-01-01"));
        check("日", ("date", ""));
    }
}
