//! How does a query run on several machines? Apache DataFusion Ballista: a scheduler plans it, executors run its parts, and
//! whoever asked reads the rows from them.
//!
//! All machines have the same project. Parquet files and the segments of streams travel as paths, which have to be the same
//! everywhere; other sources, functions and models travel as names. Secrets never travel.

mod codec;
mod node;
mod reading;
mod scan;

use std::sync::Arc;

use ballista_core::config::BALLISTA_SCHEDULER_MAX_PARTITIONS_PER_TASK;
use ballista_core::extension::{SessionConfigExt, SessionStateExt};
use datafusion::common::TableReference;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::source_as_provider;
use datafusion::error::Result as EngineResult;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::SendableRecordBatchStream;

use self::codec::{Known, LogicalCodec};
pub use self::node::{Executor, Scheduler};
use crate::engine::{ClusterSpec, Engine, Made, retell};
use crate::error::Result;

/// Largest message between machines, in bytes: what is known of all columns of a profile is one.
const MESSAGE_BYTES_MAX: usize = 256 << 20;

/// The rows of a query: of the cluster, but where it needs nothing but what this machine makes.
pub(crate) async fn rows(frame: DataFrame, spec: &ClusterSpec) -> EngineResult<SendableRecordBatchStream> {
    match reads_tables(frame.logical_plan())? {
        true => reading::rows(on(frame, spec)?, spec.scheduler.clone()).await,
        false => frame.execute_stream().await,
    }
}

/// What is asked, to be run by the cluster.
fn on(frame: DataFrame, spec: &ClusterSpec) -> EngineResult<DataFrame> {
    // Its answers come in the order of the parts.
    let adaptive = reading::keeps_rows(frame.logical_plan());
    let (mut state, plan) = frame.into_parts();
    let codec = Arc::new(LogicalCodec::new(Arc::new(Known::default())));
    let config = state.config().clone().with_target_partitions(spec.parts.max(1));
    let config = config.with_create_default_catalog_and_schema(false); // it would be empty, in the place of ours
    *state.config_mut() = config
        .upgrade_for_ballista()
        .set_usize(BALLISTA_SCHEDULER_MAX_PARTITIONS_PER_TASK, 1) // several in one task end in any order
        .with_ballista_adaptive_query_planner(adaptive)
        .with_ballista_grpc_client_max_message_size(MESSAGE_BYTES_MAX)
        .with_ballista_logical_extension_codec(codec);
    let state = state.upgrade_for_ballista(format!("http://{}", spec.scheduler))?;
    Ok(DataFrame::new(state, plan))
}

/// Whether the query reads anything but tables that are functions, which this machine answers.
fn reads_tables(plan: &LogicalPlan) -> EngineResult<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            found |= !source_as_provider(&scan.source)?.is::<Made>();
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

impl Engine {
    /// What a machine of the cluster with these tables and functions knows.
    async fn known(&self) -> Result<Known> {
        let mut known = Known::default();
        for name in self.table_names() {
            let table = self.session().table_provider(TableReference::bare(name.as_str())).await;
            known.tables.insert(name, table.map_err(|e| retell(&e, Some(self)))?);
        }
        let functions = self.row_functions().iter();
        known.functions.extend(functions.map(|function| (function.name().to_owned(), Arc::clone(function))));
        Ok(known)
    }
}
