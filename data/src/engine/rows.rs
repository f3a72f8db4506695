//! What do rows look like when they leave the engine? A few plain Arrow types, batch by batch.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::physical_plan::SendableRecordBatchStream;
use futures::StreamExt;
use futures::stream::BoxStream;
use tempfile::TempPath;

use super::retell;
use crate::error::{Error, Result};

/// The rows that answer a query. Texts are `Utf8`, bytes `Binary` or `FixedSizeBinary`, decimals `Float64`.
pub struct Rows {
    /// Columns of every batch.
    pub schema: SchemaRef,
    /// The rows, batch by batch; made as they are read.
    pub batches: BoxStream<'static, Result<RecordBatch>>,
    /// The version of each source of the engine that has several, by its name.
    pub versions: BTreeMap<String, u64>,
}

impl Rows {
    pub(super) fn new(
        stream: SendableRecordBatchStream,
        unpacked: Vec<Arc<TempPath>>,
        versions: BTreeMap<String, u64>,
    ) -> Self {
        let schema = plain_schema(&stream.schema());
        let target = Arc::clone(&schema);
        let batches = stream.map(move |batch| {
            let _held = &unpacked; // as long as the stream is there
            plain(&batch.map_err(|e| retell(&e, None))?, &target)
        });
        Self { schema, batches: batches.boxed(), versions }
    }

    /// All rows, in memory.
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        while let Some(batch) = self.batches.next().await {
            batches.push(batch?);
        }
        Ok(batches)
    }
}

/// The schema with plain types; metadata stays.
pub(crate) fn plain_schema(schema: &Schema) -> SchemaRef {
    let field = |field: &Arc<Field>| match plain_type(field.data_type()) {
        Some(data_type) => Arc::new(field.as_ref().clone().with_data_type(data_type)),
        None => Arc::clone(field),
    };
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

/// The plain type that stands in for one that says the same in another layout.
fn plain_type(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => Some(DataType::Utf8),
        DataType::BinaryView | DataType::LargeBinary => Some(DataType::Binary),
        DataType::Dictionary(_, values) => Some(plain_type(values).unwrap_or_else(|| values.as_ref().clone())),
        DataType::RunEndEncoded(_, values) => {
            Some(plain_type(values.data_type()).unwrap_or_else(|| values.data_type().clone()))
        }
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            Some(DataType::Float64)
        }
        DataType::Float16 => Some(DataType::Float32),
        _ => None,
    }
}

pub(super) fn plain(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let column = |(column, field): (&ArrayRef, &Arc<Field>)| match column.data_type() == field.data_type() {
        true => Ok(Arc::clone(column)),
        false => cast(column, field.data_type()).map_err(|e| {
            Error::Unsupported(format!(
                "column \"{}\" of type {} cannot be read: {e}",
                field.name(),
                column.data_type()
            ))
        }),
    };
    let columns: Vec<ArrayRef> = batch.columns().iter().zip(schema.fields()).map(column).collect::<Result<_>>()?;
    crate::source::batch(schema, columns, batch.num_rows())
}
