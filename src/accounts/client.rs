//! Who calls: from which network, with what, in which request.
//!
//! It is what an account's owner recognises a visit by, and what limits are counted against. No right comes of
//! it: an address can be shared, and what a browser calls itself made up.

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
