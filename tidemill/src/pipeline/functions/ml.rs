//! What BigQuery ML asks for beyond our own functions: what a model answers, the probabilities of all classes, figures by
//! BigQuery's names.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Float64Array, ListArray, StringArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use data::{Error, ModelAnswer, ModelNames, TableFunction};
use learn::Task;

use crate::failure::{Failure, Fault, Result};

use super::{Models, in_sql, made, schema};

impl ModelNames for Models {
    fn answer(&self, model: &str) -> data::Result<ModelAnswer> {
        let named = self.get(model).map_err(|failure| match failure.fault {
            Fault::NotFound => Error::NotFound(failure.message),
            Fault::Unsupported => Error::Unsupported(failure.message),
            _ => Error::Invalid(failure.message),
        })?;
        let target = named.model.target();
        Ok(ModelAnswer { label: target.column.clone(), has_classes: target.task != Task::Regression })
    }
}

fn probability_fields() -> Fields {
    vec![Field::new("label", DataType::Utf8, false), Field::new("prob", DataType::Float32, false)].into()
}

fn item() -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Struct(probability_fields()), false))
}

/// A list of label and probability.
pub(super) fn probabilities_type() -> DataType {
    DataType::List(item())
}

/// The probabilities of all classes of each row, in the order of the classes; `[rows, classes]`.
pub(super) fn probabilities(labels: &[String], probabilities: &[f32]) -> Result<ArrayRef> {
    let rows = probabilities.len() / labels.len().max(1);
    let names: Vec<&str> = (0..rows).flat_map(|_| labels.iter().map(String::as_str)).collect();
    let columns: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from_iter_values(names)), Arc::new(Float32Array::from(probabilities.to_vec()))];
    let wrong = |e| Failure::new(Fault::Ours, format!("probabilities as a list: {e}"));
    let values = StructArray::try_new(probability_fields(), columns, None).map_err(wrong)?;
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(labels.len(), rows));
    Ok(Arc::new(ListArray::try_new(item(), offsets, Arc::new(values), None).map_err(wrong)?))
}

/// `ml_evaluate('model')`, `ml_evaluate('model', 'SELECT ...')`: one row of the figures that `ML.EVALUATE` has.
#[derive(Debug)]
pub(super) struct BigQueryEvaluation(pub(super) Arc<Models>);

impl BigQueryEvaluation {
    async fn figures(&self, model: &str, query: Option<&str>) -> Result<BTreeMap<String, f64>> {
        let Some(query) = query else {
            let test = &self.0.get(model)?.test;
            let figures = test.as_object().into_iter().flatten();
            return Ok(figures.filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect());
        };
        let rows = crate::pipeline::query(&self.0.project, query).await?;
        match self.0.figures(model, rows).await? {
            Some((figures, _)) => Ok(figures),
            None => Err(Failure::input("the query has no rows")),
        }
    }

    /// BigQuery's name of each figure and ours.
    fn names(&self, model: &str) -> Result<&'static [(&'static str, &'static str)]> {
        Ok(match self.0.get(model)?.model.target().task {
            Task::Regression => &[
                ("mean_absolute_error", "mae"),
                ("mean_squared_error", "rmse"),
                ("median_absolute_error", "median_absolute_error"),
                ("r2_score", "r2"),
            ],
            Task::Binary => &[
                ("precision", "precision"),
                ("recall", "recall"),
                ("accuracy", "accuracy"),
                ("f1_score", "f1"),
                ("log_loss", "log_loss"),
                ("roc_auc", "auc"),
            ],
            Task::Multiclass => &[
                ("precision", "precision_macro"),
                ("recall", "recall_macro"),
                ("accuracy", "accuracy"),
                ("f1_score", "f1_macro"),
                ("log_loss", "log_loss"),
                ("roc_auc", "auc"),
            ],
        })
    }
}

#[async_trait]
impl TableFunction for BigQueryEvaluation {
    fn name(&self) -> &str {
        "ml_evaluate"
    }

    fn schema(&self, words: &[String]) -> data::Result<SchemaRef> {
        let ([model] | [model, _]) = words else {
            return Err(Error::Invalid("SQL: write ML.EVALUATE(MODEL name, (SELECT ...))".to_owned()));
        };
        let names = self.names(model).map_err(|failure| in_sql("ML.EVALUATE", failure))?;
        Ok(schema(&names.iter().map(|(name, _)| (*name, DataType::Float64)).collect::<Vec<_>>()))
    }

    async fn rows(&self, words: &[String]) -> data::Result<Vec<RecordBatch>> {
        let schema = self.schema(words)?;
        let (model, query) = (words[0].as_str(), words.get(1).map(String::as_str));
        let told = |failure| in_sql("ML.EVALUATE", failure);
        let figures = self.figures(model, query).await.map_err(told)?;
        let value = |(name, ours): &(&str, &str)| match figures.get(*ours).copied() {
            Some(root) if *name == "mean_squared_error" => Some(root * root),
            value => value,
        };
        let column = |one: &(&str, &str)| -> ArrayRef { Arc::new([value(one)].into_iter().collect::<Float64Array>()) };
        made(schema, self.names(model).map_err(told)?.iter().map(column).collect())
    }
}
