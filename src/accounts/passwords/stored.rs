//! A stored hash: one PHC string, `$argon2id$v=19$m=…,t=…,p=…$salt$output`, read as strictly as it is written.

use argon2::Params;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::{Cost, PasswordHash};

/// Bytes of a salt and of a hash (RFC 9106 §4 recommends as many, or more).
pub(super) const SALT: usize = 16;
pub(super) const OUTPUT: usize = 32;

/// A hash that would cost more than this was not made by us, or is meant to wear us out: 64 MiB is what
/// RFC 9106 has for machines with little memory.
const MOST_MEMORY_KIB: u32 = 64 * 1024;
const MOST_PASSES: u32 = 16;
const MOST_LANES: u32 = 16;

/// What is needed to compare with it.
pub(super) struct Stored {
    pub params: Params,
    pub salt: Vec<u8>,
    pub output: Vec<u8>,
}

impl Stored {
    /// `None` for everything that is not Argon2id with parameters within reason; what is configured now is
    /// within reason by definition.
    pub fn read(hash: &PasswordHash, cost: Cost) -> Option<Self> {
        let rest = hash.as_str().strip_prefix("$argon2id$v=19$m=")?;
        let (memory, rest) = rest.split_once(",t=")?;
        let (passes, rest) = rest.split_once(",p=")?;
        let (lanes, rest) = rest.split_once('$')?;
        let (salt, output) = rest.split_once('$')?;
        let memory = number(memory, MOST_MEMORY_KIB.max(cost.memory_kib))?;
        let passes = number(passes, MOST_PASSES.max(cost.passes))?;
        let lanes = number(lanes, MOST_LANES)?;
        let salt = STANDARD_NO_PAD.decode(salt).ok()?;
        let output = STANDARD_NO_PAD.decode(output).ok()?;
        let is_sound = (8..=64).contains(&salt.len()) && (16..=64).contains(&output.len());
        let params = Params::new(memory, passes, lanes, Some(output.len())).ok()?;
        is_sound.then_some(Self {
            params,
            salt,
            output,
        })
    }

    /// Whether it costs what a hash costs now.
    pub fn is_of(&self, cost: Cost) -> bool {
        self.params.m_cost() == cost.memory_kib
            && self.params.t_cost() == cost.passes
            && self.params.p_cost() == 1
            && self.output.len() == OUTPUT
    }
}

fn number(digits: &str, most: u32) -> Option<u32> {
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u32 = digits.parse().ok()?;
    (is_plain && number <= most).then_some(number)
}

pub(super) fn written(cost: Cost, salt: &[u8], output: &[u8]) -> PasswordHash {
    let Cost { memory_kib, passes } = cost;
    let (salt, output) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(output));
    PasswordHash::stored(format!(
        "$argon2id$v=19$m={memory_kib},t={passes},p=1${salt}${output}"
    ))
}
