//! Golden texts: what a wrong project file is answered with, and what a right one becomes.

mod models;
mod overrides;
mod projects;
mod sources;

use std::path::Path;

use data::SourceSpec;
use learn::spec::{CategoryEncoding, FeatureSpec, Impute, Loss, NetSpec, Optimizer, SplitSpec, Threshold};

use super::*;

fn environment(name: &str) -> Option<String> {
    match name {
        "DATA" => Some("/data".into()),
        "SECRET" => Some("hunter2".into()),
        "EPOCHS" => Some("7".into()),
        "NET" => Some("dense".into()),
        _ => None,
    }
}

fn load_with(yaml: &str, sets: &[&str]) -> Result<Project, ConfigErrors> {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    Project::parse(yaml, Path::new("p/tidemill.yaml"), &sets, &environment)
}

fn load(yaml: &str) -> Project {
    load_with(yaml, &[]).unwrap_or_else(|errors| panic!("{yaml}\n{errors}"))
}

/// A right project, with more keys of the model and more sections.
fn project(model: &str, more: &str) -> String {
    let mut text = "sources:\n  people: {csv: data/people.csv}\nmodels:\n  income:\n".to_owned();
    text.push_str("    table: people\n    target: income\n");
    for line in model.lines() {
        text.push_str(&format!("    {line}\n"));
    }
    text + more
}

/// The messages, each with its notes behind it.
fn messages(yaml: &str, sets: &[&str]) -> Vec<String> {
    let Err(errors) = load_with(yaml, sets) else { return Vec::new() };
    assert!(!errors.to_string().contains("hunter2"), "{errors}");
    let line = |error: &ConfigError| [vec![error.message.clone()], error.notes.clone()].concat().join(" | ");
    errors.errors().iter().map(line).collect()
}

/// The whole text of the errors of a file.
fn check(yaml: &str, expected: &str) {
    let found = load_with(yaml, &[]).map_or_else(|errors| format!("error: {errors}"), |_| "right".to_owned());
    assert_eq!(found, expected.trim(), "\n{yaml}\nfound:\n{found}\n");
}

/// The messages of the errors of a model; none where it is right.
fn check_model(model: &str, expected: &[&str]) {
    assert_eq!(messages(&project(model, ""), &[]), expected, "{model}");
}

/// The messages where `--set` lies over a right project.
fn check_set(set: &str, expected: &[&str]) {
    let yaml = project("network: dense\nfeatures: auto\ntrain: {epochs: 3}", "");
    assert_eq!(messages(&yaml, &[set]), expected, "{set}");
}

#[test]
fn an_unknown_key_is_shown_with_its_line_and_the_nearest_spelling() {
    check(
        &project("train:\n  epohcs: 20", ""),
        r#"
error: unknown key "epohcs" in models.income.train; did you mean "epochs"?
 --> p/tidemill.yaml:8:7
  |
8 |       epohcs: 20
  |       ^^^^^^
  = known keys: epochs, batch_size, optimizer, schedule, loss, label_smoothing, class_weights, balance, augment, weight_decay, l1, clip_norm, clip_value, accumulate, start_from, freeze, early_stopping, seed, device, precision"#,
    );
}

#[test]
fn all_errors_are_told_at_once_in_the_order_of_the_file() {
    check(
        &project(
            "task: clasification\ntrain: {epochs: zero, batch_size: 0, seed: -1}\nnetwork: {dense: {hidden: [8, 0], dropout: 1}}",
            "modles: 1\n",
        ),
        r#"
error: models.income.task: unknown choice "clasification"; did you mean "classification"?
 --> p/tidemill.yaml:7:11
  |
7 |     task: clasification
  |           ^^^^^^^^^^^^^
  = choices: auto, classification, regression

error: models.income.train.epochs: expected an integer from 1 to 1000000, found the text "zero"
 --> p/tidemill.yaml:8:21
  |
8 |     train: {epochs: zero, batch_size: 0, seed: -1}
  |                     ^^^^

error: models.income.train.batch_size: expected one of full, or an integer from 1 to 1048576, found 0
 --> p/tidemill.yaml:8:39
  |
8 |     train: {epochs: zero, batch_size: 0, seed: -1}
  |                                       ^

error: models.income.train.seed: expected an integer of at least 0, found -1
 --> p/tidemill.yaml:8:48
  |
8 |     train: {epochs: zero, batch_size: 0, seed: -1}
  |                                                ^^

error: models.income.network.dense.hidden[1]: expected an integer from 1 to 65536, found 0
 --> p/tidemill.yaml:9:35
  |
9 |     network: {dense: {hidden: [8, 0], dropout: 1}}
  |                                   ^

error: models.income.network.dense.dropout: expected a number from 0 to below 1, found 1
 --> p/tidemill.yaml:9:48
  |
9 |     network: {dense: {hidden: [8, 0], dropout: 1}}
  |                                                ^

error: unknown key "modles" in the project file; did you mean "models"?
  --> p/tidemill.yaml:10:1
   |
10 | modles: 1
   | ^^^^^^
   = known keys: sources, tables, expectations, models, endpoints, server, snapshots, memory, cluster"#,
    );
}

#[test]
fn wrong_types_say_what_was_expected_and_found() {
    check_model(
        "train: [1]",
        &[
            "models.income.train: expected a mapping with the keys epochs, batch_size, optimizer, schedule, loss, label_smoothing, class_weights, balance, augment, weight_decay, l1, clip_norm, clip_value, accumulate, start_from, freeze, early_stopping, seed, device, precision, found a list",
        ],
    );
    check_model(
        "train: {epochs: 1.5}",
        &["models.income.train.epochs: expected an integer from 1 to 1000000, found 1.5"],
    );
    check_model("train: {epochs: }", &[]);
    check_model(
        "train: {epochs: '5'}",
        &["models.income.train.epochs: expected an integer from 1 to 1000000, found the text \"5\""],
    );
    check_model("train: {epochs: 1e1}", &[]);
    check_model(
        "train: {early_stopping: {enabled: yes}}",
        &["models.income.train.early_stopping.enabled: expected true or false, found the text \"yes\""],
    );
    check_model(
        "train: {optimizer: {sgd: {learning_rate: .inf}}}",
        &["models.income.train.optimizer.sgd.learning_rate: expected a number above 0, found .inf"],
    );
    check_model(
        "train: {optimizer: {sgd: {learning_rate: 0}}}",
        &["models.income.train.optimizer.sgd.learning_rate: expected a number above 0, found 0"],
    );
    check_model(
        "train: {optimizer: {lbfgs: {}}}",
        &[
            "unknown choice \"lbfgs\" in models.income.train.optimizer | choices: sgd, adam, adamw, adagrad, adadelta, rmsprop",
        ],
    );
    check_model(
        "train: {optimizer: {sgd: {}, adam: {}}}",
        &[
            "models.income.train.optimizer: expected one of sgd, adam, adamw, adagrad, adadelta, rmsprop, found sgd and adam",
        ],
    );
    check_model(
        "train: {optimizer: {}}",
        &["models.income.train.optimizer: expected one of sgd, adam, adamw, adagrad, adadelta, rmsprop, found none"],
    );
    check_model(
        "train: {device: gpu}",
        &[
            "models.income.train.device: \"gpu\" is no device; expected \"auto\", \"cpu\", or \"cuda\", \"rocm\", \"metal\", \"vulkan\" or \"wgpu\" with the number of the GPU, as \"cuda:0\", or all of them, \"cuda:all\"",
        ],
    );
    check_model(
        "train: {device: \"cuda:1\"}",
        &[
            "models.income.train.device: this build cannot use \"cuda:1\": build with `--features cuda`, or take \"auto\" or \"cpu\"",
        ],
    );
}

#[test]
fn wrong_types_of_columns_splits_and_thresholds_say_what_was_expected() {
    check_model(
        "features: {exclude: fnlwgt}",
        &["models.income.features.exclude: expected a list, found the text \"fnlwgt\""],
    );
    check_model(
        "features: {columns: {age: nubmer}}",
        &[
            "models.income.features.columns.age: unknown choice \"nubmer\"; did you mean \"number\"? | choices: auto, number, category, boolean, date, image, text, series",
        ],
    );
    check_model(
        "features: {columns: {age: {number: {clip: [1]}}}}",
        &["models.income.features.columns.age.number.clip: expected a list of 2 values, found 1"],
    );
    check_model(
        "features: {columns: {a.b: {number: {scale: min_mx}}}}",
        &[
            "models.income.features.columns.\"a.b\".number.scale: unknown choice \"min_mx\"; did you mean \"min_max\"? | choices: none, standard, min_max, robust, quantile, log, yeo_johnson",
        ],
    );
    check_model(
        "features: {columns: {age: {boolean: {x: 1}}}}",
        &["unknown key \"x\" in models.income.features.columns.age.boolean | it takes no keys"],
    );
    check_model(
        "evaluate: {threshold: 1.5}",
        &["models.income.evaluate.threshold.at: expected a number from 0 to 1, found 1.5"],
    );
    check_model(
        "evaluate: {threshold: bestf1}",
        &[
            "models.income.evaluate.threshold: unknown choice \"bestf1\"; did you mean \"best_f1\"? | choices: auto, best_f1, at",
        ],
    );
    check_model(
        "split: random",
        &["models.income.split: unknown choice \"random\" | choices: fraction, column, time, group, tables"],
    );
    check_model(
        "split: column",
        &["models.income.split: \"column\" needs a mapping with the keys column, train, validation, test"],
    );
}

#[test]
fn missing_keys_and_sections_say_what_they_are_for() {
    check(
        "models:\n  income: {table: people}\n",
        r#"
error: models.income needs the key "target"
 --> p/tidemill.yaml:2:3
  |
2 |   income: {table: people}
  |   ^^^^^^
  = target: The column to predict."#,
    );
    check(
        "[1, 2]",
        "error: the project file: expected a mapping with the keys sources, tables, expectations, models, endpoints, server, snapshots, memory, cluster, found a list\n --> p/tidemill.yaml:1:1\n  |\n1 | [1, 2]\n  | ^",
    );
    for empty in ["", "\n\n", "# nothing\n", "---\n", "~"] {
        check(
            empty,
            "error: the project file is empty; tidemill init --from FILE --target COLUMN writes one that works\n --> p/tidemill.yaml",
        );
    }
    assert_eq!(
        messages("models:\n  income:\n", &[]),
        [
            "models.income: expected a mapping with the keys table, target, task, window, features, split, network, train, evaluate, tune, found nothing"
        ]
    );
    assert!(load("models:\nsources:\n").models.is_empty());
}

#[test]
fn short_forms_mean_the_long_ones() {
    let model = |text: &str| load(&project(text, "")).models[0].clone();
    assert_eq!(model("network: dense"), model(""));
    assert_eq!(model("network: {dense: }"), model(""));
    assert_eq!(model("features: auto\nsplit: fraction\ntrain:\nevaluate: {}"), model(""));
    let columns = model("features: {columns: {a: auto, b: number, c: {number: {impute: 0}}, d: {category: {encode: embedding}}, e: {category: {encode: {embedding: {dimension: 3}}}}}}").features.columns;
    assert_eq!(columns["a"], FeatureSpec::Auto);
    assert_eq!(columns["b"], FeatureSpec::Number(Default::default()));
    assert!(matches!(&columns["c"], FeatureSpec::Number(number) if number.impute == Impute::Constant(0.0)));
    let is = |column: &str, dimension| match &columns[column] {
        FeatureSpec::Category(category) => {
            matches!(category.encode, CategoryEncoding::Embedding(spec) if spec.dimension == dimension)
        }
        _ => false,
    };
    assert!(is("d", None) && is("e", Some(3)));
    assert!(
        matches!(model("split: {column: part}").split, SplitSpec::Column(split) if split.column == "part" && split.test == "test")
    );
    assert!(
        matches!(model("split: {column: {column: part, test: 1, train: 007}}").split, SplitSpec::Column(split) if split.test == "1" && split.train == "007")
    );
    assert_eq!(model("evaluate: {threshold: 1}").evaluate.threshold, Threshold::At(1.0));
    assert_eq!(model("evaluate: {threshold: best_f1}").evaluate.threshold, Threshold::BestF1);
    let sgd = model("train: {optimiser: sgd, loss: mse}").train;
    assert!(matches!(sgd.optimizer, Optimizer::Sgd(_)) && sgd.loss == Loss::MeanSquaredError);
    assert_eq!(
        messages(&project("train: {optimiser: sgd, optimizer: adam}", ""), &[]),
        ["\"optimizer\" and \"optimiser\" are the same key of models.income.train"]
    );
    assert_eq!(load("sources: {s: {sample: iris}}").sources, load("sources: {s: {sample: {name: iris}}}").sources);
    assert_eq!(
        messages("sources: {s: {sample: irsi}}", &[])[0],
        "sources.s.sample.name: unknown choice \"irsi\"; did you mean \"iris\"? | choices: digits, iris, breast_cancer, diabetes"
    );
    let same = load("tables: {a: SELECT 1, b: {sql: SELECT 1}}");
    assert_eq!(same.tables[0].sql, same.tables[1].sql);
}
