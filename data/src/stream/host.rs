//! How is this machine? A row of figures every few seconds.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use sysinfo::{
    Components, Disk, Disks, MemoryRefreshKind, NetworkData, Networks, ProcessRefreshKind, ProcessesToUpdate, System,
};
use tokio::time::Instant;

use super::collect::{Consumer, WAIT};
use super::decode::{Body, Message};
use super::writer::now;
use crate::error::{Error, Result};
use crate::spec::{ColumnType, HostSpec};

use ColumnType::{Integer, Number, Text, Timestamp};

/// The columns of such a source, in base units: seconds, bytes, degrees Celsius, shares of 1.
const COLUMNS: [(&str, ColumnType); 23] = [
    ("time", Timestamp),
    ("host", Text),
    ("cpu_share", Number),
    ("cpus", Integer),
    ("load_1m", Number),
    ("load_5m", Number),
    ("load_15m", Number),
    ("memory_used_bytes", Integer),
    ("memory_total_bytes", Integer),
    ("swap_used_bytes", Integer),
    ("disk_free_bytes", Integer),
    ("disk_total_bytes", Integer),
    ("disk_read_bytes", Integer),
    ("disk_written_bytes", Integer),
    ("network_received_bytes", Integer),
    ("network_sent_bytes", Integer),
    ("network_errors", Integer),
    ("temperature_max_celsius", Number),
    ("processes", Integer),
    ("top_cpu_process", Text),
    ("top_cpu_share", Number),
    ("top_memory_process", Text),
    ("top_memory_bytes", Integer),
];

pub(super) fn columns() -> Vec<(String, ColumnType)> {
    COLUMNS.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect()
}

pub(super) struct HostConsumer {
    every: Duration,
    next: Option<Instant>,
    machine: Option<Machine>,
}

impl HostConsumer {
    pub(super) fn new(spec: &HostSpec) -> Self {
        Self { every: Duration::from_secs(spec.every_s.max(1)), next: None, machine: None }
    }
}

#[async_trait]
impl Consumer for HostConsumer {
    /// Looks once: shares and rates are those since the look before.
    async fn connect(&mut self) -> Result<()> {
        let seen = look(Machine::new).await?;
        self.machine =
            Some(seen.map_err(|e| Error::Unsupported(format!("this machine tells nothing of itself: {e}")))?);
        self.next = Some(Instant::now() + self.every);
        Ok(())
    }

    async fn next(&mut self) -> Result<Vec<Message>> {
        let at = self.next.unwrap_or_else(Instant::now);
        let end = Instant::now() + WAIT;
        tokio::time::sleep_until(at.min(end)).await;
        if at > end {
            return Ok(Vec::new());
        }
        let Some(mut machine) = self.machine.take() else { return Ok(Vec::new()) };
        let (machine, figures) = look(move || {
            let figures = machine.figures();
            (machine, figures)
        })
        .await?;
        self.machine = Some(machine);
        // A look that was missed is not made up for.
        self.next = Some((at + self.every).max(Instant::now()));
        let body = Body::Bytes(figures.to_string().into_bytes());
        Ok(vec![Message { offset: now().to_string(), body }])
    }

    async fn commit(&mut self) -> Result<()> {
        Ok(())
    }
}

async fn look<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(act).await.map_err(|e| Error::internal("a look at this machine", e))
}

/// What was seen last; parts that a machine does not tell of are missing.
struct Machine {
    system: System,
    disks: Option<Disks>,
    networks: Option<Networks>,
    components: Option<Components>,
}

impl Machine {
    fn new() -> Result<Self, sysinfo::Error> {
        let mut machine = Self {
            system: System::new()?,
            disks: Disks::new_with_refreshed_list().ok(),
            networks: Networks::new_with_refreshed_list().ok(),
            components: Components::new_with_refreshed_list().ok(),
        };
        machine.refresh();
        Ok(machine)
    }

    fn refresh(&mut self) {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory_specifics(MemoryRefreshKind::everything());
        let wanted = ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks();
        self.system.refresh_processes_specifics(ProcessesToUpdate::All, true, wanted);
        if let Some(disks) = &mut self.disks {
            disks.refresh(true);
        }
        if let Some(networks) = &mut self.networks {
            networks.refresh(true);
        }
        if let Some(components) = &mut self.components {
            components.refresh(true);
        }
    }

    fn figures(&mut self) -> Value {
        self.refresh();
        let load = System::load_average().ok();
        let processes = self.system.processes();
        let busiest = processes.values().max_by(|a, b| a.cpu_usage().total_cmp(&b.cpu_usage()));
        let largest = processes.values().max_by_key(|process| process.memory());
        let name = |process: &sysinfo::Process| process.name().to_string_lossy().into_owned();
        // One file system may be mounted at several places.
        let mut disks: Vec<&Disk> = self.disks.iter().flatten().collect();
        disks.sort_by_key(|disk| disk.name().to_owned());
        disks.dedup_by_key(|disk| disk.name().to_owned());
        let of_disks =
            |figure: fn(&Disk) -> u64| self.disks.as_ref().map(|_| disks.iter().map(|disk| figure(disk)).sum::<u64>());
        let of_networks = |figure: fn(&NetworkData) -> u64| {
            let outside = |networks: &Networks| {
                networks.iter().filter(|(name, _)| *name != "lo").map(|(_, data)| figure(data)).sum::<u64>()
            };
            self.networks.as_ref().map(outside)
        };
        let components = self.components.iter().flatten();
        let temperature = components.filter_map(sysinfo::Component::temperature).reduce(f32::max);
        json!({
            "time": chrono::Utc::now().to_rfc3339(),
            "host": System::host_name().ok(),
            "cpu_share": self.system.global_cpu_usage() / 100.0,
            "cpus": self.system.cpus().len(),
            "load_1m": load.as_ref().map(|load| load.one),
            "load_5m": load.as_ref().map(|load| load.five),
            "load_15m": load.as_ref().map(|load| load.fifteen),
            "memory_used_bytes": self.system.used_memory(),
            "memory_total_bytes": self.system.total_memory(),
            "swap_used_bytes": self.system.used_swap(),
            "disk_free_bytes": of_disks(Disk::available_space),
            "disk_total_bytes": of_disks(Disk::total_space),
            "disk_read_bytes": of_disks(|disk| disk.usage().read_bytes),
            "disk_written_bytes": of_disks(|disk| disk.usage().written_bytes),
            "network_received_bytes": of_networks(NetworkData::received),
            "network_sent_bytes": of_networks(NetworkData::transmitted),
            "network_errors": of_networks(|data| data.errors_on_received() + data.errors_on_transmitted()),
            "temperature_max_celsius": temperature,
            "processes": processes.len(),
            "top_cpu_process": busiest.map(name),
            "top_cpu_share": busiest.map(|process| process.cpu_usage() / 100.0),
            "top_memory_process": largest.map(name),
            "top_memory_bytes": largest.map(sysinfo::Process::memory),
        })
    }
}
