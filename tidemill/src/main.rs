//! The `tidemill` command: parse, one `match`, one function per command, every exit code visible.

use std::process::ExitCode;

use clap::Parser;
use tidemill::cli::{Cli, Command};
use tidemill::terminal::Terminal;
use tidemill::{commands, demo, doctor, planner};

// glibc maps every large buffer anew; training makes many of them (see ARCHITECTURE.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The first thread's stack is the system's, 8 MiB as a rule: too little for the planner of queries.
    let Ok(thread) = planner::thread("tidemill").spawn(command) else { return command() };
    thread.join().unwrap_or(ExitCode::from(101)) // a panic that was told already
}

fn command() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refused) => return Terminal::usage(&refused), // 2 wrong use, 0 for --help and --version
    };
    let terminal = Terminal::new(cli.common.json, cli.common.quiet, cli.common.verbose);
    terminal.start_log();
    let common = &cli.common;
    let done = match &cli.command {
        Command::Init(args) => commands::init::init(common, args, &terminal),
        Command::Config => commands::project::config(common, &terminal),
        Command::Schema => commands::project::schema(&terminal),
        Command::Collect(args) => commands::collect::collect(common, args, &terminal),
        Command::Audit(args) => commands::audit::audit(common, args, &terminal),
        Command::Features(args) => commands::features::features(common, args, &terminal),
        Command::Run(args) => commands::run::run(common, args, &terminal),
        Command::Tune(args) => commands::tune::tune(common, args, &terminal),
        Command::Models(args) => commands::models::models(common, args, &terminal),
        Command::Promote(args) => commands::models::promote(common, args, &terminal),
        Command::Rollback(args) => commands::models::rollback(common, args, &terminal),
        Command::Predict(args) => commands::predict::predict(common, args, &terminal),
        Command::Sql(args) => commands::sql::sql(common, args, &terminal),
        Command::Data(args) => commands::data::data(common, args, &terminal),
        Command::Report(args) => commands::report::report(common, args, &terminal),
        Command::Serve(args) => commands::serve::serve(common, args, &terminal),
        Command::Cluster(args) => commands::cluster::cluster(common, args, &terminal),
        Command::Demo(args) => demo::demo(common, args, &terminal),
        Command::Doctor => doctor::doctor(&terminal),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,               // 0 done
        Err(failure) => terminal.failed(&failure), // 1 failed, 2 wrong use
    }
}
