//! Views as a real project would give them, for the tests; with names as hostile as the caller wants them.

use std::collections::BTreeMap;

use data::{AuditReport, ColumnKind, ColumnProfile, Finding, Histogram, Severity, TableProfile};
use learn::evaluate::{Evaluation, Importance, ImportanceMap};
use learn::features::{Column, ColumnKind as Reads};
use learn::{EpochRecord, Target};
use serde_json::{Value, json};
use store::{Failure, Leaderboard, PrimaryMetric, Run, RunId, RunStatus, Version};

use super::*;

mod evaluations;

pub(crate) use evaluations::{classes, values};

/// 2026-11-23 22:15:57 UTC.
const NOW: i64 = 1_795_472_157_000;

/// An 8x8 picture as a PNG file: a one.
pub(crate) const PICTURE: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAIElEQVR42mNgYGAIWMAABgEfoIwFMAYDEYyADx8CGBgAz8cNwfsx43wAAAAASUVORK5CYII=";

pub(crate) fn context(lang: Lang) -> Context {
    Context {
        lang,
        theme: Theme::Auto,
        path: "/".into(),
        project: "harbour".into(),
        version: "0.1.0".into(),
        try_endpoint: Some("digits".into()),
    }
}

fn scores(metric: &str, value: f64) -> Option<Score> {
    Some(Score { metric: metric.into(), value })
}

pub(crate) fn overview_view(name: &str) -> OverviewView {
    let row = |name: &str, status, version, score, requests| EndpointRow {
        name: name.into(),
        model: name.into(),
        version,
        status,
        score,
        requests,
    };
    OverviewView {
        counts: Counts { sources: 4, tables: 5, models: 3, versions: 9, predictions: 128_402 },
        endpoints: vec![
            row(name, EndpointStatus::Ready, Some(4), scores("accuracy", 0.9722), 12_840),
            row("income", EndpointStatus::Loading, Some(2), scores("auc", 0.9131), 0),
            row("cooling", EndpointStatus::Unavailable(format!("{name}: model.onnx is cut off")), None, None, 3),
        ],
        runs: runs_view(name).runs,
    }
}

fn run_of(id: i64, model: &str, status: RunStatus, version: Option<u32>, epochs: usize) -> Run {
    let done = status != RunStatus::Running;
    Run {
        id: RunId(id),
        model: model.into(),
        kind: "train".into(),
        config: json!({"name": model, "table": model, "target": "label", "train": {"epochs": 30, "seed": 42}}),
        status,
        version,
        why: (status == RunStatus::Failed)
            .then(|| format!("target \"{model}\" of table \"{model}\" has one class only")),
        started_unix_ms: NOW - 400_000 * id,
        finished_unix_ms: done.then_some(NOW - 400_000 * id + 8_640 * id),
        epochs,
    }
}

pub(crate) fn runs_view(name: &str) -> RunsView {
    let with = |run, best| RunRow { run, best };
    RunsView {
        runs: vec![
            with(run_of(12, name, RunStatus::Running, None, 7), scores("accuracy", 0.9689)),
            with(run_of(11, "income", RunStatus::Succeeded, Some(2), 14), scores("auc", 0.9144)),
            with(run_of(10, name, RunStatus::Stopped, None, 3), None),
            with(run_of(9, name, RunStatus::Failed, None, 0), None),
            with(run_of(8, name, RunStatus::Interrupted, None, 2), None),
        ],
        models: vec![name.into(), "income".into()],
    }
}

pub(crate) fn history(epochs: usize) -> Vec<EpochRecord> {
    let record = |epoch: usize| {
        let x = epoch as f64;
        EpochRecord {
            epoch,
            train_loss: 2.1 * (-0.45 * x).exp() + 0.03,
            validation_loss: 2.0 * (-0.42 * x).exp() + 0.09 + 0.004 * x,
            metric: "accuracy".into(),
            validation_metric: 0.975 - 0.6 * (-0.5 * x).exp() - 0.004 * f64::from((epoch % 3 == 2) as u8),
            best: epoch % 3 != 2,
            improved_by: (epoch > 1).then_some(0.004),
            seconds: 0.31,
            learning_rate: 0.001,
        }
    };
    (1..=epochs).map(record).collect()
}

pub(crate) fn run_view(name: &str, status: RunStatus) -> RunView {
    let running = status == RunStatus::Running;
    RunView {
        run: run_of(12, name, status, (status == RunStatus::Succeeded).then_some(4), 12),
        history: history(12),
        epochs_max: Some(30),
        stages: if running {
            vec![]
        } else {
            ["collect", "audit", "prepare", "train", "evaluate", "deploy"]
                .map(str::to_owned)
                .into_iter()
                .zip([0.21, 0.09, 0.12, 4.4, 0.6, 0.3])
                .collect()
        },
    }
}

fn version(model: &str, number: u32, champion: bool, primary: (&str, bool, f64, f64)) -> Version {
    let (metric, higher_is_better, validation, test) = primary;
    Version {
        model: model.into(),
        number,
        champion,
        run: Some(RunId(i64::from(number) + 7)),
        created_unix_ms: NOW - 86_400_000 * i64::from(9 - number),
        task: "multiclass".into(),
        primary: PrimaryMetric {
            name: metric.into(),
            higher_is_better,
            validation: Some(validation),
            test: Some(test),
        },
        validation: json!({metric: validation}),
        test: json!({metric: test}),
        cross_validation: None,
        train_seconds: 4.42,
        predict_microseconds_per_row: 11.7,
        size_bytes: 412_331,
        folder: "/data/models".into(),
    }
}

pub(crate) fn models_view(name: &str) -> ModelsView {
    let failure = Failure {
        model: name.into(),
        run: Some(RunId(9)),
        why: format!("the ONNX file and the network differ by 2e-3 on held-out rows of \"{name}\", 1e-5 is allowed"),
        failed_unix_ms: NOW,
    };
    let accuracy = |validation, test| ("accuracy", true, validation, test);
    ModelsView {
        leaderboards: vec![
            Leaderboard {
                model: name.into(),
                versions: vec![
                    version(name, 4, true, accuracy(0.9778, 0.9722)),
                    version(name, 3, false, accuracy(0.9704, 0.9685)),
                    version(name, 1, false, accuracy(0.9519, 0.9481)),
                ],
                failures: vec![failure],
            },
            Leaderboard {
                model: "cooling".into(),
                versions: vec![version("cooling", 1, true, ("rmse", false, 1.91, 2.04))],
                failures: vec![],
            },
            Leaderboard { model: "income".into(), versions: vec![], failures: vec![] },
        ],
        trainable: vec![name.into(), "income".into()],
    }
}

fn column(name: &str, kind: ColumnKind) -> ColumnProfile {
    ColumnProfile {
        name: name.into(),
        kind,
        data_type: "Utf8".into(),
        image: None,
        missing: 0,
        infinite: 0,
        distinct: 2,
        distinct_approximate: false,
        min: None,
        max: None,
        mean: None,
        std: None,
        quantiles: vec![],
        histogram: None,
        top: vec![],
    }
}

fn number_column(name: &str, low: f64, high: f64, missing: u64) -> ColumnProfile {
    let counts: Vec<u64> = (0..24).map(|n| (900.0 * (-((f64::from(n) - 9.0) / 5.0).powi(2)).exp()) as u64).collect();
    let edges = (0..=24).map(|n| low + (high - low) * f64::from(n) / 24.0).collect();
    ColumnProfile {
        missing,
        distinct: 7_312,
        distinct_approximate: true,
        min: Some(low),
        max: Some(high),
        mean: Some(low + (high - low) * 0.4),
        std: Some((high - low) * 0.2),
        histogram: Some(Histogram { edges, counts }),
        ..column(name, ColumnKind::Number)
    }
}

pub(crate) fn audit_report(name: &str) -> AuditReport {
    let tops = |values: &[(&str, u64)]| values.iter().map(|(value, count)| ((*value).to_owned(), *count)).collect();
    let columns = vec![
        number_column("age", 17.0, 90.0, 0),
        ColumnProfile {
            distinct: 8,
            missing: 963,
            top: tops(&[
                ("Private", 22_286),
                (name, 3_862),
                ("Local-gov", 3_136),
                ("State-gov", 1_981),
                ("Self-emp-inc", 1_695),
                ("Federal-gov", 1_432),
            ]),
            ..column("workclass", ColumnKind::Category)
        },
        number_column(name, -1_000.0, 1_484_705.0, 12),
        ColumnProfile { top: tops(&[("true", 21_000), ("false", 11_561)]), ..column("married", ColumnKind::Boolean) },
        ColumnProfile { kind: ColumnKind::Date, ..number_column("hired", 1.0e9, 1.6e9, 3) },
        ColumnProfile { top: tops(&[("<=50K", 24_720), (">50K", 7_841)]), ..column("income", ColumnKind::Category) },
    ];
    let finding = |severity, check: &str, column: Option<&str>, message: String, value, rows: &[u64]| Finding {
        severity,
        check: check.into(),
        column: column.map(str::to_owned),
        message,
        value,
        rows: rows.to_vec(),
    };
    AuditReport {
        table: name.into(),
        profile: TableProfile { rows: 32_561, columns },
        findings: vec![
            finding(
                Severity::Error,
                "leak",
                Some(name),
                format!("column \"{name}\" tells the target almost alone; leave it out"),
                0.998,
                &[],
            ),
            finding(
                Severity::Warning,
                "missing",
                Some("workclass"),
                "column \"workclass\" has no value in 3.0 % of the rows".into(),
                0.03,
                &[3, 17, 22],
            ),
            finding(
                Severity::Warning,
                "duplicates",
                None,
                "24 rows are duplicates".into(),
                0.0007,
                &[5, 9, 11, 12, 13, 14, 15, 16, 17, 18],
            ),
            finding(
                Severity::Info,
                "imbalance",
                Some("income"),
                "classes of \"income\" are unbalanced: 75.9 % are \"<=50K\"".into(),
                0.759,
                &[],
            ),
        ],
    }
}

pub(crate) fn data_view(name: &str) -> DataView {
    let table = |table: &str, audit: Option<AuditReport>| TableView {
        name: table.into(),
        sql: audit.is_some().then(|| format!("SELECT * FROM raw WHERE note <> '{name}'")),
        audited_unix_ms: audit.is_some().then_some(NOW),
        audit,
    };
    DataView {
        sources: vec![SourceRow { name: name.into(), kind: "csv".into(), place: format!("data/{name}.csv") }],
        tables: vec![table("adult", Some(audit_report(name))), table(name, None)],
    }
}

fn base_view(name: &str, evaluation: Evaluation) -> VersionView {
    VersionView {
        model: name.into(),
        number: 4,
        stored: Some(version(name, 4, true, ("accuracy", true, 0.9778, 0.9722))),
        target: Some(Target {
            column: "label".into(),
            task: evaluation.task,
            labels: evaluation.labels.clone(),
            mean: 0.0,
            scale: 1.0,
        }),
        settings: json!({"table": name, "network": {"dense": {"hidden": [128, 64], "activation": "relu"}}}),
        parameters: Some(101_770),
        stages: run_view(name, RunStatus::Succeeded).stages,
        choices: vec![learn::features::Choice {
            column: name.into(),
            feature: "number".into(),
            how: format!("median {name}, standardised"),
        }],
        audit: Some(audit_report(name)),
        history: history(12),
        evaluation: Evaluations {
            validation: Some(evaluation.clone()),
            test: Some(evaluation),
            cross_validation: serde_json::from_value(json!({
                "metrics": { "accuracy": { "mean": 0.9, "standard_deviation": 0.01 } },
                "folds": [{ "training_rows": 8, "rows": 2, "metrics": { "accuracy": 0.9 } }],
            }))
            .unwrap(),
        },
        importance: ["age", name, "hours", "education", "workclass"]
            .iter()
            .enumerate()
            .map(|(n, column)| Importance {
                column: (*column).into(),
                drop: 0.08 / (n as f64 + 1.0) - 0.004 * n as f64,
                map: None,
            })
            .collect(),
        worst: (0..6)
            .map(|n| WorstRow {
                row: 17 * n + 3,
                truth: name.into(),
                answer: (n + 1).to_string(),
                confidence: Some(0.98 - 0.03 * n as f64),
                residual: None,
                values: [("age", json!("39")), ("workclass", json!(name))]
                    .map(|(k, v)| (k.to_owned(), v))
                    .into_iter()
                    .collect(),
                picture: None,
            })
            .collect(),
        usage: Some(Usage {
            endpoint: name.into(),
            address: String::new(),
            input: json!({"age": 39, "workclass": name}),
        }),
    }
}

pub(crate) fn version_view(name: &str) -> VersionView {
    base_view(name, classes(name))
}

pub(crate) fn picture_view(name: &str) -> VersionView {
    let mut view = base_view(name, classes("0"));
    view.importance = vec![Importance {
        column: name.into(),
        drop: 0.7,
        map: Some(ImportanceMap {
            rows: 8,
            columns: 8,
            drops: (0..64)
                .map(|n| 0.12 * (-(((n % 8) as f64 - 3.5).powi(2) + ((n / 8) as f64 - 3.5).powi(2)) / 6.0).exp())
                .collect(),
        }),
    }];
    view.worst.iter_mut().for_each(|row| row.picture = Some(PICTURE.into()));
    view.usage = Some(Usage { endpoint: name.into(), address: String::new(), input: json!({name: vec![0; 64]}) });
    view
}

pub(crate) fn value_view(name: &str) -> VersionView {
    let mut view = base_view(name, values());
    view.worst.iter_mut().for_each(|row| (row.confidence, row.residual) = (None, Some(12.5)));
    view
}

fn reads(name: &str, kind: Reads, example: Value) -> Column {
    Column { name: name.into(), kind, missing: 0, example, prepared: learn::features::Prepared::default() }
}

pub(crate) fn try_view(name: &str) -> TryView {
    let many: Vec<String> = (0..300).map(|n| format!("city {n}")).chain([name.to_owned()]).collect();
    let few: Vec<String> = vec!["Private".into(), name.into(), "State-gov".into()];
    let columns = vec![
        reads("age", Reads::Number { min: 17.0, max: 90.0, integer: true }, json!(37)),
        reads(name, Reads::Number { min: -1.5, max: 1_484_705.0, integer: false }, json!(178_356.5)),
        reads("workclass", Reads::Category { values: few.into() }, json!(name)),
        reads("city", Reads::Category { values: many.into() }, json!("city 7")),
        reads("married", Reads::Boolean, json!(true)),
        reads(
            "hired",
            Reads::Date { min: "2001-09-09".into(), max: "2020-09-13".into(), parts: vec![] },
            json!("2014-05-06"),
        ),
    ];
    TryView {
        endpoint: name.into(),
        endpoints: vec![name.into(), "digits".into()],
        model: name.into(),
        version: 2,
        target: "income".into(),
        columns,
        threshold: Some(0.41),
        address: "http://127.0.0.1:8000".into(),
        samples: BTreeMap::new(),
    }
}

pub(crate) fn try_picture_view(name: &str) -> TryView {
    let kind = Reads::Image { height: 8, width: 8, channels: 1, raw: Some([8, 8, 1]) };
    TryView {
        target: "label".into(),
        columns: vec![reads(name, kind, Value::Null)],
        threshold: None,
        samples: BTreeMap::from([(name.to_owned(), vec![PICTURE.to_owned(); 10])]),
        ..try_view("digits")
    }
}

/// Every page with every kind of view, by a name of its own.
pub(crate) fn all_pages(context: &Context, name: &str) -> Vec<(&'static str, String)> {
    let pages = [
        ("overview", overview(context, &overview_view(name))),
        ("overview-empty", overview(context, &OverviewView::default())),
        ("data", data(context, &data_view(name))),
        ("data-empty", data(context, &DataView::default())),
        ("runs", runs(context, &runs_view(name))),
        ("runs-empty", runs(context, &RunsView::default())),
        ("run", run(context, &run_view(name, RunStatus::Succeeded))),
        ("run-live", run(context, &run_view(name, RunStatus::Running))),
        ("run-failed", run(context, &RunView { history: vec![], ..run_view(name, RunStatus::Failed) })),
        ("models", models(context, &models_view(name))),
        ("models-empty", models(context, &ModelsView::default())),
        ("model", model(context, &version_view(name))),
        ("model-values", model(context, &value_view(name))),
        ("model-pictures", model(context, &picture_view(name))),
        ("model-bare", model(context, &VersionView { model: name.into(), number: 1, ..VersionView::default() })),
        ("try", try_it(context, &try_view(name))),
        ("try-picture", try_it(context, &try_picture_view(name))),
        ("message", message(context, name, name)),
    ];
    pages.into_iter().map(|(page, markup)| (page, markup.into_string())).collect()
}
