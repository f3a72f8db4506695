//! The rows of a query that a cluster runs: read from its executors, asked for again where one of them is lost meanwhile.

use arrow::record_batch::RecordBatch;
use datafusion::dataframe::DataFrame;
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;

use crate::engine::external;
use crate::error::Error;

/// Executors that a query may lose while its rows are read.
const LOST_MAX: usize = 3;

/// A query whose rows are being read.
struct Reading {
    frame: DataFrame,
    scheduler: String,
    rows: SendableRecordBatchStream,
    /// Rows handed out.
    given: usize,
    /// Rows that come again and were handed out already.
    known: usize,
    lost: usize,
}

/// The rows of a query.
pub(super) async fn rows(frame: DataFrame, scheduler: String) -> EngineResult<SendableRecordBatchStream> {
    let rows = begin(&frame).await?;
    let schema = rows.schema();
    let reading = Reading { frame, scheduler, rows, given: 0, known: 0, lost: 0 };
    let all = futures::stream::try_unfold(reading, |mut reading| async move {
        let next = reading.next().await?;
        Ok(next.map(|batch| (batch, reading)))
    });
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, all)))
}

/// Plans the query, which is sent when its rows are read. What cannot be planned is told as on one machine.
async fn begin(frame: &DataFrame) -> EngineResult<SendableRecordBatchStream> {
    frame.clone().execute_stream().await.map_err(|error| {
        let text = error.to_string();
        match own(&text).filter(|_| text.contains("failed to serialize")) {
            Some(own) => external(own),
            None => error,
        }
    })
}

impl Reading {
    async fn next(&mut self) -> EngineResult<Option<RecordBatch>> {
        loop {
            match self.rows.next().await {
                None => return Ok(None),
                Some(Ok(batch)) => {
                    let skipped = self.known.min(batch.num_rows());
                    self.known -= skipped;
                    if skipped == batch.num_rows() && skipped > 0 {
                        continue;
                    }
                    let batch = batch.slice(skipped, batch.num_rows() - skipped);
                    self.given += batch.num_rows();
                    return Ok(Some(batch));
                }
                Some(Err(error)) if self.may_ask_again(&error) => {
                    self.lost += 1;
                    self.known = self.given;
                    self.rows = begin(&self.frame).await?;
                }
                Some(Err(error)) => return Err(external(told(&error, &self.scheduler))),
            }
        }
    }

    /// Whether the rows cannot be had from the executor that made them, and the same rows come in the same order again.
    fn may_ask_again(&self, error: &DataFusionError) -> bool {
        let is_lost = failed_job(&error.to_string()).map_or(!is_unreachable(error), is_of_lost_executor);
        is_lost && self.lost < LOST_MAX && (self.given == 0 || keeps_rows(self.frame.logical_plan()))
    }
}

/// Whether a query takes the rows of one table as they come.
pub(super) fn keeps_rows(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(_) => true,
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Filter(_) => {
            plan.inputs().iter().all(|input| keeps_rows(input))
        }
        _ => false,
    }
}

/// Why the scheduler gave a query up.
fn failed_job(text: &str) -> Option<&str> {
    let (_, of_job) = text.split_once("Job ")?;
    of_job.split_once(" failed: ").map(|(_, why)| why)
}

/// Whether a query was given up for the loss of an executor: by our scheduler, or as its parts could not be read.
fn is_of_lost_executor(why: &str) -> bool {
    why == "Cancelled" || why.contains("most recent failure reason")
}

/// Whether the scheduler cannot be reached; the same of an executor is told in more words.
fn is_unreachable(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::Execution(why) if why.starts_with("tonic::transport::Error"))
}

/// What went wrong, in our words. Errors of other machines come as the text that their programmers would see.
fn told(error: &DataFusionError, scheduler: &str) -> Error {
    let text = error.to_string();
    if is_unreachable(error) {
        return Error::Unreachable(format!(
            "the scheduler of the cluster at {scheduler} cannot be reached; start it with tidemill cluster scheduler, or \
             leave cluster.scheduler out"
        ));
    }
    if let Some(own) = own(&text) {
        return own;
    }
    match failed_job(&text).filter(|why| !is_of_lost_executor(why)) {
        Some(why) => Error::Invalid(format!("SQL: {}", innermost(why))),
        None => Error::Unreachable(format!(
            "an executor of the cluster was lost while its rows were read ({text}); ask again"
        )),
    }
}

/// An error of ours in such a text.
fn own(text: &str) -> Option<Error> {
    type Kind = fn(String) -> Error;
    let kinds: [(&str, Kind); 7] = [
        ("Unsupported(\"", Error::Unsupported),
        ("Invalid(\"", Error::Invalid),
        ("NotFound(\"", Error::NotFound),
        ("Exhausted(\"", Error::Exhausted),
        ("Unreachable(\"", Error::Unreachable),
        ("Internal(\"", Error::Internal),
        ("ResourcesExhausted(\"", |why| {
            Error::Exhausted(format!(
                "an executor of the cluster needs more memory than its --memory-mb allows ({why}); allow it more, or divide \
                 the query into more parts (cluster.parts)"
            ))
        }),
    ];
    let found = kinds.iter().filter_map(|(start, kind)| Some((text.rfind(start)?, start, kind)));
    let (at, start, kind) = found.max_by_key(|(at, start, _)| (at + start.len(), start.len()))?;
    Some(kind(unquoted(&text[at + start.len()..])))
}

/// The text up to the quote that ends it.
fn unquoted(text: &str) -> String {
    let mut out = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => break,
            '\\' => out.extend(letters.next().map(|escaped| if escaped == 'n' { ' ' } else { escaped })),
            letter => out.push(letter),
        }
    }
    out
}

/// The reason in the middle of nested names, such as `ArrowError(CastError("Cannot cast ..."))` or `ArrowError(DivideByZero)`.
fn innermost(why: &str) -> String {
    if let Some((_, quoted)) = why.rsplit_once("(\"") {
        return unquoted(quoted);
    }
    let name = why.trim_end_matches(')').rsplit('(').next().unwrap_or(why);
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_job(text: &str) -> Error {
        told(&DataFusionError::Execution(text.to_owned()), "host:1")
    }

    #[test]
    fn what_another_machine_said_is_told_in_words() {
        let task = "Job 03 failed: Job failed due to stage 0 failed: Task failed due to runtime execution error: ";
        for (why, expected) in [
            ("DataFusionError(Shared(External(ArrowError(DivideByZero))))", "SQL: divide by zero"),
            (
                "DataFusionError(ArrowError(CastError(\"Cannot cast string 'a \\\"b\\\"' to Int32\")))",
                "SQL: Cannot cast string 'a \"b\"' to Int32",
            ),
            ("DataFusionError(External(Invalid(\"SQL: predict: no \\\"x\\\"\")))", "SQL: predict: no \"x\""),
        ] {
            assert_eq!(of_job(&format!("{task}{why}")).to_string(), expected);
        }
        let exhausted = of_job(&format!("{task}DataFusionError(ResourcesExhausted(\"Failed to allocate 3 MB\"))"));
        assert!(matches!(&exhausted, Error::Exhausted(why) if why.contains("--memory-mb")), "{exhausted}");
        let gone = of_job("tonic::transport::Error(Transport, ConnectError(\"tcp connect error\"))");
        assert!(matches!(&gone, Error::Unreachable(why) if why.contains("host:1")), "{gone}");
    }
}
