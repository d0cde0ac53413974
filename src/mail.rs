//! What we say, what waits, and how it leaves.
//!
//! * [`asks`]: somebody typed an address and is to be mailed a link; one transaction.
//! * [`changes`]: what an owner does to an account, and the mail about it; one transaction each.
//! * [`letters`]: the words of what somebody asked for.
//! * [`notices`]: news of an account, which its owner did not ask for.
//! * [`own_letter`]: the words of an app that is built on Doorpost.
//! * [`announcement`]: what the operator has to say, for many readers.
//! * [`outbox`]: mail waits in the database, sealed, written in the transaction of what it speaks of.
//! * [`message`]: a letter as it is handed over.
//! * [`delivery`]: the worker in every node that takes waiting mail and sends it.
//! * [`health`]: how that worker is doing.
//! * [`line`]: what a node knows of its way to the mail server.
//! * [`smtp`]: one kept connection.

pub mod announcement;
pub mod asks;
pub mod changes;
pub mod delivery;
pub mod health;
pub mod letters;
pub mod line;
pub mod message;
pub mod notices;
pub mod outbox;
pub mod own_letter;
pub mod smtp;
