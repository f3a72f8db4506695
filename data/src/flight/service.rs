//! What is asked over Flight SQL, and what is answered? Each call is a question to the engine; a query runs while its rows
//! are read, and ends with its reader.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::metadata::SqlInfoData;
use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionBeginTransactionRequest, ActionBeginTransactionResult, ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any, CommandGetCatalogs,
    CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandPreparedStatementQuery,
    CommandPreparedStatementUpdate, CommandStatementIngest, CommandStatementQuery, CommandStatementUpdate,
    DoPutPreparedStatementResult, ProstMessageExt, SqlInfo, TicketStatementQuery,
};
use arrow_flight::{
    Action, FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest, HandshakeResponse, IpcMessage,
    SchemaAsIpc, Ticket,
};
use arrow_ipc::writer::IpcWriteOptions;
use async_trait::async_trait;
use futures::{FutureExt, Stream, StreamExt, TryStreamExt, stream};
use prost::Message;
use tokio::sync::Semaphore;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Request, Response, Status, Streaming};

use super::access::Door;
use super::credentials::AUTHORIZATION;
use super::statements::Statements;
use super::{catalogue, check_unpacked, status};
use crate::engine::{Engine, Rows};
use crate::error::{Error, Result};
use crate::wire::refuse_training;

/// What the values of a statement may unpack to, in bytes.
const VALUES_UNPACKED_BYTES_MAX: usize = 4 << 20;

/// Messages of an answer.
type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Answers who was let in.
pub(super) struct Service {
    engine: Arc<Engine>,
    door: Arc<Door>,
    statements: Statements,
    infos: SqlInfoData,
    /// Room for queries that run.
    room: Arc<Semaphore>,
}

impl Service {
    pub(super) fn new(engine: Arc<Engine>, door: Arc<Door>, queries_max: usize) -> Result<Self> {
        let infos = catalogue::infos().map_err(|e| Error::internal("what the server says of itself", e))?;
        let room = Arc::new(Semaphore::new(queries_max));
        Ok(Self { engine, door, statements: Statements::default(), infos, room })
    }

    /// The rows of a query, which runs while there is room for it.
    async fn rows(&self, query: impl Future<Output = Result<Rows>>) -> Result<Response<Messages<FlightData>>, Status> {
        let place = Arc::clone(&self.room).try_acquire_owned();
        let place = place.map_err(|_| Status::resource_exhausted("as many queries run as may; ask again later"))?;
        let rows = query.await.map_err(|e| status(&e))?;
        let columns = sent_columns(&rows.schema);
        let target = Arc::clone(&columns);
        let batches = rows.batches.map(move |batch| {
            let _held = &place; // as long as rows are read
            batch.and_then(|batch| sent(&batch, &target)).map_err(|e| FlightError::from(status(&e)))
        });
        let messages = FlightDataEncoderBuilder::new().with_schema(columns).build(batches);
        Ok(Response::new(Box::pin(messages.map_err(Status::from))))
    }
}

/// The columns as they are sent: Flight's encoder writes long lists as short ones, but only in the schema.
pub(super) fn sent_columns(columns: &SchemaRef) -> SchemaRef {
    let field = |field: &Arc<Field>| match field.data_type() {
        DataType::LargeList(items) => {
            Arc::new(field.as_ref().clone().with_data_type(DataType::List(Arc::clone(items))))
        }
        _ => Arc::clone(field),
    };
    let fields: Vec<Arc<Field>> = columns.fields().iter().map(field).collect();
    Arc::new(Schema::new(fields).with_metadata(columns.metadata().clone()))
}

fn sent(batch: &RecordBatch, columns: &SchemaRef) -> Result<RecordBatch> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let arrays = batch.columns().iter().zip(columns.fields()).map(|(array, field)| {
        match array.data_type() == field.data_type() {
            true => Ok(Arc::clone(array)),
            false => cast_with_options(array, field.data_type(), &options)
                .map_err(|e| Error::Unsupported(format!("column \"{}\" cannot be sent: {e}", field.name()))),
        }
    });
    crate::source::batch(columns, arrays.collect::<Result<_>>()?, batch.num_rows())
}

/// Where the rows of these columns are to be had: here, for this ticket.
fn info(columns: &SchemaRef, ticket: &Any, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
    // What the encoder makes of the columns, so that both say the same.
    let encoder = FlightDataEncoderBuilder::new().with_schema(sent_columns(columns)).build(stream::empty());
    let columns = encoder.known_schema().unwrap_or_else(|| Arc::clone(columns));
    let endpoint = FlightEndpoint::new().with_ticket(Ticket::new(ticket.encode_to_vec()));
    let info = FlightInfo::new().try_with_schema(&columns).map_err(|e| Status::internal(e.to_string()))?;
    Ok(Response::new(info.with_endpoint(endpoint).with_descriptor(request.into_inner())))
}

/// An answer that is there already.
fn one<E: Into<FlightError>>(batch: Result<RecordBatch, E>) -> Result<Response<Messages<FlightData>>, Status> {
    let batch = batch.map_err(Into::<FlightError>::into).map_err(Status::from)?;
    let messages = FlightDataEncoderBuilder::new().with_schema(batch.schema()).build(stream::iter([Ok(batch)]));
    Ok(Response::new(Box::pin(messages.map_err(Status::from))))
}

fn nothing(columns: SchemaRef) -> Result<Response<Messages<FlightData>>, Status> {
    one::<FlightError>(Ok(RecordBatch::new_empty(columns)))
}

fn encoded(columns: &Schema) -> Result<IpcMessage, Status> {
    let message: Result<IpcMessage, ArrowError> = SchemaAsIpc::new(columns, &IpcWriteOptions::default()).try_into();
    message.map_err(|e| Status::internal(e.to_string()))
}

/// The one row of values that a client sends; nothing where it sends none. What the decoder panics at is no such row.
async fn row_of(request: Request<PeekableFlightDataStream>) -> Result<Option<RecordBatch>, Status> {
    let messages = request.into_inner().map(|message| {
        let message = message?;
        check_unpacked(&message, VALUES_UNPACKED_BYTES_MAX)?;
        Ok::<_, FlightError>(message)
    });
    let mut batches = FlightRecordBatchStream::new_from_flight_data(messages);
    let mut row: Option<RecordBatch> = None;
    loop {
        let next = AssertUnwindSafe(batches.next()).catch_unwind().await;
        let next = next.map_err(|_| Status::invalid_argument("these values are no Arrow data"))?;
        let Some(batch) = next.transpose()? else { return Ok(row) };
        match (batch.num_rows(), row.is_some()) {
            (0, _) => {}
            (1, false) => row = Some(batch),
            _ => return Err(Status::unimplemented("a statement takes one row of values at a time")),
        }
    }
}

fn read_only<T>(what: &str) -> Result<T, Status> {
    Err(Status::unimplemented(format!("cannot {what}: what is asked here is read-only")))
}

#[async_trait]
impl FlightSqlService for Service {
    type FlightService = Self;

    async fn do_handshake(
        &self,
        _request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Messages<HandshakeResponse>>, Status> {
        let token = self.door.token(Instant::now())?;
        let header = AsciiMetadataValue::try_from(format!("Bearer {token}"));
        let header = header.map_err(|_| Status::internal("a token that is no header"))?;
        let answer = HandshakeResponse { protocol_version: 0, payload: token.into() };
        let mut response: Response<Messages<HandshakeResponse>> = Response::new(Box::pin(stream::iter([Ok(answer)])));
        response.metadata_mut().insert(AUTHORIZATION, header);
        Ok(response)
    }

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        refuse_training(&query.query).map_err(|e| status(&e))?;
        let columns = self.engine.bound_columns(&query.query, Vec::new()).await.map_err(|e| status(&e))?;
        info(&columns, &TicketStatementQuery { statement_handle: query.query.into() }.as_any(), request)
    }

    async fn do_get_statement(
        &self,
        ticket: TicketStatementQuery,
        _request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        // The ticket is the query itself, so that nothing has to be remembered.
        let sql = std::str::from_utf8(&ticket.statement_handle);
        let sql = sql.map_err(|_| Status::invalid_argument("this ticket is none of this server"))?;
        self.rows(self.engine.query(sql)).await
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        _request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        refuse_training(&query.query).map_err(|e| status(&e))?;
        let prepared = self.engine.prepare(&query.query).await.map_err(|e| status(&e))?;
        let handle = self.statements.add(&prepared, Instant::now())?;
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: handle.into(),
            dataset_schema: encoded(&sent_columns(&prepared.columns))?.0,
            parameter_schema: encoded(&prepared.parameters)?.0,
        })
    }

    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let row = row_of(request).await?;
        self.statements.bind(&query.prepared_statement_handle, row.as_ref(), Instant::now())?;
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(query.prepared_statement_handle) })
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let (sql, values) = self.statements.get(&query.prepared_statement_handle, Instant::now())?;
        let columns = self.engine.bound_columns(&sql, values).await.map_err(|e| status(&e))?;
        info(&columns, &query.as_any(), request)
    }

    async fn do_get_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        _request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        let (sql, values) = self.statements.get(&query.prepared_statement_handle, Instant::now())?;
        self.rows(self.engine.bound_query(&sql, values)).await
    }

    async fn do_action_close_prepared_statement(
        &self,
        query: ActionClosePreparedStatementRequest,
        _request: Request<Action>,
    ) -> Result<(), Status> {
        self.statements.remove(&query.prepared_statement_handle);
        Ok(())
    }

    async fn get_flight_info_catalogs(
        &self,
        asked: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let ticket = asked.as_any();
        info(&asked.into_builder().schema(), &ticket, request)
    }

    async fn do_get_catalogs(
        &self,
        asked: CommandGetCatalogs,
        _request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        one(catalogue::catalogs(asked))
    }

    async fn get_flight_info_schemas(
        &self,
        asked: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let ticket = asked.as_any();
        info(&asked.into_builder().schema(), &ticket, request)
    }

    async fn do_get_schemas(
        &self,
        asked: CommandGetDbSchemas,
        _request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        one(catalogue::schemas(asked))
    }

    async fn get_flight_info_tables(
        &self,
        asked: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let ticket = asked.as_any();
        info(&asked.into_builder().schema(), &ticket, request)
    }

    async fn do_get_tables(
        &self,
        asked: CommandGetTables,
        _request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        one(catalogue::tables(&self.engine, asked).await)
    }

    async fn get_flight_info_table_types(
        &self,
        asked: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let ticket = asked.as_any();
        info(&asked.into_builder().schema(), &ticket, request)
    }

    async fn do_get_table_types(
        &self,
        asked: CommandGetTableTypes,
        _request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        one(catalogue::table_types(asked))
    }

    async fn get_flight_info_sql_info(
        &self,
        asked: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        info(&self.infos.schema(), &asked.as_any(), request)
    }

    async fn do_get_sql_info(
        &self,
        asked: CommandGetSqlInfo,
        _request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        one(asked.into_builder(&self.infos).build())
    }

    async fn get_flight_info_primary_keys(
        &self,
        asked: CommandGetPrimaryKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        info(&catalogue::primary_keys(), &asked.as_any(), request)
    }

    async fn do_get_primary_keys(
        &self,
        _asked: CommandGetPrimaryKeys,
        _request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        nothing(catalogue::primary_keys())
    }

    async fn get_flight_info_exported_keys(
        &self,
        asked: CommandGetExportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        info(&catalogue::foreign_keys(), &asked.as_any(), request)
    }

    async fn do_get_exported_keys(
        &self,
        _asked: CommandGetExportedKeys,
        _request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        nothing(catalogue::foreign_keys())
    }

    async fn get_flight_info_imported_keys(
        &self,
        asked: CommandGetImportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        info(&catalogue::foreign_keys(), &asked.as_any(), request)
    }

    async fn do_get_imported_keys(
        &self,
        _asked: CommandGetImportedKeys,
        _request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        nothing(catalogue::foreign_keys())
    }

    async fn get_flight_info_cross_reference(
        &self,
        asked: CommandGetCrossReference,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        info(&catalogue::foreign_keys(), &asked.as_any(), request)
    }

    async fn do_get_cross_reference(
        &self,
        _asked: CommandGetCrossReference,
        _request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        nothing(catalogue::foreign_keys())
    }

    async fn do_put_statement_update(
        &self,
        _asked: CommandStatementUpdate,
        _request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        read_only("execute an update")
    }

    async fn do_put_prepared_statement_update(
        &self,
        _asked: CommandPreparedStatementUpdate,
        _request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        read_only("execute an update")
    }

    async fn do_put_statement_ingest(
        &self,
        _asked: CommandStatementIngest,
        _request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        read_only("take rows")
    }

    async fn do_action_begin_transaction(
        &self,
        _asked: ActionBeginTransactionRequest,
        _request: Request<Action>,
    ) -> Result<ActionBeginTransactionResult, Status> {
        read_only("begin a transaction")
    }

    async fn register_sql_info(&self, _id: i32, _result: &SqlInfo) {}
}
