//! Who else may ask? Whatever speaks PostgreSQL's protocol: psql, drivers, notebooks, tools of business intelligence. They
//! read, and nothing else; what catalogues they look at is `datafusion-postgres`'s.

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::common::ParamValues;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::{Set, Statement};
use datafusion_postgres::DfSessionService;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_postgres::datafusion_pg_catalog::setup_pg_catalog;
use datafusion_postgres::hooks::cursor::CursorStatementHook;
use datafusion_postgres::hooks::set_show::SetShowHook;
use datafusion_postgres::hooks::transactions::TransactionStatementHook;
use datafusion_postgres::hooks::{HookClient, QueryHook};
use datafusion_postgres::pgwire::api::auth::noop::NoopStartupHandler;
use datafusion_postgres::pgwire::api::auth::sasl::SASLAuthStartupHandler;
use datafusion_postgres::pgwire::api::auth::sasl::scram::{SCRAM_ITERATIONS, ScramAuth, gen_salted_password};
use datafusion_postgres::pgwire::api::auth::{
    AuthSource, DefaultServerParameterProvider, LoginInfo, Password, StartupHandler,
};
use datafusion_postgres::pgwire::api::cancel::{CancelHandler, DefaultCancelHandler};
use datafusion_postgres::pgwire::api::portal::Portal;
use datafusion_postgres::pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use datafusion_postgres::pgwire::api::results::{Response, Tag};
use datafusion_postgres::pgwire::api::store::PortalStore;
use datafusion_postgres::pgwire::api::{
    ClientInfo, ClientPortalStore, ConnectionManager, ErrorHandler, PgWireServerHandlers,
};
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::extendedquery::Parse;
use datafusion_postgres::pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use datafusion_postgres::pgwire::tokio::process_socket;
use futures::Sink;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::engine::{CATALOG, Engine, create_model, retell};
use crate::error::{Error, ErrorKind, Result};
use crate::spec::Secret;

/// Bytes of the salt of a password.
const SALT_BYTES: usize = 16;

/// Who may ask over PostgreSQL's protocol or Arrow Flight SQL.
#[derive(Debug, Clone)]
pub struct WireSpec {
    /// The password of whoever connects, whatever they call themselves (over PostgreSQL's protocol SCRAM-SHA-256, RFC 7677);
    /// none where anybody may who reaches the port.
    pub password: Option<Secret>,
    /// Connections at a time, and queries that run; one more is refused at once.
    pub connections_max: usize,
}

impl Engine {
    /// Answers clients that speak PostgreSQL's protocol until the task is dropped; connections end with it. They see the
    /// engine's tables in the schema `public` and can change nothing.
    ///
    /// # Errors
    /// Where the catalogue cannot be made.
    pub async fn serve_postgres(self: Arc<Self>, listener: TcpListener, spec: WireSpec) -> Result<()> {
        let session = Arc::new(self.session_with_catalogue());
        setup_pg_catalog(&session, CATALOG, EmptyContextProvider).map_err(|error| retell(&error, None))?;
        let handlers = Arc::new(Handlers::new(Arc::clone(&self), session, spec.password));
        let room = Arc::new(Semaphore::new(spec.connections_max));
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let (socket, place) = accept(&listener, &room).await;
            let handlers = Arc::clone(&handlers);
            connections.spawn(async move {
                let _ended = process_socket(socket, None, handlers).await; // whoever left cannot be told
                drop(place);
            });
        }
    }
}

/// The next connection that there is room for; others are closed at once.
pub(crate) async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        // An error is of one connection, or for want of file handles: the next one may do better.
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        if let Ok(place) = Arc::clone(room).try_acquire_owned() {
            return (socket, place);
        }
    }
}

/// Refuses to train: who asks here reads.
pub(crate) fn refuse_training(sql: &str) -> Result<()> {
    match create_model(sql) {
        Ok(None) => Ok(()),
        Ok(Some(_)) | Err(_) => Err(Error::invalid(
            "cannot execute CREATE MODEL: what is asked here is read-only; train it with tidemill sql",
        )),
    }
}

struct Handlers {
    engine: Arc<Engine>,
    service: Arc<WithModels>,
    connections: Arc<ConnectionManager>,
    cancel: Arc<DefaultCancelHandler>,
    password: Option<Arc<OnePassword>>,
}

impl Handlers {
    fn new(engine: Arc<Engine>, session: Arc<SessionContext>, password: Option<Secret>) -> Self {
        let hooks: Vec<Arc<dyn QueryHook>> = vec![
            Arc::new(ReadOnly),
            Arc::new(CursorStatementHook),
            Arc::new(SetShowHook),
            Arc::new(TransactionStatementHook),
        ];
        let connections = Arc::new(ConnectionManager::new());
        let inner = DfSessionService::new_with_hooks(session, hooks);
        Self {
            service: Arc::new(WithModels { engine: Arc::clone(&engine), inner }),
            engine,
            cancel: Arc::new(DefaultCancelHandler::new(Arc::clone(&connections))),
            connections,
            password: password.map(|password| Arc::new(OnePassword(password))),
        }
    }
}

impl PgWireServerHandlers for Handlers {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        Arc::clone(&self.service)
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        Arc::clone(&self.service)
    }

    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        let connections = Arc::clone(&self.connections);
        Arc::new(match &self.password {
            None => Door::Open(Anybody(connections)),
            Some(password) => {
                let parameters = Arc::new(DefaultServerParameterProvider::default());
                let scram = ScramAuth::new(Arc::clone(password) as Arc<dyn AuthSource>);
                Door::Locked(
                    SASLAuthStartupHandler::new(parameters).with_scram(scram).with_connection_manager(connections),
                )
            }
        })
    }

    fn error_handler(&self) -> Arc<impl ErrorHandler> {
        Arc::new(Retold(Arc::clone(&self.engine)))
    }

    fn cancel_handler(&self) -> Arc<impl CancelHandler> {
        Arc::clone(&self.cancel)
    }
}

/// Understands the words of BigQuery ML before others look at a query.
struct WithModels {
    engine: Arc<Engine>,
    inner: DfSessionService,
}

impl WithModels {
    fn rewritten(&self, sql: &str) -> PgWireResult<String> {
        refuse_training(sql).map_err(|error| refusal("25006", error.to_string()))?;
        let told = |error: Error| refusal(state_of(&error), error.to_string());
        self.engine.rewritten(sql).map(Cow::into_owned).map_err(told)
    }
}

#[async_trait]
impl SimpleQueryHandler for WithModels {
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        SimpleQueryHandler::do_query(&self.inner, client, &self.rewritten(query)?).await
    }
}

#[async_trait]
impl ExtendedQueryHandler for WithModels {
    type Statement = <DfSessionService as ExtendedQueryHandler>::Statement;
    type QueryParser = <DfSessionService as ExtendedQueryHandler>::QueryParser;

    fn query_parser(&self) -> Arc<Self::QueryParser> {
        self.inner.query_parser()
    }

    async fn on_parse<C>(&self, client: &mut C, mut message: Parse) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        message.query = self.rewritten(&message.query)?;
        self.inner.on_parse(client, message).await
    }

    async fn do_query<C>(
        &self,
        client: &mut C,
        portal: &Portal<Self::Statement>,
        rows_max: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        ExtendedQueryHandler::do_query(&self.inner, client, portal, rows_max).await
    }
}

/// How a connection begins.
enum Door {
    Open(Anybody),
    Locked(SASLAuthStartupHandler<DefaultServerParameterProvider>),
}

struct Anybody(Arc<ConnectionManager>);

impl NoopStartupHandler for Anybody {
    fn connection_manager(&self) -> Option<Arc<ConnectionManager>> {
        Some(Arc::clone(&self.0))
    }
}

#[async_trait]
impl StartupHandler for Door {
    async fn on_startup<C>(&self, client: &mut C, message: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match self {
            Self::Open(door) => door.on_startup(client, message).await,
            Self::Locked(door) => door.on_startup(client, message).await,
        }
    }
}

/// One password for all names.
#[derive(Debug)]
struct OnePassword(Secret);

#[async_trait]
impl AuthSource for OnePassword {
    async fn get_password(&self, _login: &LoginInfo) -> PgWireResult<Password> {
        let salt: [u8; SALT_BYTES] = unguessable().map_err(|error| refusal("XX000", error.to_string()))?;
        let salted = gen_salted_password(self.0.reveal(), &salt, SCRAM_ITERATIONS);
        Ok(Password::new(Some(salt.to_vec()), salted))
    }
}

/// Random bytes that nobody can guess.
pub(crate) fn unguessable<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0_u8; N];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut bytes).map_err(|_| Error::Unreachable("the system gives no random numbers".to_owned()))?;
    Ok(bytes)
}

/// Errors in the words of `tidemill sql`.
struct Retold(Arc<Engine>);

impl ErrorHandler for Retold {
    fn on_error<C>(&self, _client: &C, error: &mut PgWireError)
    where
        C: ClientInfo,
    {
        let PgWireError::ApiError(cause) = error else { return };
        let Some(cause) = cause.downcast_ref::<DataFusionError>() else { return };
        let told = retell(cause, Some(&self.0));
        *error = refusal(state_of(&told), told.to_string());
    }
}

/// The code of an error (PostgreSQL's documentation, appendix A).
fn state_of(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => "42P01",
        ErrorKind::Invalid => "42601",
        ErrorKind::Unsupported => "0A000",
        ErrorKind::Exhausted | ErrorKind::Busy => "53000",
        ErrorKind::Conflict => "42710",
        ErrorKind::Io => "58030",
        ErrorKind::Corrupt | ErrorKind::Internal => "XX000",
    }
}

fn refusal(state: &str, message: String) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".to_owned(), state.to_owned(), message)))
}

/// Lets queries through, and what clients say about themselves; nothing that writes, or changes the engine for others.
#[derive(Debug)]
struct ReadOnly;

/// What becomes of a statement.
enum Verdict {
    Pass,
    /// Answered as done, and not done: it is of no consequence here.
    Done,
    Refused(PgWireError),
}

fn judge(statement: &Statement) -> Verdict {
    match statement {
        Statement::Query(_)
        | Statement::ExplainTable { .. }
        | Statement::ShowVariable { .. }
        | Statement::ShowStatus { .. }
        | Statement::ShowCatalogs { .. }
        | Statement::ShowTables { .. }
        | Statement::ShowColumns { .. }
        | Statement::StartTransaction { .. }
        | Statement::Commit { .. }
        | Statement::Rollback { .. }
        | Statement::Declare { .. }
        | Statement::Fetch { .. }
        | Statement::Close { .. } => Verdict::Pass,
        Statement::Explain { statement, .. } => judge(statement),
        Statement::Discard { .. } | Statement::Deallocate { .. } => Verdict::Done,
        Statement::Set(set) => judge_set(set),
        other => {
            let words = other.to_string();
            let verb = words.split_whitespace().next().unwrap_or_default().to_uppercase();
            Verdict::Refused(refusal("25006", format!("cannot execute {verb}: what is asked here is read-only")))
        }
    }
}

fn judge_set(set: &Set) -> Verdict {
    const OF_THE_CLIENT: [&str; 7] = [
        "statement_timeout",
        "datestyle",
        "bytea_output",
        "intervalstyle",
        "application_name",
        "extra_float_digits",
        "search_path",
    ];
    const WITHOUT_MEANING: [&str; 8] = [
        "client_encoding",
        "client_min_messages",
        "standard_conforming_strings",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
        "default_transaction_read_only",
        "row_security",
        "jit",
    ];
    match set {
        Set::SingleAssignment { variable, .. } => {
            let name = variable.to_string().to_lowercase();
            if OF_THE_CLIENT.contains(&name.as_str()) {
                Verdict::Pass
            } else if WITHOUT_MEANING.contains(&name.as_str()) {
                Verdict::Done
            } else {
                Verdict::Refused(refusal("42704", format!("no setting \"{name}\" that a client may change")))
            }
        }
        Set::SetTimeZone { .. } => Verdict::Pass,
        Set::SetNames { .. } | Set::SetTransaction { .. } => Verdict::Done,
        other => Verdict::Refused(refusal("42704", format!("cannot execute {other}: no client may change that"))),
    }
}

/// What a client gets in place of an execution; none where the statement may be executed.
fn verdict<T>(statement: &Statement, done: impl FnOnce() -> T) -> Option<PgWireResult<T>> {
    match judge(statement) {
        Verdict::Pass => None,
        Verdict::Done => Some(Ok(done())),
        Verdict::Refused(error) => Some(Err(error)),
    }
}

#[async_trait]
impl QueryHook for ReadOnly {
    async fn handle_simple_query(
        &self,
        statement: &Statement,
        _session: &SessionContext,
        _client: &mut dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        verdict(statement, || done(statement))
    }

    async fn handle_extended_parse_query(
        &self,
        statement: &Statement,
        _session: &SessionContext,
        _client: &(dyn ClientInfo + Send + Sync),
    ) -> Option<PgWireResult<LogicalPlan>> {
        verdict(statement, nothing)
    }

    async fn handle_extended_query(
        &self,
        statement: &Statement,
        _plan: &LogicalPlan,
        _parameters: &ParamValues,
        _session: &SessionContext,
        _client: &mut dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        verdict(statement, || done(statement))
    }
}

/// A plan without columns.
fn nothing() -> LogicalPlan {
    let schema = Arc::new(datafusion::common::DFSchema::empty());
    LogicalPlan::EmptyRelation(datafusion::logical_expr::EmptyRelation { produce_one_row: true, schema })
}

fn done(statement: &Statement) -> Response {
    let tag = match statement {
        Statement::Discard { .. } => "DISCARD",
        Statement::Deallocate { .. } => "DEALLOCATE",
        _ => "SET",
    };
    Response::Execution(Tag::new(tag))
}
