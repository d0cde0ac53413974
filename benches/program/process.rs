//! What the kernel says of a process (proc(5)).

use std::fs;

/// User and system time of all its threads, in microseconds; in ticks of 10 ms, which the rounds are long for.
/// Nothing, if it has ended.
pub fn cpu(process: u32) -> f64 {
    ticks(process, &[11, 12])
}

/// The same with the time of those of its children that have ended.
pub fn cpu_with_ended(process: u32) -> f64 {
    ticks(process, &[11, 12, 13, 14])
}

pub fn parent(process: u32) -> Option<u32> {
    stat(process)?.get(1)?.parse().ok()
}

/// The memory it has, in MiB.
pub fn resident(process: u32) -> f64 {
    status(process, "VmRSS:") / 1024.0
}

pub fn threads(process: u32) -> f64 {
    status(process, "Threads:")
}

/// Files, sockets and pipes that it has open.
pub fn descriptors(process: u32) -> f64 {
    let open = fs::read_dir(format!("/proc/{process}/fd"));
    open.map_or(0, Iterator::count) as f64
}

/// The number in the line of `status` that begins so.
fn status(process: u32, begins: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(begins));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or_default()
}

fn ticks(process: u32, fields: &[usize]) -> f64 {
    let stat = stat(process).unwrap_or_default();
    let ticks = fields
        .iter()
        .filter_map(|at| stat.get(*at)?.parse::<f64>().ok());
    ticks.sum::<f64>() * 10_000.0
}

/// The fields that follow the name, which may have spaces in it.
fn stat(process: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    Some(fields.split(' ').map(str::to_owned).collect())
}
