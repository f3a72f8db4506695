//! Object stores and web servers as sources: a real S3 server, and a web server that does what servers should not.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::files::{QUERY, python, same};
use crate::servers::free_port;
use crate::support::{Project, finish, optional, skipped};

/// How long the S3 server may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// An S3 server (`moto`) with a bucket `tide`; ended when dropped.
pub struct S3 {
    child: Child,
    address: String,
    access_key: String,
    secret_key: String,
}

impl S3 {
    /// With the files of a folder. None where it is missing.
    pub fn start(folder: &Path) -> Option<Self> {
        let python = optional("TIDEMILL_PYTHON", "an S3 server")?;
        if !finish(Command::new(&python).args(["-c", "import moto.server, boto3"])).stderr.is_empty() {
            skipped(&format!("{python} lacks moto[server]"));
            return None;
        }
        let port = free_port();
        let mut server = Command::new(&python);
        server.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
        server.env("INITIAL_NO_AUTH_ACTION_COUNT", "1000000").stdout(Stdio::null()).stderr(Stdio::null());
        let child = server.stdin(Stdio::null()).spawn().unwrap();
        let address = format!("http://127.0.0.1:{port}");
        let mut server = Self { child, address, access_key: String::new(), secret_key: String::new() };
        server.wait(port);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/s3.py");
        let filled = finish(Command::new(&python).arg(script).arg(&server.address).arg(folder));
        assert_eq!(filled.code, 0, "{}", filled.stderr);
        let keys = filled.json();
        server.access_key = keys["access_key"].as_str().unwrap().to_owned();
        server.secret_key = keys["secret_key"].as_str().unwrap().to_owned();
        Some(server)
    }

    #[allow(clippy::disallowed_methods, reason = "when another program is ready is no event of this one")]
    fn wait(&self, port: u16) {
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begin.elapsed() < READY_WITHIN, "the S3 server does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Where it listens.
    #[cfg(feature = "delta")]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The section of a source; the secret comes from the environment.
    pub fn store(&self) -> String {
        format!(
            "store: {{ endpoint: \"{}\", allow_http: true, access_key: \"{}\", secret_key: \"${{S3_SECRET}}\", timeout_s: 10 }}",
            self.address, self.access_key
        )
    }

    pub fn command(&self, project: &Project, arguments: &[&str]) -> Command {
        let mut command = project.command(arguments);
        command.env("S3_SECRET", &self.secret_key);
        command
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The port of a way to a server that ends the first three answers of more than 300,000 bytes in their middle.
fn shaky(server: &str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = server.trim_start_matches("http://").to_owned();
    let cuts = Arc::new(AtomicUsize::new(3));
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let mut there = TcpStream::connect(&server).unwrap();
            let (mut asks, mut asked) = (client.try_clone().unwrap(), there.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut asks, &mut asked));
            let cuts = Arc::clone(&cuts);
            std::thread::spawn(move || {
                let is_long = std::io::copy(&mut (&mut there).take(300_000), &mut client).is_ok_and(|n| n == 300_000);
                let fewer = |left: usize| left.checked_sub(1);
                if !is_long || cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer).is_err() {
                    let _rest = std::io::copy(&mut there, &mut client);
                }
                let _closed = client.shutdown(std::net::Shutdown::Both);
                let _closed = there.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    port
}

#[test]
fn every_format_comes_from_a_bucket_and_nothing_secret_is_shown() {
    let files = Project::new("");
    let Some(()) = python("formats.py", "pyarrow, openpyxl, fastavro, xlwt", &[files.folder.path()]) else { return };
    let expected = std::fs::read(files.path("expected.jsonl")).unwrap();
    for (name, text) in [
        ("logs/year=2025/a.csv", "host,load\n\"broken\n"),
        ("logs/year=2026/a.csv", "host,load\na,0.5\nb,0.25\n"),
        ("notes/a.log", "eins\nzwei\n"),
    ] {
        files.write(name, text.as_bytes());
    }
    let Some(server) = S3::start(files.folder.path()) else { return };
    let store = server.store();
    let formats = [
        ("plain", "csv", "rows.csv"),
        ("gzip", "csv", "rows.csv.gz"),
        ("zip", "csv", "rows.csv.zip"),
        ("json", "json", "rows.jsonl"),
        ("parquet", "parquet", "rows.parquet"),
        ("arrow", "arrow", "rows.feather"),
        ("avro", "avro", "rows.av*"),
        ("xls", "excel", "rows.xls"),
    ];
    let source = |name: &str, kind: &str, path: &str| {
        format!("  {name}: {{ {kind}: {{ path: \"s3://tide/{path}\", {store} }} }}\n")
    };
    let mut yaml = "sources:\n".to_owned();
    formats.iter().for_each(|(name, kind, path)| yaml += &source(name, kind, path));
    yaml += &source("logs", "csv", "logs/");
    yaml += &source("notes", "text", "notes/*.log");
    yaml += &source("wrong_key", "csv", "row.csv");
    yaml += &source("no_match", "csv", "logs/*.tsv");
    yaml += &source("upward", "csv", "logs/../rows.csv");
    yaml += &source("no_bucket", "csv", "rows.csv").replace("s3://tide/", "s3://tied/");
    yaml += &source("refused", "csv", "rows.csv").replace("${S3_SECRET}", "not the secret");
    yaml += &source("keyless", "csv", "rows.csv").replace(&format!("access_key: \"{}\", ", server.access_key), "");
    yaml += &source("plain_http", "csv", "rows.csv").replace("allow_http: true, ", "");
    let shaky = format!("http://127.0.0.1:{}", shaky(&server.address));
    yaml += &source("shaky", "csv", "rows.csv").replace(&server.address, &shaky);
    let project = Project::new(&yaml);
    project.write("expected.jsonl", &expected);
    for name in formats.iter().map(|(name, ..)| *name).chain(["shaky"]) {
        let out = project.path("out.jsonl");
        let query = format!("{} {name} ORDER BY id", QUERY);
        let done = finish(&mut server.command(&project, &["sql", &query, "--output", out.to_str().unwrap()]));
        assert_eq!(done.code, 0, "{name}: {}", done.stderr);
        same(&project.path("expected.jsonl"), &out, name);
    }
    let sql = |query: &str| finish(&mut server.command(&project, &["sql", query]));
    assert_eq!(
        sql("SELECT host, load, year FROM logs WHERE year = 2026").stdout,
        "host  load  year\na      0.5  2026\nb     0.25  2026\n"
    );
    assert!(sql("SELECT * FROM logs").stderr.contains("s3://tide/logs/year=2025/a.csv, line 2: a quote is opened"));
    assert_eq!(sql("SELECT text, path FROM notes WHERE line = 2").stdout, "text  path\nzwei  s3://tide/notes/a.log\n");
    for (name, expected) in [
        ("wrong_key", "no file s3://tide/row.csv; did you mean \"rows.csv\"?"),
        ("no_match", "no file is called like s3://tide/logs/*.tsv; 2 were looked at"),
        ("upward", "a name must not hold ../"),
        ("no_bucket", "there is no bucket s3://tied"),
        ("refused", "s3://tide/rows.csv: the server refuses it"),
        ("keyless", "secret_key is set, but no access_key"),
        ("plain_http", "is not encrypted; write https://, or set allow_http: true"),
    ] {
        let done = sql(&format!("SELECT * FROM {name}"));
        assert!(done.code != 0 && done.stderr.contains(expected), "{name}: {}", done.stderr);
        assert!(
            !done.stderr.contains(&server.secret_key) && !done.stderr.contains("not the secret"),
            "{}",
            done.stderr
        );
    }
    let shown = finish(&mut server.command(&project, &["config"])).stdout;
    assert!(shown.contains("${S3_SECRET}") && !shown.contains(&server.secret_key), "{shown}");
}

/// A server that dies or was never there is told at once, not after a hundred tries.
#[test]
fn a_bucket_that_cannot_be_reached_is_told() {
    let port = free_port();
    let store = format!("store: {{ endpoint: \"http://127.0.0.1:{port}\", allow_http: true, timeout_s: 2 }}");
    let project = Project::new(&format!("sources:\n  rows: {{ csv: {{ path: \"s3://tide/rows.csv\", {store} }} }}\n"));
    let begin = Instant::now();
    let done = project.run(&["sql", "SELECT * FROM rows"]);
    assert!(done.code != 0 && done.stderr.contains("s3://tide/rows.csv cannot be read: "), "{}", done.stderr);
    assert!(done.stderr.contains("refused") && begin.elapsed() < Duration::from_secs(30), "{}", done.stderr);
}

/// A web server that behaves as the path says.
struct Web {
    port: u16,
    /// Requests so far.
    count: Arc<AtomicUsize>,
}

/// The file that it has.
fn table() -> String {
    let rows: String = (0..50_000).map(|n| format!("{n},数据 {n}\n")).collect();
    format!("id,name\n{rows}")
}

impl Web {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let number = counted.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || answer(stream, port, number));
            }
        });
        Self { port, count }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }
}

/// Answers one request and closes; failing to write is the client's right.
fn answer(mut stream: TcpStream, port: u16, number: usize) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let path = lines.next().and_then(|line| line.split(' ').nth(1).map(str::to_owned)).unwrap_or_default();
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).map(|line| line.to_lowercase()).collect();
    let header =
        |name: &str| headers.iter().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned));
    let from: usize =
        header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()).unwrap_or(0);
    let body = table().into_bytes();
    let half = body.len() / 2;
    let mut send = |head: &str, bytes: &[u8]| {
        let _sent = stream.write_all(format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").as_bytes());
        let _sent = stream.write_all(bytes);
    };
    let length = body.len();
    let redirect = |to: &str| format!("302 Found\r\nLocation: {to}\r\nContent-Length: 0");
    match path.split('?').next().unwrap_or_default() {
        "/rows.csv" => send(&format!("200 OK\r\nContent-Length: {length}"), &body),
        "/rows.csv.gz" => {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &body).unwrap();
            let packed = Command::new("gzip").arg("-c").arg(file.path()).output().unwrap().stdout;
            send(&format!("200 OK\r\nContent-Length: {}", packed.len()), &packed);
        }
        "/chunked.csv" => {
            let chunks: Vec<u8> = body
                .chunks(10_000)
                .flat_map(|part| [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat())
                .collect();
            send("200 OK\r\nTransfer-Encoding: chunked", &[&chunks[..], b"0\r\n\r\n"].concat());
        }
        "/stall.csv" => {
            send(&format!("200 OK\r\nContent-Length: {length}"), &body[..half]);
            let _until_the_client_is_gone = stream.read(&mut [0; 1]);
        }
        "/silent.csv" => drop(stream.read(&mut [0; 1])),
        "/short.csv" => send(&format!("200 OK\r\nContent-Length: {length}"), &body[..half]),
        "/cut.csv" => send(
            "200 OK\r\nTransfer-Encoding: chunked",
            &[format!("{length:x}\r\n").as_bytes(), &body[..half]].concat(),
        ),
        "/resume.csv" if from == 0 => {
            send(&format!("200 OK\r\nETag: \"1\"\r\nContent-Length: {length}"), &body[..half])
        }
        "/resume.csv" if header("if-range").as_deref() == Some("\"1\"") => {
            let head =
                format!("206 Partial Content\r\nETag: \"1\"\r\nContent-Range: bytes {from}-{}/{length}", length - 1);
            send(&format!("{head}\r\nContent-Length: {}", length - from), &body[from..]);
        }
        "/changed.csv" => send(&format!("200 OK\r\nETag: \"{number}\"\r\nContent-Length: {length}"), &body[..half]),
        "/busy.csv" if number < 2 => send("503 Busy\r\nContent-Length: 0", b""),
        "/busy.csv" => send(&format!("200 OK\r\nContent-Length: {length}"), &body),
        "/secret.csv" if header("authorization").as_deref() == Some("basic bwu6c2vjcmv0") => {
            send(&format!("200 OK\r\nContent-Length: {length}"), &body);
        }
        "/secret.csv" => send("401 Unauthorized\r\nContent-Length: 0", b""),
        "/moved.csv" => send(&redirect("/rows.csv"), b""),
        "/loop.csv" => send(&redirect("/loop.csv"), b""),
        "/inside.csv" => send(&redirect("http://localhost:1/rows.csv"), b""),
        "/other-port.csv" => send(&redirect(&format!("http://127.0.0.1:{}/rows.csv", port ^ 1)), b""),
        "/metadata.csv" => send(&redirect("http://169.254.169.254/latest/meta-data"), b""),
        "/mapped.csv" => send(&redirect("http://[::ffff:127.0.0.1]:1/rows.csv"), b""),
        "/file.csv" => send(&redirect("file:///etc/passwd"), b""),
        _ => send("404 Not Found\r\nContent-Length: 0", b""),
    }
}

#[test]
fn files_of_a_web_server_are_read_as_they_come() {
    let count = "SELECT count(*) AS n, sum(id) AS total, max(length(name)) AS longest FROM rows";
    let expected = "    n       total  longest\n50000  1249975000        8\n";
    for (path, store) in [
        ("rows.csv", ""),
        ("rows.csv?key=secret", ""),
        ("rows.csv.gz", ""),
        ("chunked.csv", ""),
        ("resume.csv", ""),
        ("busy.csv", ""),
        ("moved.csv", ""),
        ("secret.csv", ", store: { access_key: me, secret_key: \"${WEB_SECRET}\", allow_http: true }"),
    ] {
        let server = Web::start();
        let url = server.url(path);
        let project = Project::new(&format!("sources:\n  rows: {{ csv: {{ path: \"{url}\"{store} }} }}\n"));
        let done = finish(project.command(&["sql", count]).env("WEB_SECRET", "secret"));
        assert_eq!((done.code, done.stdout.as_str()), (0, expected), "{path}: {}", done.stderr);
        assert!(server.count.load(Ordering::SeqCst) < 10, "{path}");
    }
}

#[test]
fn what_web_servers_should_not_do_is_told() {
    let server = Web::start();
    let length = table().len();
    let half = length / 2;
    for (path, expected) in [
        (
            "stall.csv",
            "sent nothing for 1 seconds; see whether the server is busy or gone, or raise store: timeout_s".to_owned(),
        ),
        ("silent.csv", "sent nothing for 1 seconds".to_owned()),
        ("short.csv", format!("cannot be read after {half} of {length} bytes: ")),
        ("cut.csv", format!("cannot be read after {half} bytes: ")),
        ("changed.csv", format!("broke off after {half} bytes, and the server does not go on from there")),
        ("gone.csv?key=hunter2", "no file http://127.0.0.1:".to_owned()),
        ("secret.csv", "the server refuses it (401); set store: access_key".to_owned()),
        ("loop.csv", "it redirects more than 5 times".to_owned()),
        ("inside.csv", "it redirects to localhost, an address of this machine".to_owned()),
        ("other-port.csv", "it redirects to 127.0.0.1, an address of this machine".to_owned()),
        ("metadata.csv", "it redirects to 169.254.169.254, an address of this machine".to_owned()),
        ("mapped.csv", "an address of this machine".to_owned()),
        ("file.csv", "the server says 302 where a file was expected".to_owned()),
    ] {
        let url = server.url(path);
        let project =
            Project::new(&format!("sources:\n  rows: {{ csv: {{ path: \"{url}\", store: {{ timeout_s: 1 }} }} }}\n"));
        let begin = Instant::now();
        let done = project.run(&["sql", "SELECT count(*) FROM rows"]);
        assert!(done.code != 0 && done.stderr.contains(&expected), "{path}: {}", done.stderr);
        assert!(!done.stderr.contains("hunter2"), "{}", done.stderr);
        assert!(begin.elapsed() < Duration::from_secs(20), "{path} took {:?}", begin.elapsed());
    }
    let check = |source: &str, expected: &str| {
        let project = Project::new(&format!("sources:\n  rows: {{ csv: {source} }}\n"));
        let done = project.run(&["sql", "SELECT * FROM rows"]);
        assert!(done.code != 0 && done.stderr.contains(expected), "{source}: {}", done.stderr);
        assert!(!done.stderr.contains("hunter2"), "{}", done.stderr);
    };
    check("\"https://me:hunter2@127.0.0.1/a.csv\"", "a URL must not hold a password");
    check(
        "{ path: \"http://127.0.0.1/a.csv\", store: { token: hunter2 } }",
        "is not encrypted, and would be sent a key",
    );
    check("\"az://box/a.csv\"", "set store: account");
    check("\"s3:///a.csv\"", "names no bucket");
}
