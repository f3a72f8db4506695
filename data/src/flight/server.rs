//! How do questions over Flight SQL get here? By gRPC, on a bounded number of connections.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use arrow_flight::flight_service_server::FlightServiceServer;
use futures::{Stream, stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Request;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::transport::server::{Connected, TcpConnectInfo};

use super::access::Door;
use super::service::Service;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::wire::{WireSpec, accept};

/// Longest question, in bytes: a query, or the values of a statement.
const QUESTION_BYTES_MAX: usize = 4 << 20;
/// Questions of a connection at a time.
const QUESTIONS_MAX: u32 = 64;
/// A client that says nothing for so long is asked whether it is there.
const SILENCE: Duration = Duration::from_secs(60);

impl Engine {
    /// Answers clients that speak Arrow Flight SQL until `stop` is over; then queries that run are answered first. Clients
    /// see the engine's tables in the schema `public` and can change nothing.
    ///
    /// # Errors
    /// Where the server cannot begin.
    pub async fn serve_flight(
        self: Arc<Self>,
        listener: TcpListener,
        spec: WireSpec,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<()> {
        let _session = self.session_with_catalogue();
        let door = Arc::new(Door::new(spec.password));
        let service = Service::new(self, Arc::clone(&door), spec.connections_max)?;
        let flight = FlightServiceServer::new(service).max_decoding_message_size(QUESTION_BYTES_MAX);
        let admitted = InterceptedService::new(flight, move |request: Request<()>| {
            door.admit(request.metadata(), Instant::now()).map(|()| request)
        });
        let mut server =
            Server::builder().max_concurrent_streams(QUESTIONS_MAX).http2_keepalive_interval(Some(SILENCE));
        let router = server.add_service(admitted);
        let ended = router.serve_with_incoming_shutdown(connections(listener, spec.connections_max), stop).await;
        ended.map_err(|e| Error::internal("the server of Flight SQL", e))
    }
}

/// The connections that there is room for.
fn connections(listener: TcpListener, connections_max: usize) -> impl Stream<Item = io::Result<Connection>> {
    let room = Arc::new(Semaphore::new(connections_max));
    stream::unfold((listener, room), |(listener, room)| async move {
        let (socket, place) = accept(&listener, &room).await;
        let _slower = socket.set_nodelay(true); // it works without as well
        Some((Ok(Connection { socket, _place: place }), (listener, room)))
    })
}

/// A connection that holds its place until it is closed.
struct Connection {
    socket: TcpStream,
    _place: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.socket.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
