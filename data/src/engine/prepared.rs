//! What does a query need, and what does it give, before it is run? Its columns, and its parameters: `$1`, `$2` or `?`.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::models::replaced;
use super::{Engine, Rows, plain_schema, retell};
use crate::error::{Error, Result};

/// Parameters of a query, at most.
const PARAMETERS_MAX: usize = 10_000;

/// A query that was looked at.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The query, its parameters numbered.
    pub(crate) sql: String,
    /// The columns that it gives, as far as they are known without values.
    pub(crate) columns: SchemaRef,
    /// Its parameters in their order; of the type `Null` where any will do.
    pub(crate) parameters: SchemaRef,
}

impl Engine {
    /// The columns of a query and what it needs; it does not run.
    ///
    /// # Errors
    /// A query that is none, or does more than read; parameters with names.
    pub(crate) async fn prepare(&self, sql: &str) -> Result<Prepared> {
        if let Some((table, _)) = self.whole_source(sql).await {
            let columns = plain_schema(&table.schema());
            return Ok(Prepared { sql: sql.to_owned(), columns, parameters: Arc::new(Schema::empty()) });
        }
        let sql = numbered(sql);
        let frame = self.plan(&sql).await?;
        let parameters = self.parameters(frame.logical_plan())?;
        let columns = match parameters.fields().is_empty() {
            true => self.planned(frame).await?,
            false => plain_schema(frame.schema().as_arrow()),
        };
        Ok(Prepared { sql: sql.into_owned(), columns, parameters })
    }

    /// The columns of a prepared query with these values for its parameters; it does not run.
    pub(crate) async fn bound_columns(&self, sql: &str, values: Vec<ScalarValue>) -> Result<SchemaRef> {
        if values.is_empty() {
            return Ok(self.prepare(sql).await?.columns);
        }
        let frame = self.bound(sql, values).await?;
        self.planned(frame).await
    }

    /// As [`Engine::query`], with values for the parameters of a prepared query.
    pub(crate) async fn bound_query(&self, sql: &str, values: Vec<ScalarValue>) -> Result<Rows> {
        if values.is_empty() {
            return self.query(sql).await;
        }
        let frame = self.bound(sql, values).await?;
        self.answer(Ok(self.on_threads(frame))).await
    }

    async fn bound(&self, sql: &str, values: Vec<ScalarValue>) -> Result<DataFrame> {
        self.plan(sql).await?.with_param_values(values).map_err(|e| retell(&e, Some(self)))
    }

    /// The columns that the rows will have: those of the physical plan, for the optimiser may know more of them.
    async fn planned(&self, frame: DataFrame) -> Result<SchemaRef> {
        let plan = frame.create_physical_plan().await.map_err(|e| retell(&e, Some(self)))?;
        Ok(plain_schema(&plan.schema()))
    }

    fn parameters(&self, plan: &LogicalPlan) -> Result<SchemaRef> {
        let found = plan.get_parameter_types().map_err(|e| retell(&e, Some(self)))?;
        let mut kinds: Vec<DataType> = Vec::new();
        for (name, kind) in found {
            let number = name.strip_prefix('$').and_then(|number| number.parse::<usize>().ok());
            let Some(number) = number.filter(|number| (1..=PARAMETERS_MAX).contains(number)) else {
                return Err(Error::invalid(format!(
                    "SQL: {name} is no parameter; write ?, or $1 to ${PARAMETERS_MAX}"
                )));
            };
            kinds.resize(kinds.len().max(number), DataType::Null);
            kinds[number - 1] = kind.unwrap_or(DataType::Null);
        }
        let field = |(index, kind): (usize, DataType)| Field::new(format!("${}", index + 1), kind, true);
        Ok(Arc::new(Schema::new(kinds.into_iter().enumerate().map(field).collect::<Vec<_>>())))
    }
}

/// The query with `$1`, `$2` and so on in place of question marks.
fn numbered(sql: &str) -> Cow<'_, str> {
    if !sql.contains('?') {
        return Cow::Borrowed(sql);
    }
    let mut count = 0;
    replaced(sql, |token| {
        let Token::Placeholder(word) = token else { return None };
        match word.strip_prefix('?')? {
            "" => {
                count += 1;
                Some(format!("${count}"))
            }
            number => Some(format!("${number}")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::lines;
    use crate::{CsvSpec, EngineSpec, SourceSpec};

    #[test]
    fn question_marks_are_numbered_and_texts_stay() {
        let check = |sql: &str, expected: &str| assert_eq!(numbered(sql), expected, "{sql}");
        check("SELECT a FROM t WHERE b = ? AND c IN (?,?)", "SELECT a FROM t WHERE b = $1 AND c IN ($2,$3)");
        check("SELECT '?' AS \"a?\", ? -- ?\nFROM t", "SELECT '?' AS \"a?\", $1 -- ?\nFROM t");
        check("SELECT '数' , a>? /* ? */", "SELECT '数' , a>$1 /* ? */");
        check("SELECT 'open ?", "SELECT 'open ?");
        check("SELECT $1, ?2", "SELECT $1, $2");
    }

    #[test]
    fn a_query_says_what_it_needs_and_takes_values() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("t.csv"), "id,name\n1,a\n2,it's\n3,\n").unwrap();
            let engine = Engine::new(&EngineSpec::default()).unwrap();
            let source = SourceSpec::Csv(CsvSpec::new("t.csv"));
            engine.add_source("t", &source, folder.path()).await.unwrap();
            let prepared = engine.prepare("SELECT name, id FROM t WHERE id > ? AND name = ?").await.unwrap();
            let kinds = |schema: &SchemaRef| -> Vec<(String, DataType)> {
                schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
            };
            let pair = |name: &str, kind: DataType| (name.to_owned(), kind);
            assert_eq!(kinds(&prepared.parameters), [pair("$1", DataType::Int64), pair("$2", DataType::Utf8)]);
            assert_eq!(kinds(&prepared.columns), [pair("name", DataType::Utf8), pair("id", DataType::Int64)]);
            let values = vec![ScalarValue::from(0_i32), ScalarValue::from("it's")];
            let rows = engine.bound_query(&prepared.sql, values.clone()).await.unwrap();
            let columns = engine.bound_columns(&prepared.sql, values).await.unwrap();
            assert_eq!(columns, rows.schema);
            assert_eq!(lines(&rows.collect().await.unwrap()), ["it's|2"]);
            // What is told before a query runs is what its rows have.
            for sql in ["SELECT * FROM t", "SELECT count(*), max(name) FROM t", "SELECT 1 AS one, NULL AS nothing"] {
                let told = engine.prepare(sql).await.unwrap();
                assert_eq!(told.columns, engine.query(sql).await.unwrap().schema, "{sql}");
                assert!(told.parameters.fields().is_empty());
            }
            let check = async |sql: &str, words: &str| {
                let error = engine.prepare(sql).await.unwrap_err().to_string();
                assert!(error.contains(words), "no {words:?} in {error}");
            };
            check("SELECT * FROM t WHERE id = $id", "$id is no parameter").await;
            check("SELECT * FROM t WHERE id = $4000000000", "is no parameter").await;
            check("DROP TABLE t", "only SELECT can be used here").await;
            let missing = engine.bound_query(&prepared.sql, vec![ScalarValue::from(1_i64)]).await;
            assert!(missing.err().unwrap().to_string().contains("$2"));
        });
    }
}
