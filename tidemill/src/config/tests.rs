//! Golden texts: what a wrong project file is answered with, and what a right one becomes.

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
fn a_source_of_flight_sql_is_checked() {
    let source = |text: &str| format!("sources:\n  orders: {{flight_sql: {text}}}\n");
    let check = |text: &str, expected: &[&str]| assert_eq!(messages(&source(text), &[]), expected, "{text}");
    check("{url: 'grpc://db:31337', user: me, table: orders}", &[]);
    check(
        "{url: 'grpc://db:31337', tabel: orders}",
        &[
            "unknown key \"tabel\" in sources.orders.flight_sql; did you mean \"table\"? | known keys: url, user, password, token, table, query, ca, timeout_s",
        ],
    );
    check(
        "{url: 'grpc://db:31337', timeout_s: 0}",
        &["sources.orders.flight_sql.timeout_s: expected an integer from 1 to 3600, found 0"],
    );
    let missing = messages(&source("{table: orders}"), &[]);
    assert!(missing[0].starts_with("sources.orders.flight_sql needs the key \"url\""), "{missing:?}");
    let hidden = load(&source("{url: 'grpc://me:${SECRET}@db:1', token: '${SECRET}', table: orders}"));
    assert!(!hidden.render().contains("hunter2") && !hidden.shown().to_string().contains("hunter2"));
}

#[test]
fn a_source_of_delta_lake_is_checked() {
    let check = |text: &str, expected: &[&str]| {
        assert_eq!(messages(&format!("sources:\n  orders: {{delta: {text}}}\n"), &[]), expected, "{text}");
    };
    check("lake/orders", &[]);
    check("{path: lake/orders, version: 12}", &[]);
    check("{path: 's3://lake/orders', time: '2026-11-01T00:00:00Z', store: {region: eu-west-1}}", &[]);
    check(
        "{path: lake/orders, verson: 12}",
        &[
            "unknown key \"verson\" in sources.orders.delta; did you mean \"version\"? | known keys: path, version, time, store",
        ],
    );
    let negative = messages("sources:\n  orders: {delta: {path: lake/orders, version: -1}}\n", &[]);
    assert!(negative[0].starts_with("sources.orders.delta.version: expected an integer"), "{negative:?}");
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
fn names_that_point_nowhere_are_found_with_their_place() {
    check(
        "sources:\n  people: {csv: p.csv}\ntables:\n  adults: |\n    SELECT *\n    FROM peple\n    WHERE age > 17\n",
        r#"
error: table "adults" reads from "peple", which is no source or table; did you mean "people"?
 --> p/tidemill.yaml:6:10
  |
6 |     FROM peple
  |          ^^^^^"#,
    );
    let sources = "sources:\n  people: {csv: p.csv}\n";
    let check =
        |rest: &str, expected: &[&str]| assert_eq!(messages(&format!("{sources}{rest}"), &[]), expected, "{rest}");
    check(
        "models: {m: {table: poeple, target: t}}",
        &["models.m.table: no table or source \"poeple\"; did you mean \"people\"? | tables and sources: people"],
    );
    check(
        "models: {m: {table: people, target: t, split: {tables: tests}}}",
        &["models.m.split.tables.test: no table or source \"tests\" | tables and sources: people"],
    );
    check(
        "models: {m: {table: people, target: t, split: {tables: people}}}",
        &["models.m.split.tables.test: \"people\" is the table that the model learns from"],
    );
    check(
        "models: {m: {table: people, target: t}}\nendpoints: {e: {model: n_}}",
        &["endpoints.e.model: no model \"n_\" | models: m"],
    );
    check(
        "models: {m: {table: people, target: t}}\nendpoints: {e: {model: m, version: newest}}",
        &["endpoints.e.version: unknown choice \"newest\" | choices: champion"],
    );
    check(
        "models: {m: {table: people, target: t}}\nendpoints: {e: {model: m, version: 0}}",
        &["endpoints.e.version: expected one of champion, or an integer of at least 1, found 0"],
    );
    check(
        "tables: {people: SELECT 1}",
        &[
            "\"people\" is the name of both a source and a table; rename one of them | the source is at line 2, column 3",
        ],
    );
    check(
        "tables: {a: SELECT * FROM b, b: SELECT * FROM c, c: SELECT * FROM a}",
        &["tables depend on one another in a circle: a -> b -> c -> a"],
    );
    check("tables: {a: SELECT * FROM a}", &["tables depend on one another in a circle: a -> a"]);
    check("tables: {a: ' '}", &["the SQL of table \"a\" is empty"]);
    check(
        "tables: {A: SELECT 1}",
        &["\"A\" cannot be the name of a table: lower-case letters, digits and _, not first a digit, 64 at most"],
    );
    check("tables: {select: SELECT 1}", &["\"select\" cannot be the name of a table: it is a word of SQL"]);
    check(
        "models: {../x: {table: people, target: t}}\nendpoints: {e: {model: '../x'}}",
        &["\"../x\" cannot be the name of a model: lower-case letters, digits, _ and -, 1 to 64 of them"],
    );
}

#[test]
fn columns_and_splits_have_to_fit_together() {
    check_model(
        "features: {include: [age, age], exclude: [age]}",
        &[
            "models.income.features.include[0]: column \"age\" is in exclude too",
            "models.income.features.include[1]: column \"age\" is in the list twice",
            "models.income.features.include[1]: column \"age\" is in exclude too",
        ],
    );
    check_model(
        "features: {include: [income]}",
        &["models.income.features.include[0]: column \"income\" is the target; it cannot be a feature"],
    );
    check_model(
        "features: {columns: {income: auto}}",
        &["models.income.features.columns.income: column \"income\" is the target; it cannot be a feature"],
    );
    check_model(
        "features: {include: [a], columns: {b: auto}}",
        &["models.income.features.columns.b: column \"b\" is not in include"],
    );
    check_model(
        "features: {columns: {a: {number: {clip: [2, 1]}}}}",
        &["models.income.features.columns.a.number.clip: the lowest value has to be below the highest"],
    );
    check_model(
        "split: {fraction: {validation: 0.5, test: 0.5}}",
        &[
            "models.income.split.fraction: validation and test together leave no rows for training; keep their sum below 1",
        ],
    );
    check_model(
        "split: {fraction: {validation: 0}}",
        &["models.income.split.fraction.validation: expected a number above 0 and below 1, found 0"],
    );
    check_model(
        "split: {time: income}",
        &["models.income.split.time.column: column \"income\" is the target; rows cannot be divided by it"],
    );
    check_model(
        "split: {column: {column: part, train: x, test: x}}",
        &["models.income.split.column: train, validation and test need three different values"],
    );
}

#[test]
fn loss_metric_and_threshold_have_to_fit_the_task() {
    check_model(
        "task: regression\ntrain: {loss: cross_entropy}",
        &[
            "models.income.train.loss: categorical_cross_entropy is for classes; regression takes mean_squared_error, mean_absolute_error, huber or quantile",
        ],
    );
    check_model(
        "task: regression\ntrain: {early_stopping: {metric: auc}}",
        &["models.income.train.early_stopping.metric: auc is for classes; regression takes loss or rmse"],
    );
    check_model(
        "task: classification\ntrain: {early_stopping: {metric: rmse}}",
        &[
            "models.income.train.early_stopping.metric: rmse is for regression; classification takes loss, accuracy or auc",
        ],
    );
    check_model(
        "train: {loss: binary_cross_entropy, early_stopping: {metric: rmse}}",
        &[
            "models.income.train.early_stopping.metric: rmse is for regression; classification takes loss, accuracy or auc",
        ],
    );
    check_model(
        "task: regression\nevaluate: {threshold: 0.4}",
        &["models.income.evaluate.threshold: a threshold is for two classes; leave it out for regression"],
    );
    check_model("task: classification\ntrain: {loss: mse}", &[]);
    check_model("task: regression\ntrain: {loss: mae}", &[]);
    check_model(
        "task: regression\ntrain: {loss: focal}",
        &[
            "models.income.train.loss: focal is for classes; regression takes mean_squared_error, mean_absolute_error, huber or quantile",
        ],
    );
    check_model(
        "task: classification\ntrain: {loss: {huber: {delta: 0.5}}}",
        &[
            "models.income.train.loss: huber is for regression; classification takes a cross-entropy, focal or mean_squared_error",
        ],
    );
    check_model(
        "train: {loss: quantile, early_stopping: {metric: auc}}",
        &["models.income.train.early_stopping.metric: auc is for classes; regression takes loss or rmse"],
    );
}

#[test]
fn values_of_the_environment_are_read_and_never_printed() {
    let yaml = project("train: {epochs: '${EPOCHS}'}\nnetwork: ${NET}", "");
    let right = load(&yaml);
    assert_eq!(right.models[0].train.epochs, 7);
    assert_eq!(right.models[0].network, NetSpec::default());
    check_model(
        "train: {epochs: '${SECRET}'}",
        &[
            "models.income.train.epochs: expected an integer from 1 to 1000000, found \"${SECRET}\", which is something else",
        ],
    );
    check_model(
        "task: ${SECRET}",
        &["models.income.task: unknown choice \"${SECRET}\" | choices: auto, classification, regression"],
    );
    check_model(
        "features: {include: ['${SECRET}'], exclude: ['${SECRET}']}",
        &["models.income.features.include[0]: column \"${SECRET}\" is in exclude too"],
    );
    check_model(
        "train: {seed: '${NONE}'}",
        &[
            "models.income.train.seed: the environment variable \"NONE\" is not set; set it, or give it a default: ${NONE:-default}",
        ],
    );
    assert_eq!(
        messages("models: {m: {table: '${SECRET}', target: t}}", &[]),
        ["models.m.table: \"${SECRET}\" is no table and no source | tables and sources: none"]
    );
    assert_eq!(
        messages("tables: {t: 'SELECT * FROM ${SECRET}'}", &[]),
        ["table \"t\" reads from a name from the environment that is no source or table"]
    );
    let secret =
        load("sources: {people: {csv: '${DATA}/${SECRET}.csv'}}\nmodels: {m: {table: people, target: '${SECRET}'}}");
    assert_eq!(secret.models[0].target, "hunter2");
    assert!(!secret.render().contains("hunter2"), "{}", secret.render());
    assert!(secret.render().contains("path: \"${DATA}/${SECRET}.csv\"\n"), "{}", secret.render());
    let document = secret.shown();
    assert_eq!(document["models"]["m"]["target"], "${SECRET}");
    assert!(!document.to_string().contains("hunter2"));
}

#[test]
fn overrides_are_laid_over_the_file() {
    let yaml = project("train: {optimizer: adam}", "");
    let with = |sets: &[&str]| load_with(&yaml, sets).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(with(&["models.income.train.epochs=2", "models.income.train.epochs=3"]).models[0].train.epochs, 3);
    assert_eq!(with(&["models.income.train.epochs=${EPOCHS}"]).models[0].train.epochs, 7);
    let Optimizer::Sgd(sgd) = &with(&["models.income.train.optimizer.sgd.learning_rate=0.5"]).models[0].train.optimizer
    else {
        panic!("the variant of --set wins")
    };
    assert_eq!(sgd.learning_rate, 0.5);
    let project = with(&["models.income.network.dense.hidden=[8, 4]"]);
    let NetSpec::Dense(dense) = &project.models[0].network else { panic!("not dense") };
    assert_eq!(dense.hidden, [8, 4]);
    let NetSpec::Dense(dense) =
        &with(&["models.income.network={dense: {hidden: [9]}}", "models.income.network.dense.hidden[0]=7"]).models[0]
            .network
    else {
        panic!("the network of --set wins")
    };
    assert_eq!(dense.hidden, [7]);
    let columns = &with(&["models.income.features.columns.\"a.b\"=category"]).models[0].features.columns;
    assert!(matches!(columns["a.b"], FeatureSpec::Category(_)), "{columns:?}");
    assert_eq!(with(&["models.other={table: people, target: x}"]).models.len(), 2);
    assert_eq!(with(&["sources.people.csv.path=x.csv"]).models.len(), 1);
}

#[test]
fn wrong_overrides_name_the_argument() {
    let yaml = project("", "");
    let errors = load_with(&yaml, &["models.income.train.epohcs=2"]).err().unwrap();
    let expected = "unknown key \"epohcs\" in models.income.train; did you mean \"epochs\"?\n --> --set models.income.train.epohcs=2\n  = known keys: epochs, batch_size, optimizer, schedule, loss, label_smoothing, class_weights, balance, augment, weight_decay, l1, clip_norm, clip_value, accumulate, start_from, freeze, early_stopping, seed, device, precision";
    assert_eq!(errors.to_string(), expected);
    assert!(errors.is_usage());
    check_set("models.incmoe.train.epochs=2", &["no model \"incmoe\" in the project file; did you mean \"income\"?"]);
    check_set(
        "modles.income.train.epochs=2",
        &[
            "unknown key \"modles\" in the project file; did you mean \"models\"? | known keys: sources, tables, expectations, models, endpoints, server, snapshots, memory, cluster",
        ],
    );
    check_set(
        "models.income.train.epochs=x",
        &["models.income.train.epochs: expected an integer from 1 to 1000000, found the text \"x\""],
    );
    check_set("models.income.train.epochs", &["expected PATH=VALUE, such as models.income.train.epochs=2"]);
    check_set("models..train=2", &["\"models..train\" is not a path of keys such as models.income.train.epochs"]);
    check_set("models.income.train.epochs=[1", &["not valid YAML: while parsing a flow sequence, expected ',' or ']'"]);
    check_set(
        "models.income.network.dense.hidden[0]=7",
        &["index 0 is put to something that is not a list in the project file"],
    );
    check_set(
        "models.income.train.epochs.x=7",
        &["models.income.train.epochs: expected an integer from 1 to 1000000, found a mapping"],
    );
    check_set(
        "models.income.train.seed=${NONE}",
        &["the environment variable \"NONE\" is not set; set it, or give it a default: ${NONE:-default}"],
    );
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

#[test]
fn a_wrong_section_of_kafka_is_shown_with_what_is_right() {
    let check = |section: &str, expected: &str| {
        assert_eq!(messages(&format!("sources: {{s: {{kafka: {section}}}}}"), &[]), [expected], "{section}");
    };
    check(
        "{servers: [a], topics: [b], grup: x}",
        "unknown key \"grup\" in sources.s.kafka; did you mean \"group\"? | known keys: servers, topics, group, instance_id, session_s, start, security, timeout_s, rows",
    );
    check(
        "{servers: [a], topics: [b], security: {protocol: sasl-ssl}}",
        "sources.s.kafka.security.protocol: unknown choice \"sasl-ssl\"; did you mean \"sasl_ssl\"? | choices: plaintext, ssl, sasl_plaintext, sasl_ssl",
    );
    check(
        "{servers: [a], topics: [b], session_s: 0}",
        "sources.s.kafka.session_s: expected an integer from 1 to 1800, found 0",
    );
    let security = "{protocol: sasl_ssl, mechanism: scram_sha_512, user: reader, password: hunter2, ca: kafka.pem}";
    assert!(
        messages(&format!("sources: {{s: {{kafka: {{servers: [a], topics: [b], security: {security}}}}}}}"), &[])
            .is_empty()
    );
}

#[test]
fn a_project_hands_out_ready_parts() {
    let yaml = "tables:\n  late: SELECT * FROM early JOIN c ON true\n  early: SELECT * FROM b\n  other: SELECT * FROM a\nsources:\n  b: {csv: b.csv}\n  a: {csv: a.csv}\n  c: {csv: c.csv}\nmodels:\n  m: {table: late, target: t}\n  l: {table: a, target: t}\n";
    let project = load(yaml);
    let tables: Vec<_> = project.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(tables, ["early", "late", "other"]);
    assert_eq!(project.folder, Path::new("p"));
    assert_eq!(project.data_folder, Path::new("p/.tidemill"));
    let needs = project.needs(&["late"]);
    assert_eq!(needs.sources.iter().map(|source| source.name.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!(needs.tables.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(), ["early", "late"]);
    assert!(project.needs(&["a"]).tables.is_empty());
    assert!(project.has_table("a") && project.has_table("late") && !project.has_table("m"));
    let endpoints: Vec<_> =
        project.endpoints.iter().map(|endpoint| (endpoint.name.as_str(), endpoint.version)).collect();
    assert_eq!(endpoints, [("m", VersionSpec::Champion), ("l", VersionSpec::Champion)]);
    assert_eq!(project.model("l").unwrap().table, "a");
    assert!(project.model("mm").unwrap_err().message.starts_with("no model \"mm\""));
    let one = load(&format!(
        "{yaml}endpoints: {{e: {{model: m, version: 3, confidence_min: 0.5}}}}\nserver: {{body_bytes_max: 4096}}"
    ));
    assert_eq!(one.endpoints.len(), 1);
    assert_eq!((one.endpoints[0].version, one.endpoints[0].queue_max), (VersionSpec::Number(3), 1024));
    assert_eq!(one.server.body_bytes_max, 4096);
}

#[test]
fn rendering_fills_in_defaults_and_reads_back_as_the_same_project() {
    let texts = [
        project("", ""),
        project(
            "features: {exclude: [a, 'null', '5', 'yes', \"x: y\", 'tab\there', '$$a', ' ', é], columns: {a.b: date, \"q\\\"\": image}}",
            "",
        ),
        project(
            "split: {tables: {test: t, validation: v}}",
            "tables:\n  t: |\n    SELECT *\n      FROM people\n\n    WHERE x = '$$5'\n  v: \"  SELECT 1\\n \"\n",
        ),
        project(
            "train: {epochs: '${EPOCHS}', optimizer: {sgd: {momentum: 0.9}}, weight_decay: 1e-300}\nnetwork: ${NET}",
            "endpoints:\n  e: {model: income, version: 2}\n",
        ),
        project(
            "features: {columns: {a: {number: {clip: [-1e30, 0.1], impute: {constant: 2}}}, b: {image: {channels: rgb, width: 8}}}}",
            "server: {request_timeout_ms: 5}\n",
        ),
        project(
            &format!(
                "features: {{include: [{}]}}",
                (0..80).map(|i| format!("column_{i}")).collect::<Vec<_>>().join(", ")
            ),
            "",
        ),
        "sources:\n  s: {csv: {path: '${NONE:-x}', delimiter: \"\\t\", null_values: [NA, ~, '']}}\n".to_owned(),
    ];
    for text in texts {
        let first = load(&text);
        let rendered = first.render();
        let second = load(&rendered);
        assert!(second.sources == first.sources && second.tables == first.tables, "{rendered}");
        assert!(second.models == first.models, "{rendered}\n{:?}\n{:?}", second.models, first.models);
        assert!(second.endpoints == first.endpoints && second.server == first.server, "{rendered}");
        assert_eq!(second.shown(), first.shown());
        assert_eq!(second.render(), rendered);
    }
    let rendered = load(&project("train: {epochs: 20}", "")).render();
    assert!(rendered.contains("\n      epochs: 20\n      batch_size: 128 # default\n"), "{rendered}");
}

#[test]
fn files_that_cannot_be_read_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE_NAME);
    let load =
        || Project::load(folder.path(), &[], &environment).err().map(|errors| errors.errors()[0].message.clone());
    assert_eq!(load().unwrap(), "no such project file; tidemill init --from FILE --target COLUMN writes one");
    std::fs::write(folder.path().join("tidemill.yml"), "").unwrap();
    assert_eq!(load().unwrap(), "no such project file; did you mean \"tidemill.yml\"?");
    std::fs::write(&file, b"a: 1\nb: \xff\n").unwrap();
    assert_eq!(load().unwrap(), "the project file is not UTF-8 text; the first wrong byte is in line 2");
    std::fs::write(&file, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert_eq!(load().unwrap(), "the project file is larger than 1 MiB");
    std::fs::write(&file, format!("\u{feff}{}", project("", ""))).unwrap();
    assert_eq!(load(), None);
    std::fs::write(&file, project("", "").replace('\n', "\r\n")).unwrap();
    assert_eq!(load(), None);
}

#[test]
fn broken_projects_never_panic() {
    let seed = project(
        "features: {exclude: [a], columns: {b: {number: {clip: [1, 2]}}}}\nsplit: {tables: {test: t}}\ntrain: {optimizer: {adam: {beta1: 0.5}}, epochs: '${EPOCHS}'}\nevaluate: {threshold: 0.4}",
        "tables:\n  t: SELECT * FROM people\nendpoints: {e: {model: income, version: 2}}\n",
    );
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    let words =
        ["null", "[]", "{}", "-1", "1e400", "${EPOCHS}", "'", "\"", ": ", "- ", "\n", "[", "}", "é", "true", "<<"];
    for _ in 0..2_000 {
        let mut text = seed.clone();
        for _ in 0..=next(3) {
            let mut at = next(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            let mut end = (at + next(6)).min(text.len());
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.replace_range(at..end.max(at), words[next(words.len())]);
        }
        if let Ok(project) = load_with(&text, &[]) {
            let rendered = project.render();
            let again = load(&rendered);
            assert!(again.models == project.models && again.sources == project.sources, "{text}\n{rendered}");
        }
    }
}

fn examples() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

#[test]
fn the_examples_are_right() {
    for name in ["digits", "line", "mnist", "adult"] {
        let file = examples().join(name).join(FILE_NAME);
        let project = Project::load(&file, &[], &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(project.models.len(), 1, "{name}");
        let rendered = project.render();
        let again =
            Project::parse(&rendered, &file, &[], &|_| None).unwrap_or_else(|errors| panic!("{rendered}\n{errors}"));
        assert_eq!(again.render(), rendered);
        assert!(file.with_file_name("README.md").exists(), "{name} has a page");
    }
    let data = |name: &str| (name == "TIDEMILL_DATA").then(|| "/d".to_owned());
    let mnist = Project::load(&examples().join("mnist"), &[], &data).unwrap();
    let SourceSpec::Idx(idx) = &mnist.sources[1].spec else { panic!("{:?}", mnist.sources) };
    assert_eq!(idx.labels, "/d/mnist/t10k-labels-idx1-ubyte.gz");
    assert!(mnist.render().contains("labels: \"${TIDEMILL_DATA:-data}/mnist/t10k-labels-idx1-ubyte.gz\"\n"));
}

/// 200 points of y = 2x + 1 with noise of standard deviation 0.2: a linear congruential generator (Knuth's MMIX), and the
/// sum of 12 uniform numbers less 6 as a normal one.
fn line_csv() -> String {
    let mut state = 2026_u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut text = "x,y\n".to_owned();
    for _ in 0..200 {
        let x = 4.0 * uniform() - 2.0;
        let noise = (0..12).fold(0.0, |sum, _| sum + uniform()) - 6.0;
        text.push_str(&format!("{x:.4},{:.4}\n", 2.0 * x + 1.0 + 0.2 * noise));
    }
    text
}

#[test]
fn the_points_of_the_line_are_what_their_generator_makes() {
    let written = std::fs::read_to_string(examples().join("line/line.csv")).unwrap();
    assert_eq!(written, line_csv());
}
