//! Which section of the project file does a `CREATE MODEL` stand for? The options of BigQuery ML as keys of ours.

use data::{CreateModel, IfModelExists, ModelOption};
use serde_json::{Map, Value, json};

use super::edit::with_entry;
use super::place::did_you_mean;
use super::render;
use super::{Project, snapshot_name};

/// The column that is predicted where `input_label_cols` says nothing, as BigQuery has it.
const LABEL: &str = "label";

/// What a `model_type` is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Auto,
    Linear,
    Dense,
    Wide,
    Boosting,
    Forest,
}

use Family::{Auto, Boosting, Dense, Forest, Linear, Wide};

impl Family {
    /// The network in the project file.
    fn network(self) -> &'static str {
        match self {
            Auto => "auto",
            Linear => "linear",
            Dense => "dense",
            Wide => "wide_and_deep",
            Boosting => "gradient_boosting",
            Forest => "random_forest",
        }
    }
}

const CLASSES: Option<&str> = Some("classification");
const VALUES: Option<&str> = Some("regression");

/// Every `model_type`, what it is, and its task where it has one.
const TYPES: [(&str, Family, Option<&str>); 13] = [
    ("auto", Auto, None),
    ("automl_classifier", Auto, CLASSES),
    ("automl_regressor", Auto, VALUES),
    ("linear_reg", Linear, VALUES),
    ("logistic_reg", Linear, CLASSES),
    ("dnn_classifier", Dense, CLASSES),
    ("dnn_regressor", Dense, VALUES),
    ("dnn_linear_combined_classifier", Wide, CLASSES),
    ("dnn_linear_combined_regressor", Wide, VALUES),
    ("boosted_tree_classifier", Boosting, CLASSES),
    ("boosted_tree_regressor", Boosting, VALUES),
    ("random_forest_classifier", Forest, CLASSES),
    ("random_forest_regressor", Forest, VALUES),
];

/// Options whose value stands under a key of the model as it is; `NETWORK` and `OPTIMIZER` stand for their names.
const KEYS: [(&str, &str, &[Family]); 22] = [
    ("hidden_units", "network.NETWORK.hidden", &[Dense, Wide]),
    ("dropout", "network.NETWORK.dropout", &[Dense, Wide]),
    ("batch_size", "train.batch_size", &[Linear, Dense, Wide]),
    ("max_iterations", "train.epochs", &[Linear, Dense, Wide]),
    ("max_iterations", "network.NETWORK.trees", &[Boosting]),
    ("num_parallel_tree", "network.NETWORK.trees", &[Forest]),
    ("learn_rate", "train.optimizer.OPTIMIZER.learning_rate", &[Linear, Dense, Wide]),
    ("learn_rate", "network.NETWORK.learning_rate", &[Boosting]),
    ("l1_reg", "train.l1", &[Linear, Dense, Wide]),
    ("l2_reg", "train.weight_decay", &[Linear, Dense, Wide]),
    ("l2_reg", "network.NETWORK.l2", &[Boosting]),
    ("max_tree_depth", "network.NETWORK.max_depth", &[Boosting, Forest]),
    ("subsample", "network.NETWORK.row_fraction", &[Boosting, Forest]),
    ("colsample_bytree", "network.NETWORK.feature_fraction", &[Boosting]),
    ("colsample_bynode", "network.NETWORK.features_per_split", &[Forest]),
    ("min_tree_child_weight", "network.NETWORK.min_hessian_per_leaf", &[Boosting]),
    ("min_split_loss", "network.NETWORK.min_gain", &[Boosting]),
    ("early_stop", "train.early_stopping.enabled", &[Linear, Dense, Wide, Boosting]),
    ("seed", "train.seed", &[Auto, Linear, Dense, Wide, Boosting, Forest]),
    // those of which the words differ
    ("activation_fn", "network.NETWORK.activation", &[Dense, Wide]),
    ("auto_class_weights", "train.balance", &[Linear, Dense, Wide, Boosting, Forest]),
    ("budget_hours", "network.NETWORK.time", &[Auto]),
];

/// Options that have code of their own.
const OTHERS: [&str; 7] = [
    "model_type",
    "input_label_cols",
    "optimizer",
    "data_split_method",
    "data_split_eval_fraction",
    "data_split_test_fraction",
    "data_split_col",
];

/// The parts of the project file that a `CREATE MODEL` stands for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Created {
    /// The model's name.
    pub(crate) name: String,
    model: Value,
    /// The table of its rows, where it is no table or source that is there.
    table: Option<(String, Value)>,
}

impl Created {
    /// The project file's text with them.
    ///
    /// # Errors
    /// In words: a file whose sections do not stand one entry to a line.
    pub(crate) fn added_to(&self, text: &str) -> Result<String, String> {
        let text = match &self.table {
            Some((name, table)) => with_entry(text, "tables", name, table)?,
            None => text.to_owned(),
        };
        with_entry(&text, "models", &self.name, &self.model)
    }

    /// The sections as YAML.
    pub(crate) fn yaml(&self) -> String {
        let mut all = Map::new();
        if let Some((name, table)) = &self.table {
            all.insert("tables".to_owned(), json!({ name: table }));
        }
        all.insert("models".to_owned(), json!({ &self.name: self.model }));
        render::plain(&Value::Object(all))
    }

    /// The table that is added.
    pub(crate) fn table(&self) -> Option<&str> {
        self.table.as_ref().map(|(name, _)| name.as_str())
    }
}

/// What a `CREATE MODEL` adds to a project.
///
/// # Errors
/// In words: an option that is none, or that the model's type does not have.
pub(crate) fn created(project: &Project, wanted: &CreateModel) -> Result<Created, String> {
    let (family, task) = model_type(wanted)?;
    let mut model = Map::new();
    let (table, query) = table_of(project, wanted);
    model.insert("table".to_owned(), json!(table));
    model.insert("target".to_owned(), json!(label(wanted)?));
    if let Some(task) = task {
        model.insert("task".to_owned(), json!(task));
    }
    model.insert("network".to_owned(), json!({ family.network(): {} }));
    let optimizer = match text(wanted, "optimizer")? {
        None => "adam".to_owned(),
        Some((name, option)) => {
            fits(option, family, &[Linear, Dense, Wide])?;
            set(&mut model, &format!("train.optimizer.{}", name.to_lowercase()), json!({}));
            name.to_lowercase()
        }
    };
    for option in wanted.options.iter().filter(|option| !OTHERS.contains(&option.name.as_str())) {
        let path = key(option, family)?;
        let path = path.replace("NETWORK", family.network()).replace("OPTIMIZER", &optimizer);
        set(&mut model, &path, value(option)?);
    }
    if let Some(split) = split(wanted)? {
        model.insert("split".to_owned(), split);
    }
    let table = query.map(|query| (table, json!(query)));
    Ok(Created { name: wanted.name.clone(), model: Value::Object(model), table })
}

fn at(option: &ModelOption, message: impl std::fmt::Display) -> String {
    format!("SQL, {}: {message}", option.place)
}

fn option<'w>(wanted: &'w CreateModel, name: &str) -> Option<&'w ModelOption> {
    wanted.options.iter().find(|option| option.name == name)
}

/// An option that is text.
fn text<'w>(wanted: &'w CreateModel, name: &str) -> Result<Option<(&'w str, &'w ModelOption)>, String> {
    let Some(option) = option(wanted, name) else { return Ok(None) };
    match &option.value {
        Value::String(text) => Ok(Some((text, option))),
        _ => Err(at(option, format!("option \"{name}\" takes text in single quotes"))),
    }
}

fn model_type(wanted: &CreateModel) -> Result<(Family, Option<&'static str>), String> {
    let Some((name, option)) = text(wanted, "model_type")? else { return Ok((Auto, None)) };
    let found = TYPES.iter().find(|(known, ..)| name.eq_ignore_ascii_case(known));
    found.map(|(_, family, task)| (*family, *task)).ok_or_else(|| {
        let names = || TYPES.iter().map(|(name, ..)| *name);
        let near = did_you_mean(name, names());
        at(option, format!("no model_type '{name}'{near} (there are {})", names().collect::<Vec<_>>().join(", ")))
    })
}

fn label(wanted: &CreateModel) -> Result<String, String> {
    let Some(option) = option(wanted, "input_label_cols") else { return Ok(LABEL.to_owned()) };
    match &option.value {
        Value::Array(names) if names.len() == 1 && names[0].is_string() => {
            Ok(names[0].as_str().unwrap_or_default().to_owned())
        }
        Value::String(name) => Ok(name.clone()),
        _ => Err(at(option, "a model predicts one column: input_label_cols=['column']")),
    }
}

/// The key that an option stands for.
fn key(option: &ModelOption, family: Family) -> Result<&'static str, String> {
    let meant = || KEYS.iter().filter(|(name, ..)| *name == option.name);
    if let Some((_, path, _)) = meant().find(|(.., families)| families.contains(&family)) {
        return Ok(path);
    }
    let families: Vec<Family> = meant().flat_map(|(.., families)| families.iter().copied()).collect();
    if !families.is_empty() {
        fits(option, family, &families)?;
    }
    let names = || KEYS.iter().map(|(name, ..)| *name).chain(OTHERS);
    let mut known: Vec<&str> = names().collect();
    known.sort_unstable();
    known.dedup();
    let near = did_you_mean(&option.name, names());
    Err(at(option, format!("no option \"{}\"{near} (there are {})", option.name, known.join(", "))))
}

/// Refuses an option of other types.
fn fits(option: &ModelOption, family: Family, families: &[Family]) -> Result<(), String> {
    if families.contains(&family) {
        return Ok(());
    }
    let types: Vec<&str> =
        TYPES.iter().filter(|(_, family, _)| families.contains(family)).map(|(name, ..)| *name).collect();
    Err(at(option, format!("option \"{}\" is for model_type {} alone", option.name, types.join(", "))))
}

/// The value as the project file has it.
fn value(option: &ModelOption) -> Result<Value, String> {
    let wrong = |takes: &str| Err(at(option, format!("option \"{}\" takes {takes}", option.name)));
    match (option.name.as_str(), &option.value) {
        ("activation_fn", Value::String(name)) => Ok(json!(name.to_lowercase())),
        ("activation_fn", _) => wrong("text in single quotes"),
        ("auto_class_weights", Value::Bool(is_on)) => Ok(json!(if *is_on { "weights" } else { "none" })),
        ("auto_class_weights", _) => wrong("TRUE or FALSE"),
        ("budget_hours", hours) => match hours.as_f64().filter(|hours| *hours > 0.0) {
            Some(hours) => Ok(json!(format!("{}s", (hours * 3_600.0).ceil()))),
            None => wrong("hours above 0"),
        },
        (_, value) => Ok(value.clone()),
    }
}

/// How rows are divided; nothing where no option says so.
fn split(wanted: &CreateModel) -> Result<Option<Value>, String> {
    let mut shares = Map::new();
    for (name, key) in [("data_split_eval_fraction", "validation"), ("data_split_test_fraction", "test")] {
        if let Some(option) = option(wanted, name) {
            shares.insert(key.to_owned(), option.value.clone());
        }
    }
    let column = text(wanted, "data_split_col")?;
    let method = text(wanted, "data_split_method")?.map(|(method, option)| (method.to_lowercase(), option));
    match (method.as_ref().map(|(method, _)| method.as_str()), column) {
        (Some("seq"), Some((column, _))) => {
            shares.insert("column".to_owned(), json!(column));
            Ok(Some(json!({ "time": shares })))
        }
        (Some("seq"), None) => {
            let (_, option) = method.as_ref().ok_or("data_split_method")?;
            Err(at(option, "data_split_method 'seq' needs data_split_col, the column that orders the rows"))
        }
        (None | Some("random" | "auto_split"), Some((_, option))) => {
            Err(at(option, "data_split_col goes with data_split_method='seq'"))
        }
        (None | Some("random" | "auto_split"), None) if shares.is_empty() => Ok(None),
        (None | Some("random" | "auto_split"), None) => Ok(Some(json!({ "fraction": shares }))),
        (Some(other), _) => {
            let near = did_you_mean(other, ["random", "auto_split", "seq"]);
            let message = format!("no data_split_method '{other}'{near} (there are auto_split, random, seq)");
            Err(method.as_ref().map_or_else(|| message.clone(), |(_, option)| at(option, &message)))
        }
    }
}

/// Lays a value under a path of keys.
fn set(model: &mut Map<String, Value>, path: &str, value: Value) {
    let (key, rest) = path.split_once('.').map_or((path, None), |(key, rest)| (key, Some(rest)));
    match rest {
        None => {
            model.insert(key.to_owned(), value);
        }
        Some(rest) => {
            let inner = model.entry(key).or_insert_with(|| json!({}));
            if let Value::Object(inner) = inner {
                set(inner, rest, value);
            }
        }
    }
}

/// The name of the table to learn from, and its query where that is no table or source of the project.
fn table_of(project: &Project, wanted: &CreateModel) -> (String, Option<String>) {
    let words: Vec<&str> = wanted.query.split_whitespace().collect();
    if let [select, "*", from, name] = words.as_slice()
        && select.eq_ignore_ascii_case("select")
        && from.eq_ignore_ascii_case("from")
    {
        let name = name.trim_matches('"');
        if project.has_table(name) {
            return (name.to_owned(), None);
        }
    }
    let query = Some(wanted.query.clone());
    let base: String = wanted.name.replace('-', "_").chars().take(55).collect();
    let base = if base.starts_with(|c: char| c.is_ascii_digit()) { format!("model_{base}") } else { base };
    let base = format!("{base}_rows");
    let own = project.models.iter().find(|model| model.name == wanted.name).map(|model| model.table.as_str());
    let is_own = |name: &str| {
        wanted.if_exists == IfModelExists::Replace
            && own == Some(name)
            && name.starts_with(&base)
            && snapshot_name(name).is_none()
            && project.tables.iter().any(|table| table.name == name)
            && !project.models.iter().any(|model| model.name != wanted.name && model.table == name)
    };
    if let Some(name) = own.filter(|name| is_own(name)) {
        return (name.to_owned(), query);
    }
    let mut name = base.clone();
    let mut number = 2;
    while project.has_table(&name) {
        name = format!("{base}_{number}");
        number += 1;
    }
    (name, query)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const PEOPLE: &str = "sources:\n  people: { csv: people.csv }\n";

    fn project(text: &str) -> Project {
        Project::parse(text, Path::new("t.yaml"), &[], &|_| None).unwrap()
    }

    fn of(sql: &str) -> Result<Created, String> {
        created(&project(PEOPLE), &data::create_model(sql).unwrap().unwrap())
    }

    #[test]
    fn options_become_keys_that_the_project_file_has() {
        let check = |options: &str, expected: &[(&str, Value)]| {
            let sql = format!("CREATE MODEL m OPTIONS(input_label_cols=['y'], {options}) AS SELECT a, y FROM people");
            let made = of(&sql).unwrap_or_else(|e| panic!("{e}: {options}"));
            let text = made.added_to(PEOPLE).unwrap();
            let whole = project(&text);
            for (path, value) in expected {
                let found = path.split('.').fold(&whole.shown()["models"]["m"], |at, key| &at[key]).clone();
                assert_eq!(&found, value, "{path} of {text}");
            }
            assert_eq!(whole.models[0].target, "y");
            assert_eq!(whole.tables[0].sql, "SELECT a, y FROM people");
        };
        check("model_type='auto', budget_hours=0.5", &[("network.auto.time", json!("30m"))]);
        check(
            "model_type='DNN_CLASSIFIER', hidden_units=[8, 4], dropout=0.2, activation_fn='GELU', max_iterations=3, \
             batch_size=32, optimizer='SGD', learn_rate=0.5, l2_reg=0.01, early_stop=false, auto_class_weights=true",
            &[
                ("task", json!("classification")),
                ("network.dense.hidden", json!([8, 4])),
                ("network.dense.activation", json!("gelu")),
                ("train.epochs", json!(3)),
                ("train.optimizer.sgd.learning_rate", json!(0.5)),
                ("train.early_stopping.enabled", json!(false)),
                ("train.balance", json!("weights")),
            ],
        );
        check(
            "model_type='boosted_tree_regressor', max_iterations=7, learn_rate=0.3, max_tree_depth=4, subsample=0.5, \
             data_split_method='seq', data_split_col='a', data_split_test_fraction=0.2",
            &[
                ("network.gradient_boosting.trees", json!(7)),
                ("network.gradient_boosting.max_depth", json!(4)),
                ("split.time.column", json!("a")),
                ("split.time.test", json!(0.2)),
            ],
        );
        check("model_type='random_forest_classifier', num_parallel_tree=9, seed=3", &[("train.seed", json!(3))]);
        check("model_type='logistic_reg'", &[("network.linear", json!({}))]);
        check("model_type='dnn_linear_combined_regressor', learn_rate=0.1", &[("task", json!("regression"))]);
    }

    #[test]
    fn a_whole_source_needs_no_table() {
        let made = of("CREATE MODEL m AS SELECT * FROM people").unwrap();
        assert_eq!(
            (made.table(), &made.model["table"], &made.model["target"]),
            (None, &json!("people"), &json!("label"))
        );
        assert_eq!(made.yaml(), "models:\n  m:\n    table: people\n    target: label\n    network:\n      auto: {}\n");
    }

    #[test]
    fn wrong_options_are_named_with_their_place() {
        let check = |options: &str, words: &[&str]| {
            let error = of(&format!("CREATE MODEL m\nOPTIONS({options}) AS SELECT 1")).unwrap_err();
            words.iter().for_each(|word| assert!(error.contains(word), "no {word:?} in {error}"));
        };
        check("model_type='dnn_clasifier'", &["line 2, column 9", "did you mean \"dnn_classifier\"?"]);
        check("model_type=1", &["takes text in single quotes"]);
        check("hiden_units=[1]", &["no option \"hiden_units\"; did you mean \"hidden_units\"?", "max_tree_depth"]);
        check("model_type='linear_reg', dropout=0.1", &["column 34", "\"dropout\" is for model_type dnn_classifier"]);
        check(
            "optimizer='adam', model_type='random_forest_regressor'",
            &["\"optimizer\" is for model_type linear_reg"],
        );
        check("input_label_cols=['a', 'b']", &["a model predicts one column"]);
        check("data_split_method='sequ', data_split_col='a'", &["did you mean \"seq\"?"]);
        check("data_split_col='a'", &["goes with data_split_method='seq'"]);
        check("data_split_method='seq'", &["needs data_split_col"]);
        check("auto_class_weights='yes', model_type='logistic_reg'", &["takes TRUE or FALSE"]);
    }
}
