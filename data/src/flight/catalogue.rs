//! What is there? The answers to Flight SQL's questions about the server, its tables and their keys.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::{
    CommandGetCatalogs, CommandGetDbSchemas, CommandGetTableTypes, CommandGetTables, SqlInfo, SqlSupportedTransaction,
};
use datafusion::logical_expr::TableType;
use tonic::Status;

use super::service::sent_columns;
use super::status;
use crate::engine::{CATALOG, Engine, plain_schema, retell};

/// The schema that tables are in.
const SCHEMA: &str = "public";
/// What a query over others is called; the rest are tables.
const VIEW: &str = "VIEW";
const TABLE: &str = "TABLE";

/// What the server says of itself.
pub(super) fn infos() -> Result<SqlInfoData, FlightError> {
    let mut infos = SqlInfoDataBuilder::new();
    infos.append(SqlInfo::FlightSqlServerName, "tidemill");
    infos.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    infos.append(SqlInfo::FlightSqlServerArrowVersion, arrow::ARROW_VERSION);
    infos.append(SqlInfo::FlightSqlServerReadOnly, true);
    infos.append(SqlInfo::FlightSqlServerSql, true);
    infos.append(SqlInfo::FlightSqlServerSubstrait, false);
    infos.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    infos.append(SqlInfo::FlightSqlServerCancel, false);
    infos.append(SqlInfo::FlightSqlServerBulkIngestion, false);
    infos.append(SqlInfo::SqlDdlCatalog, false);
    infos.append(SqlInfo::SqlDdlSchema, false);
    infos.append(SqlInfo::SqlDdlTable, false);
    infos.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    infos.build()
}

pub(super) fn catalogs(asked: CommandGetCatalogs) -> Result<RecordBatch, FlightError> {
    let mut rows = asked.into_builder();
    rows.append(CATALOG);
    rows.build()
}

pub(super) fn schemas(asked: CommandGetDbSchemas) -> Result<RecordBatch, FlightError> {
    let mut rows = asked.into_builder();
    rows.append(CATALOG, SCHEMA);
    rows.build()
}

pub(super) fn table_types(asked: CommandGetTableTypes) -> Result<RecordBatch, FlightError> {
    let mut rows = asked.into_builder();
    rows.append(TABLE);
    rows.append(VIEW);
    rows.build()
}

/// The engine's tables, with their columns where those are asked for.
pub(super) async fn tables(engine: &Engine, asked: CommandGetTables) -> Result<RecordBatch, Status> {
    let mut rows = asked.into_builder();
    let schema = engine.session().catalog(CATALOG).and_then(|catalog| catalog.schema(SCHEMA));
    let Some(schema) = schema else { return rows.build().map_err(Status::from) };
    for name in schema.table_names() {
        let table = schema.table(&name).await.map_err(|e| status(&retell(&e, Some(engine))))?;
        let Some(table) = table else { continue };
        let kind = if table.table_type() == TableType::View { VIEW } else { TABLE };
        let columns = sent_columns(&plain_schema(&table.schema()));
        rows.append(CATALOG, SCHEMA, &name, kind, &columns).map_err(Status::from)?;
    }
    rows.build().map_err(Status::from)
}

/// The columns of an answer about primary keys; there are none.
pub(super) fn primary_keys() -> SchemaRef {
    let text = |name: &str, nullable: bool| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text("catalog_name", true),
        text("db_schema_name", true),
        text("table_name", false),
        text("column_name", false),
        text("key_name", true),
        Field::new("key_sequence", DataType::Int32, false),
    ]))
}

/// The columns of an answer about keys that point to other tables; there are none either.
pub(super) fn foreign_keys() -> SchemaRef {
    let mut fields = Vec::new();
    for side in ["pk", "fk"] {
        for (part, nullable) in [("catalog_name", true), ("db_schema_name", true), ("table_name", false)] {
            fields.push(Field::new(format!("{side}_{part}"), DataType::Utf8, nullable));
        }
        fields.push(Field::new(format!("{side}_column_name"), DataType::Utf8, false));
    }
    fields.push(Field::new("key_sequence", DataType::Int32, false));
    fields.push(Field::new("fk_key_name", DataType::Utf8, true));
    fields.push(Field::new("pk_key_name", DataType::Utf8, true));
    fields.push(Field::new("update_rule", DataType::UInt8, false));
    fields.push(Field::new("delete_rule", DataType::UInt8, false));
    Arc::new(Schema::new(fields))
}
