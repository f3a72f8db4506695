//! Messages of syslog that are sent to us: datagrams, and connections that we stop reading while the disk is slow.
//!
//! Nothing tells a sender that a message is durable. On a connection what is read is stored unless this process dies; of
//! datagrams those are lost for which there is no room, and they are counted where that is known.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::collect::{Consumer, WAIT};
use super::decode::{Body, Message};
use super::frames::Frames;
use super::writer::now;
use crate::error::{Error, Result};
use crate::source::syslog::{Syslog, offset_s};
use crate::spec::{ColumnType, SyslogSpec};

use ColumnType::{Text, Timestamp};

const COLUMNS: [(&str, ColumnType); 9] = [
    ("time", Timestamp),
    ("facility", Text),
    ("severity", Text),
    ("host", Text),
    ("program", Text),
    ("pid", Text),
    ("message_id", Text),
    ("structured_data", Text),
    ("message", Text),
];
/// Messages that wait, beside the bound on their bytes.
const WAITING_MAX: usize = 65_536;
/// Memory that a message takes beside its text, about.
const MESSAGE_BYTES_MORE: usize = 128;
/// Messages handed out at once.
const HANDED_MAX: usize = 4_000;
/// Largest datagram.
const DATAGRAM_BYTES_MAX: usize = 1 << 16;
/// Bytes read from a connection at once.
const READ_BYTES: usize = 1 << 16;
/// How long what was read may take to be handed over at the end.
const END: Duration = Duration::from_secs(5);
/// Between two looks at what the system lost.
const LOOK: Duration = Duration::from_secs(2);

pub(super) fn columns() -> Vec<(String, ColumnType)> {
    COLUMNS.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect()
}

/// A message as it came.
struct Came {
    bytes: Vec<u8>,
    from: SocketAddr,
    protocol: &'static str,
    at: i64,
    _room: OwnedSemaphorePermit,
}

pub(super) struct SyslogConsumer {
    spec: SyslogSpec,
    offset_s: i64,
    listening: Option<Listening>,
    /// Messages of which we know that they were lost.
    dropped: Arc<AtomicU64>,
    dropped_by_system: u64,
    looked: Instant,
}

/// The sockets; their tasks end with it.
struct Listening {
    came: mpsc::Receiver<Came>,
    stop: watch::Sender<bool>,
    udp_port: Option<u16>,
    tasks: JoinSet<()>,
}

/// Where the sockets' tasks put what came.
#[derive(Clone)]
struct Inbox {
    came: mpsc::Sender<Came>,
    room: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
    dropped: Arc<AtomicU64>,
    bytes_max: usize,
}

impl SyslogConsumer {
    pub(super) fn new(spec: &SyslogSpec) -> Result<Self> {
        if spec.udp.is_none() && spec.tcp.is_none() {
            return Err(Error::invalid(
                "syslog: say where to listen, such as udp: \"0.0.0.0:514\" or tcp: \"0.0.0.0:601\"",
            ));
        }
        let offset_s = offset_s(&spec.utc_offset)?;
        let (dropped, looked) = (Arc::default(), Instant::now());
        Ok(Self { spec: spec.clone(), offset_s, listening: None, dropped, dropped_by_system: 0, looked })
    }

    async fn listen(&self) -> Result<Listening> {
        let (sender, came) = mpsc::channel(WAITING_MAX);
        let (stop, stopped) = watch::channel(false);
        let inbox = Inbox {
            came: sender,
            room: Arc::new(Semaphore::new(self.spec.queue_bytes_max)),
            stop: stopped,
            dropped: Arc::clone(&self.dropped),
            bytes_max: self.spec.message_bytes_max.min(self.spec.queue_bytes_max / 2),
        };
        let mut listening = Listening { came, stop, udp_port: None, tasks: JoinSet::new() };
        if let Some(address) = &self.spec.udp {
            let socket = UdpSocket::bind(address).await.map_err(|e| cannot_listen("udp", address, &e))?;
            listening.udp_port = socket.local_addr().ok().map(|address| address.port());
            listening.tasks.spawn(datagrams(socket, inbox.clone()));
        }
        if let Some(address) = &self.spec.tcp {
            let listener = TcpListener::bind(address).await.map_err(|e| cannot_listen("tcp", address, &e))?;
            listening.tasks.spawn(connections(listener, inbox, self.spec.connections_max));
        }
        Ok(listening)
    }

    fn message(&self, came: Came) -> Message {
        let text = String::from_utf8_lossy(&came.bytes);
        let read = Syslog::read(text.trim_end_matches(['\n', '\r', '\0']));
        let time = read.micros(came.at, self.offset_s).and_then(chrono::DateTime::from_timestamp_micros);
        let structured_data = read.structured_data.map(|elements| Value::Object(elements).to_string());
        let fields = [
            ("time", time.map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true))),
            ("facility", read.facility.map(str::to_owned)),
            ("severity", read.severity.map(str::to_owned)),
            ("host", read.host.map(str::to_owned)),
            ("program", read.program.map(str::to_owned)),
            ("pid", read.pid.map(str::to_owned)),
            ("message_id", read.message_id.map(str::to_owned)),
            ("structured_data", structured_data),
            ("message", Some(read.message.to_owned())),
        ];
        let given = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into_bytes())));
        Message {
            offset: format!("{}/{}/{}", came.protocol, came.from.ip(), came.at),
            body: Body::Fields(given.collect()),
        }
    }

    /// Looks how many datagrams the system had no room for.
    fn look(&mut self) {
        self.looked = Instant::now();
        let port = self.listening.as_ref().and_then(|listening| listening.udp_port);
        if let Some(lost) = port.and_then(lost_by_system) {
            self.dropped_by_system = self.dropped_by_system.max(lost);
        }
    }
}

#[async_trait]
impl Consumer for SyslogConsumer {
    async fn connect(&mut self) -> Result<()> {
        if self.listening.is_none() {
            self.listening = Some(self.listen().await?);
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Vec<Message>> {
        if self.looked.elapsed() >= LOOK {
            self.look();
        }
        let mut all = Vec::new();
        if let Some(listening) = &mut self.listening {
            let _ = timeout_at(Instant::now() + WAIT, listening.came.recv_many(&mut all, HANDED_MAX)).await;
        }
        Ok(all.into_iter().map(|came| self.message(came)).collect())
    }

    /// Nobody asks.
    async fn commit(&mut self) -> Result<()> {
        Ok(())
    }

    /// Closes the sockets. What was read from them is ours to store, and what waits in the system, up to a bound.
    async fn rest(&mut self) -> Result<Vec<Message>> {
        self.look();
        let Some(mut listening) = self.listening.take() else { return Ok(Vec::new()) };
        listening.stop.send_replace(true);
        let end = Instant::now() + END;
        let (mut all, mut bytes) = (Vec::new(), 0);
        while bytes < self.spec.queue_bytes_max
            && let Ok(Some(came)) = timeout_at(end, listening.came.recv()).await
        {
            bytes += came.bytes.len() + MESSAGE_BYTES_MORE;
            all.push(self.message(came)); // which makes room for the next one
        }
        Ok(all)
    }

    fn lost(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed) + self.dropped_by_system
    }
}

impl Inbox {
    fn cost(&self, bytes: &[u8]) -> u32 {
        u32::try_from(bytes.len() + MESSAGE_BYTES_MORE).unwrap_or(u32::MAX)
    }

    /// Puts a datagram in, where there is room.
    fn offer(&self, bytes: &[u8], from: SocketAddr) {
        let bytes = bytes[..bytes.len().min(self.bytes_max)].to_vec();
        let room = Arc::clone(&self.room).try_acquire_many_owned(self.cost(&bytes)).ok();
        let came = room.map(|room| Came { bytes, from, protocol: "udp", at: now(), _room: room });
        if came.is_none_or(|came| self.came.try_send(came).is_err()) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Puts a message of a connection in, as soon as there is room; false when nobody takes it any more.
    async fn put(&self, bytes: Vec<u8>, from: SocketAddr) -> bool {
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(self.cost(&bytes)).await else { return false };
        self.came.send(Came { bytes, from, protocol: "tcp", at: now(), _room: room }).await.is_ok()
    }

    async fn stopped(&mut self) {
        let _ = self.stop.wait_for(|stop| *stop).await;
    }
}

/// Reads datagrams until the end; an empty one says nothing.
async fn datagrams(socket: UdpSocket, mut inbox: Inbox) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let (ended, quiet) = (inbox.clone(), Duration::from_millis(100));
    loop {
        tokio::select! {
            biased;
            () = inbox.stopped() => break,
            came = socket.recv_from(&mut buffer) => match came {
                Ok((0, _)) => {}
                Ok((count, from)) => ended.offer(&buffer[..count], from),
                Err(_) => tokio::time::sleep(quiet).await, // of a datagram that we never sent
            },
        }
    }
    while let Ok((count, from)) = socket.try_recv_from(&mut buffer) {
        ended.offer(&buffer[..count], from);
    }
}

/// Takes connections until the end; beyond the bound the next one waits until another one is closed.
async fn connections(listener: TcpListener, mut inbox: Inbox, connections_max: usize) {
    let mut open = JoinSet::new();
    let given = inbox.clone();
    loop {
        while open.try_join_next().is_some() {}
        if open.len() >= connections_max {
            tokio::select! {
                () = inbox.stopped() => break,
                _ = open.join_next() => continue,
            }
        }
        tokio::select! {
            () = inbox.stopped() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    open.spawn(connection(stream, from, given.clone()));
                }
                Err(_) => tokio::time::sleep(WAIT).await, // too many open files
            },
        }
    }
    while open.join_next().await.is_some() {}
}

/// Reads a connection until either side ends it. While there is no room nothing is read, and the sender has to wait.
async fn connection(stream: TcpStream, from: SocketAddr, mut inbox: Inbox) {
    let (mut frames, mut buffer) = (Frames::new(inbox.bytes_max), vec![0; READ_BYTES]);
    let mut is_stopped = false;
    loop {
        if !is_stopped {
            tokio::select! {
                biased;
                ready = stream.readable() => if ready.is_err() { break },
                () = inbox.stopped() => is_stopped = true,
            }
        }
        let mut whole = Vec::new();
        match stream.try_read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => frames.push(&buffer[..count], |message| whole.push(message)),
            Err(error) if error.kind() == ErrorKind::WouldBlock && !is_stopped => {}
            Err(_) => break,
        }
        for message in whole {
            if !message.is_empty() && !inbox.put(message, from).await {
                return;
            }
        }
        is_stopped = is_stopped || *inbox.stop.borrow();
    }
    if let Some(last) = frames.finish() {
        inbox.put(last, from).await;
    }
}

fn cannot_listen(protocol: &str, address: &str, error: &std::io::Error) -> Error {
    let remedy = match error.kind() {
        ErrorKind::PermissionDenied => "ports below 1024 need the right to it: take another one, or run setcap",
        ErrorKind::AddrInUse => "another program listens there: take another port, or stop it",
        _ => "write an address of this machine and a port, such as 0.0.0.0:5514",
    };
    Error::invalid(format!("syslog: cannot listen on {protocol} {address} ({error}); {remedy}"))
}

/// Datagrams for a port that Linux had no room for; other systems do not tell.
fn lost_by_system(port: u16) -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok().and_then(|text| lost_in(&text, port));
    [read("/proc/net/udp"), read("/proc/net/udp6")].into_iter().flatten().reduce(|a, b| a + b)
}

/// The last column of the lines of a port.
fn lost_in(table: &str, port: u16) -> Option<u64> {
    let of_port = |line: &str| {
        let mut words = line.split_whitespace();
        let (_, local) = words.nth(1)?.rsplit_once(':')?;
        (u16::from_str_radix(local, 16) == Ok(port)).then(|| words.last()?.parse::<u64>().ok())?
    };
    table.lines().filter_map(of_port).reduce(|a, b| a + b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_datagrams_are_read_from_the_system() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
            12: 0100007F:1F90 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 123 2 0000000000000000 41\n\
            13: 00000000:0202 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 124 2 0000000000000000 7\n";
        assert_eq!((lost_in(table, 8080), lost_in(table, 514), lost_in(table, 1)), (Some(41), Some(7), None));
    }
}
