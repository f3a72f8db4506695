//! What SQL can ask of models and tables: `predict('model')`, `confidence('model')`, `probability('model', 'class')`,
//! `probabilities('model')`, `features('model')`, `attributions('model')`, `baseline('model')` for every row; `profile('table')`,
//! `evaluate('model', 'table')`, `explain('model', 'table')`, `importance('model')` as tables.

mod explain;
mod ml;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, Float32Array, Float64Array, StringArray, StructArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use data::{Engine, Error, RowFunction, RowSignature, Rows, TableFunction};
use futures::StreamExt;
use learn::evaluate::Importance;
use learn::{Model, Predictions, Task};
use store::Store;

use crate::config::{Project, did_you_mean};
use crate::failure::{Failure, Fault, Result};

/// Batches whose answers are kept for another function of the same query: one for each of a few threads.
const LAST_MAX: usize = 4;
/// Models that stay loaded for the queries of one engine.
const MODELS_MAX: usize = 16;

/// Makes the functions known to an engine.
pub(super) fn add(engine: &mut Engine, project: &Project) -> Result<()> {
    let models = Arc::new(Models { project: project.clone(), loaded: Mutex::default() });
    for what in [What::Answer, What::Confidence, What::Probability, What::Probabilities] {
        engine.add_row_function(Arc::new(Answers { what, models: Arc::clone(&models), last: Mutex::default() }))?;
    }
    engine.add_row_function(Arc::new(FeaturesOf(Arc::clone(&models))))?;
    engine.add_row_function(Arc::new(explain::Attributions(Arc::clone(&models))))?;
    engine.add_row_function(Arc::new(explain::Baseline(Arc::clone(&models))))?;
    engine.add_table_function(Arc::new(explain::ExplanationOf(Arc::clone(&models))));
    engine.add_table_function(Arc::new(ProfileOf(Arc::clone(&models))));
    engine.add_table_function(Arc::new(EvaluationOf(Arc::clone(&models))));
    engine.add_table_function(Arc::new(ml::BigQueryEvaluation(Arc::clone(&models))));
    engine.add_table_function(Arc::new(ImportanceOf(Arc::clone(&models))));
    engine.add_models(models);
    Ok(())
}

/// The models of a project, loaded when a query first names them.
struct Models {
    project: Project,
    loaded: Mutex<BTreeMap<String, Arc<Named>>>,
}

impl std::fmt::Debug for Models {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Models").field("project", &self.project.file).finish_non_exhaustive()
    }
}

/// A model that a query named.
struct Named {
    model: Model,
    folder: std::path::PathBuf,
    /// What its run found on the test rows.
    test: serde_json::Value,
}

impl Models {
    /// The champion of `model`, or the version of `model:version`.
    fn get(&self, name: &str) -> Result<Arc<Named>> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = loaded.get(name) {
            return Ok(Arc::clone(found));
        }
        let (model, version) = match name.split_once(':') {
            None => (name, None),
            Some((model, version)) => {
                let number = version.parse().map_err(|_| {
                    Failure::input(format!("\"{name}\": \"{version}\" is no version; write model:number"))
                })?;
                (model, Some(number))
            }
        };
        self.project.model(model)?;
        let store = Store::read_only(&self.project.data_folder).map_err(|error| match error.kind() {
            store::ErrorKind::NotFound => {
                Failure::not_found(format!("model \"{model}\" has no version yet; train one: tidemill run {model}"))
            }
            _ => error.into(),
        })?;
        let version = crate::commands::version_or_champion(&store, model, version)?;
        if super::window_of(&version.folder)?.is_some() {
            return Err(Failure::new(
                Fault::Unsupported,
                format!("model \"{model}\" reads windows over time, and a row is none; use tidemill predict"),
            ));
        }
        let model = crate::serve::load(&version.folder)?;
        let named = Arc::new(Named { model, folder: version.folder, test: version.test });
        if loaded.len() >= MODELS_MAX {
            loaded.clear();
        }
        loaded.insert(name.to_owned(), Arc::clone(&named));
        Ok(named)
    }

    /// The figures of a model on rows that have its target, and how many there are; nothing where there are none.
    async fn figures(&self, model: &str, mut rows: Rows) -> Result<Option<(BTreeMap<String, f64>, u64)>> {
        let named = self.get(model)?;
        let target = named.model.target();
        let (mut answers, mut truth): (Option<Predictions>, Vec<f32>) = (None, Vec::new());
        while let Some(batch) = rows.batches.next().await {
            let batch = batch?;
            truth.extend(target.encode(std::slice::from_ref(&batch))?);
            let more = named.model.predict(&batch)?;
            match &mut answers {
                Some(answers) => answers.append(more)?,
                none => *none = Some(more),
            }
        }
        match answers.filter(|_| !truth.is_empty()) {
            Some(answers) => Ok(Some((learn::evaluate(&answers, target, &truth)?.metrics, truth.len() as u64))),
            None => Ok(None),
        }
    }
}

/// What is wanted of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Answer,
    Confidence,
    Probability,
    Probabilities,
}

/// `predict`, `confidence`, `probability`, `probabilities`.
struct Answers {
    what: What,
    models: Arc<Models>,
    last: Mutex<VecDeque<Last>>,
}

/// The last rows answered: functions of one query often ask for the same.
struct Last {
    model: String,
    columns: Vec<ArrayRef>,
    answers: Arc<Predictions>,
}

impl std::fmt::Debug for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answers").field("what", &self.what).finish_non_exhaustive()
    }
}

impl Answers {
    fn answered(&self, name: &str, model: &Model, rows: &RecordBatch) -> Result<Arc<Predictions>> {
        let kept = || self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |last: &&Last| {
            let columns = last.columns.iter().zip(rows.columns());
            last.model == name
                && last.columns.len() == rows.num_columns()
                && columns.into_iter().all(|(one, other)| Arc::ptr_eq(one, other))
        };
        if let Some(last) = kept().iter().find(same) {
            return Ok(Arc::clone(&last.answers));
        }
        let answers = Arc::new(model.predict(rows)?);
        let mut kept = kept();
        kept.truncate(LAST_MAX - 1);
        kept.push_front(Last {
            model: name.to_owned(),
            columns: rows.columns().to_vec(),
            answers: Arc::clone(&answers),
        });
        Ok(answers)
    }

    /// The model's name, and the class where one is asked for.
    fn words<'w>(&self, words: &'w [String]) -> Result<(&'w str, Option<&'w str>)> {
        match (self.what, words) {
            (What::Answer | What::Confidence | What::Probabilities, [model]) => Ok((model, None)),
            (What::Probability, [model, class]) => Ok((model, Some(class))),
            (What::Probability, _) => {
                Err(Failure::input("probability takes a model and a class: probability('churn', 'yes')"))
            }
            _ => Err(Failure::input(format!("{0} takes a model in single quotes: {0}('churn')", self.name()))),
        }
    }

    fn read(&self, words: &[String]) -> Result<RowSignature> {
        let (name, class) = self.words(words)?;
        let named = self.models.get(name)?;
        let (columns, target) = (named.model.features().columns(), named.model.target());
        let answer = match (self.what, target.task) {
            (What::Answer, Task::Regression) => DataType::Float32,
            (What::Answer, _) => DataType::Utf8,
            (_, Task::Regression) => {
                return Err(Failure::input(format!(
                    "model \"{name}\" answers a number; {} is for classes",
                    self.name()
                )));
            }
            (What::Probabilities, _) => ml::probabilities_type(),
            _ => DataType::Float32,
        };
        if let Some(class) = class.filter(|class| !target.labels.iter().any(|label| label == class)) {
            let labels = || target.labels.iter().map(String::as_str);
            let known = labels().take(20).collect::<Vec<_>>().join(", ");
            let near = did_you_mean(class, labels());
            return Err(Failure::not_found(format!(
                "model \"{name}\" has no class \"{class}\"{near}; there are: {known}"
            )));
        }
        Ok(RowSignature { columns: columns.iter().map(|column| column.name.clone()).collect(), answer })
    }

    fn answer(&self, words: &[String], rows: &RecordBatch) -> Result<ArrayRef> {
        let (name, class) = self.words(words)?;
        let named = self.models.get(name)?;
        let answers = self.answered(name, &named.model, rows)?;
        Ok(match (answers.as_ref(), self.what) {
            (Predictions::Values(values), _) => Arc::new(Float32Array::from(values.clone())),
            (Predictions::Classes { labels, classes, .. }, What::Answer) => {
                Arc::new(StringArray::from_iter_values(classes.iter().map(|&class| labels[class as usize].as_str())))
            }
            (Predictions::Classes { labels, probabilities, .. }, What::Probabilities) => {
                ml::probabilities(labels, probabilities)?
            }
            (Predictions::Classes { labels, probabilities, classes, .. }, _) => {
                let place = class.and_then(|class| labels.iter().position(|label| label == class));
                let width = labels.len();
                let share =
                    |(row, &answered): (usize, &u32)| probabilities[row * width + place.unwrap_or(answered as usize)];
                Arc::new(Float32Array::from_iter_values(classes.iter().enumerate().map(share)))
            }
        })
    }
}

impl RowFunction for Answers {
    fn name(&self) -> &str {
        match self.what {
            What::Answer => "predict",
            What::Confidence => "confidence",
            What::Probability => "probability",
            What::Probabilities => "probabilities",
        }
    }

    fn signature(&self, words: &[String]) -> data::Result<RowSignature> {
        self.read(words).map_err(|failure| in_sql(self.name(), failure))
    }

    fn call(&self, words: &[String], rows: &RecordBatch) -> data::Result<ArrayRef> {
        self.answer(words, rows).map_err(|failure| in_sql(self.name(), failure))
    }
}

/// `features('model')`: what the model's network reads of a row, a value of each input.
#[derive(Debug)]
struct FeaturesOf(Arc<Models>);

impl RowFunction for FeaturesOf {
    fn name(&self) -> &str {
        "features"
    }

    fn signature(&self, words: &[String]) -> data::Result<RowSignature> {
        let [model] = exactly(words, "features('model')")?;
        let read = || -> Result<RowSignature> {
            let named = self.0.get(model)?;
            let features = named.model.features();
            let answer = DataType::Struct(features.table(&learn::Encoded::default())?.schema().fields().clone());
            Ok(RowSignature { columns: features.columns().iter().map(|column| column.name.clone()).collect(), answer })
        };
        read().map_err(|failure| in_sql("features", failure))
    }

    fn call(&self, words: &[String], rows: &RecordBatch) -> data::Result<ArrayRef> {
        let [model] = exactly(words, "features('model')")?;
        let made = || -> Result<ArrayRef> {
            let named = self.0.get(model)?;
            let features = named.model.features();
            Ok(Arc::new(StructArray::from(features.table(&features.encode(rows)?)?)))
        };
        made().map_err(|failure| in_sql("features", failure))
    }
}

/// A failure as the engine passes it on.
fn in_sql(function: &str, failure: Failure) -> Error {
    let message = format!("SQL: {function}: {}", failure.message);
    match failure.fault {
        Fault::NotFound => Error::NotFound(message),
        Fault::Unsupported => Error::Unsupported(message),
        Fault::Exhausted => Error::Exhausted(message),
        Fault::Conflict => Error::Conflict(message),
        _ => Error::Invalid(message),
    }
}

/// The words of a function that takes this many.
fn exactly<'w, const N: usize>(words: &'w [String], usage: &str) -> data::Result<[&'w str; N]> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    words.try_into().map_err(|_| Error::Invalid(format!("SQL: write {usage}")))
}

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect::<Vec<_>>()))
}

fn made(schema: SchemaRef, columns: Vec<ArrayRef>) -> data::Result<Vec<RecordBatch>> {
    let rows = RecordBatch::try_new(schema, columns);
    Ok(vec![rows.map_err(|e| Error::Internal(format!("a table of figures: {e}")))?])
}

/// `profile('table')`: a row for each column.
#[derive(Debug)]
struct ProfileOf(Arc<Models>);

#[async_trait]
impl TableFunction for ProfileOf {
    fn name(&self) -> &str {
        "profile"
    }

    fn schema(&self, words: &[String]) -> data::Result<SchemaRef> {
        let [table] = exactly(words, "profile('table')")?;
        super::check_table(&self.0.project, table).map_err(|failure| in_sql("profile", failure))?;
        let figure = |name| (name, DataType::Float64);
        let count = |name| (name, DataType::UInt64);
        let text = |name| (name, DataType::Utf8);
        Ok(schema(&[
            text("column"),
            text("kind"),
            text("type"),
            count("rows"),
            count("missing"),
            count("distinct"),
            figure("min"),
            figure("mean"),
            figure("median"),
            figure("max"),
            figure("std"),
            text("most_frequent"),
        ]))
    }

    async fn rows(&self, words: &[String]) -> data::Result<Vec<RecordBatch>> {
        let [table] = exactly(words, "profile('table')")?;
        let profile = super::profile(&self.0.project, table).await.map_err(|failure| in_sql("profile", failure))?;
        let all = &profile.columns;
        let figures = |of: fn(&data::ColumnProfile) -> Option<f64>| -> ArrayRef {
            Arc::new(all.iter().map(of).collect::<Float64Array>())
        };
        let counts = |of: &dyn Fn(&data::ColumnProfile) -> u64| -> ArrayRef {
            Arc::new(all.iter().map(of).map(Some).collect::<UInt64Array>())
        };
        let texts = |of: &dyn Fn(&data::ColumnProfile) -> Option<String>| -> ArrayRef {
            Arc::new(all.iter().map(of).collect::<StringArray>())
        };
        let columns = vec![
            texts(&|column| Some(column.name.clone())),
            texts(&|column| Some(format!("{:?}", column.kind).to_lowercase())),
            texts(&|column| Some(column.data_type.clone())),
            counts(&|_| profile.rows),
            counts(&|column| column.missing),
            counts(&|column| column.distinct),
            figures(|column| column.min),
            figures(|column| column.mean),
            figures(|column| column.quantile(0.5)),
            figures(|column| column.max),
            figures(|column| column.std),
            texts(&|column| Some(column.top.first()?.0.clone())),
        ];
        made(self.schema(words)?, columns)
    }
}

/// `evaluate('model', 'table')`: the figures of a model on the rows of a table that has its target.
#[derive(Debug)]
struct EvaluationOf(Arc<Models>);

impl EvaluationOf {
    async fn figures(&self, model: &str, table: &str) -> Result<(BTreeMap<String, f64>, u64)> {
        let rows = super::rows_in_order(&self.0.project, table, "").await?;
        let found = self.0.figures(model, rows).await?;
        found.ok_or_else(|| Failure::input(format!("table \"{table}\" has no rows")))
    }
}

#[async_trait]
impl TableFunction for EvaluationOf {
    fn name(&self) -> &str {
        "evaluate"
    }

    fn schema(&self, words: &[String]) -> data::Result<SchemaRef> {
        let [model, table] = exactly(words, "evaluate('model', 'table')")?;
        super::check_table(&self.0.project, table).map_err(|failure| in_sql("evaluate", failure))?;
        self.0.get(model).map_err(|failure| in_sql("evaluate", failure))?;
        Ok(schema(&[("metric", DataType::Utf8), ("value", DataType::Float64), ("rows", DataType::UInt64)]))
    }

    async fn rows(&self, words: &[String]) -> data::Result<Vec<RecordBatch>> {
        let [model, table] = exactly(words, "evaluate('model', 'table')")?;
        let (figures, rows) = self.figures(model, table).await.map_err(|failure| in_sql("evaluate", failure))?;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(figures.keys())),
            Arc::new(Float64Array::from_iter_values(figures.values().copied())),
            Arc::new(UInt64Array::from(vec![rows; figures.len()])),
        ];
        made(self.schema(words)?, columns)
    }
}

/// `importance('model')`: what its answers rest on, as its run found.
#[derive(Debug)]
struct ImportanceOf(Arc<Models>);

#[async_trait]
impl TableFunction for ImportanceOf {
    fn name(&self) -> &str {
        "importance"
    }

    fn schema(&self, words: &[String]) -> data::Result<SchemaRef> {
        let [model] = exactly(words, "importance('model')")?;
        self.0.get(model).map_err(|failure| in_sql("importance", failure))?;
        Ok(schema(&[("column", DataType::Utf8), ("drop", DataType::Float64)]))
    }

    async fn rows(&self, words: &[String]) -> data::Result<Vec<RecordBatch>> {
        let [model] = exactly(words, "importance('model')")?;
        let found = self.0.get(model).and_then(|named| importance(&named.folder));
        let found = found.map_err(|failure| in_sql("importance", failure))?;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(found.iter().map(|one| one.column.as_str()))),
            Arc::new(Float64Array::from_iter_values(found.iter().map(|one| one.drop))),
        ];
        made(self.schema(words)?, columns)
    }
}

fn importance(folder: &Path) -> Result<Vec<Importance>> {
    let path = folder.join("importance.json");
    let text = std::fs::read(&path).map_err(|e| Failure::io(&path, &e))?;
    serde_json::from_slice(&text)
        .map_err(|e| Failure::new(Fault::Ours, format!("{}: {e}; restore the folder", path.display())))
}
