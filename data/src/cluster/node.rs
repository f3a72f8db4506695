//! The two kinds of machines of a cluster.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::error::BallistaError;
use ballista_core::extension::SessionConfigExt;
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_core::utils::default_session_builder;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use ballista_scheduler::cluster::{BallistaCluster, ClusterState};
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::{create_scheduler, start_grpc_service_with_listener};
use ballista_scheduler::scheduler_server::SchedulerServer;
use datafusion::execution::FunctionRegistry;
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use tokio::net::{TcpListener, TcpStream};

use super::MESSAGE_BYTES_MAX;
use super::codec::{LogicalCodec, PhysicalCodec};
use crate::engine::{Engine, column_profile};
use crate::error::{Error, Result};

/// An executor that was not heard of for so long is lost, and what ran is asked for again.
const LOST_AFTER_S: u64 = 8;
/// How often lost executors are looked for.
const LOOKED_FOR_EVERY: Duration = Duration::from_millis(500);
/// When Ballista forgets an executor that is lost: long after nothing runs any more that had begun with it.
const FORGOTTEN_AFTER_S: u64 = 60;
/// How long an executor waits for its scheduler.
const WAITS: Duration = Duration::from_secs(30);

/// What plans queries and hands out their parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduler {
    /// Where it listens.
    pub address: SocketAddr,
}

impl Scheduler {
    /// Runs until the future is dropped; `listens` is called once the port is open.
    ///
    /// # Errors
    /// A port that is taken; tables that cannot be looked at.
    pub async fn run(&self, engine: &Engine, listens: impl FnOnce(SocketAddr)) -> Result<()> {
        let known = Arc::new(engine.known().await?);
        let taken = |e| Error::Unreachable(format!("{}: {e}", self.address));
        let listener = TcpListener::bind(self.address).await.map_err(taken)?;
        let address = listener.local_addr().map_err(taken)?;
        let mut config = SchedulerConfig {
            bind_host: address.ip().to_string(),
            external_host: address.ip().to_string(),
            bind_port: address.port(),
            scheduling_policy: TaskSchedulingPolicy::PullStaged,
            executor_timeout_seconds: FORGOTTEN_AFTER_S,
            no_executors_grace_period_seconds: FORGOTTEN_AFTER_S,
            stage_max_failures: 1, // see `give_up_with_executors`
            task_max_failures: 1,
            grpc_server_max_decoding_message_size: MESSAGE_BYTES_MAX as u32,
            grpc_server_max_encoding_message_size: MESSAGE_BYTES_MAX as u32,
            grpc_client_max_message_size: MESSAGE_BYTES_MAX as u32,
            ..SchedulerConfig::default()
        };
        config.override_logical_codec = Some(Arc::new(LogicalCodec::new(Arc::clone(&known))));
        config.override_physical_codec = Some(Arc::new(PhysicalCodec::new(known)));
        config.override_config_producer = Some(Arc::new(session_config));
        config.override_session_builder = Some(Arc::new(|config| {
            let mut state = default_session_builder(config)?;
            state.register_udaf(Arc::new(column_profile()))?;
            Ok(state)
        }));
        let cluster = BallistaCluster::new_from_config(&config).await.map_err(|e| retold(&e))?;
        let machines = cluster.cluster_state();
        let scheduler = create_scheduler::<LogicalPlanNode, PhysicalPlanNode>(cluster, Arc::new(config)).await;
        let scheduler = scheduler.map_err(|e| retold(&e))?;
        let watched = scheduler.clone();
        listens(address);
        tokio::select! {
            served = start_grpc_service_with_listener(listener, scheduler) => served.map_err(|e| retold(&e)),
            never = give_up_with_executors(&watched, machines.as_ref()) => match never {},
        }
    }
}

/// Gives all queries up that run when an executor is lost; who asked asks again. Ballista would do the lost parts again by
/// itself, but then reads some parts twice or waits for ever (55.0, seen by killing executors of queries with several stages).
async fn give_up_with_executors(
    scheduler: &SchedulerServer<LogicalPlanNode, PhysicalPlanNode>,
    machines: &dyn ClusterState,
) -> Infallible {
    let mut known = BTreeSet::new();
    loop {
        tokio::time::sleep(LOOKED_FOR_EVERY).await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let heard = machines.executor_heartbeats().into_iter().filter(|(_, beat)| beat.timestamp + LOST_AFTER_S > now);
        let heard: BTreeSet<String> = heard.map(|(executor, _)| executor).collect();
        if !known.is_subset(&heard) {
            for job in scheduler.state.task_manager.get_running_job_cache().keys() {
                let _ends_anyway = scheduler.cancel_job(job.clone()).await;
            }
        }
        known = heard;
    }
}

/// What runs the parts of queries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executor {
    /// The scheduler's host.
    pub scheduler_host: String,
    /// The scheduler's port.
    pub scheduler_port: u16,
    /// Where other machines read what it made.
    pub address: SocketAddr,
    /// The name or address under which others find it; that of `address` where absent.
    pub external_host: Option<String>,
    /// Parts that are run at a time.
    pub threads: usize,
    /// Memory that sorting, joining and grouping may take before they go to disk, in bytes.
    pub memory_bytes_max: u64,
    /// Folder for what waits to be read by others.
    pub work_folder: PathBuf,
}

impl Executor {
    /// Runs until the future is dropped; Ctrl-C and SIGTERM end it too.
    ///
    /// # Errors
    /// No scheduler; a port that is taken; tables that cannot be looked at.
    pub async fn run(&self, engine: &Engine) -> Result<()> {
        let known = Arc::new(engine.known().await?);
        self.find_scheduler().await?;
        let mut functions = BallistaFunctionRegistry::default();
        let profile = column_profile();
        functions.aggregate_functions.insert(profile.name().to_owned(), Arc::new(profile));
        let external = self.external_host.clone().unwrap_or_else(|| self.address.ip().to_string());
        let config = ExecutorProcessConfig {
            bind_host: self.address.ip().to_string(),
            external_host: Some(external),
            port: self.address.port(),
            scheduler_host: self.scheduler_host.clone(),
            scheduler_port: self.scheduler_port,
            vcores: self.threads.max(1),
            task_scheduling_policy: TaskSchedulingPolicy::PullStaged,
            work_dir: Some(self.work_folder.to_string_lossy().into_owned()),
            grpc_max_decoding_message_size: MESSAGE_BYTES_MAX as u32,
            grpc_max_encoding_message_size: MESSAGE_BYTES_MAX as u32,
            memory_pool_size: Some(self.memory_bytes_max),
            override_function_registry: Some(Arc::new(functions)),
            override_config_producer: Some(Arc::new(session_config)),
            override_logical_codec: Some(Arc::new(LogicalCodec::new(Arc::clone(&known)))),
            override_physical_codec: Some(Arc::new(PhysicalCodec::new(known))),
            ..ExecutorProcessConfig::default()
        };
        start_executor_process(Arc::new(config)).await.map_err(|e| retold(&e))
    }

    /// Waits for the scheduler, which may be started a little later.
    async fn find_scheduler(&self) -> Result<()> {
        let began = Instant::now();
        while let Err(e) = TcpStream::connect((self.scheduler_host.as_str(), self.scheduler_port)).await {
            if began.elapsed() > WAITS {
                let (host, port) = (&self.scheduler_host, self.scheduler_port);
                return Err(Error::Unreachable(format!(
                    "no scheduler at {host}:{port} ({e}); start it there with tidemill cluster scheduler"
                )));
            }
            tokio::time::sleep(LOOKED_FOR_EVERY).await;
        }
        Ok(())
    }
}

fn session_config() -> SessionConfig {
    SessionConfig::new_with_ballista().with_ballista_grpc_client_max_message_size(MESSAGE_BYTES_MAX)
}

fn retold(error: &BallistaError) -> Error {
    Error::Unreachable(format!("cluster: {error}"))
}
