//! Which rows answer a query? Tables by name and SQL over them, in bounded memory.

mod ahead;
mod cursor;
mod functions;
mod models;
mod prepared;
mod profiles;
mod retell;
mod rows;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::dataframe::DataFrame;
use datafusion::error::Result as EngineResult;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::{LogicalPlan, TableType};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream, execute_stream};
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext, ident};
use tempfile::TempPath;

pub use self::cursor::Cursor;
#[cfg(feature = "cluster")]
pub(crate) use self::functions::{BoundCalls, Made};
use self::functions::{NeededColumns, RowCalls, TableCalls};
pub use self::functions::{RowFunction, RowSignature, TableFunction};
pub use self::models::{CreateModel, IfModelExists, ModelAnswer, ModelNames, ModelOption, create_model};
pub(crate) use self::prepared::Prepared;
pub(crate) use self::profiles::column_profile;
pub(crate) use self::retell::{external, retell};
pub use self::rows::Rows;
pub(crate) use self::rows::plain_schema;
use crate::error::{Error, Result};
use crate::source::{BATCH_ROWS, ReadTable, open_parquet, open_stream, reader};
use crate::spec::SourceSpec;

/// The catalogue that tables are in, for who asks for one.
pub(crate) const CATALOG: &str = "tidemill";
/// Columns that a wildcard in a query may stand for.
const PLANNED_COLUMNS_MAX: usize = 10_000;

/// Rows of a batch where both sides of a join are sorted: one batch of every part on disk is in memory at once.
const SORTED_BATCH_ROWS: usize = 1_024;

/// The cluster that runs the queries of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSpec {
    /// Its scheduler, as `host:port`.
    pub scheduler: String,
    /// Parts that a query is divided into; each is the work of one thread of an executor.
    pub parts: usize,
}

/// Limits of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineSpec {
    /// Memory that sorting, joining and grouping may take before they go to disk, in bytes.
    pub memory_bytes_max: usize,
    /// Disk that they, and each unpacked Parquet file, may take, in bytes.
    pub disk_bytes_max: u64,
    /// Parts that a query is divided into. With 1 the rows come in the same order every time, as a reproducible
    /// run needs; reading happens on threads of its own in any case.
    pub threads: usize,
    /// Parts that a query is divided into whose rows have no order of their own: grouped, distinct or sorted ones. With
    /// more than 1, sums of real numbers may differ in their last digits from run to run.
    pub threads_unordered: usize,
    /// Parts of the files of a table that are read at a time where all its rows are asked for; the rows keep their order.
    pub threads_reading: usize,
    /// Who runs the queries; this machine where there is none. Whole tables are read by this machine in any case.
    pub cluster: Option<ClusterSpec>,
    /// Each reading of a source with versions is of the one that is the newest then, for engines that live long; of that
    /// which was the newest when the source was added otherwise.
    pub follows_versions: bool,
}

impl Default for EngineSpec {
    fn default() -> Self {
        Self {
            memory_bytes_max: 1 << 30,
            disk_bytes_max: 16 << 30,
            threads: 1,
            threads_unordered: 1,
            threads_reading: 1,
            cluster: None,
            follows_versions: false,
        }
    }
}

/// Tables by name, and SQL over them. Names mean what they say: `Age` and `age` are different columns.
pub struct Engine {
    session: SessionContext,
    memory_bytes_max: usize,
    disk_bytes_max: u64,
    threads_unordered: usize,
    threads_reading: usize,
    cluster: Option<ClusterSpec>,
    #[cfg(feature = "cluster")]
    row_functions: Vec<Arc<dyn RowFunction>>,
    follows_versions: bool,
    /// Temporary files; whoever reads rows holds them too.
    unpacked: Mutex<Vec<Arc<TempPath>>>,
    /// Names of the tables with more columns than a wildcard can stand for.
    wide: Mutex<Vec<String>>,
    /// Which version is read, of the sources that have several.
    versions: Mutex<BTreeMap<String, u64>>,
    /// Who knows the models that SQL names.
    models: Option<Arc<dyn ModelNames>>,
}

impl Engine {
    /// An engine without tables.
    pub fn new(spec: &EngineSpec) -> Result<Self> {
        let mut config = SessionConfig::new()
            .with_target_partitions(spec.threads.max(1))
            .with_batch_size(BATCH_ROWS)
            .with_default_catalog_and_schema(CATALOG, "public")
            .with_information_schema(false);
        let options = config.options_mut();
        options.sql_parser.enable_ident_normalization = false;
        options.sql_parser.map_string_types_to_utf8view = false;
        options.execution.parquet.schema_force_view_types = false;
        options.execution.parquet.skip_metadata = false; // it says what pictures look like
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_limit(spec.memory_bytes_max, 1.0)
            .with_max_temp_directory_size(spec.disk_bytes_max)
            .build_arc()
            .map_err(|e| retell(&e, None))?;
        let state =
            SessionStateBuilder::new().with_config(config).with_runtime_env(runtime).with_default_features().build();
        let session = SessionContext::new_with_state(state);
        session.register_udaf(column_profile());
        if spec.cluster.is_some() && !cfg!(feature = "cluster") {
            return Err(Error::Unsupported(
                "this tidemill was built without clusters; build it with --features cluster, or leave cluster.scheduler out"
                    .to_owned(),
            ));
        }
        Ok(Self {
            session,
            memory_bytes_max: spec.memory_bytes_max,
            disk_bytes_max: spec.disk_bytes_max,
            threads_unordered: spec.threads_unordered,
            threads_reading: spec.threads_reading,
            cluster: spec.cluster.clone(),
            #[cfg(feature = "cluster")]
            row_functions: Vec::new(),
            follows_versions: spec.follows_versions,
            unpacked: Mutex::default(),
            wide: Mutex::default(),
            versions: Mutex::default(),
            models: None,
        })
    }

    /// Makes a source known under a name. Looks at its first rows; paths are relative to `base`.
    pub async fn add_source(&self, name: &str, source: &SourceSpec, base: &Path) -> Result<()> {
        self.check_free(name)?;
        let table: Arc<dyn TableProvider> = match source {
            SourceSpec::Parquet(spec) => {
                let (table, files) = open_parquet(spec, base, &self.session, self.disk_bytes_max).await?;
                self.keep(files);
                table
            }
            _ => {
                let (source, base, follows_versions) = (source.clone(), base.to_owned(), self.follows_versions);
                let opened = tokio::task::spawn_blocking(move || reader(&source, &base, follows_versions)).await;
                let reader = opened.map_err(|e| Error::internal("a thread that looked at a source died", e))??;
                if let Some(version) = reader.version() {
                    let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
                    versions.insert(name.to_owned(), version);
                }
                Arc::new(ReadTable::new(reader))
            }
        };
        self.register(name, table)
    }

    /// Makes the rows of a stream that are in this folder known under a name.
    pub async fn add_stream(&self, name: &str, source: &SourceSpec, folder: &Path) -> Result<()> {
        self.check_free(name)?;
        let table = open_stream(source, folder, &self.session).await?;
        self.register(name, table)
    }

    /// Makes a function known that gives a value for every row.
    pub fn add_row_function(&mut self, function: Arc<dyn RowFunction>) -> Result<()> {
        self.session.register_udf(RowCalls::udf(Arc::clone(&function)));
        #[cfg(feature = "cluster")]
        self.row_functions.push(Arc::clone(&function));
        self.session.register_function_rewrite(Arc::new(NeededColumns(function))).map_err(|e| retell(&e, None))
    }

    /// Makes a function known that is a table.
    pub fn add_table_function(&mut self, function: Arc<dyn TableFunction>) {
        let name = function.name().to_owned();
        self.session.register_udtf(&name, Arc::new(TableCalls(function)));
    }

    /// Makes the models known that `ML.PREDICT` and its kin name; they become calls of functions called `predict`,
    /// `confidence`, `probabilities`, `attributions`, `baseline`, `ml_evaluate` and `importance`.
    pub fn add_models(&mut self, models: Arc<dyn ModelNames>) {
        self.models = Some(models);
    }

    /// The query with its calls of `ML.` as queries with our functions.
    pub(crate) fn rewritten<'s>(&self, sql: &'s str) -> Result<Cow<'s, str>> {
        match &self.models {
            Some(models) => models::rewritten(sql, models.as_ref()),
            None => Ok(Cow::Borrowed(sql)),
        }
    }

    /// Makes a query over the tables so far known under a name. It runs each time it is used.
    pub async fn add_table(&self, name: &str, sql: &str) -> Result<()> {
        self.check_free(name)?;
        let view = self.plan(sql).await?.into_view();
        self.register(name, view)
    }

    /// Plans a query and starts it; the rows are made as they are read.
    pub async fn query(&self, sql: &str) -> Result<Rows> {
        let stream = match self.whole_source(sql).await {
            Some((table, limit)) => self.scan(table.as_ref(), None, limit).await,
            None => return self.answer(Ok(self.on_threads(self.plan(sql).await?))).await,
        };
        self.told(stream)
    }

    /// All rows of a table, of which these columns are wanted; of those that it has, in its own order.
    ///
    /// # Errors
    /// A table that is not known or cannot be read.
    pub async fn rows_of(&self, name: &str, columns: &[String]) -> Result<Rows> {
        let provider = self.session.table_provider(TableReference::bare(name)).await;
        let table = provider.map_err(|e| retell(&e, Some(self)))?;
        let schema = table.schema();
        let has = |place: &usize| columns.contains(schema.field(*place).name());
        let wanted: Vec<usize> = (0..schema.fields().len()).filter(has).collect();
        if table.table_type() == TableType::Base {
            return self.told(self.scan(table.as_ref(), Some(&wanted), None).await);
        }
        let fields = wanted.iter().map(|&place| ident(schema.field(place).name()));
        self.answer(self.frame(name).await?.select(fields)).await
    }

    /// As [`Engine::query`], but joins are made by sorting both sides, which goes to disk where memory ends.
    pub(crate) async fn query_by_sorting(&self, sql: &str) -> Result<Rows> {
        let (mut state, plan) = self.plan(sql).await?.into_parts();
        let options = state.config_mut().options_mut();
        options.execution.target_partitions = options.execution.target_partitions.max(2); // one alone is always hashed
        options.optimizer.prefer_hash_join = false;
        *state.config_mut() = state.config().clone().with_batch_size(SORTED_BATCH_ROWS);
        // of a pool for all, the first to sort would leave the others no room to merge what is on disk
        let runtime = RuntimeEnvBuilder::from_runtime_env(state.runtime_env())
            .with_memory_pool(Arc::new(FairSpillPool::new(self.memory_bytes_max)))
            .build_arc()
            .map_err(|e| retell(&e, Some(self)))?;
        let state = SessionStateBuilder::new_from_existing(state).with_runtime_env(runtime).build();
        self.answer(Ok(DataFrame::new(state, plan))).await
    }

    /// The query on as many threads as its order allows.
    fn on_threads(&self, frame: DataFrame) -> DataFrame {
        if self.threads_unordered < 2 || !is_unordered(frame.logical_plan()) {
            return frame;
        }
        let (mut state, plan) = frame.into_parts();
        state.config_mut().options_mut().execution.target_partitions = self.threads_unordered;
        DataFrame::new(state, plan)
    }

    /// Starts a query: on the machines of the cluster, where there is one.
    async fn begin(&self, frame: DataFrame) -> EngineResult<SendableRecordBatchStream> {
        match &self.cluster {
            #[cfg(feature = "cluster")]
            Some(cluster) => crate::cluster::rows(frame, cluster).await,
            _ => frame.execute_stream().await,
        }
    }

    /// The source that a query wants as it is, and how many rows of it. Nothing has to be planned for that: the time
    /// of planning grows with the square of the columns, ten seconds for 10,000.
    async fn whole_source(&self, sql: &str) -> Option<(Arc<dyn TableProvider>, Option<usize>)> {
        let words: Vec<&str> = sql.split_whitespace().collect();
        let is = |word: &str, keyword: &str| word.eq_ignore_ascii_case(keyword);
        let (name, limit) = match words.as_slice() {
            [select, "*", from, name] if is(select, "select") && is(from, "from") => (name, None),
            [select, "*", from, name, limit, rows]
                if is(select, "select") && is(from, "from") && is(limit, "limit") =>
            {
                (name, Some(rows.parse().ok()?))
            }
            _ => return None,
        };
        let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name);
        let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
        if !plain {
            return None;
        }
        let table = self.session.table_provider(TableReference::bare(name)).await.ok()?;
        (table.table_type() == TableType::Base).then_some((table, limit))
    }

    async fn scan(
        &self,
        table: &dyn TableProvider,
        columns: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> EngineResult<SendableRecordBatchStream> {
        let state = self.session.state();
        let mut plan = table.scan(&state, columns, &[], limit).await?;
        if limit.is_some() {
            let one: Arc<dyn ExecutionPlan> = Arc::new(CoalescePartitionsExec::new(plan));
            plan = Arc::new(GlobalLimitExec::new(one, 0, limit));
        } else if self.threads_reading > 1
            && let Some(parts) = ahead::parts(&plan, ahead::PART_BYTES)?
        {
            return ahead::in_order(parts, self.threads_reading, &state);
        }
        execute_stream(plan, state.task_ctx())
    }

    /// A table, to be asked by expressions in place of SQL.
    pub(crate) async fn frame(&self, name: &str) -> Result<DataFrame> {
        self.session.table(TableReference::bare(name)).await.map_err(|e| retell(&e, Some(self)))
    }

    /// Starts what was asked by expressions; the rows are made as they are read.
    pub(crate) async fn answer(&self, frame: EngineResult<DataFrame>) -> Result<Rows> {
        let frame = frame.map_err(|e| retell(&e, Some(self)))?;
        self.told(self.begin(frame).await)
    }

    fn told(&self, stream: EngineResult<SendableRecordBatchStream>) -> Result<Rows> {
        let stream = stream.map_err(|e| retell(&e, Some(self)))?;
        let unpacked = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Rows::new(stream, unpacked, versions))
    }

    /// The columns of a table.
    pub async fn schema(&self, name: &str) -> Result<SchemaRef> {
        let table =
            self.session.table_provider(TableReference::bare(name)).await.map_err(|e| retell(&e, Some(self)))?;
        Ok(rows::plain_schema(&table.schema()))
    }

    async fn plan(&self, sql: &str) -> Result<DataFrame> {
        let sql = self.rewritten(sql)?;
        let wide =
            self.wide.lock().unwrap_or_else(PoisonError::into_inner).iter().find(|name| sql.contains(*name)).cloned();
        if let Some(name) = wide.filter(|_| has_wildcard(&sql)) {
            return Err(Error::Unsupported(format!(
                "SQL: table \"{name}\" has more than {PLANNED_COLUMNS_MAX} columns; name those that are needed, or read all \
                 with SELECT * FROM \"{name}\" and nothing else"
            )));
        }
        let queries_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        self.session.sql_with_options(&sql, queries_only).await.map_err(|e| retell(&e, Some(self)))
    }

    /// What plans and runs queries.
    pub(crate) fn session(&self) -> &SessionContext {
        &self.session
    }

    #[cfg(feature = "cluster")]
    pub(crate) fn row_functions(&self) -> &[Arc<dyn RowFunction>] {
        &self.row_functions
    }

    /// The same with `information_schema`, for clients that look what there is.
    pub(crate) fn session_with_catalogue(&self) -> SessionContext {
        self.session.state_ref().write().config_mut().options_mut().catalog.information_schema = true;
        self.session.clone()
    }

    fn register(&self, name: &str, table: Arc<dyn TableProvider>) -> Result<()> {
        if table.schema().fields().len() > PLANNED_COLUMNS_MAX {
            self.wide.lock().unwrap_or_else(PoisonError::into_inner).push(name.to_owned());
        }
        self.session.register_table(TableReference::bare(name), table).map_err(|e| retell(&e, Some(self)))?;
        Ok(())
    }

    fn check_free(&self, name: &str) -> Result<()> {
        match self.table_names().iter().any(|taken| taken == name) {
            true => Err(Error::Conflict(format!("there is a table \"{name}\" already; choose another name"))),
            false => Ok(()),
        }
    }

    /// Names of all tables.
    pub(crate) fn table_names(&self) -> Vec<String> {
        let schemas = self.session.catalog_names().into_iter().filter_map(|catalog| self.session.catalog(&catalog));
        schemas
            .flat_map(|catalog| catalog.schema_names().into_iter().filter_map(move |name| catalog.schema(&name)))
            .flat_map(|schema| schema.table_names())
            .collect()
    }

    fn keep(&self, files: Vec<TempPath>) {
        let mut unpacked = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
        unpacked.extend(files.into_iter().map(Arc::new));
    }
}

/// A text as SQL writes it.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name as SQL reads it.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Whether the rows come in no order that a table gives them.
fn is_unordered(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(_) | LogicalPlan::Sort(_) | LogicalPlan::Distinct(_) => true,
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Filter(_) | LogicalPlan::Limit(_) => {
            plan.inputs().first().is_some_and(|input| is_unordered(input))
        }
        _ => false,
    }
}

/// Whether a `*` stands for columns, and not for a product or for the rows of `count(*)`.
fn has_wildcard(sql: &str) -> bool {
    sql.match_indices('*').any(|(place, _)| {
        let before = sql[..place].trim_end().to_ascii_lowercase();
        ["select", "distinct", "all", ",", "."].iter().any(|word| before.ends_with(word))
    })
}

#[cfg(test)]
mod tests;
