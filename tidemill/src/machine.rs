//! What does this machine have? Peak memory of the process, free disk, cores.

use std::path::Path;

/// Most memory the process has held so far, in bytes; 0 where the system does not tell.
pub(crate) fn peak_rss_bytes() -> u64 {
    use nix::sys::resource::{UsageWho, getrusage};
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| u64::try_from(usage.max_rss()).unwrap_or(0) * unit)
}

/// Bytes free for us on the disk of `path`; `None` where the system does not tell.
pub(crate) fn disk_free_bytes(path: &Path) -> Option<u64> {
    let stat = nix::sys::statvfs::statvfs(path).ok()?;
    #[allow(clippy::unnecessary_cast, reason = "the width differs between systems")]
    let free = stat.blocks_available() as u64 * stat.fragment_size() as u64;
    Some(free)
}

/// Bytes of memory a new program could take (Linux); `None` elsewhere.
pub(crate) fn memory_available_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

/// Cores this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
