//! What the kernel says of this process, under the names that all of Prometheus' libraries have for it.
//!
//! What cannot be read is left out.

use std::fs;

use super::Reading;

/// The kernel tells the times of a process in hundredths of a second, whatever its own clock (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Everything that can be read just now.
pub(super) fn readings() -> impl Iterator<Item = Reading> {
    let status = read("/proc/self/status");
    let bytes = |name| word_after(&status, name).map(|kib| kib * 1024.0);
    let stat = Stat::read();
    let files = fs::read_dir("/proc/self/fd").ok().map(|all| all.count());
    [
        stat.cpu_seconds().map(|seconds| {
            let help = "Processor time used so far";
            Reading::counter("process_cpu_seconds", help, seconds)
        }),
        stat.started_at().map(|seconds| {
            let help = "When the process began, since the Unix epoch";
            Reading::gauge("process_start_time_seconds", help, seconds)
        }),
        bytes("VmRSS:").map(|bytes| {
            let help = "Memory held";
            Reading::gauge("process_resident_memory_bytes", help, bytes)
        }),
        bytes("VmSize:").map(|bytes| {
            let help = "Addresses taken";
            Reading::gauge("process_virtual_memory_bytes", help, bytes)
        }),
        word_after(&status, "Threads:")
            .map(|threads| Reading::gauge("process_threads", "Threads", threads)),
        files.map(|files| {
            let help = "Files, sockets and pipes that are open";
            Reading::gauge("process_open_fds", help, files as f64)
        }),
        word_after(&read("/proc/self/limits"), "Max open files").map(|most| {
            let help = "As many of them as may be open";
            Reading::gauge("process_max_fds", help, most)
        }),
    ]
    .into_iter()
    .flatten()
}

/// `/proc/self/stat`: numbers by their place in a line.
struct Stat(Vec<f64>);

impl Stat {
    /// The name of the program, which may hold anything, ends with the last bracket; the third place follows.
    fn read() -> Self {
        let line = read("/proc/self/stat");
        let (_, numbers) = line.rsplit_once(')').unwrap_or_default();
        let numbers = numbers.split_whitespace();
        Self(numbers.map(|word| word.parse().unwrap_or(0.0)).collect())
    }

    /// As `man proc` counts them.
    fn place(&self, number: usize) -> Option<f64> {
        self.0.get(number - 3).copied()
    }

    fn cpu_seconds(&self) -> Option<f64> {
        Some((self.place(14)? + self.place(15)?) / TICKS_PER_SECOND)
    }

    fn started_at(&self) -> Option<f64> {
        let booted_at = word_after(&read("/proc/stat"), "btime")?;
        Some(booted_at + self.place(22)? / TICKS_PER_SECOND)
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The number behind this at the beginning of a line.
fn word_after(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
