//! What comes of servers that are not there, that speak nonsense, and of one of our own, which speaks as much of the protocol as
//! a reader needs (Hadoop's `RpcHeader.proto`, `ClientNamenodeProtocol.proto`, `hdfs.proto` and `datatransfer.proto`). Hadoop's
//! own name node is in no registry that tests can reach.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use prost::Message;

use crate::ErrorKind;
use crate::error::{Error, Result};
use crate::source::files::Files;
use crate::source::{Input, open};
use crate::spec::StoreSpec;

/// Bytes of a block, entries of a listing and bytes of a packet: small, so that there are several of each.
const BLOCK: usize = 1_000;
const LISTING: usize = 2;
const PACKET: usize = 300;

#[derive(Clone, PartialEq, Message)]
struct RequestHeader {
    #[prost(sint32, tag = "3")]
    call: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Context {
    #[prost(message, optional, tag = "2")]
    user: Option<Name>,
}

/// A message whose first field is a text: of a user, of a method, of what is asked for.
#[derive(Clone, PartialEq, Message)]
struct Name {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct ListingRequest {
    #[prost(string, tag = "1")]
    source: String,
    #[prost(bytes = "vec", tag = "2")]
    after: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct ResponseHeader {
    #[prost(uint32, required, tag = "1")]
    call: u32,
    #[prost(int32, required, tag = "2")]
    status: i32,
    #[prost(string, optional, tag = "4")]
    class: Option<String>,
    #[prost(string, optional, tag = "5")]
    message: Option<String>,
}

/// A message whose first field is one of these.
#[derive(Clone, PartialEq, Message)]
struct Found {
    #[prost(message, optional, tag = "1")]
    status: Option<Status>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    /// 1 for a folder, 2 for a file.
    #[prost(int32, required, tag = "1")]
    kind: i32,
    #[prost(bytes = "vec", required, tag = "2")]
    path: Vec<u8>,
    #[prost(uint64, required, tag = "3")]
    length: u64,
    #[prost(uint64, required, tag = "7")]
    modified_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Listed {
    #[prost(message, optional, tag = "1")]
    listing: Option<Listing>,
}

#[derive(Clone, PartialEq, Message)]
struct Listing {
    #[prost(message, repeated, tag = "1")]
    entries: Vec<Status>,
    #[prost(uint32, required, tag = "2")]
    remaining: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Located {
    #[prost(message, optional, tag = "1")]
    blocks: Option<Blocks>,
}

#[derive(Clone, PartialEq, Message)]
struct Blocks {
    #[prost(uint64, required, tag = "1")]
    length: u64,
    #[prost(message, repeated, tag = "2")]
    blocks: Vec<Block>,
}

#[derive(Clone, PartialEq, Message)]
struct Block {
    #[prost(message, optional, tag = "1")]
    id: Option<BlockId>,
    #[prost(uint64, required, tag = "2")]
    offset: u64,
    #[prost(message, repeated, tag = "3")]
    nodes: Vec<Node>,
}

#[derive(Clone, PartialEq, Message)]
struct BlockId {
    #[prost(uint64, required, tag = "2")]
    number: u64,
    #[prost(uint64, optional, tag = "4")]
    bytes: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(message, optional, tag = "1")]
    id: Option<NodeId>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeId {
    #[prost(string, required, tag = "1")]
    address: String,
    #[prost(uint32, required, tag = "4")]
    port: u32,
}

#[derive(Clone, PartialEq, Message)]
struct ReadBlock {
    #[prost(message, optional, tag = "1")]
    header: Option<ReadHeader>,
    #[prost(uint64, required, tag = "2")]
    offset: u64,
    #[prost(uint64, required, tag = "3")]
    length: u64,
}

#[derive(Clone, PartialEq, Message)]
struct ReadHeader {
    #[prost(message, optional, tag = "1")]
    base: Option<BaseHeader>,
}

#[derive(Clone, PartialEq, Message)]
struct BaseHeader {
    #[prost(message, optional, tag = "1")]
    block: Option<BlockId>,
}

#[derive(Clone, PartialEq, Message)]
struct PacketHeader {
    #[prost(sfixed64, required, tag = "1")]
    offset: i64,
    #[prost(sfixed64, required, tag = "2")]
    number: i64,
    #[prost(bool, required, tag = "3")]
    is_last: bool,
    #[prost(sfixed32, required, tag = "4")]
    length: i32,
}

/// A name node and a data node at one port.
struct Cluster {
    port: u16,
    users: Arc<Mutex<BTreeSet<String>>>,
    /// Reads of blocks that end in their middle; with [`GONE`] none begins.
    cuts: Arc<AtomicUsize>,
}

const GONE: usize = usize::MAX;

impl Cluster {
    /// With these files; nobody may look into `/secret`.
    fn start(files: &[(&str, Vec<u8>)]) -> Self {
        let files: Vec<(String, Vec<u8>)> =
            files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (users, cuts) = (Arc::<Mutex<BTreeSet<String>>>::default(), Arc::new(AtomicUsize::new(0)));
        let server = Server { files: Arc::new(files), port, users: users.clone(), cuts: cuts.clone() };
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(io::Result::ok) {
                let server = server.clone();
                std::thread::spawn(move || server.serve(client));
            }
        });
        Self { port, users, cuts }
    }

    fn find(&self, path: &str) -> Result<Files> {
        find(&format!("hdfs://127.0.0.1:{}/{path}", self.port))
    }

    /// The names of the files that a path means, behind the address.
    fn names(&self, path: &str) -> Vec<String> {
        let names = self.find(path).unwrap().inputs;
        let address = format!("hdfs://127.0.0.1:{}/", self.port);
        names.iter().map(|input| input.to_str().unwrap().strip_prefix(&address).unwrap().to_owned()).collect()
    }
}

#[derive(Clone)]
struct Server {
    files: Arc<Vec<(String, Vec<u8>)>>,
    port: u16,
    users: Arc<Mutex<BTreeSet<String>>>,
    cuts: Arc<AtomicUsize>,
}

/// A message with its length in front.
fn delimited(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        length |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] < 0x80 {
            break;
        }
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn message<M: Message + Default>(stream: &mut impl Read) -> io::Result<M> {
    M::decode(delimited(stream)?.as_slice()).map_err(io::Error::other)
}

impl Server {
    fn serve(&self, mut client: TcpStream) {
        let mut first = [0; 1];
        if matches!(client.peek(&mut first), Ok(1)) {
            let _ended = if first[0] == b'h' { self.tell(&mut client) } else { self.hand_out(&mut client) };
        }
    }

    /// The name node.
    fn tell(&self, client: &mut TcpStream) -> io::Result<()> {
        let mut greeting = [0; 7];
        client.read_exact(&mut greeting)?;
        assert_eq!(&greeting, b"hrpc\x09\x00\x00");
        loop {
            let mut length = [0; 4];
            client.read_exact(&mut length)?;
            let mut frame = vec![0; u32::from_be_bytes(length) as usize];
            client.read_exact(&mut frame)?;
            let mut frame = frame.as_slice();
            let call = message::<RequestHeader>(&mut frame)?.call;
            if call < 0 {
                let context: Context = message(&mut frame)?;
                self.users.lock().unwrap().insert(context.user.unwrap_or_default().name);
                continue;
            }
            let method: Name = message(&mut frame)?;
            let (header, body) = match self.answer(&method.name, &delimited(&mut frame)?) {
                Ok(body) => (ResponseHeader { call: call as u32, ..ResponseHeader::default() }, body),
                Err((class, why)) => {
                    let (class, message) = (Some(class.to_owned()), Some(why));
                    (ResponseHeader { call: call as u32, status: 1, class, message }, Vec::new())
                }
            };
            let answer = [header.encode_length_delimited_to_vec(), body].concat();
            client.write_all(&(answer.len() as u32).to_be_bytes())?;
            client.write_all(&answer)?;
        }
    }

    fn answer(&self, method: &str, request: &[u8]) -> Result<Vec<u8>, (&'static str, String)> {
        let source = Name::decode(request).map(|request| request.name).unwrap_or_default();
        if source.starts_with("/secret") {
            let why = format!("Permission denied: user=alice, access=EXECUTE, inode=\"{source}\"\n\tat org.apache...");
            return Err(("org.apache.hadoop.security.AccessControlException", why));
        }
        Ok(match method {
            "getFileInfo" => Found { status: self.status(&source, "") }.encode_length_delimited_to_vec(),
            "getListing" => {
                let request = ListingRequest::decode(request).unwrap();
                Listed { listing: self.listing(&source, &request.after) }.encode_length_delimited_to_vec()
            }
            "getBlockLocations" => Located { blocks: self.blocks(&source) }.encode_length_delimited_to_vec(),
            _ => vec![0], // a message without fields, such as the defaults of the server
        })
    }

    fn file(&self, path: &str) -> Option<(usize, &[u8])> {
        let place = self.files.iter().position(|(name, _)| name == path)?;
        Some((place, &self.files[place].1))
    }

    fn status(&self, path: &str, name: &str) -> Option<Status> {
        let folder = format!("{}/", path.trim_end_matches('/'));
        let (kind, length) = match self.file(path) {
            Some((_, bytes)) => (2, bytes.len() as u64),
            None if self.files.iter().any(|(name, _)| name.starts_with(&folder)) => (1, 0),
            None => return None,
        };
        Some(Status { kind, path: name.into(), length, modified_ms: 1_700_000_000_000 })
    }

    fn listing(&self, path: &str, after: &[u8]) -> Option<Listing> {
        self.status(path, "")?;
        let folder = format!("{}/", path.trim_end_matches('/'));
        let below = self.files.iter().filter_map(|(name, _)| name.strip_prefix(&folder)?.split('/').next());
        let names: BTreeSet<&str> = below.filter(|name| name.as_bytes() > after).collect();
        let entries = names.iter().take(LISTING).filter_map(|name| self.status(&format!("{folder}{name}"), name));
        Some(Listing { entries: entries.collect(), remaining: names.len().saturating_sub(LISTING) as u32 })
    }

    fn blocks(&self, path: &str) -> Option<Blocks> {
        let (place, bytes) = self.file(path)?;
        let node = Node { id: Some(NodeId { address: "127.0.0.1".into(), port: u32::from(self.port) }) };
        let block = |(number, part): (usize, &[u8])| Block {
            id: Some(BlockId { number: (place * 100 + number) as u64, bytes: Some(part.len() as u64) }),
            offset: (number * BLOCK) as u64,
            nodes: vec![node.clone()],
        };
        let blocks = bytes.chunks(BLOCK).enumerate().map(block).collect();
        Some(Blocks { length: bytes.len() as u64, blocks })
    }

    /// The data node.
    fn hand_out(&self, client: &mut TcpStream) -> io::Result<()> {
        loop {
            let mut operation = [0; 3];
            client.read_exact(&mut operation)?;
            assert_eq!(operation, [0, 28, 81], "version 28, a block is read");
            let asked: ReadBlock = message(client)?;
            if self.cuts.load(Ordering::SeqCst) == GONE {
                return Ok(());
            }
            let number = asked.header.and_then(|header| header.base?.block).unwrap_or_default().number as usize;
            let from = number % 100 * BLOCK + asked.offset as usize;
            let part = &self.files[number / 100].1[from..from + asked.length as usize];
            client.write_all(&[0])?; // an operation that went well
            let is_cut = self.cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
            let mut place = asked.offset as usize;
            for (number, packet) in part.chunks(PACKET).chain([&[][..]]).enumerate() {
                if is_cut && number == 1 {
                    return Ok(());
                }
                let (offset, length, is_last) = (place as i64, packet.len() as i32, packet.is_empty());
                let header = PacketHeader { offset, number: number as i64, is_last, length }.encode_to_vec();
                client.write_all(&(4 + packet.len() as u32).to_be_bytes())?;
                client.write_all(&(header.len() as u16).to_be_bytes())?;
                client.write_all(&header)?;
                client.write_all(packet)?;
                place += packet.len();
            }
            delimited(client)?; // that it was read
        }
    }
}

/// The files of an address, found where an engine would.
fn find(path: &str) -> Result<Files> {
    let spec = StoreSpec { user: Some("alice".into()), timeout_s: 5, ..StoreSpec::default() };
    Files::find(Path::new("/"), path, Some(&spec), &["csv"])
}

fn text(input: &Input) -> Result<String> {
    let mut text = String::new();
    let read = open(input)?.read_to_string(&mut text);
    read.map_err(|error| Error::io(input.to_path_buf(), error))?;
    Ok(text)
}

fn check(found: Result<Files>, kind: ErrorKind, words: &[&str]) {
    let error = found.err().unwrap();
    assert_eq!(error.kind(), kind, "{error}");
    words.iter().for_each(|word| assert!(error.to_string().contains(word), "no {word:?} in {error}"));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn addresses_that_name_nobody_are_refused() {
    let runtime = runtime();
    let _within = runtime.enter();
    let invalid = |path: &str, words: &[&str]| check(find(path), ErrorKind::Invalid, words);
    invalid("hdfs://alice@nn:8020/a.csv", &["names no name node; write hdfs://HOST:8020/FILE", "store: user"]);
    invalid("hdfs://cluster/a.csv", &["hdfs://cluster: no port, and no properties", "dfs.ha.namenodes.NAME"]);
    invalid("hdfs:///a.csv", &["it names no name node", "fs.defaultFS"]);
    invalid("hdfs://nn:80200/a.csv", &["hdfs://nn:80200", "port"]);
    invalid("hdfs://nn:8020/../a.csv", &["must not hold ../"]);
    invalid("viewfs://cluster/a.csv", &["viewfs://cluster", "No viewfs fallback mount found"]);
    let local = Files::find(Path::new("/"), "a.csv", Some(&StoreSpec::default()), &["csv"]);
    check(local, ErrorKind::Invalid, &["hdfs://", "remove it"]);
}

#[test]
fn a_name_node_that_does_not_answer_is_named() {
    let runtime = runtime();
    let _within = runtime.enter();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = format!("hdfs://{free}/a.csv");
    check(find(&address), ErrorKind::Io, &[&format!("{address} cannot be read"), "refused"]);
    check(find(&format!("hdfs://{free}/*.csv")), ErrorKind::Io, &["cannot be read", "refused"]);
}

#[test]
fn what_is_no_name_node_is_told_from_one() {
    let runtime = runtime();
    let _within = runtime.enter();
    for answer in [&b""[..], b"HTTP/1.1 400 Bad Request\r\n\r\n", &[0, 0, 0, 5, 9, 1, 2, 3, 4]] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("hdfs://{}/a.csv", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for mut client in listener.incoming().map_while(io::Result::ok) {
                let _read = client.read(&mut [0; 7]);
                let _sent = client.write_all(answer);
            }
        });
        check(find(&address), ErrorKind::Io, &[&address, "see whether this is the RPC port of a name node"]);
    }
}

#[test]
fn files_are_found_by_name_pattern_and_folder() {
    let files = ["/loads/year=2025/a.csv", "/loads/year=2026/b.csv", "/loads/year=2026/c.csv", "/loads/_notes/d.csv"];
    let mut files: Vec<(&str, Vec<u8>)> = files.map(|name| (name, b"x\n1\n".to_vec())).to_vec();
    files.push(("/loads/year=2026/readme.txt", Vec::new()));
    files.push(("/top.csv", b"x\n".to_vec()));
    files.push(("/secret/a.csv", b"x\n".to_vec()));
    let cluster = Cluster::start(&files);
    let runtime = runtime();
    let _within = runtime.enter();
    assert_eq!(cluster.names("top.csv"), ["top.csv"]);
    assert_eq!(cluster.names("loads/year=2026/*.csv"), ["loads/year=2026/b.csv", "loads/year=2026/c.csv"]);
    let all = ["loads/year=2025/a.csv", "loads/year=2026/b.csv", "loads/year=2026/c.csv"];
    assert_eq!(cluster.names("loads/year=*/?.csv"), all);
    check(cluster.find("loads/**/*.csv"), ErrorKind::Invalid, &["loads/_notes/d.csv has no folders"]);
    assert_eq!(cluster.names("*.csv"), ["top.csv"], "nobody looks into folders that are not meant");
    assert_eq!(cluster.names("loads/"), all);
    assert_eq!(cluster.names("loads"), all, "a folder is one without a / at its end, too");
    let found = cluster.find("loads/year=*/*.csv").unwrap();
    let columns: Vec<&str> = found.folders.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(columns, ["year"]);
    assert_eq!(*cluster.users.lock().unwrap(), BTreeSet::from(["alice".to_owned()]));

    check(cluster.find("topp.csv"), ErrorKind::NotFound, &["/topp.csv", "did you mean \"top.csv\"?"]);
    check(cluster.find("loads/*.csv"), ErrorKind::NotFound, &["no file is called like", "loads/*.csv"]);
    let denied =
        ["/secret/a.csv: the server refuses it (AccessControlException: Permission denied: user=alice", "store: user"];
    check(cluster.find("secret/a.csv"), ErrorKind::Invalid, &denied);
    let error = cluster.find("secret/*.csv").err().unwrap().to_string();
    assert!(error.contains("Permission denied") && !error.contains('\n'), "{error}");
}

#[test]
fn files_of_several_blocks_are_read_and_taken_up_where_a_data_node_broke_off() {
    let lines: String = (0..600).map(|n| format!("{n},{}\n", n * n)).collect();
    let cluster = Cluster::start(&[("/empty.csv", Vec::new()), ("/a.csv", lines.clone().into_bytes())]);
    assert!(lines.len() > 3 * BLOCK && !lines.len().is_multiple_of(BLOCK));
    let runtime = runtime();
    let _within = runtime.enter();
    let file = |name: &str| cluster.find(name).unwrap().inputs.remove(0);
    assert_eq!(text(&file("a.csv")).unwrap(), lines);
    assert_eq!(text(&file("empty.csv")).unwrap(), "");
    cluster.cuts.store(3, Ordering::SeqCst);
    assert_eq!(text(&file("a.csv")).unwrap(), lines);
    assert_eq!(cluster.cuts.load(Ordering::SeqCst), 0, "it was broken off three times");
    cluster.cuts.store(GONE, Ordering::SeqCst);
    let error = text(&file("a.csv")).unwrap_err().to_string();
    let place = format!("hdfs://127.0.0.1:{}/a.csv cannot be read", cluster.port);
    assert!(error.contains(&place) && error.ends_with("see whether they can be reached from here"), "{error}");
}
