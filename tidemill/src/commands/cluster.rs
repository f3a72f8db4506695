//! `tidemill cluster`: a machine of a cluster. And what other commands ask of the cluster of their project.

#[cfg(feature = "cluster")]
use std::net::SocketAddr;

use crate::cli::{Cluster, Common, Machine};
use crate::config::Project;
use crate::failure::{Failure, Fault, Result};
use crate::terminal::Terminal;

/// Runs a scheduler or an executor until it is told to stop.
pub fn cluster(common: &Common, args: &Cluster, terminal: &Terminal) -> Result<()> {
    let (host, is_trusted) = match &args.machine {
        Machine::Scheduler(args) => (args.host, args.trusted_network),
        Machine::Executor(args) => (args.host, args.trusted_network),
    };
    if !host.is_loopback() && !is_trusted {
        return Err(Failure::new(
            Fault::Usage,
            format!(
                "{host}: the machines of a cluster do not ask who sends them work or reads what they made; give \
                 --trusted-network where only they can reach this address"
            ),
        ));
    }
    run(common, &args.machine, terminal)
}

#[cfg(not(feature = "cluster"))]
fn run(_common: &Common, _machine: &Machine, _terminal: &Terminal) -> Result<()> {
    Err(Failure::new(
        Fault::Unsupported,
        "this tidemill was built without clusters; build it with: cargo build --features cluster",
    ))
}

#[cfg(feature = "cluster")]
fn run(common: &Common, machine: &Machine, terminal: &Terminal) -> Result<()> {
    let project = super::load(common)?;
    let runtime = crate::pipeline::runtime()?;
    let (engine, troubles) = runtime.block_on(crate::pipeline::engine_of_all(&project))?;
    for trouble in troubles {
        terminal.warning(format!("the cluster goes without it: {}", trouble.message));
    }
    runtime.block_on(async {
        match machine {
            Machine::Scheduler(args) => {
                let scheduler = data::Scheduler { address: SocketAddr::new(args.host, args.port) };
                let listens = |address| terminal.note(format!("scheduler on {address}; it waits for executors"));
                tokio::select! {
                    ended = scheduler.run(&engine, listens) => Ok(ended?),
                    () = super::stop_signal() => Ok(()),
                }
            }
            Machine::Executor(args) => {
                let work = tempfile::tempdir().map_err(|e| Failure::io(&std::env::temp_dir(), &e))?;
                let executor = executor(args, work.path())?;
                terminal.note(format!("executor on {}, for {}", executor.address, args.scheduler));
                // Gone at once: an executor that says good-bye makes the scheduler do its parts again, see there.
                tokio::select! {
                    biased;
                    () = super::stop_signal() => Ok(()),
                    ended = executor.run(&engine) => Ok(ended?),
                }
            }
        }
    })
}

#[cfg(feature = "cluster")]
fn executor(args: &crate::cli::ExecutorMachine, work: &std::path::Path) -> Result<data::Executor> {
    let (host, port) = crate::config::host_and_port(&args.scheduler)
        .ok_or_else(|| Failure::new(Fault::Usage, format!("\"{}\" is no host:port of a scheduler", args.scheduler)))?;
    let free = || Some(std::net::TcpListener::bind((args.host, 0)).ok()?.local_addr().ok()?.port());
    let listen = match args.port {
        0 => free().ok_or_else(|| Failure::input(format!("{}: no port is free", args.host)))?,
        port => port,
    };
    let memory = crate::machine::memory_bytes().map_or(1 << 30, |all| all / 2);
    Ok(data::Executor {
        scheduler_host: host.to_owned(),
        scheduler_port: port,
        address: SocketAddr::new(args.host, listen),
        external_host: args.external_host.clone(),
        threads: args.threads.unwrap_or_else(crate::machine::cores),
        memory_bytes_max: args.memory_mb.map_or(memory, |mb| mb.saturating_mul(1 << 20)),
        work_folder: work.to_owned(),
    })
}

/// Whether the machines of the project's cluster can read it: a table or source, and no file of this machine alone.
pub(crate) fn reads(project: &Project, input: &str) -> bool {
    project.cluster.scheduler.is_some() && project.has_table(input)
}
