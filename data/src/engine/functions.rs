//! Which functions does SQL have beside the engine's own? Those that answer rows (`predict('model')`), and those that are
//! tables (`profile('table')`). Whoever gives them knows nothing of the engine.

use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session, TableFunctionImpl, TableProvider};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::error::Result as EngineResult;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TableType,
    Volatility,
};
use datafusion::physical_plan::ExecutionPlan;

use super::external;
use super::rows::{plain, plain_schema};
use crate::error::{Error, Result, did_you_mean};
use crate::source::batch;

/// A function that gives a value for every row: `name('word', ..., column, ...)`; a whole number is a word too. Where no
/// column is named it reads those of the query's rows that it needs, by their names.
pub trait RowFunction: Debug + Send + Sync {
    /// Its name in SQL, in lower case.
    fn name(&self) -> &str;

    /// What it reads and gives, by its words.
    ///
    /// # Errors
    /// Words that say nothing.
    fn signature(&self, words: &[String]) -> Result<RowSignature>;

    /// A value for each of the rows, which have the columns it needs, in whatever order.
    ///
    /// # Errors
    /// Rows that it cannot read.
    fn call(&self, words: &[String], rows: &RecordBatch) -> Result<ArrayRef>;
}

/// What a [`RowFunction`] reads and gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowSignature {
    /// The columns it needs.
    pub columns: Vec<String>,
    /// The type of its values.
    pub answer: DataType,
}

/// A function that is a table: `SELECT * FROM name('word', ...)`. A whole number is a word too.
#[async_trait]
pub trait TableFunction: Debug + Send + Sync {
    /// Its name in SQL, in lower case.
    fn name(&self) -> &str;

    /// The columns of the table, by its words.
    ///
    /// # Errors
    /// Words that say nothing.
    fn schema(&self, words: &[String]) -> Result<SchemaRef>;

    /// The rows, made when a query reads them.
    ///
    /// # Errors
    /// Whatever keeps them from being made.
    async fn rows(&self, words: &[String]) -> Result<Vec<RecordBatch>>;

    /// As [`TableFunction::rows`], for a query that reads no more than the first `rows_max` of them.
    ///
    /// # Errors
    /// As [`TableFunction::rows`].
    async fn first_rows(&self, words: &[String], _rows_max: usize) -> Result<Vec<RecordBatch>> {
        self.rows(words).await
    }
}

/// A text or a whole number that an argument is.
fn word(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Literal(value, _) => text(value),
        _ => None,
    }
}

fn text(value: &ScalarValue) -> Option<String> {
    match value {
        ScalarValue::Int64(Some(number)) => Some(number.to_string()),
        value => value.try_as_str().flatten().map(str::to_owned),
    }
}

/// A [`RowFunction`] as a query writes it: words, then columns or none.
#[derive(Debug)]
pub(super) struct RowCalls {
    function: Arc<dyn RowFunction>,
    signature: Signature,
}

impl RowCalls {
    pub(super) fn udf(function: Arc<dyn RowFunction>) -> ScalarUDF {
        ScalarUDF::new_from_impl(Self { function, signature: Signature::variadic_any(Volatility::Stable) })
    }
}

impl PartialEq for RowCalls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.function, &other.function)
    }
}

impl Eq for RowCalls {}

impl Hash for RowCalls {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name().hash(state);
    }
}

impl ScalarUDFImpl for RowCalls {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> EngineResult<DataType> {
        Err(external(Error::internal("a function's type depends on its words", self.function.name())))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> EngineResult<FieldRef> {
        let words: Vec<String> = args.scalar_arguments.iter().map_while(|value| text((*value)?)).collect();
        let signature = self.function.signature(&words).map_err(external)?;
        Ok(Arc::new(Field::new(self.function.name(), signature.answer, true)))
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        Err(external(Error::internal("a function was called before its columns were known", self.function.name())))
    }
}

/// The same once it is known which column each of its arguments is: the planner may put a constant in a column's place.
#[derive(Debug)]
pub(crate) struct BoundCalls {
    function: Arc<dyn RowFunction>,
    words: Vec<String>,
    signature: RowSignature,
    takes: Signature,
}

impl BoundCalls {
    pub(crate) fn new(function: Arc<dyn RowFunction>, words: Vec<String>, signature: RowSignature) -> Self {
        let takes = Signature::any(signature.columns.len(), Volatility::Stable);
        Self { function, words, signature, takes }
    }
}

#[cfg(feature = "cluster")]
impl BoundCalls {
    pub(crate) fn words(&self) -> &[String] {
        &self.words
    }

    pub(crate) fn signature(&self) -> &RowSignature {
        &self.signature
    }
}

impl PartialEq for BoundCalls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.function, &other.function) && self.words == other.words && self.signature == other.signature
    }
}

impl Eq for BoundCalls {}

impl Hash for BoundCalls {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name().hash(state);
        self.words.hash(state);
    }
}

impl ScalarUDFImpl for BoundCalls {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        &self.takes
    }

    fn return_type(&self, _types: &[DataType]) -> EngineResult<DataType> {
        Ok(self.signature.answer.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        let named = |(name, field): (&String, &FieldRef)| field.as_ref().clone().with_name(name);
        let fields: Vec<Field> = self.signature.columns.iter().zip(&args.arg_fields).map(named).collect();
        let schema = Arc::new(Schema::new(fields));
        let columns = args.args.into_iter().map(|value| value.into_array(args.number_rows));
        let columns: Vec<ArrayRef> = columns.collect::<EngineResult<_>>()?;
        let rows = batch(&schema, columns, args.number_rows).map_err(external)?;
        let rows = plain(&rows, &plain_schema(&schema)).map_err(external)?;
        self.function.call(&self.words, &rows).map(ColumnarValue::Array).map_err(external)
    }
}

/// Finds the columns that a [`RowFunction`] needs: among those that the query names, or among those of its rows.
#[derive(Debug)]
pub(super) struct NeededColumns(pub(super) Arc<dyn RowFunction>);

impl FunctionRewrite for NeededColumns {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _config: &ConfigOptions) -> EngineResult<Transformed<Expr>> {
        let Expr::ScalarFunction(ScalarFunction { func, args }) = &expr else { return Ok(Transformed::no(expr)) };
        let is_bound = |calls: &RowCalls| !Arc::ptr_eq(&calls.function, &self.0);
        if func.inner().downcast_ref::<RowCalls>().is_none_or(is_bound) {
            return Ok(Transformed::no(expr));
        }
        let words: Vec<String> = args.iter().map_while(word).collect();
        let signature = self.0.signature(&words).map_err(external)?;
        let given = &args[words.len()..];
        let find = |name: &String| match given {
            [] => self.column(name, schema).map(Expr::Column),
            given => self.named(name, given),
        };
        let args = signature.columns.iter().map(find).collect::<Result<Vec<_>>>().map_err(external)?;
        let bound = BoundCalls::new(Arc::clone(&self.0), words, signature);
        let func = Arc::new(ScalarUDF::new_from_impl(bound));
        Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args })))
    }
}

impl NeededColumns {
    /// The column of this name among those that are given.
    fn named(&self, name: &str, given: &[Expr]) -> Result<Expr> {
        let of = |expr: &Expr| match expr {
            Expr::Column(column) => column.name.clone(),
            Expr::Alias(alias) => alias.name.clone(),
            other => other.schema_name().to_string(),
        };
        if let Some(found) = given.iter().find(|expr| of(expr) == name) {
            return Ok(found.clone().unalias());
        }
        let names: Vec<String> = given.iter().map(of).collect();
        Err(Error::invalid(format!(
            "SQL: {} needs a column \"{name}\"{} (of a value that is worked out, give it that name in a subquery)",
            self.0.name(),
            did_you_mean(name, names.iter().map(String::as_str))
        )))
    }

    /// The one column of this name among those of the query's rows.
    fn column(&self, name: &str, schema: &DFSchema) -> Result<Column> {
        let mut found = schema.iter().filter(|(_, field)| field.name() == name);
        match (found.next(), found.next()) {
            (Some((table, _)), None) => Ok(Column::new(table.cloned(), name)),
            (Some(_), Some(_)) => Err(Error::invalid(format!(
                "SQL: {} needs a column \"{name}\", and several tables have one; name the columns: {0}('...', a, b, ...)",
                self.0.name()
            ))),
            (None, _) => Err(Error::invalid(format!(
                "SQL: {} needs a column \"{name}\", which the rows do not have{}",
                self.0.name(),
                did_you_mean(name, schema.fields().iter().map(|field| field.name().as_str()))
            ))),
        }
    }
}

/// A [`TableFunction`] as the engine calls it.
#[derive(Debug)]
pub(super) struct TableCalls(pub(super) Arc<dyn TableFunction>);

impl TableFunctionImpl for TableCalls {
    fn call(&self, args: &[Expr]) -> EngineResult<Arc<dyn TableProvider>> {
        let name = self.0.name();
        let words: Option<Vec<String>> = args.iter().map(word).collect();
        let words = words.ok_or_else(|| {
            external(Error::invalid(format!("SQL: {name} takes names in single quotes, such as {name}('sales')")))
        })?;
        let schema = self.0.schema(&words).map_err(external)?;
        Ok(Arc::new(Made { function: Arc::clone(&self.0), words, schema }))
    }
}

/// The table of one call of a [`TableFunction`].
#[derive(Debug)]
pub(crate) struct Made {
    function: Arc<dyn TableFunction>,
    words: Vec<String>,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for Made {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let rows = match limit {
            Some(limit) => self.function.first_rows(&self.words, limit).await,
            None => self.function.rows(&self.words).await,
        };
        let rows = rows.map_err(external)?;
        let table = MemTable::try_new(Arc::clone(&self.schema), vec![rows])?;
        table.scan(session, projection, filters, limit).await
    }
}
