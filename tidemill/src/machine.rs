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
    Some(limits(Path::new("/")).iter().fold(free, |free, limit| free.min(limit.free)))
}

/// Bytes of memory of this machine (Linux), or the limit of our control groups; `None` elsewhere.
pub(crate) fn memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let all = line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024;
    Some(limits(Path::new("/")).iter().fold(all, |all, limit| all.min(limit.bytes)))
}

/// How much memory a control group may take, and how much of it is left, in bytes.
#[derive(Debug, PartialEq, Eq)]
struct Limit {
    bytes: u64,
    free: u64,
}

/// Where a version of the kernel's control groups writes what we ask.
struct Layout {
    /// The folder of the outermost group.
    folder: &'static str,
    /// The controller that `/proc/self/cgroup` names before our group.
    controller: &'static str,
    limit: &'static str,
    used: &'static str,
    /// Pages of files that nobody has used for a while: they make room when it is needed.
    idle: &'static str,
}

/// Version 2, and version 1.
const LAYOUTS: [Layout; 2] = [
    Layout {
        folder: "sys/fs/cgroup",
        controller: "",
        limit: "memory.max",
        used: "memory.current",
        idle: "inactive_file ",
    },
    Layout {
        folder: "sys/fs/cgroup/memory",
        controller: "memory",
        limit: "memory.limit_in_bytes",
        used: "memory.usage_in_bytes",
        idle: "total_inactive_file ",
    },
];

/// The limits that hold for us: of our control group and of those around it. A container may see its own at the outermost
/// place, whatever `/proc/self/cgroup` calls it.
fn limits(root: &Path) -> Vec<Limit> {
    let listed = std::fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mut found = Vec::new();
    for layout in &LAYOUTS {
        let of_layout = |line: &str| {
            let mut parts = line.splitn(3, ':').skip(1);
            let is_it = parts.next()?.split(',').any(|controller| controller == layout.controller);
            parts.next().filter(|path| is_it && !path.contains("..")).map(str::to_owned)
        };
        let group = listed.lines().find_map(of_layout).unwrap_or_default();
        let groups = Path::new(group.trim_start_matches('/')).ancestors();
        found.extend(groups.filter_map(|group| limit(&root.join(layout.folder).join(group), layout)));
    }
    found
}

/// The limit of one group; nothing where it has none.
fn limit(group: &Path, layout: &Layout) -> Option<Limit> {
    let read = |name: &str| std::fs::read_to_string(group.join(name)).ok();
    let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
    let bytes = number(layout.limit)?;
    let stat = read("memory.stat").unwrap_or_default();
    let idle = stat.lines().find_map(|line| line.strip_prefix(layout.idle)?.parse::<u64>().ok());
    let used = number(layout.used).unwrap_or_default().saturating_sub(idle.unwrap_or_default());
    Some(Limit { bytes, free: bytes.saturating_sub(used) })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The limits that a tree of these files means.
    fn found(files: &[(&str, &str)]) -> Vec<Limit> {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        limits(root.path())
    }

    #[test]
    fn limits_of_control_groups_of_both_versions_are_found() {
        let limit = |bytes, free| Limit { bytes, free };
        let container = [
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.max", "4000\n"),
            ("sys/fs/cgroup/memory.current", "1500\n"),
            ("sys/fs/cgroup/memory.stat", "anon 900\ninactive_file 500\nactive_file 100\n"),
        ];
        assert_eq!(found(&container), [limit(4000, 3000)]);
        let service = [
            ("proc/self/cgroup", "0::/system.slice/tidemill.service\n"),
            ("sys/fs/cgroup/system.slice/memory.max", "9000\n"),
            ("sys/fs/cgroup/system.slice/memory.current", "8000\n"),
            ("sys/fs/cgroup/system.slice/tidemill.service/memory.max", "max\n"),
        ];
        assert_eq!(found(&service), [limit(9000, 1000)]);
        let version_1 = [
            ("proc/self/cgroup", "12:cpu,cpuacct:/docker/ab\n9:memory:/docker/ab\n1:name=systemd:/docker/ab\n"),
            ("sys/fs/cgroup/memory/docker/ab/memory.limit_in_bytes", "2000\n"),
            ("sys/fs/cgroup/memory/docker/ab/memory.usage_in_bytes", "700\n"),
            ("sys/fs/cgroup/memory/docker/ab/memory.stat", "inactive_file 1\ntotal_inactive_file 200\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "0\n"),
        ];
        assert_eq!(found(&version_1), [limit(2000, 1500), limit(9_223_372_036_854_771_712, 9_223_372_036_854_771_712)]);
        // The group of the host is not to be seen; what is at the outermost place is ours.
        let seen_inside = [
            ("proc/self/cgroup", "9:memory:/docker/ab\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "3000\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "1000\n"),
        ];
        assert_eq!(found(&seen_inside), [limit(3000, 2000)]);
        let without = [("proc/self/cgroup", "0::/../other\n"), ("sys/fs/cgroup/memory.max", "max\n")];
        assert!(found(&without).is_empty() && found(&[]).is_empty());
    }
}
