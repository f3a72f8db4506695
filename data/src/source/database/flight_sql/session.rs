//! What do we say to a server, and what does its answer mean? The client of `arrow-flight` is not used: it panics where a
//! server answers nothing, and loses whether a password was wrong or nobody there.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch, UnionArray};
use arrow_flight::decode::{DecodedPayload, FlightDataDecoder};
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    Any, CommandGetSqlInfo, CommandGetTables, CommandPreparedStatementQuery, CommandStatementQuery,
    DoPutPreparedStatementResult, ProstMessageExt, SqlInfo,
};
use arrow_flight::{Action, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, Ticket};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use prost::Message;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};

use super::super::in_time;
use super::address::{Login, Server, causes};
use super::flow::Flow;
use crate::error::{Error, Result};
use crate::flight::{AUTHORIZATION, basic, check_unpacked};

/// Longest message, and what its buffers may unpack to, in bytes.
const MESSAGE_BYTES_MAX: usize = 128 << 20;
/// Tables that are looked at for a "did you mean".
const TABLES_MAX: usize = 10_000;
/// Characters of a server's message that are shown.
const MESSAGE_CHARACTERS_MAX: usize = 500;
/// How `Status` begins that says a message was longer.
const TOO_LONG: &str = "Error, decoded message length too large";

/// A connection on which we are known.
#[derive(Clone)]
pub(super) struct Session {
    client: FlightServiceClient<Channel>,
    authorization: Option<AsciiMetadataValue>,
    server: Server,
    place: String,
    timeout: Duration,
}

impl Session {
    /// Connects and says who we are.
    pub(super) async fn begin(server: &Server) -> Result<Self> {
        let client = FlightServiceClient::new(server.connect().await?).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let (place, timeout) = (server.place(), server.timeout);
        let mut session = Self { client, authorization: None, server: server.clone(), place, timeout };
        session.authorization = match &server.login {
            Login::Nobody => None,
            Login::Token(token) => Some(header(&format!("Bearer {}", token.reveal()))?),
            Login::User(name, password) => Some(session.log_in(header(&basic(name, password.reveal()))?).await?),
        };
        Ok(session)
    }

    /// The token that the server gives for name and password; those themselves where it gives none.
    async fn log_in(&self, basic: AsciiMetadataValue) -> Result<AsciiMetadataValue> {
        let mut request = Request::new(stream::iter([HandshakeRequest::default()]));
        request.metadata_mut().insert(AUTHORIZATION, basic.clone());
        let mut client = self.client.clone();
        let token = self.ask(async move {
            let answer = match client.handshake(request).await {
                Err(status) if status.code() == Code::Unimplemented => return Ok(None),
                answer => answer?,
            };
            let (headers, mut messages, _) = answer.into_parts();
            // Its end says whether it went well.
            while messages.message().await?.is_some() {}
            Ok::<_, FlightError>(headers.get(AUTHORIZATION).cloned())
        });
        Ok(token.await?.unwrap_or(basic))
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// Where the rows of a query are to be had.
    pub(super) async fn execute(&self, sql: &str) -> Result<FlightInfo> {
        self.info(&CommandStatementQuery { query: sql.to_owned(), transaction_id: None }).await
    }

    /// As [`Session::execute`], of a statement that was prepared.
    pub(super) async fn execute_prepared(&self, handle: &[u8]) -> Result<FlightInfo> {
        self.info(&CommandPreparedStatementQuery { prepared_statement_handle: handle.to_vec().into() }).await
    }

    async fn info(&self, command: &impl ProstMessageExt) -> Result<FlightInfo> {
        let request = self.request(FlightDescriptor::new_cmd(command.as_any().encode_to_vec()));
        let mut client = self.client.clone();
        self.ask(async move { Ok::<_, FlightError>(client.get_flight_info(request).await?.into_inner()) }).await
    }

    /// Prepares a query and gives its handle.
    pub(super) async fn prepare(&self, sql: &str) -> Result<Vec<u8>> {
        let command = ActionCreatePreparedStatementRequest { query: sql.to_owned(), transaction_id: None };
        let answer = self.act("CreatePreparedStatement", &command).await?;
        let answer = answer.and_then(|body| Any::decode(&*body).ok());
        let answer = answer.and_then(|any| any.unpack::<ActionCreatePreparedStatementResult>().ok().flatten());
        match answer {
            Some(answer) => Ok(answer.prepared_statement_handle.to_vec()),
            None => Err(self.garbled("it prepared a statement, and gave none")),
        }
    }

    /// Sends values for a statement's placeholders; gives the handle that it has from now on.
    pub(super) async fn bind(&self, handle: Vec<u8>, values: &RecordBatch) -> Result<Vec<u8>> {
        let command = CommandPreparedStatementQuery { prepared_statement_handle: handle.clone().into() };
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        let encoder =
            FlightDataEncoderBuilder::new().with_flight_descriptor(Some(descriptor)).with_schema(values.schema());
        let messages = encoder.build(stream::iter([Ok(values.clone())])).try_collect::<Vec<FlightData>>().await;
        let messages = messages.map_err(|e| Error::internal("values for a statement", e))?;
        let request = self.request(stream::iter(messages));
        let mut client = self.client.clone();
        let told = self.ask(async move {
            let mut answers = client.do_put(request).await?.into_inner();
            let first = answers.message().await?;
            while answers.message().await?.is_some() {}
            let Some(first) = first else { return Ok(None) };
            Ok::<_, FlightError>(DoPutPreparedStatementResult::decode(&*first.app_metadata)?.prepared_statement_handle)
        });
        Ok(told.await?.map_or(handle, |handle| handle.to_vec()))
    }

    /// Closes a statement; where that fails, the end of the connection does it.
    pub(super) async fn close(&self, handle: &[u8]) {
        let command = ActionClosePreparedStatementRequest { prepared_statement_handle: handle.to_vec().into() };
        let _closed = self.act("ClosePreparedStatement", &command).await;
    }

    /// The first answer to an action; none where there is none.
    async fn act(&self, kind: &str, command: &impl ProstMessageExt) -> Result<Option<Vec<u8>>> {
        let request = self.request(Action::new(kind, command.as_any().encode_to_vec()));
        let mut client = self.client.clone();
        let answered = self.ask(async move {
            let mut answers = client.do_action(request).await?.into_inner();
            let first = answers.message().await?;
            while answers.message().await?.is_some() {}
            Ok::<_, FlightError>(first.map(|answer| answer.body.to_vec()))
        });
        answered.await
    }

    /// The messages that a ticket is for.
    pub(super) async fn messages(&self, ticket: Ticket) -> Result<FlightDataDecoder> {
        let request = self.request(ticket);
        let mut client = self.client.clone();
        let messages: Streaming<FlightData> =
            self.ask(async move { Ok::<_, FlightError>(client.do_get(request).await?.into_inner()) }).await?;
        Ok(FlightDataDecoder::new(messages.map(|message| {
            let message = message?;
            check_unpacked(&message, MESSAGE_BYTES_MAX)?;
            Ok::<_, FlightError>(message)
        })))
    }

    /// The next message; none at the end.
    pub(super) async fn next(&self, messages: &mut FlightDataDecoder) -> Result<Option<DecodedPayload>> {
        self.ask(async { Ok::<_, FlightError>(messages.next().await.transpose()?.map(|message| message.payload)) })
            .await
    }

    /// What comes before the time is over, or the server's fault in words; what our libraries panic at is no answer.
    async fn ask<T>(&self, work: impl Future<Output = Result<T, FlightError>>) -> Result<T> {
        in_time(self.timeout, &self.place, async {
            match AssertUnwindSafe(work).catch_unwind().await {
                Ok(answer) => answer.map_err(|error| self.told(&error)),
                Err(_) => Err(self.garbled("its message cannot be read")),
            }
        })
        .await
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert(AUTHORIZATION, authorization.clone());
        }
        request
    }

    /// The character that the server quotes names with.
    pub(super) async fn quote(&self) -> char {
        let asked = CommandGetSqlInfo { info: vec![SqlInfo::SqlIdentifierQuoteChar as u32] };
        let mark = self.facts(&asked, 1).await.ok().and_then(|facts| {
            let value = facts.first()?.column_by_name("value")?.as_any().downcast_ref::<UnionArray>()?;
            let text = (!value.is_empty()).then(|| value.value(0))?;
            let text = text.as_string_opt::<i32>().filter(|text| text.is_valid(0))?.value(0).to_owned();
            let mut letters = text.chars();
            letters.next().filter(|mark| !mark.is_whitespace() && letters.next().is_none())
        });
        mark.unwrap_or('"') // as the standard of SQL says
    }

    /// Names of the server's tables, so many that a near one may be among them.
    pub(super) async fn tables(&self) -> Vec<String> {
        let facts = self.facts(&CommandGetTables::default(), TABLES_MAX).await.unwrap_or_default();
        let names = facts.iter().filter_map(|facts| facts.column_by_name("table_name")?.as_string_opt::<i32>());
        names.flat_map(|names| names.iter().flatten().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    /// What the server says of itself, until there are so many rows.
    async fn facts(&self, command: &impl ProstMessageExt, rows_max: usize) -> Result<Vec<RecordBatch>> {
        let mut flow = Flow::of(self.clone(), self.info(command).await?);
        let (mut facts, mut count) = (Vec::new(), 0);
        while count < rows_max
            && let Some(payload) = flow.next().await?
        {
            if let DecodedPayload::RecordBatch(rows) = payload {
                count += rows.num_rows();
                facts.push(rows);
            }
        }
        Ok(facts)
    }

    pub(super) fn garbled(&self, why: &str) -> Error {
        Error::invalid(format!("{} does not speak Flight SQL as it should: {why}", self.place))
    }

    /// An error in words, with whose fault it is.
    fn told(&self, error: &FlightError) -> Error {
        match error {
            FlightError::Tonic(status) => self.said(status),
            other => self.garbled(&causes(other)),
        }
    }

    fn said(&self, status: &Status) -> Error {
        let source = std::error::Error::source(status);
        let first_line = status.message().lines().next().unwrap_or_default(); // others may tell of the server's inside
        let message: String = first_line.trim_end().chars().take(MESSAGE_CHARACTERS_MAX).collect();
        let text = match (source, message.as_str()) {
            (Some(source), message) => format!("{}: {message}: {}", self.place, causes(source)),
            (None, "") => format!("{}: {}", self.place, status.code()),
            (None, message) => format!("{}: {message}", self.place),
        };
        match status.code() {
            // The connection is to blame, not what was asked.
            _ if source.is_some() => Error::Unreachable(text),
            Code::Unauthenticated | Code::PermissionDenied => {
                Error::Invalid(format!("{text}; see user and password, or token"))
            }
            Code::NotFound => Error::NotFound(text),
            Code::Unimplemented => Error::Unsupported(text),
            Code::OutOfRange if status.message().starts_with(TOO_LONG) => Error::Exhausted(format!(
                "{} sends a message of more than {} MB; let it send fewer rows at once",
                self.place,
                MESSAGE_BYTES_MAX >> 20
            )),
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::Cancelled
            | Code::DataLoss => Error::Unreachable(text),
            _ => Error::Invalid(text),
        }
    }
}

/// A header that is shown nowhere.
fn header(text: &str) -> Result<AsciiMetadataValue> {
    let header = AsciiMetadataValue::try_from(text);
    let mut header = header.map_err(|_| Error::invalid("token: it holds characters that no header can"))?;
    header.set_sensitive(true);
    Ok(header)
}
