//! The command line: one grammar for all commands.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// Carries data the whole way: collect, prepare, train, deploy, infer, show.
#[derive(Debug, Parser)]
#[command(name = "tidemill", version, disable_help_subcommand = true)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub struct Common {
    /// Folder with tidemill.yaml, or the file itself.
    #[arg(short, long, global = true, default_value = ".", value_name = "PROJECT")]
    pub project: PathBuf,
    /// Override a key of the project file, for example models.churn.train.epochs=2; may be repeated.
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Print one JSON document on standard output and nothing else there.
    #[arg(long, global = true)]
    pub json: bool,
    /// Say only what went wrong.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more.
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look at a file and write a commented project file for it.
    Init(Init),
    /// Print the project file with every default filled in.
    Config,
    /// Print the JSON Schema of the project file, for editors.
    Schema,
    /// Collect rows of streams into the data folder.
    Collect(Collect),
    /// Check what is expected of tables, profile them and look for faults of their data.
    Audit(Audit),
    /// Show what is done with each column that a model reads, and what it was fitted to.
    Features(Features),
    /// Do everything from collect to registered model and report.
    Run(Run),
    /// Try settings of a model on its validation rows, and say which did best.
    Tune(Tune),
    /// List the model versions as a leaderboard.
    Models(Models),
    /// Make a version the champion, which the endpoints serve.
    Promote(Promote),
    /// Make the champion before this one the champion again.
    Rollback(Rollback),
    /// Answer for every row of a file.
    Predict(Predict),
    /// Show the rows of a query over the sources and tables of the project.
    Sql(Sql),
    /// List, show, compare, take and prune snapshots: the frozen rows that models learned from.
    Data(Data),
    /// Write the report of a model version as one HTML file.
    Report(Report),
    /// Serve the endpoints and the pages.
    Serve(Serve),
    /// Run a machine of a cluster: queries, expectations, profiles, features and predictions of the project on several machines.
    Cluster(Cluster),
    /// Show the whole way on a small real data set, then serve it.
    Demo(Demo),
    /// Train on 100 generated rows and check disk, memory and devices.
    Doctor,
}

/// Options of `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// The data: CSV, TSV, JSON lines, Parquet, a folder of pictures by class, or IDX.
    #[arg(long, value_name = "FILE")]
    pub from: PathBuf,
    /// The column to predict.
    #[arg(long, value_name = "COLUMN")]
    pub target: String,
    /// Name of the model; that of the target where absent.
    #[arg(long)]
    pub name: Option<String>,
    /// Write over a project file that is there.
    #[arg(long)]
    pub force: bool,
}

/// Options of `collect`.
#[derive(Debug, Args)]
pub struct Collect {
    /// Streams to collect; all where none is named. With --every, tables and sources that are no streams.
    pub sources: Vec<String>,
    /// Instead of streams: every so often, such as 10m or 2h, check what is expected of tables and sources, and take
    /// snapshots of them; where snapshots.cursors names a column, of what came since.
    #[arg(long, value_name = "TIME", value_parser = crate::commands::schedule::period, conflicts_with = "until_idle")]
    pub every: Option<Duration>,
    /// End after this time, such as 60s, 10m or 2h; at Ctrl-C where absent.
    #[arg(long = "for", value_name = "TIME", value_parser = crate::commands::collect::time)]
    pub time: Option<Duration>,
    /// End once no message came for this time, such as 5s.
    #[arg(long, value_name = "TIME", value_parser = crate::commands::collect::time)]
    pub until_idle: Option<Duration>,
}

/// Options of `audit`.
#[derive(Debug, Args)]
pub struct Audit {
    /// Models, tables and sources to look at; all models and all that something is expected of where none is named.
    #[arg(value_name = "MODEL|TABLE")]
    pub names: Vec<String>,
    /// Write what was found here, as JSON or, to a file that ends in .html, as a page; DATA/audit.json where absent.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Language of the page: en or zh.
    #[arg(long, default_value = "en", value_parser = ["en", "zh"])]
    pub lang: String,
    /// Print expectations that the rows keep, as a section for the project file.
    #[arg(long, conflicts_with = "output")]
    pub suggest: bool,
    /// Add that section to the end of the project file, which must have none yet.
    #[arg(long, requires = "suggest")]
    pub write: bool,
}

/// Options of `features`.
#[derive(Debug, Args)]
pub struct Features {
    /// The model, or a version of it as model:version; the champion where none is said. All models where absent. Of a model
    /// without a version, what training would fit now.
    #[arg(value_name = "MODEL[:VERSION]")]
    pub model: Option<String>,
    /// Write the features of every row here: .npy as a matrix of numbers, or .parquet, .csv, .tsv or .jsonl as a table.
    #[arg(long, value_name = "FILE", requires = "model")]
    pub output: Option<PathBuf>,
    /// Table, source or file with the rows; the model's table where absent.
    #[arg(long, value_name = "TABLE|FILE", requires = "output")]
    pub input: Option<String>,
}

/// Options of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Models to train; all where none is named.
    pub models: Vec<String>,
    /// Go on with the run that was stopped or killed, to the weights it would have reached.
    #[arg(long)]
    pub resume: bool,
    /// Make the new version the champion.
    #[arg(long)]
    pub promote: bool,
}

/// Options of `tune`.
#[derive(Debug, Args)]
pub struct Tune {
    /// The model; may be left out where one alone has a section `tune`.
    pub model: Option<String>,
    /// Trials at most; that of the section where absent.
    #[arg(long, value_name = "N")]
    pub trials: Option<u64>,
    /// Time for all trials together, such as 90s, 10m or 2h; that of the section where absent.
    #[arg(long, value_name = "TIME")]
    pub time: Option<String>,
    /// Go on with the search that was stopped or killed, after its last finished trial.
    #[arg(long)]
    pub resume: bool,
    /// Train the model with the best settings and register that version.
    #[arg(long)]
    pub apply: bool,
    /// Make that version the champion.
    #[arg(long, requires = "apply")]
    pub promote: bool,
}

/// Options of `models`.
#[derive(Debug, Args)]
pub struct Models {
    /// Only this model.
    pub model: Option<String>,
}

/// Options of `promote`.
#[derive(Debug, Args)]
pub struct Promote {
    /// The model.
    pub model: String,
    /// The version.
    pub version: u32,
}

/// Options of `rollback`.
#[derive(Debug, Args)]
pub struct Rollback {
    /// The model.
    pub model: String,
}

/// Options of `predict`.
#[derive(Debug, Args)]
pub struct Predict {
    /// The model; may be left out where the project has one.
    #[arg(long)]
    pub model: Option<String>,
    /// The version; the champion where absent.
    #[arg(long)]
    pub version: Option<u32>,
    /// The rows: a file or folder of any kind a source reads, or a table or source of the project.
    #[arg(long, value_name = "FILE|TABLE")]
    pub input: String,
    /// The answers: .csv, .jsonl or .parquet.
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Leave the columns of the input out of the answers.
    #[arg(long)]
    pub only_answers: bool,
    /// Add what every column contributed to each answer: to the probability of the class (0 to 1), or to the value.
    #[arg(long)]
    pub explain: bool,
    /// Orders of the columns that are tried for that, 200 where absent: more are closer, and take as much longer.
    #[arg(long, value_name = "N", requires = "explain")]
    pub permutations: Option<usize>,
}

/// Options of `sql`.
#[derive(Debug, Args)]
pub struct Sql {
    /// The query; from standard input where it is - or absent, a shell where that is a terminal.
    pub query: Option<String>,
    /// Rows to show, at most.
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub rows: usize,
    /// Write all rows here instead: .csv, .tsv, .jsonl or .parquet.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Options of `data`.
#[derive(Debug, Args)]
pub struct Data {
    /// What to do with snapshots.
    #[command(subcommand)]
    pub act: DataAct,
}

/// What to do with snapshots.
#[derive(Debug, Subcommand)]
pub enum DataAct {
    /// List the snapshots, newest first.
    List {
        /// Only those of this table or source.
        table: Option<String>,
    },
    /// Show where a snapshot came from and what is in its columns.
    Show {
        /// Its name, TABLE@NUMBER.
        snapshot: String,
    },
    /// Say what changed between two sets of rows: their number, columns, values and distributions.
    Diff(DataDiff),
    /// Freeze tables or sources as they are now.
    Take {
        /// The tables or sources.
        #[arg(required = true)]
        tables: Vec<String>,
        /// Read only the rows beyond the last snapshot, by the column of snapshots.cursors, and put them behind its rows.
        /// Rows that changed below the cursor are not seen.
        #[arg(long)]
        incremental: bool,
    },
    /// Take snapshots away that no version learned from.
    Prune {
        /// Newest snapshots of each table to keep; snapshots.unused_kept of the project file where absent.
        #[arg(long, value_name = "N")]
        keep: Option<usize>,
    },
}

/// Options of `data diff`.
#[derive(Debug, Args)]
pub struct DataDiff {
    /// The rows to compare with: a snapshot TABLE@NUMBER, a table, a source or a file.
    #[arg(value_name = "BEFORE")]
    pub before: String,
    /// The rows that are compared.
    #[arg(value_name = "AFTER")]
    pub after: String,
    /// Columns that tell rows apart: rows that were added, removed and changed are counted and the first ten shown.
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    pub key: Vec<String>,
    /// End with exit code 1 where a column is distributed in another way.
    #[arg(long)]
    pub fail_on_drift: bool,
}

/// Options of `report`.
#[derive(Debug, Args)]
pub struct Report {
    /// The model.
    pub model: String,
    /// The version; the champion where absent.
    #[arg(long)]
    pub version: Option<u32>,
    /// Where to write it; MODEL-VERSION.html where absent.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Language: en or zh.
    #[arg(long, default_value = "en", value_parser = ["en", "zh"])]
    pub lang: String,
}

/// Options of `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Address to listen on; other than loopback only with a key in TIDEMILL_KEY.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// Port to listen on; 0 takes a free one.
    #[arg(long, default_value_t = 8000)]
    pub port: u16,
    /// Answer SQL over the sources and tables on this port too, to psql, drivers and tools that speak PostgreSQL's
    /// protocol; read-only, the password is the key. 0 takes a free port.
    #[arg(long, value_name = "PORT")]
    pub sql_port: Option<u16>,
    /// Answer SQL on this port too, to ADBC, JDBC and whatever else speaks Arrow Flight SQL; read-only, any user, the password
    /// is the key. 0 takes a free port.
    #[arg(long, value_name = "PORT")]
    pub flight_port: Option<u16>,
    /// Clients must send `Authorization: Bearer KEY`.
    #[arg(long, env = "TIDEMILL_KEY", hide_env_values = true, value_name = "KEY")]
    pub key: Option<String>,
}

/// Options of `cluster`.
#[derive(Debug, Args)]
pub struct Cluster {
    /// Which machine.
    #[command(subcommand)]
    pub machine: Machine,
}

/// The machines of a cluster. All of them have the same project, and its Parquet files under the same paths.
#[derive(Debug, Subcommand)]
pub enum Machine {
    /// Plan queries and hand out their parts: one for a cluster.
    Scheduler(SchedulerMachine),
    /// Run parts of queries: as many as there are machines.
    Executor(ExecutorMachine),
}

/// Options of `cluster scheduler`.
#[derive(Debug, Args)]
pub struct SchedulerMachine {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// Port to listen on; 0 takes a free one.
    #[arg(long, default_value_t = 50050)]
    pub port: u16,
    /// Listen on an address that is not loopback: whoever reaches it can read what the project reads.
    #[arg(long)]
    pub trusted_network: bool,
}

/// Options of `cluster executor`.
#[derive(Debug, Args)]
pub struct ExecutorMachine {
    /// The scheduler.
    #[arg(long, default_value = "127.0.0.1:50050", value_name = "HOST:PORT")]
    pub scheduler: String,
    /// Address where other machines read what this one made.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// Port for that; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Name or address under which other machines find this one, where it is not that of --host.
    #[arg(long, value_name = "HOST")]
    pub external_host: Option<String>,
    /// Parts that are run at a time; all cores where absent.
    #[arg(long)]
    pub threads: Option<usize>,
    /// Memory that sorting, joining and grouping may take before they go to disk, in MiB; half of the machine's where absent.
    #[arg(long)]
    pub memory_mb: Option<u64>,
    /// Listen on an address that is not loopback: whoever reaches it can read what this machine made.
    #[arg(long)]
    pub trusted_network: bool,
}

/// Options of `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Folder for the demo's project.
    #[arg(long, default_value = "tidemill-demo")]
    pub folder: PathBuf,
    /// Port to listen on; the next free one where it is taken.
    #[arg(long, default_value_t = 8000)]
    pub port: u16,
    /// End after the report instead of serving.
    #[arg(long)]
    pub no_serve: bool,
}
