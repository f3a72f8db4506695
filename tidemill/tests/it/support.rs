//! A project in a temporary folder, the command, a server of one's own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A project in a temporary folder.
pub struct Project {
    pub folder: TempDir,
}

/// What a command did.
pub struct Done {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    /// The JSON document on standard output, which is to be there alone.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("{e}: stdout {:?}, stderr {}", self.stdout, self.stderr))
    }
}

pub fn tidemill() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill"));
    command.env_remove("TIDEMILL_KEY");
    command
}

pub fn finish(command: &mut Command) -> Done {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Done { code: status.code().unwrap_or(-1), stdout: text(stdout), stderr: text(stderr) }
}

impl Project {
    /// A project with this `tidemill.yaml`.
    pub fn new(yaml: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let project = Self { folder };
        project.write("tidemill.yaml", yaml.as_bytes());
        project
    }

    /// A classification of two columns that is learned in a moment: `kind` is whether `x + size of colour` is above 0.
    pub fn small(rows: usize) -> Self {
        let project = Self::new(SMALL);
        let mut text = String::from("x,colour,kind\n");
        for n in 0..rows {
            let x = ((n * 7919) % 2001) as f64 / 1000.0 - 1.0;
            let (colour, shift) = [("red", 0.6), ("green", 0.0), ("blue", -0.6)][n % 3];
            text += &format!("{x},{colour},{}\n", if x + shift > 0.0 { "up" } else { "down" });
        }
        project.write("rows.csv", text.as_bytes());
        project
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The command in this project.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tidemill();
        command.args(arguments).arg("-p").arg(self.folder.path()).current_dir(self.folder.path());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Done {
        finish(&mut self.command(arguments))
    }

    /// As `run`, and it must succeed.
    pub fn ok(&self, arguments: &[&str]) -> Done {
        let done = self.run(arguments);
        assert_eq!(done.code, 0, "{arguments:?}: {}", done.stderr);
        done
    }

    /// The folder of a version.
    pub fn version(&self, model: &str, number: u32) -> PathBuf {
        self.path(&format!(".tidemill/models/{model}/{number}"))
    }
}

pub const SMALL: &str = "\
sources:
  rows: { csv: { path: rows.csv } }
models:
  kind:
    table: rows
    target: kind
    network: { dense: { hidden: [8] } }
    train: { epochs: 8, batch_size: 16, optimizer: { adam: { learning_rate: 0.02 } }, seed: 7 }
    evaluate: { importance_rows_max: 100 }
";

/// A server on a free port, ended when dropped.
pub struct Server {
    child: Child,
    pub address: String,
}

impl Server {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.split_once("listening on ").map(|(_, address)| address.trim().to_owned()));
        let Some(address) = address else {
            let done = child.wait_with_output().unwrap();
            panic!("the server did not start: {}", String::from_utf8_lossy(&done.stderr));
        };
        std::thread::spawn(move || lines.map_while(Result::ok).count()); // keeps the pipe from filling up
        Self { child, address }
    }

    pub fn of(project: &Project) -> Self {
        Self::start(&mut project.command(&["serve", "--port", "0"]))
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        read(agent().get(self.url(path)).call())
    }

    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let (status, text) = read(agent().post(self.url(path)).content_type("application/json").send(body.to_string()));
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Asks it to stop and waits: exit code and seconds.
    pub fn stop(mut self) -> i32 {
        signal(self.child.id(), "TERM");
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A server with a port for SQL beside the one of HTTP, ended when dropped.
pub struct SqlServer {
    child: Child,
    pub port: String,
}

impl SqlServer {
    /// `option`: that of the port; `scheme`: that of the address which it tells.
    pub fn start(project: &Project, option: &str, scheme: &str, key: Option<&str>) -> Self {
        let mut command = project.command(&["serve", "--port", "0", option, "0"]);
        if let Some(key) = key {
            command.env("TIDEMILL_KEY", key);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let told = lines.by_ref().find_map(|line| {
            let rest = line.split_once(&format!("{scheme}://127.0.0.1:"))?.1;
            Some(rest.chars().take_while(char::is_ascii_digit).collect())
        });
        std::thread::spawn(move || lines.count()); // keeps the pipe from filling up
        Self { child, port: told.unwrap() }
    }

    /// Asks it to stop and waits: its exit code.
    pub fn stop(mut self) -> i32 {
        signal(self.child.id(), "TERM");
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for SqlServer {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().into()
}

pub fn read(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> (u16, String) {
    let mut response = response.unwrap();
    (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
}

pub fn signal(process: u32, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status().unwrap().success());
}

/// The folder of the real data sets; without it the test says so and ends, in CI it fails.
pub fn real_data(what: &str) -> Option<PathBuf> {
    optional("TIDEMILL_DATA", what).map(PathBuf::from).filter(|folder| folder.is_dir())
}

/// A thing of the machine named by a variable.
#[allow(clippy::disallowed_methods, reason = "tests may look at the environment")]
pub fn optional(variable: &str, what: &str) -> Option<String> {
    let value = std::env::var(variable).ok();
    if value.is_none() {
        skipped(&format!("{what}: {variable} is not set"));
    }
    value
}

/// Says that a test was left out; fails in CI, where everything is to be there.
#[allow(clippy::disallowed_methods, reason = "tests may look at the environment")]
pub fn skipped(why: &str) {
    assert!(std::env::var("CI").is_err(), "in CI nothing is left out: {why}");
    println!("SKIPPED {why}");
}

/// The folder of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
