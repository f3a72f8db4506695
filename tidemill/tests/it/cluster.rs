//! A scheduler and executors on loopback: what one machine answers, they answer too, and still do when an executor is killed.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Project, finish};

/// How long a machine may take to start.
const WITHIN: Duration = Duration::from_secs(60);
const FILES: usize = 6;
const ROWS: usize = 5_000;

const YAML: &str = "\
sources:
  rows: { csv: { path: rows.csv } }
  parts: { parquet: { path: parts/*.parquet } }
  sizes: { csv: { path: sizes.csv } }
tables:
  joined: { sql: 'SELECT p.id, p.x, p.colour, s.size FROM parts p JOIN sizes s ON p.colour = s.colour' }
expectations:
  parts:
    - not_null: { column: x, on_failure: warn }
    - unique: { columns: [id] }
    - range: { column: x, min: -1, max: 1 }
    - foreign_key: { column: colour, table: sizes }
models:
  kind:
    table: rows
    target: kind
    features: { include: [x, colour] }
    network: { dense: { hidden: [8] } }
    train: { epochs: 8, batch_size: 16, optimizer: { adam: { learning_rate: 0.02 } }, seed: 7 }
    evaluate: { importance_rows_max: 100 }
";

/// A process of a cluster, killed when dropped.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _ended = self.0.wait();
    }
}

impl Machine {
    /// Starts it and waits for the line in which it says what it does; that line.
    fn start(project: &Project, arguments: &[&str]) -> (Self, String) {
        let mut command = project.command(arguments);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let said = lines.find(|line| line.contains("scheduler on") || line.contains("executor on"));
        let machine = Self(child);
        std::thread::spawn(move || lines.for_each(|line| println!("{line}"))); // keeps the pipe from filling up
        (machine, said.unwrap())
    }
}

struct Cluster {
    _scheduler: Machine,
    executors: Vec<Machine>,
    /// What `--set` says for it.
    set: String,
}

impl Cluster {
    fn start(project: &Project) -> Self {
        let (scheduler, said) = Machine::start(project, &["cluster", "scheduler", "--port", "0"]);
        let address = said.split_once("scheduler on ").unwrap().1.split(';').next().unwrap().to_owned();
        let executor =
            |_| Machine::start(project, &["cluster", "executor", "--threads", "2", "--scheduler", &address]).0;
        Self {
            _scheduler: scheduler,
            executors: (0..2).map(executor).collect(),
            set: format!("cluster.scheduler={address}"),
        }
    }
}

/// Rows in several Parquet files, the same in a CSV file, and a model trained on them.
fn project() -> Project {
    let project = Project::new(YAML);
    let mut all = String::from("id,x,colour,at,kind\n");
    std::fs::create_dir(project.path("parts")).unwrap();
    for file in 0..FILES {
        let mut text = String::from("id,x,colour,at\n");
        for n in file * ROWS..(file + 1) * ROWS {
            let x = (n % 17 > 0).then(|| ((n * 7919) % 2001) as f64 / 1000.0 - 1.0);
            let (colour, shift) = [("rot", 0.6), ("绿", 0.0), ("blue", -0.6)][n % 3];
            let shown = x.map_or(String::new(), |x| x.to_string());
            let at = format!("2026-{:02}-{:02}T{:02}:00:00Z", n % 12 + 1, n % 28 + 1, n % 24);
            text += &format!("{n},{shown},{colour},{at}\n");
            let kind = if x.unwrap_or(0.0) + shift > 0.0 { "up" } else { "down" };
            all += &format!("{n},{shown},{colour},{at},{kind}\n");
        }
        project.write("part.csv", text.as_bytes());
        let part = Project::new("sources: { part: { csv: { path: part.csv } } }\n");
        part.write("part.csv", text.as_bytes());
        let output = project.path(&format!("parts/{file}.parquet"));
        part.ok(&["sql", "SELECT * FROM part", "--output", output.to_str().unwrap()]);
    }
    project.write("rows.csv", all.as_bytes());
    project.write("sizes.csv", "colour,size\nrot,3\n绿,2\nblue,1\n".as_bytes());
    project.ok(&["run", "-q"]);
    project
}

fn rows(project: &Project, sql: &str, set: Option<&str>) -> Value {
    let mut arguments = vec!["sql", "--json", "--rows", "100000", sql];
    arguments.extend(set.into_iter().flat_map(|set| ["--set", set]));
    project.ok(&arguments).json()["rows"].clone()
}

const QUERIES: [&str; 8] = [
    "SELECT count(*) AS n, sum(x) > 0 AS positive, min(x) AS low, max(x) AS high, count(DISTINCT colour) AS c FROM parts",
    "SELECT colour, count(*) AS n, min(at) AS first FROM parts WHERE x > 0.25 GROUP BY colour ORDER BY colour",
    "SELECT size, count(*) AS n FROM joined GROUP BY size ORDER BY size",
    "SELECT id, x FROM parts ORDER BY x DESC NULLS LAST, id LIMIT 20",
    "SELECT colour, kind, count(*) AS n FROM rows GROUP BY colour, kind ORDER BY colour, kind",
    "SELECT id, predict('kind') AS kind, confidence('kind') AS sure, features('kind') AS f FROM parts ORDER BY id LIMIT 5000",
    "SELECT p.id, r.kind FROM parts p JOIN rows r ON p.id = r.id WHERE r.kind <> predict('kind', p.x, p.colour) ORDER BY p.id",
    "SELECT id, row_number() OVER (PARTITION BY colour ORDER BY id) AS place FROM parts ORDER BY id LIMIT 100",
];

#[test]
fn a_cluster_answers_what_one_machine_answers() {
    let project = project();
    let cluster = Cluster::start(&project);
    let set = cluster.set.as_str();
    for sql in QUERIES {
        let alone = rows(&project, sql, None);
        assert!(!alone.as_array().unwrap().is_empty(), "{sql}");
        assert_eq!(rows(&project, sql, Some(set)), alone, "{sql}");
    }
    same_profile(&project, Some(set));
    same_files(&project, set);
    let audit = |more: &[&str]| {
        let done = project.run(&[&["audit", "parts", "--json"], more].concat());
        (done.code, done.json()["expectations"]["parts"].clone())
    };
    let (alone, together) = (audit(&[]), audit(&["--set", set]));
    assert_eq!(alone, together);
    assert_eq!(alone.1.as_array().unwrap().len(), 4, "{}", alone.1);
    wrong_queries(&project, set);
}

/// Figures of numbers may differ in their last digits: their sums come in another order.
fn same_profile(project: &Project, set: Option<&str>) {
    let query = "SELECT * FROM profile('parts')";
    let (alone, together) = (rows(project, query, None), rows(project, query, set));
    let columns = alone.as_array().unwrap();
    assert_eq!(columns.len(), 4);
    for (one, other) in columns.iter().zip(together.as_array().unwrap()) {
        for (name, value) in one.as_object().unwrap() {
            let figure = |value: &Value| value.as_str().and_then(|text| text.parse::<f64>().ok());
            match figure(value).zip(figure(&other[name])) {
                Some((a, b)) => assert!((a - b).abs() <= 1e-9 * a.abs(), "{name}: {a} {b}"),
                None => assert_eq!(value, &other[name], "{name}"),
            }
        }
    }
}

/// Features and predictions of all rows, in the order of the rows.
fn same_files(project: &Project, set: &str) {
    let both = |arguments: &[&str], name: &str| {
        let file = |kind: &str| project.path(&format!("{kind}_{name}"));
        let written = |kind: &str, more: &[&str]| {
            let output = file(kind);
            project.ok(&[arguments, &["--output", output.to_str().unwrap()], more].concat());
            std::fs::read(output).unwrap()
        };
        assert!(written("alone", &[]) == written("together", &["--set", set]), "{arguments:?} {name}");
    };
    both(&["features", "kind", "--input", "parts"], "features.npy");
    both(&["features", "kind", "--input", "parts"], "features.csv");
    both(&["predict", "--model", "kind", "--input", "parts"], "answers.csv");
    both(&["predict", "--model", "kind", "--input", "rows", "--only-answers"], "only.csv");
}

fn wrong_queries(project: &Project, set: &str) {
    for (sql, words) in [
        ("SELECT idd FROM parts", ["no column \"idd\"", "did you mean \"id\""]),
        ("SELECT * FROM partz", ["\"partz\"", "did you mean \"parts\""]),
        (
            "SELECT p.id FROM parts p, profile('parts') q WHERE p.colour = q.\"column\"",
            ["profile", "without the cluster"],
        ),
        ("SELECT 1 / (id - id) AS broken FROM parts", ["divide by zero", "SQL"]),
        ("SELECT predict('kin') FROM parts", ["\"kin\"", "did you mean \"kind\""]),
    ] {
        let done = project.run(&["sql", sql, "--set", set]);
        assert_eq!(done.code, 1, "{sql}: {}", done.stderr);
        for word in words {
            assert!(done.stderr.to_lowercase().contains(&word.to_lowercase()), "{sql}: no {word:?} in {}", done.stderr);
        }
        assert!(!done.stderr.contains("bug"), "{}", done.stderr);
    }
}

#[test]
fn an_executor_that_is_killed_takes_no_answer_with_it() {
    let project = project();
    let mut cluster = Cluster::start(&project);
    let again = (0..40).map(|n| format!("({n})")).collect::<Vec<_>>().join(", ");
    let sql = format!(
        "SELECT colour, predict('kind') AS kind, count(*) AS n, min(id) AS first FROM parts, (VALUES {again}) GROUP BY 1, 2 \
         ORDER BY 1, 2"
    );
    let sql = sql.as_str();
    let alone = rows(&project, sql, None);
    let began = Instant::now();
    assert_eq!(rows(&project, sql, Some(&cluster.set)), alone);
    let took = began.elapsed();
    for part in [4, 2] {
        let mut command = project.command(&["sql", "--json", "--rows", "100000", sql, "--set", &cluster.set]);
        let asked = std::thread::spawn(move || finish(&mut command));
        wait(took / part);
        cluster.executors.remove(0);
        let done = asked.join().unwrap();
        assert_eq!(done.code, 0, "{}", done.stderr);
        assert_eq!(done.json()["rows"], alone);
        let address = cluster.set.split_once('=').unwrap().1.to_owned();
        let arguments = ["cluster", "executor", "--threads", "2", "--scheduler", &address];
        cluster.executors.push(Machine::start(&project, &arguments).0);
    }
}

#[allow(clippy::disallowed_methods, reason = "a kill comes in the middle of the work")]
fn wait(time: Duration) {
    std::thread::sleep(time.min(WITHIN));
}

#[test]
fn a_cluster_that_is_not_there_is_told() {
    let project = Project::small(90);
    let sql = ["sql", "SELECT count(*) FROM rows", "--set"];
    for (address, words) in [
        ("127.0.0.1:1", ["127.0.0.1:1", "tidemill cluster scheduler"]),
        ("nowhere", ["nowhere", "host:port"]),
        ("http://127.0.0.1:50050", ["http://127.0.0.1:50050", "host:port"]),
    ] {
        let done = project.run(&[&sql[..], &[&format!("cluster.scheduler={address}")]].concat());
        assert_ne!(done.code, 0);
        words.iter().for_each(|word| assert!(done.stderr.contains(word), "no {word:?} in {}", done.stderr));
    }
    let done = project.run(&["cluster", "scheduler", "--host", "0.0.0.0"]);
    assert_eq!(done.code, 2);
    assert!(done.stderr.contains("--trusted-network"), "{}", done.stderr);
}
