//! `tidemill predict`: an answer for every row of a file, streaming.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Float32Array, Float64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use data::Sink;
use learn::{ExplainSpec, Explainer, Explanation, Model, Predictions};
use serde_json::json;

use crate::cli::{Common, Predict};
use crate::config::{Project, WindowSpec};
use crate::failure::{Failure, Fault, Result};
use crate::pipeline::{self, Windowed};
use crate::terminal::{Terminal, count};

/// Answers every row of the input.
pub fn predict(common: &Common, args: &Predict, terminal: &Terminal) -> Result<()> {
    let project = super::load(common)?;
    let name = match (&args.model, project.models.as_slice()) {
        (Some(name), _) => &project.model(name)?.name,
        (None, [only]) => &only.name,
        (None, _) => return Err(Failure::new(Fault::Usage, "the project has several models; name one with --model")),
    };
    let store = super::open_to_read(&project)?;
    let version = super::version_or_champion(&store, name, args.version)?;
    let model = crate::serve::load(&version.folder)?;
    let began = Instant::now();
    let window = pipeline::window_of(&version.folder)?;
    let explainer = explainer(args, &version.folder, &model)?;
    let answering = Answering { args, model: &model, window: window.as_ref(), explainer: explainer.as_ref() };
    let on_cluster = explainer.is_none() && window.is_none() && super::cluster::reads(&project, &args.input);
    let rows = pipeline::runtime()?.block_on(async {
        match on_cluster {
            true => answer_on_cluster(&project, &format!("{name}:{}", version.number), &answering).await,
            false => answer_all(&project, &answering).await,
        }
    })?;
    let seconds = began.elapsed().as_secs_f64();
    terminal.result(format!(
        "{} rows answered by version {} of \"{name}\" in {seconds:.1} s, written to {}",
        count(rows),
        version.number,
        args.output.display()
    ));
    terminal.document(&json!({
        "model": name, "version": version.number, "rows": rows, "output": args.output, "seconds": seconds,
        "peak_rss_bytes": crate::machine::peak_rss_bytes(),
    }));
    Ok(())
}

/// Explains the answers of a version where that is wanted.
fn explainer<'m>(args: &Predict, folder: &Path, model: &'m Model) -> Result<Option<Explainer<'m>>> {
    if !args.explain {
        return Ok(None);
    }
    let usual = ExplainSpec::default();
    let spec = ExplainSpec { permutations: args.permutations.unwrap_or(usual.permutations), ..usual };
    Ok(Some(Explainer::new(model, &pipeline::background(folder, model)?, spec)?))
}

/// How rows are answered.
struct Answering<'a> {
    args: &'a Predict,
    model: &'a Model,
    window: Option<&'a WindowSpec>,
    explainer: Option<&'a Explainer<'a>>,
}

impl Answering<'_> {
    fn answered(&self, read: &Windowed) -> Result<RecordBatch> {
        match self.explainer {
            None => with_answers(&read.rows, &self.model.predict(&read.windows)?, &[], self.args),
            Some(explainer) => {
                let explanation = explainer.explain(&read.windows)?;
                let more = contributions(self.model, &explanation);
                with_answers(&read.rows, &explanation.answers, &more, self.args)
            }
        }
    }
}

/// What the answers were counted from, and what each column contributed to them.
fn contributions(model: &Model, explanation: &Explanation) -> Vec<(String, ArrayRef)> {
    let columns = model.features().columns();
    let mut more: Vec<(String, ArrayRef)> =
        vec![("base".to_owned(), Arc::new(Float64Array::from(explanation.base.clone())))];
    for (place, column) in columns.iter().enumerate() {
        let figures = explanation.contributions.iter().skip(place).step_by(columns.len().max(1)).copied();
        more.push((format!("contribution_{}", column.name), Arc::new(Float64Array::from_iter_values(figures))));
    }
    more
}

/// The same table as [`answer_all`] writes, by a query that the machines of the cluster answer.
async fn answer_on_cluster(project: &Project, version: &str, answering: &Answering<'_>) -> Result<u64> {
    let args = answering.args;
    let mut columns: Vec<String> = Vec::new();
    if !args.only_answers {
        let schema = pipeline::columns_of(project, &args.input).await?;
        columns.extend(
            schema.fields().iter().filter(|field| is_shown(field, args)).map(|field| data::quoted(field.name())),
        );
    }
    let target = answering.model.target();
    columns.push(format!("predict({}) AS prediction", data::literal(version)));
    if target.task != learn::Task::Regression {
        columns.push(format!("confidence({}) AS confidence", data::literal(version)));
        columns.extend(target.labels.iter().map(|label| {
            format!(
                "probability({}, {}) AS {}",
                data::literal(version),
                data::literal(label),
                data::quoted(&format!("probability_{label}"))
            )
        }));
    }
    let query = format!("SELECT {} FROM {}", columns.join(", "), data::quoted(&args.input));
    super::sql::write_rows(pipeline::query(project, &query).await?, &args.output).await
}

async fn answer_all(project: &Project, answering: &Answering<'_>) -> Result<u64> {
    let Answering { args, window, .. } = *answering;
    let mut sink: Option<Sink> = None;
    let mut rows = 0;
    let mut answer = |read: Windowed| -> Result<()> {
        let answered = answering.answered(&read)?;
        let sink = match &mut sink {
            Some(sink) => sink,
            none => none.insert(Sink::create(&args.output, &answered.schema())?),
        };
        sink.write(&answered)?;
        rows += answered.num_rows() as u64;
        Ok(())
    };
    pipeline::each_batch(project, &args.input, None, window, &mut answer).await?;
    match sink {
        Some(sink) => sink.finish()?,
        None => return Err(Failure::input(format!("{} has no rows", args.input))),
    }
    Ok(rows)
}

/// Whether a table can show the column.
fn is_shown(field: &Field, args: &Predict) -> bool {
    use DataType::{Binary, BinaryView, FixedSizeBinary, LargeBinary};
    let picture = matches!(field.data_type(), Binary | LargeBinary | FixedSizeBinary(_) | BinaryView);
    let flat = args.output.extension().is_some_and(|kind| kind == "csv" || kind == "tsv");
    !(picture || flat && field.data_type().is_nested())
}

/// The columns of the input that a table can show, then the answers and what more there is.
fn with_answers(
    batch: &RecordBatch,
    answers: &Predictions,
    more: &[(String, ArrayRef)],
    args: &Predict,
) -> Result<RecordBatch> {
    let mut fields: Vec<Field> = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    if !args.only_answers {
        for (field, column) in
            batch.schema().fields().iter().zip(batch.columns()).filter(|(field, _)| is_shown(field, args))
        {
            fields.push(field.as_ref().clone());
            columns.push(Arc::clone(column));
        }
    }
    let mut add = |name: String, column: ArrayRef| {
        fields.push(Field::new(name, column.data_type().clone(), false));
        columns.push(column);
    };
    match answers {
        Predictions::Values(values) => add("prediction".into(), Arc::new(Float32Array::from(values.clone()))),
        Predictions::Classes { labels, probabilities, classes, .. } => {
            let width = labels.len();
            let names = classes.iter().map(|&class| labels[class as usize].as_str());
            add("prediction".into(), Arc::new(StringArray::from_iter_values(names)));
            let confidence =
                classes.iter().enumerate().map(|(row, &class)| probabilities[row * width + class as usize]);
            add("confidence".into(), Arc::new(Float32Array::from_iter_values(confidence)));
            for (class, label) in labels.iter().enumerate() {
                let share = probabilities.iter().skip(class).step_by(width).copied();
                add(format!("probability_{label}"), Arc::new(Float32Array::from_iter_values(share)));
            }
        }
    }
    more.iter().for_each(|(name, column)| add(name.clone(), Arc::clone(column)));
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    RecordBatch::try_new(schema, columns)
        .map_err(|e| Failure::new(Fault::Ours, format!("cannot put answers together: {e}")))
}
