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

/// Bytes of memory a new program could take (Linux), those of its control group at most; `None` elsewhere.
pub(crate) fn memory_available_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let free = line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024;
    Some(control_group_free_bytes().map_or(free, |left| left.min(free)))
}

/// Bytes of memory of this machine (Linux), or the limit of our control group; `None` elsewhere.
pub(crate) fn memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let all = line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024;
    let limit = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let limit = limit.and_then(|limit| limit.trim().parse::<u64>().ok());
    Some(limit.map_or(all, |limit| limit.min(all)))
}

/// What the limit of the control group leaves, where there is one: a container sees its group at this place. Pages of files
/// that nobody has used for a while make room when it is needed.
fn control_group_free_bytes() -> Option<u64> {
    let read = |name: &str| std::fs::read_to_string(Path::new("/sys/fs/cgroup").join(name)).ok();
    let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
    let (limit, used) = (number("memory.max")?, number("memory.current")?);
    let stat = read("memory.stat").unwrap_or_default();
    let idle = stat.lines().find_map(|line| line.strip_prefix("inactive_file ")?.parse::<u64>().ok());
    Some(limit.saturating_sub(used.saturating_sub(idle.unwrap_or(0))))
}

/// Whether memory asked for from now on may come in pages of 2 MiB (Linux): quicker for training, but a server that waits
/// would hold 12 MB for the 2 MB it uses.
pub(crate) fn allow_huge_pages(allowed: bool) {
    #[cfg(target_os = "linux")]
    let _refused = nix::sys::prctl::set_thp_disable(!allowed); // a kernel without them has nothing to forbid
    #[cfg(not(target_os = "linux"))]
    let _ = allowed;
}

/// Cores this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
