//! `tidemill serve`: the endpoints and the pages, until Ctrl-C or SIGTERM.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use data::{Engine, WireSpec};
use serde_json::json;
use store::Store;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::cli::{Common, Serve};
use crate::config::Project;
use crate::failure::{Failure, Fault, Result};
use crate::http::{self, Access, App, Ingests};
use crate::jobs::Jobs;
use crate::serve::Endpoints;
use crate::terminal::{Terminal, table};

/// Shortest key that is accepted, in characters.
const KEY_CHARACTERS_MIN: usize = 16;

/// Serves the project.
pub fn serve(common: &Common, args: &Serve, terminal: &Terminal) -> Result<()> {
    crate::machine::allow_huge_pages(false);
    let project = super::load(common)?;
    refuse_open_door(args.host, args.key.as_deref())?;
    let store = super::open(&project)?;
    let runtime = runtime()?;
    let listener = runtime.block_on(listen(args.host, args.port, "--port"))?;
    let _sql = SqlServer::start(&project, args, terminal)?;
    runtime.block_on(until_stopped(project, store, listener, args.key.clone(), terminal, |_| ()))
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    crate::pipeline::runtime()
}

fn refuse_open_door(host: IpAddr, key: Option<&str>) -> Result<()> {
    match key {
        Some(key) if key.chars().count() < KEY_CHARACTERS_MIN => {
            let message = format!("the key is shorter than {KEY_CHARACTERS_MIN} characters");
            Err(Failure::new(Fault::Usage, message))
        }
        None if !host.is_loopback() => {
            let message =
                format!("{host} is reached from other machines: set a key in TIDEMILL_KEY, or listen on 127.0.0.1");
            Err(Failure::new(Fault::Usage, message))
        }
        _ => Ok(()),
    }
}

/// Answers SQL over PostgreSQL's protocol and Arrow Flight SQL, on threads of its own so that long queries hold up no
/// prediction; until it is dropped.
struct SqlServer {
    runtime: Option<tokio::runtime::Runtime>,
    /// Tells Flight SQL to take no more queries and to end with those that run.
    stop: Arc<Notify>,
    flight: Option<JoinHandle<()>>,
    drain: Duration,
}

impl SqlServer {
    /// Connections at a time, to each port.
    const CONNECTIONS_MAX: usize = 100;

    /// The server, where one of its ports is asked for.
    fn start(project: &Project, args: &Serve, terminal: &Terminal) -> Result<Option<Self>> {
        if args.sql_port.is_none() && args.flight_port.is_none() {
            return Ok(None);
        }
        let runtime = runtime()?;
        let bound = |port: Option<u16>, option: &str| {
            port.map(|port| runtime.block_on(listen(args.host, port, option))).transpose()
        };
        let (postgres, flight) = (bound(args.sql_port, "--sql-port")?, bound(args.flight_port, "--flight-port")?);
        let (engine, troubles) = runtime.block_on(crate::pipeline::engine_of_all(project))?;
        for trouble in troubles {
            terminal.warning(format!("SQL goes without it: {}", trouble.message));
        }
        let engine = Arc::new(engine);
        let spec = WireSpec { password: args.key.as_deref().map(Into::into), connections_max: Self::CONNECTIONS_MAX };
        if let Some(listener) = postgres {
            terminal.note(format!("SQL on postgresql://{}/tidemill", address(&listener)?));
            let (engine, spec) = (Arc::clone(&engine), spec.clone());
            runtime.spawn(async move {
                if let Err(error) = engine.serve_postgres(listener, spec).await {
                    tracing::error!("SQL over PostgreSQL's protocol ended: {error}");
                }
            });
        }
        let stop = Arc::new(Notify::new());
        let flight = match flight {
            None => None,
            Some(listener) => {
                terminal.note(format!("SQL on grpc://{} (Arrow Flight SQL)", address(&listener)?));
                Some(runtime.spawn(answer_flight(engine, listener, spec, Arc::clone(&stop))))
            }
        };
        let drain = Duration::from_millis(project.server.drain_timeout_ms);
        Ok(Some(Self { runtime: Some(runtime), stop, flight, drain }))
    }
}

async fn answer_flight(engine: Arc<Engine>, listener: TcpListener, spec: WireSpec, stop: Arc<Notify>) {
    let stopped = async move {
        tokio::select! {
            () = stop.notified() => (),
            () = super::stop_signal() => (),
        }
    };
    if let Err(error) = engine.serve_flight(listener, spec, stopped).await {
        tracing::error!("Arrow Flight SQL ended: {error}");
    }
}

fn address(listener: &TcpListener) -> Result<SocketAddr> {
    listener.local_addr().map_err(|e| Failure::new(Fault::Ours, format!("a port for SQL: {e}")))
}

impl Drop for SqlServer {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        self.stop.notify_one();
        if let Some(flight) = self.flight.take() {
            let _late = runtime.block_on(async { tokio::time::timeout(self.drain, flight).await });
        }
        runtime.shutdown_background();
    }
}

/// Takes the port, or says who else may have it; `option` chooses another.
pub(crate) async fn listen(host: IpAddr, port: u16, option: &str) -> Result<TcpListener> {
    TcpListener::bind(SocketAddr::new(host, port)).await.map_err(|e| match e.kind() {
        std::io::ErrorKind::AddrInUse => {
            let message =
                format!("port {port} of {host} is in use; stop what listens there, or choose another with {option}");
            Failure::new(Fault::Conflict, message)
        }
        _ => Failure::new(Fault::Ours, format!("cannot listen on {host} port {port}: {e}")),
    })
}

/// Serves until Ctrl-C or SIGTERM; requests in flight are answered first. `ready` is told the address.
pub(crate) async fn until_stopped(
    project: Project,
    store: Store,
    listener: TcpListener,
    key: Option<String>,
    terminal: &Terminal,
    ready: impl FnOnce(SocketAddr),
) -> Result<()> {
    let ours = |e: std::io::Error| Failure::new(Fault::Ours, format!("the server stopped: {e}"));
    let address = listener.local_addr().map_err(ours)?;
    let endpoints = Endpoints::load(&project.endpoints, &store);
    let ingests = Ingests::open(&project);
    ingests.troubles().for_each(|failure| terminal.warning(&failure.message));
    announce(terminal, &endpoints, &ingests, address);
    let jobs = Jobs::default();
    let app = App {
        project: Arc::new(project),
        store,
        endpoints,
        ingests,
        jobs: jobs.clone(),
        metrics: http::metrics_handle()?,
        access: Arc::new(Access::new(key, address.ip())),
    };
    ready(address);
    let drain = Duration::from_millis(app.project.server.drain_timeout_ms);
    let told = Arc::new(Notify::new());
    let telling = Arc::clone(&told);
    let stopped = async move {
        super::stop_signal().await;
        telling.notify_one();
    };
    tokio::select! {
        ended = axum::serve(listener, http::app(app)).with_graceful_shutdown(stopped) => ended.map_err(ours)?,
        () = async { told.notified().await; tokio::time::sleep(drain).await } => {
            terminal.warning(format!("some requests were not answered within {} s", drain.as_secs_f64()));
        }
    }
    tokio::task::spawn_blocking(move || jobs.stop())
        .await
        .map_err(|e| Failure::new(Fault::Ours, format!("training did not stop: {e}")))
}

/// The start-up table: endpoint, model, version, status with the reason of a failure.
fn announce(terminal: &Terminal, endpoints: &Endpoints, ingests: &Ingests, address: SocketAddr) {
    let mut rows = vec![["endpoint", "model", "version", "status"].map(str::to_owned).to_vec()];
    let status = endpoints.status();
    for line in &status {
        let version = line.version.map_or_else(|| "-".to_owned(), |version| version.to_string());
        let ready = line.trouble.clone().map_or_else(|| "ready".to_owned(), |reason| format!("unavailable: {reason}"));
        rows.push(vec![format!("/predict/{}", line.endpoint), line.model.clone(), version, ready]);
    }
    for route in ingests.routes() {
        terminal.note(format!("rows are taken at POST {route}"));
    }
    terminal.result(format!("{}listening on http://{address}", table(&rows)));
    let lines: Vec<_> = status
        .iter()
        .map(|line| json!({ "endpoint": line.endpoint, "model": line.model, "version": line.version, "trouble": line.trouble }))
        .collect();
    terminal.document(&json!({ "address": format!("http://{address}"), "endpoints": lines }));
}
