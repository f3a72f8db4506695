//! A source that each machine of the cluster reads by the name that its project has for it.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result as EngineResult;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::ReplaceChildrenOptions;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
};
use datafusion_proto::logical_plan::from_proto::parse_exprs;
use datafusion_proto::logical_plan::to_proto::serialize_exprs;
use datafusion_proto::protobuf::LogicalExprNode;

use super::codec::{Known, LogicalCodec, broken};

/// The source as the scheduler plans with it.
#[derive(Debug)]
pub(super) struct NamedTable {
    name: String,
    schema: SchemaRef,
    known: Arc<Known>,
}

impl NamedTable {
    pub(super) fn new(name: String, schema: SchemaRef, known: Arc<Known>) -> Self {
        Self { name, schema, known }
    }
}

#[async_trait]
impl TableProvider for NamedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> EngineResult<Vec<TableProviderFilterPushDown>> {
        self.known.source(&self.name)?.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        _session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let plan = self.known.source(&self.name)?.plan(projection, filters, limit)?;
        let (projection, filters) = (projection.cloned(), filters.to_vec());
        Ok(Arc::new(NamedScan { name: self.name.clone(), projection, filters, limit, plan }))
    }
}

/// One reading of the source, which can travel.
#[derive(Debug)]
pub(super) struct NamedScan {
    name: String,
    projection: Option<Vec<usize>>,
    filters: Vec<Expr>,
    limit: Option<usize>,
    /// The reading as this machine would do it.
    plan: Arc<dyn ExecutionPlan>,
}

impl NamedScan {
    pub(super) fn message(&self, codec: &LogicalCodec) -> EngineResult<ScanMessage> {
        let numbers =
            |places: &Vec<usize>| ColumnsMessage { places: places.iter().map(|place| *place as u64).collect() };
        Ok(ScanMessage {
            name: self.name.clone(),
            columns: self.projection.as_ref().map(numbers),
            filters: serialize_exprs(&self.filters, codec).map_err(|e| broken(&e))?,
            limit: self.limit.map(|limit| limit as u64),
        })
    }
}

impl DisplayAs for NamedScan {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NamedScan: {}", self.name)
    }
}

impl ExecutionPlan for NamedScan {
    fn name(&self) -> &'static str {
        "NamedScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.plan.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> EngineResult<TreeNodeRecursion>,
    ) -> EngineResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> EngineResult<SendableRecordBatchStream> {
        self.plan.execute(partition, context)
    }
}

/// A reading on its way.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ScanMessage {
    #[prost(string, tag = "1")]
    name: String,
    /// All where there is none.
    #[prost(message, optional, tag = "2")]
    columns: Option<ColumnsMessage>,
    #[prost(message, repeated, tag = "3")]
    filters: Vec<LogicalExprNode>,
    #[prost(uint64, optional, tag = "4")]
    limit: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ColumnsMessage {
    #[prost(uint64, repeated, tag = "1")]
    places: Vec<u64>,
}

impl ScanMessage {
    /// The reading, on this machine.
    pub(super) fn begin(
        self,
        known: &Known,
        context: &TaskContext,
        codec: &LogicalCodec,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let filters = parse_exprs(&self.filters, context, codec).map_err(|e| broken(&e))?;
        let projection: Option<Vec<usize>> =
            self.columns.map(|columns| columns.places.into_iter().map(|place| place as usize).collect());
        known.source(&self.name)?.plan(projection.as_ref(), &filters, self.limit.map(|limit| limit as usize))
    }
}
