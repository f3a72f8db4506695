//! What of a query can travel to another machine: our tables and functions, beside what Ballista knows of itself.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use ballista_core::serde::{BallistaLogicalExtensionCodec, BallistaPhysicalExtensionCodec};
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::datasource::file_format::FileFormatFactory;
use datafusion::error::Result as EngineResult;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Extension, LogicalPlan, ScalarUDF};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::logical_plan::LogicalExtensionCodec;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use datafusion_proto::protobuf::ArrowType;
use prost::Message;

use super::scan::{NamedScan, NamedTable, ScanMessage};
use crate::engine::{BoundCalls, RowFunction, RowSignature, external};
use crate::error::Error;
use crate::source::{ReadTable, StreamTable};

/// How the messages of ours begin, where Ballista has messages of its own.
const OURS: &[u8] = b"tidemill\0";

/// What a machine of the cluster knows by name.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) tables: BTreeMap<String, Arc<dyn TableProvider>>,
    pub(super) functions: BTreeMap<String, Arc<dyn RowFunction>>,
}

impl Known {
    pub(super) fn source(&self, name: &str) -> EngineResult<&ReadTable> {
        let found = self.tables.get(name).and_then(|table| table.downcast_ref::<ReadTable>());
        found.ok_or_else(|| {
            external(Error::NotFound(format!(
                "a machine of the cluster knows no source \"{name}\"; start its scheduler and executors with the project \
                 as it is now"
            )))
        })
    }

    /// The function as it was called on another machine.
    fn call(&self, name: &str, bytes: &[u8]) -> EngineResult<Arc<ScalarUDF>> {
        let function = self.functions.get(name).ok_or_else(|| broken(&format!("unknown function {name}")))?;
        let call = CallMessage::decode(bytes).map_err(|e| broken(&e))?;
        let answer = call.answer.as_ref().ok_or_else(|| broken(&"a function without a type"))?;
        let answer = DataType::try_from(answer).map_err(|e| broken(&e))?;
        let signature = RowSignature { columns: call.columns, answer };
        Ok(Arc::new(ScalarUDF::new_from_impl(BoundCalls::new(Arc::clone(function), call.words, signature))))
    }
}

/// A call of a function that answers rows.
#[derive(Clone, PartialEq, prost::Message)]
struct CallMessage {
    #[prost(string, repeated, tag = "1")]
    words: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    columns: Vec<String>,
    #[prost(message, optional, tag = "3")]
    answer: Option<ArrowType>,
}

/// A table: a source by name, or the folder of a stream's segments.
#[derive(Clone, PartialEq, prost::Message)]
struct TableMessage {
    #[prost(string, optional, tag = "1")]
    source: Option<String>,
    #[prost(string, optional, tag = "2")]
    segments: Option<String>,
}

/// The bytes of a function of ours; none of another.
fn write_call(function: &ScalarUDF, bytes: &mut Vec<u8>) -> EngineResult<()> {
    let Some(calls) = function.inner().downcast_ref::<BoundCalls>() else { return Ok(()) };
    let answer = ArrowType::try_from(&calls.signature().answer).map_err(|e| broken(&e))?;
    let columns = calls.signature().columns.clone();
    let call = CallMessage { words: calls.words().to_vec(), columns, answer: Some(answer) };
    call.encode(bytes).map_err(|e| broken(&e))
}

/// Plans that were not yet turned into steps: between who asks and the scheduler.
#[derive(Debug)]
pub(super) struct LogicalCodec {
    known: Arc<Known>,
    ballista: BallistaLogicalExtensionCodec,
}

impl LogicalCodec {
    pub(super) fn new(known: Arc<Known>) -> Self {
        Self { known, ballista: BallistaLogicalExtensionCodec::default() }
    }
}

impl LogicalExtensionCodec for LogicalCodec {
    fn try_decode(&self, bytes: &[u8], inputs: &[LogicalPlan], context: &TaskContext) -> EngineResult<Extension> {
        self.ballista.try_decode(bytes, inputs, context)
    }

    fn try_encode(&self, node: &Extension, bytes: &mut Vec<u8>) -> EngineResult<()> {
        self.ballista.try_encode(node, bytes)
    }

    fn try_decode_table_provider(
        &self,
        bytes: &[u8],
        _name: &TableReference,
        schema: SchemaRef,
        _context: &TaskContext,
    ) -> EngineResult<Arc<dyn TableProvider>> {
        let table = TableMessage::decode(bytes).map_err(|e| broken(&e))?;
        match (table.source, table.segments) {
            (Some(source), _) => Ok(Arc::new(NamedTable::new(source, schema, Arc::clone(&self.known)))),
            (None, Some(folder)) => Ok(Arc::new(StreamTable::new(PathBuf::from(folder), schema))),
            (None, None) => Err(broken(&"a table without a name")),
        }
    }

    fn try_encode_table_provider(
        &self,
        name: &TableReference,
        table: Arc<dyn TableProvider>,
        bytes: &mut Vec<u8>,
    ) -> EngineResult<()> {
        let name = name.table();
        let mut message = TableMessage::default();
        if let Some(stream) = table.downcast_ref::<StreamTable>() {
            let folder = std::path::absolute(stream.folder()).map_err(|e| external(Error::io(stream.folder(), e)))?;
            message.segments = Some(folder.to_string_lossy().into_owned());
        } else if table.is::<ReadTable>() {
            message.source = Some(name.to_owned());
        } else {
            return Err(external(Error::Unsupported(format!(
                "SQL: {name} is answered by this machine alone and cannot be joined with what the cluster reads; ask for it \
                 by itself, or without the cluster"
            ))));
        }
        message.encode(bytes).map_err(|e| broken(&e))
    }

    fn try_decode_file_format(&self, bytes: &[u8], context: &TaskContext) -> EngineResult<Arc<dyn FileFormatFactory>> {
        self.ballista.try_decode_file_format(bytes, context)
    }

    fn try_encode_file_format(&self, bytes: &mut Vec<u8>, node: Arc<dyn FileFormatFactory>) -> EngineResult<()> {
        self.ballista.try_encode_file_format(bytes, node)
    }

    fn try_decode_udf(&self, name: &str, bytes: &[u8]) -> EngineResult<Arc<ScalarUDF>> {
        self.known.call(name, bytes)
    }

    fn try_encode_udf(&self, function: &ScalarUDF, bytes: &mut Vec<u8>) -> EngineResult<()> {
        write_call(function, bytes)
    }
}

/// The steps of a plan: between the scheduler and the executors.
#[derive(Debug)]
pub(super) struct PhysicalCodec {
    known: Arc<Known>,
    ballista: BallistaPhysicalExtensionCodec,
}

impl PhysicalCodec {
    pub(super) fn new(known: Arc<Known>) -> Self {
        Self { known, ballista: BallistaPhysicalExtensionCodec::default() }
    }
}

impl PhysicalExtensionCodec for PhysicalCodec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let Some(ours) = bytes.strip_prefix(OURS) else {
            return self.ballista.try_decode(bytes, inputs, context, converter);
        };
        let scan = ScanMessage::decode(ours).map_err(|e| broken(&e))?;
        scan.begin(&self.known, context, &LogicalCodec::new(Arc::clone(&self.known)))
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> EngineResult<()> {
        let Some(scan) = node.downcast_ref::<NamedScan>() else {
            return self.ballista.try_encode(node, bytes, converter);
        };
        bytes.extend_from_slice(OURS);
        let codec = LogicalCodec::new(Arc::clone(&self.known));
        scan.message(&codec)?.encode(bytes).map_err(|e| broken(&e))
    }

    fn try_decode_udf(&self, name: &str, bytes: &[u8]) -> EngineResult<Arc<ScalarUDF>> {
        self.known.call(name, bytes)
    }

    fn try_encode_udf(&self, function: &ScalarUDF, bytes: &mut Vec<u8>) -> EngineResult<()> {
        write_call(function, bytes)
    }
}

/// What another machine sent makes no sense: as a rule it has another version.
pub(super) fn broken(why: &dyn std::fmt::Display) -> datafusion::error::DataFusionError {
    external(Error::Unsupported(format!(
        "the machines of the cluster do not understand one another ({why}); all of them need the same version of tidemill"
    )))
}
