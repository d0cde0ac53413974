//! What we say, what waits, and how it leaves.
//!
//! * [`letters`]: the words of what somebody asked for.
//! * [`notices`]: news of an account, which its owner did not ask for.
//! * [`own_letter`]: the words of an app that is built on Doorpost.
//! * [`announcement`]: what the operator has to say, for many readers.
//! * [`outbox`]: mail waits in the database, sealed, written in the transaction of what it speaks of.
//! * [`message`]: a letter as it is handed over.
//! * [`delivery`]: the worker in every node that takes waiting mail and sends it.
//! * [`health`]: how that worker is doing.
//! * [`circuit_breaker`]: keeps mail from a server that has no way, or no place, for us.
//! * [`refusals`]: whether what it refuses is one recipient's bad luck, or ours.
//! * [`backoff`]: pauses between tries.
//! * [`smtp`]: one kept connection.
//! * [`bounce_address`]: where a letter comes back to.
//! * [`bounce_report`]: what the mail server reports that gave it back.

pub mod announcement;
pub mod backoff;
pub mod bounce_address;
pub mod bounce_report;
pub mod circuit_breaker;
pub mod delivery;
pub mod health;
pub mod letters;
pub mod message;
pub mod notices;
pub mod outbox;
pub mod own_letter;
pub mod refusals;
pub mod smtp;
