//! The cost of hashing a password.

use super::amounts::whole_number;
use super::mistake::{Mistake, Parsed};

/// More than 4 GiB for one hash, or more rounds than anybody waits for, is a slip of the finger.
const MOST_MEMORY_KIB: u64 = 4 * 1024 * 1024;
const MOST_PASSES: u64 = 1_000;
const MOST_PARALLEL: u64 = 1_024;

/// Argon2 itself wants 8 KiB at least (RFC 9106 §3.1).
pub(super) fn memory_kib(text: &str) -> Parsed<u32> {
    within(text, 8, MOST_MEMORY_KIB, "KiB, such as 19456")
}

pub(super) fn passes(text: &str) -> Parsed<u32> {
    within(text, 1, MOST_PASSES, "a whole number, such as 2")
}

pub(super) fn parallel(text: &str) -> Parsed<usize> {
    let count = within(text, 1, MOST_PARALLEL, "a whole number, such as 2")?;
    Ok(count as usize)
}

fn within(text: &str, least: u64, most: u64, form: &str) -> Parsed<u32> {
    whole_number(text)
        .filter(|number| (least..=most).contains(number))
        .and_then(|number| u32::try_from(number).ok())
        .ok_or_else(|| Mistake::new(format!("is not a number from {least} to {most}"), form))
}

/// Below what the OWASP Password Storage Cheat Sheet has for Argon2id: its five pairs reach from 46 MiB
/// once to 7 MiB five times, and less memory must be made up for by more passes.
pub(super) fn is_weak(memory_kib: u32, passes: u32) -> bool {
    memory_kib < 7 * 1024 || u64::from(memory_kib) * u64::from(passes) < 35 * 1024
}
