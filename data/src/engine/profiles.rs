//! `column_profile(column)`: what is in a column, or in each group of its rows, as JSON. Parts of a table are profiled by
//! themselves and put together: by that, a profile is made on many machines.

use std::fmt;
use std::mem::{size_of, take};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result as EngineResult;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use futures::StreamExt;
use profile::hash::hash_column;
use profile::{Column, ColumnProfile, ColumnState, Profiler, TableProfile, sample_max};
use prost::Message;

use super::{Engine, external, quoted};
use crate::error::{Error, Result};

const NAME: &str = "column_profile";

impl Engine {
    /// What is in the columns of a table: by the cluster, where there is one.
    ///
    /// # Errors
    /// A table that is not known or cannot be read.
    pub async fn profile(&self, table: &str) -> Result<TableProfile> {
        let schema = self.schema(table).await?;
        if self.cluster.is_some() {
            return self.profile_of_parts(table, schema.fields().iter().map(|field| field.name().as_str())).await;
        }
        let mut rows = self.query(&format!("SELECT * FROM {}", quoted(table))).await?;
        let mut profiler = Profiler::new(&rows.schema);
        while let Some(batch) = rows.batches.next().await {
            profiler.update(&batch?)?;
        }
        Ok(profiler.finish())
    }

    async fn profile_of_parts<'n>(
        &self,
        table: &str,
        columns: impl ExactSizeIterator<Item = &'n str>,
    ) -> Result<TableProfile> {
        let sample = sample_max(columns.len());
        let calls: Vec<String> =
            columns.enumerate().map(|(at, name)| format!("{NAME}({}, {sample}) AS c{at}", quoted(name))).collect();
        let query = format!("SELECT count(*) AS n, {} FROM {}", calls.join(", "), quoted(table));
        let mut rows = self.query(&query).await?;
        let batch = rows.batches.next().await.transpose()?.filter(|batch| batch.num_rows() == 1);
        let broken = || Error::Internal("a profile of parts without a row".to_owned());
        let batch = batch.ok_or_else(broken)?;
        let (counted, profiles) = batch.columns().split_first().ok_or_else(broken)?;
        let counted = ScalarValue::try_from_array(counted, 0).ok();
        let rows = match counted {
            Some(ScalarValue::Int64(Some(rows))) => rows.unsigned_abs(),
            _ => return Err(broken()),
        };
        let parsed = profiles.iter().map(|profile| {
            let text = profile.as_string_opt::<i32>().ok_or_else(broken)?.value(0);
            serde_json::from_str::<ColumnProfile>(text).map_err(|e| Error::internal("a profile of parts", e))
        });
        Ok(TableProfile { rows, columns: parsed.collect::<Result<_>>()? })
    }
}

/// The aggregate function `column_profile(column [, sample])`: of so many values at most come the quantiles.
pub(crate) fn column_profile() -> AggregateUDF {
    AggregateUDF::new_from_impl(ProfileOfColumn {
        signature: Signature::one_of(
            vec![datafusion::logical_expr::TypeSignature::Any(1), datafusion::logical_expr::TypeSignature::Any(2)],
            Volatility::Immutable,
        ),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ProfileOfColumn {
    signature: Signature,
}

impl AggregateUDFImpl for ProfileOfColumn {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> EngineResult<DataType> {
        Ok(DataType::Utf8)
    }

    fn state_fields(&self, _args: StateFieldsArgs) -> EngineResult<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new("state", DataType::Binary, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> EngineResult<Box<dyn Accumulator>> {
        let wrong = |why: &str| external(Error::invalid(format!("SQL: {NAME}(column [, sample]) {why}")));
        let field = args.expr_fields.first().ok_or_else(|| wrong("takes a column"))?;
        if args.is_distinct {
            return Err(wrong("has no DISTINCT"));
        }
        let sample = match args.exprs.get(1) {
            None => sample_max(1),
            Some(expr) => {
                let literal = expr.downcast_ref::<datafusion::physical_expr::expressions::Literal>();
                match literal.map(|literal| literal.value()) {
                    Some(ScalarValue::Int64(Some(rows))) => {
                        usize::try_from(*rows).unwrap_or(0).clamp(1_000, sample_max(1))
                    }
                    _ => return Err(wrong("takes a whole number as its second argument")),
                }
            }
        };
        let column = Column::new(field, sample);
        Ok(Box::new(Profiling { field: Arc::clone(field), sample, rows: 0, column }))
    }
}

/// The profile of one column, of one group.
struct Profiling {
    field: FieldRef,
    sample: usize,
    rows: u64,
    column: Column,
}

impl fmt::Debug for Profiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profiling").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl Profiling {
    /// What was seen so far; what comes is counted from nothing.
    fn end(&mut self) -> (u64, Column) {
        let next = Column::new(&self.field, self.sample);
        (take(&mut self.rows), std::mem::replace(&mut self.column, next))
    }
}

impl Accumulator for Profiling {
    fn update_batch(&mut self, values: &[ArrayRef]) -> EngineResult<()> {
        let Some(values) = values.first() else { return Ok(()) };
        self.column.update(values, &hash_column(values));
        self.rows += values.len() as u64;
        Ok(())
    }

    fn state(&mut self) -> EngineResult<Vec<ScalarValue>> {
        let (rows, column) = self.end();
        Ok(vec![ScalarValue::Binary(Some(column.state(rows).encode_to_vec()))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> EngineResult<()> {
        let states = states.first().and_then(|states| states.as_binary_opt::<i32>());
        for bytes in states.into_iter().flatten().flatten() {
            let state = ColumnState::decode(bytes).map_err(|e| external(Error::internal("parts of a profile", e)))?;
            self.rows += state.rows;
            self.column.merge(state);
        }
        Ok(())
    }

    fn evaluate(&mut self) -> EngineResult<ScalarValue> {
        let (rows, column) = self.end();
        let profile = serde_json::to_string(&column.finish(rows));
        profile.map(|text| ScalarValue::Utf8(Some(text))).map_err(|e| external(Error::internal("a profile as JSON", e)))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.column.bytes()
    }
}
