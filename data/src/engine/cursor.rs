//! Which rows came since? Those whose cursor, a column that grows, lies beyond the greatest one of the rows before.

use arrow::array::{Array, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::ScalarValue;
use datafusion::functions_aggregate::expr_fn::{count, max};
use datafusion::prelude::{DataFrame, Expr, ident, isnan, lit};

use super::{Engine, Rows, retell};
use crate::audit::words::counted;
use crate::error::{Error, Result};
use crate::expect::{Family, type_of};

/// How far some rows go.
#[derive(Debug, Clone, PartialEq)]
pub struct Cursor {
    column: String,
    /// Nothing where there are no rows.
    greatest: Option<ScalarValue>,
}

impl Cursor {
    /// The condition on later rows as SQL, for people to read; nothing where all rows are later.
    pub fn condition(&self) -> Option<String> {
        let column = super::quoted(&self.column);
        let value = self.greatest.as_ref()?.to_array().ok()?;
        let options = FormatOptions::default();
        let text = ArrayFormatter::try_new(&value, &options).ok()?.value(0).to_string();
        Some(match value.data_type().is_numeric() {
            true => format!("{column} > {text}"),
            false => format!("{column} > {}", super::literal(&text)),
        })
    }
}

impl Engine {
    /// How far the rows of a table go by this column.
    ///
    /// # Errors
    /// A column that is not there or whose values have no order; rows without a value in it, which no later reading would
    /// find or would find each time.
    pub async fn cursor(&self, table: &str, shown: &str, column: &str) -> Result<Cursor> {
        let frame = self.frame(table).await?;
        self.check_cursor(&frame, shown, column).await?;
        let greatest = frame.aggregate(Vec::new(), vec![max(ident(column)).alias("greatest")]);
        let batches = self.answer(greatest).await?.collect().await?;
        let value = batches.iter().find(|batch| batch.num_rows() > 0).map(|batch| batch.column(0));
        let value = value.filter(|value| !value.is_null(0));
        let greatest = value.map(|value| ScalarValue::try_from_array(value, 0)).transpose();
        let greatest = greatest.map_err(|e| retell(&e, Some(self)))?;
        Ok(Cursor { column: column.to_owned(), greatest })
    }

    /// The rows of a table that lie beyond a cursor; a source that can is asked for them alone.
    ///
    /// # Errors
    /// As [`Engine::cursor`].
    pub async fn rows_beyond(&self, table: &str, cursor: &Cursor) -> Result<Rows> {
        let frame = self.frame(table).await?;
        self.check_cursor(&frame, table, &cursor.column).await?;
        match &cursor.greatest {
            Some(greatest) => self.answer(frame.filter(ident(&cursor.column).gt(lit(greatest.clone())))).await,
            None => self.answer(Ok(frame)).await,
        }
    }

    async fn check_cursor(&self, frame: &DataFrame, shown: &str, column: &str) -> Result<()> {
        let data_type = type_of(frame, shown, column).map_err(Error::NotFound)?;
        if !matches!(Family::of(&data_type), Family::Number | Family::Moment | Family::Text) {
            return Err(Error::invalid(format!(
                "column \"{column}\" of \"{shown}\" cannot be a cursor: {data_type} has no order; name a number, a date or \
                 text that sorts by time"
            )));
        }
        let mut missing: Vec<Expr> = vec![ident(column).is_null()];
        if data_type.is_floating() {
            missing.push(isnan(ident(column))); // greater than every number: nothing would come after it
        }
        let mut rows = 0;
        for condition in missing {
            let counting = frame.clone().filter(condition);
            let counting = counting.and_then(|rows| rows.aggregate(Vec::new(), vec![count(lit(1_i64)).alias("rows")]));
            rows += number(&self.answer(counting).await?.collect().await?);
        }
        match rows {
            0 => Ok(()),
            rows => Err(Error::invalid(format!(
                "column \"{column}\" of \"{shown}\" cannot be a cursor: {} no value in it; leave them out in a table's SQL",
                if rows == 1 { "1 row has".to_owned() } else { format!("{} have", counted(rows, "row")) }
            ))),
        }
    }
}

/// The one whole number of an answer.
fn number(batches: &[RecordBatch]) -> u64 {
    let first = batches.iter().find(|batch| batch.num_rows() > 0);
    let value = first.and_then(|batch| ScalarValue::try_from_array(batch.column(0), 0).ok());
    match value {
        Some(ScalarValue::Int64(Some(rows))) => rows.unsigned_abs(),
        Some(ScalarValue::UInt64(Some(rows))) => rows,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::lines;
    use crate::{CsvSpec, EngineSpec, SourceSpec};

    #[test]
    fn later_rows_are_those_beyond_the_greatest() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let engine = Engine::new(&EngineSpec::default()).unwrap();
            let old = "id,day,name,x,ok\n1,2026-01-01,a,0.5,true\n2,2026-01-02,b,1.5,false\n";
            let new = format!("{old}4,2026-01-04,d,,true\n3,2026-01-03,it's,2.5,true\n");
            for (name, text) in [("old", old), ("new", new.as_str())] {
                std::fs::write(folder.path().join(format!("{name}.csv")), text).unwrap();
                let source = SourceSpec::Csv(CsvSpec::new(format!("{name}.csv")));
                engine.add_source(name, &source, folder.path()).await.unwrap();
            }
            engine.add_table("none", "SELECT * FROM old WHERE id < 0").await.unwrap();
            let check = async |column: &str, condition: &str| {
                let cursor = engine.cursor("old", "old@1", column).await.unwrap();
                assert_eq!(cursor.condition().as_deref(), Some(condition));
                let rows = engine.rows_beyond("new", &cursor).await.unwrap().collect().await.unwrap();
                assert_eq!(lines(&rows), ["4|2026-01-04|d||true", "3|2026-01-03|it's|2.5|true"], "{column}");
                let again = engine.cursor("new", "new", column).await.unwrap();
                assert!(lines(&engine.rows_beyond("new", &again).await.unwrap().collect().await.unwrap()).is_empty());
            };
            check("id", "\"id\" > 2").await;
            check("day", "\"day\" > '2026-01-02'").await;
            check("name", "\"name\" > 'b'").await;
            let nothing = engine.cursor("none", "none", "id").await.unwrap();
            assert_eq!(nothing.condition(), None);
            assert_eq!(lines(&engine.rows_beyond("old", &nothing).await.unwrap().collect().await.unwrap()).len(), 2);

            let wrong = async |table: &str, column: &str, words: &[&str]| {
                let error = engine.cursor(table, table, column).await.unwrap_err().to_string();
                words.iter().for_each(|word| assert!(error.contains(word), "no {word:?} in {error}"));
            };
            wrong("old", "idd", &["no column \"idd\" in table \"old\"", "did you mean \"id\"?"]).await;
            wrong("old", "ok", &["\"ok\"", "cannot be a cursor", "Boolean has no order"]).await;
            wrong("new", "x", &["\"x\" of \"new\" cannot be a cursor: 1 row has no value in it"]).await;
        });
    }
}
