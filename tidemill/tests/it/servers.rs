//! Real servers of Debian's packages, each on a free port with a folder of its own, ended when dropped.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::skipped;

/// Password of the user `reader` on every server.
pub const PASSWORD: &str = "tide & mill @ 1";
/// How long a server may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A server that runs.
pub struct Database {
    child: Child,
    pub folder: TempDir,
    pub port: u16,
    client: fn(&Database, &str) -> Command,
}

impl Database {
    /// PostgreSQL with a database `shop` and a user `reader`; encrypted connections are possible. None where it is missing.
    pub fn postgres() -> Option<Self> {
        let Some(programs) = newest("/usr/lib/postgresql", "bin/postgres") else {
            skipped("PostgreSQL is not installed (Debian's package postgresql)");
            return None;
        };
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("password"), PASSWORD).unwrap();
        certificate(folder.path());
        give(folder.path(), "postgres");
        let mut make = as_user("postgres", &programs.join("initdb"));
        make.args([
            "--auth-host=scram-sha-256",
            "--auth-local=trust",
            "-U",
            "reader",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
        ]);
        done(make.arg("--no-sync").arg(format!("--pwfile={}", at("password").display())).arg("-D").arg(at("data")));
        let mut server = as_user("postgres", &programs.join("postgres"));
        server.arg("-D").arg(at("data")).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        for (name, file) in [("ssl_cert_file", "server.crt"), ("ssl_key_file", "server.key")] {
            server.arg("-c").arg(format!("{name}={}", at(file).display()));
        }
        server.args(["-c", "ssl=on", "-c", "fsync=off", "-c", "log_statement=all", "-c", "timezone=Asia/Shanghai"]);
        server.arg("-c").arg(format!("unix_socket_directories={}", folder.path().display()));
        let log = std::fs::File::create(at("log")).unwrap();
        let child = server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let client = |server: &Self, database: &str| {
            let mut client = Command::new("psql");
            client.args(["-v", "ON_ERROR_STOP=1", "-q", "-U", "reader", "-d", database, "-f", "-"]);
            client.arg("-h").arg(server.folder.path()).args(["-p", &server.port.to_string()]);
            client
        };
        let server = Self { child, folder, port, client };
        server.wait("postgres");
        server.sql("postgres", "CREATE DATABASE shop");
        Some(server)
    }

    /// MariaDB with a database `shop` and a user `reader`. None where it is missing.
    pub fn mariadb() -> Option<Self> {
        let program = Path::new("/usr/sbin/mariadbd");
        if !program.exists() {
            skipped("MariaDB is not installed (Debian's package mariadb-server)");
            return None;
        }
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let at = |name: &str| folder.path().join(name);
        give(folder.path(), "mysql");
        let mut make = as_user("mysql", Path::new("mariadb-install-db"));
        make.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        done(make.arg(format!("--datadir={}", at("data").display())));
        let mut server = as_user("mysql", program);
        server.args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve", "--general-log=1"]);
        server.args([format!("--port={port}"), format!("--datadir={}", at("data").display())]);
        server
            .arg(format!("--socket={}", at("socket").display()))
            .arg(format!("--general-log-file={}", at("log").display()));
        server.args(["--character-set-server=utf8mb4", "--default-time-zone=+08:00", "--innodb-flush-method=fsync"]);
        let child = server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let client = |server: &Self, database: &str| {
            let mut client = Command::new("mariadb");
            client.args(["--no-defaults", "-u", "root", "--default-character-set=utf8mb4", database]);
            client.arg(format!("--socket={}", server.folder.path().join("socket").display()));
            client
        };
        let server = Self { child, folder, port, client };
        server.wait("mysql");
        let user = format!("CREATE USER reader IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON shop.* TO reader");
        server.sql("mysql", &format!("CREATE DATABASE shop; {user}"));
        Some(server)
    }

    /// Runs statements in the server's own client.
    pub fn sql(&self, database: &str, statements: &str) {
        let error = self.try_sql(database, statements).err();
        assert!(error.is_none(), "{}", error.unwrap_or_default());
    }

    fn try_sql(&self, database: &str, statements: &str) -> Result<(), String> {
        use std::io::Write;
        let mut client = (self.client)(self, database);
        let mut child = client.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let written = child.stdin.take().unwrap().write_all(statements.as_bytes());
        let output = child.wait_with_output().unwrap();
        match output.status.success() && written.is_ok() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    #[allow(clippy::disallowed_methods, reason = "when another program is ready is no event of this one")]
    fn wait(&self, database: &str) {
        let begin = Instant::now();
        while let Err(error) = self.try_sql(database, "SELECT 1;") {
            assert!(begin.elapsed() < READY_WITHIN, "the server does not answer: {error}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What it wrote down of statements.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.path().join("log")).unwrap()).into_owned()
    }

    /// Ends it at once, as a crash of its machine would.
    pub fn kill(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The folder of the newest version's programs.
fn newest(folder: &str, program: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path().join(program));
    let program = versions.filter(|program| program.exists()).max()?;
    program.parent().map(Path::to_owned)
}

/// Servers refuse to work as root: then they work as their own user.
fn as_user(user: &str, program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--regid", user, "--clear-groups", "--"]).arg(program).current_dir("/");
    command
}

fn give(folder: &Path, user: &str) {
    if is_root() {
        done(Command::new("chown").arg("-R").arg(format!("{user}:{user}")).arg(folder));
    }
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

/// A certificate of `127.0.0.1` that is signed by itself.
pub fn certificate(folder: &Path) {
    let mut make = Command::new("openssl");
    make.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]);
    make.args(["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]);
    make.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    done(make.arg("-keyout").arg(folder.join("server.key")).arg("-out").arg(folder.join("server.crt")));
    done(Command::new("chmod").arg("600").arg(folder.join("server.key")));
}

fn done(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A server of messages or metrics that can be ended and come back on the same port, with what it kept.
pub struct Broker {
    child: Child,
    pub folder: TempDir,
    pub port: u16,
    start: fn(&Path, u16) -> Command,
}

impl Broker {
    /// Redis with a password, every write on the disk before it is acknowledged. None where it is missing.
    pub fn redis() -> Option<Self> {
        Self::new(
            "/usr/bin/redis-server",
            "redis-server",
            |_| (),
            |folder, port| {
                let mut server = Command::new("/usr/bin/redis-server");
                server.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
                server.args(["--port", &port.to_string(), "--requirepass", PASSWORD, "--dir"]).arg(folder);
                server
            },
        )
    }

    /// NATS with JetStream and a user `reader`. None where it is missing.
    pub fn nats() -> Option<Self> {
        Self::new(
            "/usr/sbin/nats-server",
            "nats-server",
            |_| (),
            |folder, port| {
                let mut server = Command::new("/usr/sbin/nats-server");
                server.args([
                    "-js",
                    "-a",
                    "127.0.0.1",
                    "-p",
                    &port.to_string(),
                    "--user",
                    "reader",
                    "--pass",
                    PASSWORD,
                ]);
                server.arg("-sd").arg(folder);
                server
            },
        )
    }

    /// Mosquitto with a user `reader`, its sessions on the disk. None where it is missing.
    pub fn mosquitto() -> Option<Self> {
        let make = |folder: &Path| {
            let passwords = folder.join("passwords");
            done(Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&passwords).args(["reader", PASSWORD]));
        };
        Self::new("/usr/sbin/mosquitto", "mosquitto", make, |folder, port| {
            let user = if is_root() { "user root\n" } else { "" };
            let text = format!(
                "listener {port} 127.0.0.1\n{user}allow_anonymous false\npassword_file {0}/passwords\npersistence true\n\
                 persistence_location {0}/\nmax_queued_messages 0\nmax_queued_bytes 0\n",
                folder.display()
            );
            std::fs::write(folder.join("mosquitto.conf"), text).unwrap();
            let mut server = Command::new("/usr/sbin/mosquitto");
            server.arg("-c").arg(folder.join("mosquitto.conf"));
            server
        })
    }

    /// Prometheus that looks at itself every second, and sends what it sees to a server of ours. None where it is missing.
    pub fn prometheus(send_to: &str, key: &str) -> Option<Self> {
        let text = format!(
            "global: {{ scrape_interval: 1s }}\nscrape_configs:\n  - job_name: self\n    static_configs: [{{ targets: \
             ['localhost:OWN'] }}]\nremote_write:\n  - url: {send_to}\n    authorization: {{ credentials: '{key}' }}\n"
        );
        let start = |folder: &Path, port: u16| {
            let path = folder.join("prometheus.yml");
            let text = std::fs::read_to_string(&path).unwrap().replace("OWN", &port.to_string());
            std::fs::write(&path, text).unwrap();
            let mut server = Command::new("/usr/bin/prometheus");
            server.arg(format!("--config.file={}", path.display()));
            server.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
            server.arg(format!("--web.listen-address=127.0.0.1:{port}"));
            server
        };
        let make = |folder: &Path| std::fs::write(folder.join("prometheus.yml"), &text).unwrap();
        Self::new("/usr/bin/prometheus", "prometheus", make, start)
    }

    fn new(program: &str, package: &str, make: impl FnOnce(&Path), start: fn(&Path, u16) -> Command) -> Option<Self> {
        if !Path::new(program).exists() {
            skipped(&format!("{program} is not installed (Debian's package {package})"));
            return None;
        }
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        make(folder.path());
        let child = begin(&mut start(folder.path(), port), folder.path());
        let server = Self { child, folder, port, start };
        server.wait();
        Some(server)
    }

    #[allow(clippy::disallowed_methods, reason = "when another program is ready is no event of this one")]
    fn wait(&self) {
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(begin.elapsed() < READY_WITHIN, "the server does not answer: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(&mut self) {
        crate::support::signal(self.child.id(), "TERM");
        self.child.wait().unwrap();
    }

    /// Starts it again with what it kept.
    pub fn start(&mut self) {
        self.child = begin(&mut (self.start)(self.folder.path(), self.port), self.folder.path());
        self.wait();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

fn begin(command: &mut Command, folder: &Path) -> Child {
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let error = log.try_clone().unwrap();
    command.stdin(Stdio::null()).stdout(log).stderr(error).spawn().unwrap()
}
