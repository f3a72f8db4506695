//! How does a chart stand on a page? A figure: the drawing, a caption, its meaning in words, and its numbers as a table.
//!
//! `app.js` draws the JSON of the `plotly` crate. Colours are written as `var(--name)` of `app.css` and resolved in the
//! browser, so that one JSON serves light and dark.

use maud::{Markup, html};
use plotly::common::{ColorScale, ColorScaleElement, DashType, Line, Marker, Mode};
use plotly::layout::{Axis, Shape, ShapeLayer, ShapeLine, ShapeType};
use plotly::{Bar, HeatMap, Layout, Plot, Scatter, Trace};
use serde_json::Value;

use super::format;
use super::page::{Context, json_block};
use super::words::Word as W;

/// Rows of a chart's table; a longer one ends with a line that says so.
const TABLE_ROWS_MAX: usize = 200;

/// A chart with all that is said about it.
pub(crate) struct Chart {
    /// Unique on the page.
    pub(crate) id: String,
    /// What it shows, as plain text.
    pub(crate) caption: String,
    /// What can be read from it, for those who do not see it.
    pub(crate) summary: String,
    /// `{data, layout}`.
    pub(crate) plot: Value,
    /// Columns of the table.
    pub(crate) columns: Vec<String>,
    /// Rows of the table.
    pub(crate) rows: Vec<Vec<String>>,
    /// Height in pixels.
    pub(crate) height: u32,
    /// What each trace shows of a running run: a field of the epoch record, or `best`.
    pub(crate) live: Option<&'static str>,
}

impl Chart {
    /// The figure.
    pub(crate) fn figure(&self, context: &Context) -> Markup {
        let caption = format!("{}-caption", self.id);
        html! {
            figure.chart id=(self.id) aria-labelledby=(caption) data-live=[self.live] {
                figcaption id=(caption) { (self.caption) }
                div.plot role="img" aria-label=(self.summary) style=(format!("height:{}px", self.height)) {}
                p.summary { (self.summary) }
                (numbers_table(context, &self.caption, &self.columns, &self.rows))
                script.chart-data type="application/json" { (json_block(&self.plot)) }
            }
        }
    }
}

fn numbers_table(context: &Context, caption: &str, columns: &[String], rows: &[Vec<String>]) -> Markup {
    html! {
        details.numbers {
            summary { (context.t(W::ChartNumbers)) }
            div.scroll tabindex="0" role="region" aria-label=(caption) {
                table {
                    caption.hidden { (caption) }
                    thead { tr { @for column in columns { th scope="col" { (column) } } } }
                    tbody {
                        @for row in rows.iter().take(TABLE_ROWS_MAX) {
                            tr {
                                @for (place, cell) in row.iter().enumerate() {
                                    @if place == 0 { th scope="row" { (cell) } } @else { td.num { (cell) } }
                                }
                            }
                        }
                    }
                }
                @if rows.len() > TABLE_ROWS_MAX {
                    p.muted { (context.fill(W::RowsLeftOut, &[("count", &format::count((rows.len() - TABLE_ROWS_MAX) as u64))])) }
                }
            }
        }
    }
}

/// The drawing as JSON.
pub(crate) fn plot(traces: Vec<Box<dyn Trace>>, layout: Layout) -> Value {
    let mut plot = Plot::new();
    plot.add_traces(traces);
    plot.set_layout(layout);
    let mut json = serde_json::to_value(&plot).unwrap_or_default();
    if let Some(fields) = json.as_object_mut() {
        // The configuration is the same for all charts and stands in `app.js`; the layout's template is the crate's look.
        fields.retain(|name, _| name == "data" || name == "layout");
        if let Some(layout) = fields.get_mut("layout").and_then(Value::as_object_mut) {
            layout.remove("template");
        }
    }
    json
}

/// A name as Plotly shall write it: it reads a little HTML in its texts, so names are escaped, and long ones cut.
pub(crate) fn label(name: &str) -> String {
    escape(&format::shorten(name, 28))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The colour of the series at this place; eight that the colour-blind tell apart, then again with other dashes.
pub(crate) fn color(place: usize) -> String {
    format!("var(--chart-{})", place % 8 + 1)
}

fn dash(place: usize) -> DashType {
    match place / 8 % 3 {
        0 => DashType::Solid,
        1 => DashType::Dash,
        _ => DashType::Dot,
    }
}

/// An axis with a title.
pub(crate) fn axis(title: &str) -> Axis {
    Axis::new().title(escape(title)).auto_margin(true).fixed_range(true)
}

/// An axis from 0 to 1, with a little room for points at its ends.
pub(crate) fn unit_axis(title: &str) -> Axis {
    axis(title).range(vec![-0.02, 1.02]).dtick(0.2).zero_line(false)
}

/// A layout with two axes.
pub(crate) fn axes(x: Axis, y: Axis) -> Layout {
    Layout::new().x_axis(x).y_axis(y)
}

/// A line; gaps where `y` is absent.
pub(crate) fn line(place: usize, name: &str, x: Vec<f64>, y: Vec<Option<f64>>) -> Box<Scatter<f64, Option<f64>>> {
    let mode = if x.len() < 2 { Mode::LinesMarkers } else { Mode::Lines };
    Scatter::new(x, y)
        .name(label(name))
        .mode(mode)
        .line(Line::new().color(color(place)).width(2.0).dash(dash(place)))
        .marker(Marker::new().color(color(place)).size(6))
}

/// A thin dashed line that others are measured against.
pub(crate) fn reference(name: &str, x: Vec<f64>, y: Vec<f64>) -> Box<Scatter<f64, f64>> {
    Scatter::new(x, y)
        .name(label(name))
        .mode(Mode::Lines)
        .line(Line::new().color("var(--chart-reference)").width(1.2).dash(DashType::Dot))
        .show_legend(false)
}

/// Single points.
pub(crate) fn points(place: usize, name: &str, x: Vec<f64>, y: Vec<f64>, size: usize) -> Box<Scatter<f64, f64>> {
    Scatter::new(x, y)
        .name(label(name))
        .mode(Mode::Markers)
        .marker(Marker::new().color(color(place)).size(size).opacity(0.75))
}

/// Upright bars of equal meaning, without gaps: a histogram that is counted already.
pub(crate) fn histogram(edges: &[f64], counts: &[u64], name: &str) -> Box<Bar<f64, u64>> {
    let centres: Vec<f64> = edges.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).collect();
    let width = edges.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
    let bars = Bar::new(centres, counts.to_vec()).name(label(name)).marker(Marker::new().color(color(0)));
    if width.is_finite() && width > 0.0 { bars.width(width * 0.94) } else { bars }
}

/// Bars that lie on their side, one per name, first one on top.
pub(crate) fn bars(names: &[String], values: &[f64]) -> (Box<dyn Trace>, Axis) {
    let y: Vec<f64> = (0..names.len()).map(|place| place as f64).collect();
    let trace = Bar::new(values.to_vec(), y.clone())
        .orientation(plotly::common::Orientation::Horizontal)
        .marker(Marker::new().color(color(0)))
        .hover_text_array(names.iter().map(|name| label(name)).collect::<Vec<_>>());
    // Names stand at numbers: as categories, two equal (shortened) names would fall together.
    let axis = Axis::new()
        .tick_values(y)
        .tick_text(names.iter().map(|name| label(name)).collect::<Vec<_>>())
        .range(vec![names.len() as f64 - 0.5, -0.5])
        .auto_margin(true)
        .fixed_range(true)
        .show_grid(false)
        .zero_line(false);
    (trace, axis)
}

/// A field of shares of 1, `[height, width]`; `text` is shown under the pointer.
pub(crate) fn field(width: usize, height: usize, z: Vec<Vec<f64>>, text: Vec<Vec<String>>) -> Box<dyn Trace> {
    let places = |count: usize| -> Vec<f64> { (0..count).map(|place| place as f64).collect() };
    let mut scale = vec![ColorScaleElement(0.0, "var(--heat-0)".to_owned())];
    scale.push(ColorScaleElement(0.5, "var(--heat-1)".to_owned()));
    scale.push(ColorScaleElement(1.0, "var(--heat-2)".to_owned()));
    HeatMap::new(places(width), places(height), z)
        .zmin(0.0)
        .zmax(1.0)
        .color_scale(ColorScale::Vector(scale))
        .show_scale(false)
        .x_gap(1)
        .y_gap(1)
        .hover_text_matrix(text)
        .hover_info(plotly::common::HoverInfo::Text)
}

/// A vertical line over the whole height.
pub(crate) fn vertical(x: f64) -> Shape {
    Shape::new()
        .shape_type(ShapeType::Line)
        .x_ref("x")
        .y_ref("paper")
        .x0(x)
        .x1(x)
        .y0(0.0)
        .y1(1.0)
        .layer(ShapeLayer::Below)
        .line(ShapeLine::new().color("var(--chart-reference)").width(1.2).dash(DashType::Dot))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_is_data_and_layout_with_colours_by_name() {
        let json = plot(
            vec![line(0, "<b>train</b>", vec![1.0, 2.0], vec![Some(0.5), None])],
            axes(axis("epoch"), unit_axis("loss")),
        );
        assert_eq!(json.as_object().unwrap().len(), 2);
        assert_eq!(json["data"][0]["name"], "&lt;b&gt;train&lt;/b&gt;");
        assert_eq!(json["data"][0]["line"]["color"], "var(--chart-1)");
        assert_eq!(json["data"][0]["y"], serde_json::json!([0.5, null]));
        assert_eq!(json["layout"]["xaxis"]["title"]["text"], "epoch");
    }

    #[test]
    fn bars_stand_at_the_middle_of_their_edges() {
        let json = plot(vec![histogram(&[0.0, 1.0, 2.0], &[3, 4], "rows")], Layout::new());
        assert_eq!(json["data"][0]["x"], serde_json::json!([0.5, 1.5]));
        assert_eq!(json["data"][0]["width"], 0.94);
    }

    #[test]
    fn a_ninth_series_differs_by_its_dash() {
        let json = plot(vec![line(8, "nine", vec![0.0, 1.0], vec![Some(0.0), Some(1.0)])], Layout::new());
        assert_eq!((color(8), json["data"][0]["line"]["dash"].as_str()), (color(0), Some("dash")));
    }
}
