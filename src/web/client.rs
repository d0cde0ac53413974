//! Where a request comes from, as far as that can be believed.
//!
//! `X-Forwarded-For` is written by whoever likes to. It counts only when the connection comes from a
//! trusted proxy, and then only up to its right-most hop that is not one itself: everything left of that
//! may be made up. Addresses decide limits and what a notice says, never rights.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::http::header::USER_AGENT;
use actix_web::{HttpMessage, HttpRequest};
use ipnet::IpNet;

use crate::accounts::client::Client;
use crate::accounts::limits::Network;
use crate::config::Config;
use crate::web::middleware::RequestId;

/// The address of the visitor.
pub fn address(req: &HttpRequest, trusted: &[IpNet]) -> IpAddr {
    let peer = req
        .peer_addr()
        .map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip().to_canonical());
    let is_trusted = |ip: &IpAddr| trusted.iter().any(|net| net.contains(ip));
    if !is_trusted(&peer) {
        warn_of_unknown_proxy(req, peer);
        return peer;
    }
    let mut believed = peer;
    for hop in forwarded_for(req).into_iter().rev() {
        let Some(ip) = hop else { break };
        believed = ip;
        if !is_trusted(&ip) {
            break;
        }
    }
    believed
}

/// Who makes this request.
pub fn of(req: &HttpRequest, config: &Config) -> Client {
    let id = req.extensions().get::<RequestId>().cloned();
    Client {
        network: Network::of(address(req, &config.proxies.trusted)),
        browser: browser(req),
        request_id: id.map_or_else(String::new, |RequestId(id)| id),
    }
}

/// The hops of all such headers together, left to right; `None` where one is not an address.
fn forwarded_for(req: &HttpRequest) -> Vec<Option<IpAddr>> {
    req.headers()
        .get_all("x-forwarded-for")
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(|hop| {
            let hop = std::str::from_utf8(hop).ok()?.trim();
            hop.parse().ok().map(|ip: IpAddr| ip.to_canonical())
        })
        .collect()
}

/// Where `TRUSTED_PROXIES` was forgotten, all visitors seem to come from one network: the log says so, once.
fn warn_of_unknown_proxy(req: &HttpRequest, peer: IpAddr) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if req.headers().contains_key("x-forwarded-for") && !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            %peer,
            "X-Forwarded-For from a peer that TRUSTED_PROXIES does not name: all visitors behind it \
             look like one network"
        );
    }
}

/// The visitor's browser in our own coarse words; nothing the visitor wrote gets into a page or letter.
pub fn browser(req: &HttpRequest) -> String {
    let agent = req
        .headers()
        .get(USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    named(agent)
}

fn named(agent: &str) -> String {
    // The order matters: every browser claims to be those that came before it.
    let browser = first_in(
        agent,
        &[
            ("Edg", "Edge"),
            ("OPR/", "Opera"),
            ("SamsungBrowser", "Samsung Internet"),
            ("Firefox/", "Firefox"),
            ("FxiOS", "Firefox"),
            ("CriOS", "Chrome"),
            ("Chrome/", "Chrome"),
            ("Safari/", "Safari"),
            ("curl/", "curl"),
        ],
    );
    let system = first_in(
        agent,
        &[
            ("Android", "Android"),
            ("iPhone", "iPhone"),
            ("iPad", "iPad"),
            ("Windows", "Windows"),
            ("Mac OS X", "Mac"),
            ("CrOS", "ChromeOS"),
            ("Linux", "Linux"),
        ],
    );
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(name), None) | (None, Some(name)) => name.to_owned(),
        (None, None) => "an unknown browser".to_owned(),
    }
}

fn first_in(agent: &str, names: &[(&str, &'static str)]) -> Option<&'static str> {
    names
        .iter()
        .find(|(mark, _)| agent.contains(mark))
        .map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn believed(peer: &str, forwarded: &[&str]) -> String {
        let trusted: Vec<IpNet> = ["127.0.0.0/8", "10.0.0.0/8"]
            .iter()
            .map(|net| net.parse().unwrap())
            .collect();
        let mut req = TestRequest::default().peer_addr(peer.parse().unwrap());
        for value in forwarded {
            req = req.append_header(("X-Forwarded-For", *value));
        }
        address(&req.to_http_request(), &trusted).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_its_rightmost_untrusted_hop() {
        let stranger = "192.0.2.1:80";
        let proxy = "127.0.0.1:80";
        assert_eq!(believed(stranger, &["198.51.100.1"]), "192.0.2.1");
        assert_eq!(believed(proxy, &[]), "127.0.0.1");
        assert_eq!(believed(proxy, &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(
            believed(proxy, &["203.0.113.9, 198.51.100.1, 10.0.0.1"]),
            "198.51.100.1"
        );
        assert_eq!(
            believed(proxy, &["203.0.113.9", "198.51.100.1"]),
            "198.51.100.1"
        );
        assert_eq!(believed(proxy, &["198.51.100.1, junk"]), "127.0.0.1");
        assert_eq!(believed(proxy, &["junk, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(believed(proxy, &["::ffff:198.51.100.1"]), "198.51.100.1");
    }

    #[test]
    fn browsers_are_named_in_our_own_words() {
        let firefox =
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0";
        assert_eq!(named(firefox), "Firefox on Windows");
        let iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 \
                      (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1";
        assert_eq!(named(iphone), "Safari on iPhone");
        assert_eq!(named("<a href=//e.test>"), "an unknown browser");
    }
}
