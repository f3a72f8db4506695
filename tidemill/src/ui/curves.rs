//! Which charts show how a model learned and how good it is?

use learn::evaluate::{CalibrationBin, Curve, Evaluation, Importance};
use learn::{EpochRecord, Task};
use maud::{Markup, html};
use plotly::Trace;
use plotly::layout::AxisConstrain;

use super::charts::{Chart, axes, axis, bars, field, histogram, line, plot, points, reference, unit_axis, vertical};
use super::format;
use super::page::Context;
use super::version::metric_name;
use super::words::Word as W;

/// Columns shown by importance.
const IMPORTANCE_MAX: usize = 25;
/// Classes of a confusion matrix whose cells are written out.
const CELL_TEXT_CLASSES_MAX: usize = 14;

/// Loss and validation figure by epoch; `app.js` lets them grow.
pub(crate) fn learning_curves(context: &Context, history: &[EpochRecord]) -> Vec<Chart> {
    let epochs: Vec<f64> = history.iter().map(|record| record.epoch as f64).collect();
    let column = |of: fn(&EpochRecord) -> f64| -> Vec<Option<f64>> {
        history.iter().map(|record| Some(of(record)).filter(|value| value.is_finite())).collect()
    };
    let rows = |of: &[fn(&EpochRecord) -> f64]| -> Vec<Vec<String>> {
        let row = |record: &EpochRecord| {
            std::iter::once(record.epoch.to_string()).chain(of.iter().map(|of| format::number(of(record)))).collect()
        };
        history.iter().map(row).collect()
    };
    let (train, validation) = (context.t(W::TrainLoss), context.t(W::ValidationLoss));
    let epoch = context.t(W::Epoch);
    let loss = Chart {
        id: "chart-loss".into(),
        caption: context.t(W::LossByEpoch).into(),
        summary: loss_summary(context, history),
        plot: plot(
            vec![
                line(0, train, epochs.clone(), column(|record| record.train_loss)),
                line(1, validation, epochs.clone(), column(|record| record.validation_loss)),
            ],
            axes(axis(epoch), axis(&format::capital(context.t(W::MetricLoss)))),
        ),
        columns: vec![epoch.into(), train.into(), validation.into()],
        rows: rows(&[|record| record.train_loss, |record| record.validation_loss]),
        height: 290,
        live: Some("train_loss validation_loss"),
    };
    let metric =
        history.first().map_or(context.t(W::Validation).to_owned(), |record| metric_name(context, &record.metric));
    let named = format::capital(&context.fill(W::ValidationOf, &[("metric", &metric)]));
    let best = history.iter().rfind(|record| record.best);
    let mark = best.map_or((vec![], vec![]), |best| (vec![best.epoch as f64], vec![best.validation_metric]));
    let figure = Chart {
        id: "chart-metric".into(),
        caption: format::capital(&context.fill(W::MetricByEpoch, &[("metric", &metric)])),
        summary: best.map_or(String::new(), |best| {
            let (value, epoch) = (format::score(best.validation_metric), best.epoch.to_string());
            format::capital(&context.fill(W::BestSummary, &[("metric", &metric), ("value", &value), ("epoch", &epoch)]))
        }),
        plot: plot(
            vec![
                line(2, &named, epochs, column(|record| record.validation_metric)),
                points(1, context.t(W::Best), mark.0, mark.1, 10),
            ],
            axes(axis(epoch), axis(&format::capital(&metric))),
        ),
        columns: vec![epoch.into(), named],
        rows: rows(&[|record| record.validation_metric]),
        height: 290,
        live: Some("validation_metric best"),
    };
    vec![loss, figure]
}

fn loss_summary(context: &Context, history: &[EpochRecord]) -> String {
    let (Some(first), Some(last)) = (history.first(), history.last()) else { return String::new() };
    context.fill(
        W::LossSummary,
        &[
            ("first", &format::number(first.train_loss)),
            ("last", &format::number(last.train_loss)),
            ("validation", &format::number(last.validation_loss)),
            ("epochs", &last.epoch.to_string()),
        ],
    )
}

/// The charts that fit the kind of answer.
pub(crate) fn evaluation_charts(context: &Context, evaluation: &Evaluation) -> Vec<Chart> {
    [
        confusion_chart(context, evaluation),
        curve_chart(context, &evaluation.roc, CurveKind::Roc),
        curve_chart(context, &evaluation.precision_recall, CurveKind::PrecisionRecall),
        calibration_chart(context, evaluation),
        scatter_chart(context, evaluation),
        residual_chart(context, evaluation),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn confusion_chart(context: &Context, evaluation: &Evaluation) -> Option<Chart> {
    let (names, counts) = (&evaluation.labels, &evaluation.confusion);
    if counts.is_empty() || counts.len() != names.len() {
        return None;
    }
    let shares: Vec<Vec<f64>> = counts.iter().map(|row| shares_of(row)).collect();
    let said: Vec<Vec<String>> = counts
        .iter()
        .enumerate()
        .map(|(truth, row)| {
            let cell = |(answer, count): (usize, &u64)| {
                let name = |place: usize| super::charts::label(names.get(place).map_or("", String::as_str));
                context.fill(
                    W::ConfusionCell,
                    &[("truth", &name(truth)), ("answer", &name(answer)), ("count", &format::count(*count))],
                )
            };
            row.iter().enumerate().map(cell).collect()
        })
        .collect();
    let ticks: Vec<f64> = (0..names.len()).map(|place| place as f64).collect();
    let text: Vec<String> = names.iter().map(|name| super::charts::label(name)).collect();
    let named = |title: W, range: [f64; 2]| {
        axis(context.t(title))
            .tick_values(ticks.clone())
            .tick_text(text.clone())
            .range(range.to_vec())
            .show_grid(false)
            .zero_line(false)
    };
    let (low, high) = (-0.5, names.len() as f64 - 0.5);
    let mut layout = axes(named(W::Answer, [low, high]), named(W::Truth, [high, low]));
    if names.len() <= CELL_TEXT_CLASSES_MAX {
        layout = layout.annotations(cell_texts(counts, &shares));
    }
    let right: u64 = (0..names.len()).map(|place| counts[place].get(place).copied().unwrap_or(0)).sum();
    let all: u64 = counts.iter().flatten().sum();
    Some(Chart {
        id: "chart-confusion".into(),
        caption: context.t(W::ConfusionMatrix).into(),
        summary: confusion_summary(context, names, counts, right, all),
        plot: plot(vec![field(names.len(), names.len(), shares, said)], layout),
        columns: std::iter::once(context.t(W::TruthAnswer).to_owned()).chain(names.iter().cloned()).collect(),
        rows: names
            .iter()
            .zip(counts)
            .map(|(name, row)| std::iter::once(name.clone()).chain(row.iter().map(|c| format::count(*c))).collect())
            .collect(),
        height: 360.max(120 + 22 * names.len().min(40) as u32),
        live: None,
    })
}

fn shares_of(row: &[u64]) -> Vec<f64> {
    let total = row.iter().sum::<u64>().max(1) as f64;
    row.iter().map(|count| *count as f64 / total).collect()
}

fn cell_texts(counts: &[Vec<u64>], shares: &[Vec<f64>]) -> Vec<plotly::layout::Annotation> {
    let mut texts = Vec::new();
    for (truth, row) in counts.iter().enumerate() {
        for (answer, count) in row.iter().enumerate().filter(|(_, count)| **count > 0) {
            let ink = if shares[truth][answer] > 0.5 { "var(--surface)" } else { "var(--text)" };
            texts.push(
                plotly::layout::Annotation::new()
                    .x(answer as f64)
                    .y(truth as f64)
                    .text(format::count(*count))
                    .show_arrow(false)
                    .font(plotly::common::Font::new().color(ink).size(11)),
            );
        }
    }
    texts
}

fn confusion_summary(context: &Context, names: &[String], counts: &[Vec<u64>], right: u64, all: u64) -> String {
    let mut worst = (0, 0, 0);
    for (truth, row) in counts.iter().enumerate() {
        for (answer, count) in row.iter().enumerate().filter(|(answer, _)| *answer != truth) {
            if *count > worst.2 {
                worst = (truth, answer, *count);
            }
        }
    }
    let (right, all) = (format::count(right), format::count(all));
    let said = context.fill(W::ConfusionSummary, &[("right", &right), ("all", &all)]);
    if worst.2 == 0 {
        return said;
    }
    let more = context.fill(
        W::ConfusionWorst,
        &[("truth", &names[worst.0]), ("answer", &names[worst.1]), ("count", &format::count(worst.2))],
    );
    format!("{said} {more}")
}

#[derive(Clone, Copy, PartialEq)]
enum CurveKind {
    Roc,
    PrecisionRecall,
}

fn curve_chart(context: &Context, curves: &[Curve], kind: CurveKind) -> Option<Chart> {
    if curves.is_empty() {
        return None;
    }
    let (id, caption, x, y, area) = match kind {
        CurveKind::Roc => ("chart-roc", W::RocTitle, W::FalsePositiveRate, W::TruePositiveRate, W::MetricAuc),
        CurveKind::PrecisionRecall => {
            ("chart-pr", W::PrTitle, W::MetricRecall, W::MetricPrecision, W::MetricAveragePrecision)
        }
    };
    let mut traces: Vec<Box<dyn Trace>> = Vec::new();
    for (place, curve) in curves.iter().enumerate() {
        let (xs, ys) = curve.points.iter().map(|point| (point[0], Some(point[1]))).unzip();
        traces.push(line(place, &curve.label, xs, ys));
    }
    if kind == CurveKind::Roc {
        traces.push(reference(context.t(W::Chance), vec![0.0, 1.0], vec![0.0, 1.0]));
    }
    let mut areas: Vec<(f64, &str)> = curves.iter().map(|curve| (curve.area, curve.label.as_str())).collect();
    areas.sort_by(|a, b| a.0.total_cmp(&b.0));
    let summary = areas.first().map_or(String::new(), |(least, label)| {
        let most = areas.last().map_or(*least, |(most, _)| *most);
        let (least, most) = (format::score(*least), format::score(most));
        let named = format::capital(context.t(area));
        context.fill(W::AreaSummary, &[("area", &named), ("least", &least), ("label", label), ("most", &most)])
    });
    Some(Chart {
        id: id.into(),
        caption: context.t(caption).into(),
        summary,
        plot: plot(traces, axes(unit_axis(&format::capital(context.t(x))), unit_axis(&format::capital(context.t(y))))),
        columns: vec![context.t(W::Class).into(), format::capital(context.t(area))],
        rows: curves.iter().map(|curve| vec![curve.label.clone(), format::score(curve.area)]).collect(),
        height: 360,
        live: None,
    })
}

fn calibration_chart(context: &Context, evaluation: &Evaluation) -> Option<Chart> {
    let bins = &evaluation.calibration;
    if bins.is_empty() {
        return None;
    }
    let (x, y): (Vec<f64>, Vec<f64>) = bins.iter().map(|bin| (bin.predicted, bin.observed)).unzip();
    let rows: u64 = bins.iter().map(|bin| bin.rows).sum();
    let gap = |bin: &CalibrationBin| (bin.predicted - bin.observed).abs() * bin.rows as f64;
    let mean_gap = bins.iter().map(gap).sum::<f64>() / rows.max(1) as f64;
    let several = evaluation.task == Task::Multiclass;
    let (said, happened) = if several { (W::Confidence, W::ShareRight) } else { (W::PredictedShare, W::ObservedShare) };
    let named = context.t(W::Calibration);
    let mut trace = line(0, named, x, y.into_iter().map(Some).collect());
    trace = trace.mode(plotly::common::Mode::LinesMarkers);
    Some(Chart {
        id: "chart-calibration".into(),
        caption: named.into(),
        summary: context.fill(W::CalibrationSummary, &[("gap", &format::percent(mean_gap))]),
        plot: plot(
            vec![trace, reference(context.t(W::Perfect), vec![0.0, 1.0], vec![0.0, 1.0])],
            axes(unit_axis(context.t(said)), unit_axis(context.t(happened))).show_legend(false),
        ),
        columns: [W::From, W::To, W::Rows, said, happened].map(|word| context.t(word).to_owned()).to_vec(),
        rows: bins
            .iter()
            .map(|bin| {
                let figures = [bin.predicted, bin.observed].map(format::score);
                [vec![format::score(bin.from), format::score(bin.to), format::count(bin.rows)], figures.to_vec()]
                    .concat()
            })
            .collect(),
        height: 360,
        live: None,
    })
}

fn scatter_chart(context: &Context, evaluation: &Evaluation) -> Option<Chart> {
    let pairs = &evaluation.residuals.as_ref()?.scatter;
    let all = || pairs.iter().flatten().copied().filter(|value| value.is_finite());
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    if low > high {
        return None;
    }
    let (x, y) = pairs.iter().map(|pair| (pair[0], pair[1])).unzip();
    Some(Chart {
        id: "chart-scatter".into(),
        caption: context.t(W::TruthAndAnswer).into(),
        summary: context.fill(W::ScatterSummary, &[("count", &format::count(pairs.len() as u64))]),
        plot: plot(
            vec![
                points(0, context.t(W::Answer), x, y, 6),
                reference(context.t(W::Perfect), vec![low, high], vec![low, high]),
            ],
            axes(axis(context.t(W::Truth)), axis(context.t(W::Answer))).show_legend(false),
        ),
        columns: vec![context.t(W::Truth).into(), context.t(W::Answer).into()],
        rows: pairs.iter().map(|pair| pair.map(format::number).to_vec()).collect(),
        height: 360,
        live: None,
    })
}

fn residual_chart(context: &Context, evaluation: &Evaluation) -> Option<Chart> {
    let residuals = evaluation.residuals.as_ref()?;
    if residuals.counts.is_empty() || residuals.edges.len() != residuals.counts.len() + 1 {
        return None;
    }
    let layout = axes(axis(context.t(W::Residual)), axis(context.t(W::Rows))).shapes(vec![vertical(0.0)]);
    let row = |(edges, count): (&[f64], &u64)| {
        vec![format::number(edges[0]), format::number(edges[1]), format::count(*count)]
    };
    Some(Chart {
        id: "chart-residuals".into(),
        caption: context.t(W::Residuals).into(),
        summary: context.fill(W::ResidualSummary, &[("mean", &format::number(residuals.mean))]),
        plot: plot(vec![histogram(&residuals.edges, &residuals.counts, context.t(W::Rows))], layout.show_legend(false)),
        columns: [W::From, W::To, W::Rows].map(|word| context.t(word).to_owned()).to_vec(),
        rows: residuals.edges.windows(2).zip(&residuals.counts).map(row).collect(),
        height: 360,
        live: None,
    })
}

/// The columns that matter most, and for a picture where it matters.
pub(crate) fn importance_charts(context: &Context, all: &[Importance], metric: &str) -> Vec<Chart> {
    let mut sorted: Vec<&Importance> = all.iter().collect();
    sorted.sort_by(|a, b| b.drop.total_cmp(&a.drop));
    sorted.truncate(IMPORTANCE_MAX);
    let Some(first) = sorted.first() else { return Vec::new() };
    let names: Vec<String> = sorted.iter().map(|one| one.column.clone()).collect();
    let drops: Vec<f64> = sorted.iter().map(|one| one.drop).collect();
    let (bars, y) = bars(&names, &drops);
    let lost = format::capital(&context.fill(W::LostMetric, &[("metric", metric)]));
    let most = format::score(first.drop);
    let mut charts = vec![Chart {
        id: "chart-importance".into(),
        caption: context.t(W::ImportanceCaption).into(),
        summary: context.fill(W::ImportanceSummary, &[("column", &first.column), ("drop", &most), ("metric", metric)]),
        plot: plot(vec![bars], axes(axis(&lost), y).show_legend(false)),
        columns: vec![context.t(W::Column).into(), lost],
        rows: sorted.iter().map(|one| vec![one.column.clone(), format::score(one.drop)]).collect(),
        height: 110 + 24 * sorted.len().max(2) as u32,
        live: None,
    }];
    // One column says nothing beside itself: a lone picture is explained by its regions.
    if sorted.len() == 1 && first.map.is_some() {
        charts.clear();
    }
    charts.extend(sorted.iter().enumerate().filter_map(|(place, one)| region_chart(context, place, one, metric)));
    charts
}

fn region_chart(context: &Context, place: usize, one: &Importance, metric: &str) -> Option<Chart> {
    let map = one.map.as_ref()?;
    if map.columns == 0 || map.drops.len() != map.rows * map.columns {
        return None;
    }
    let rows: Vec<&[f64]> = map.drops.chunks_exact(map.columns).collect();
    let most = map.drops.iter().copied().fold(0.0, f64::max);
    let z = rows.iter().map(|row| row.iter().map(|drop| if most > 0.0 { drop.max(0.0) / most } else { 0.0 }).collect());
    let text = rows.iter().map(|row| row.iter().map(|drop| format::score(*drop)).collect());
    let side = |count: usize, top_first: bool| {
        let ends = [-0.5, count as f64 - 0.5];
        let range = if top_first { vec![ends[1], ends[0]] } else { ends.to_vec() };
        plotly::layout::Axis::new().range(range).visible(false).fixed_range(true)
    };
    let (x, y) = (side(map.columns, false).constrain(AxisConstrain::Domain), side(map.rows, true).scale_anchor("x"));
    Some(Chart {
        id: format!("chart-regions-{place}"),
        caption: context.fill(W::RegionsCaption, &[("column", &one.column)]),
        summary: context.fill(W::RegionsSummary, &[("metric", metric), ("most", &format::score(most))]),
        plot: plot(vec![field(map.columns, map.rows, z.collect(), text.collect())], axes(x, y)),
        columns: std::iter::once(context.t(W::Row).to_owned())
            .chain((1..=map.columns).map(|n| n.to_string()))
            .collect(),
        rows: rows
            .iter()
            .enumerate()
            .map(|(n, row)| std::iter::once((n + 1).to_string()).chain(row.iter().map(|d| format::score(*d))).collect())
            .collect(),
        height: 340,
        live: None,
    })
}

/// Precision, recall and F1 of each class.
pub(crate) fn class_table(context: &Context, evaluation: &Evaluation) -> Markup {
    if evaluation.per_class.is_empty() {
        return html! {};
    }
    html! {
        div.card style="margin-top:1.1rem" {
            div.scroll tabindex="0" role="region" aria-label=(context.t(W::ByClass)) {
                table {
                    caption { (context.t(W::ByClass)) }
                    thead { tr {
                        th scope="col" { (context.t(W::Class)) }
                        @for word in [W::Rows, W::MetricPrecision, W::MetricRecall, W::MetricF1] {
                            th.num scope="col" { (format::capital(context.t(word))) }
                        }
                    } }
                    tbody { @for class in &evaluation.per_class { tr {
                        th scope="row" { (class.label) }
                        td.num { (format::count(class.rows)) }
                        @for figure in [class.precision, class.recall, class.f1] { td.num { (format::score(figure)) } }
                    } } }
                }
            }
        }
    }
}
