//! Who calls: from which network, with what, in which request.
//!
//! It is what an account's owner recognises a sign-in by, and what limits are counted against. No right depends on
//! it: many people may share an IP address, and a browser may call itself anything.

use crate::accounts::limits::Network;

/// A browser or a program that made a request.
#[derive(Clone, Debug)]
pub struct Client {
    /// Where it calls from.
    pub network: Network,
    /// Our own coarse words for it, never the visitor's.
    pub browser: String,
    /// The request, as the log names it.
    pub request_id: String,
}

impl Client {
    /// Its address, as the tables and letters have it.
    pub fn ip(&self) -> String {
        self.network.ip.to_string()
    }
}
