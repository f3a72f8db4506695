//! What has to fit together in a model.

use super::*;

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
