//! The address a request comes from, as far as that can be believed.
//!
//! `X-Forwarded-For` is written by whoever likes to. It counts only when the connection comes from a
//! trusted proxy, and then only up to its right-most hop that is not one itself: everything left of that
//! may be made up. Addresses decide limits and what a notice says, never rights.
//!
//! Proxies write a hop in several ways: an address alone, with a port (Azure's gateways, IIS), in brackets,
//! between quotes (as the `Forwarded` header has it). A hop that is none of these is not guessed at: whoever comes
//! over it counts as its proxy, and the log says so once.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::HttpRequest;
use ipnet::IpNet;

/// Longer than any way to write an address: what is beyond it is not shown.
const LONGEST_SHAPE: usize = 60;

/// The address of the visitor.
pub fn address(req: &HttpRequest, trusted: &[IpNet]) -> IpAddr {
    let peer = req
        .peer_addr()
        .map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip().to_canonical());
    if !is_among(trusted, &peer) {
        warn_of_unknown_proxy(req, peer);
        return peer;
    }
    let mut believed = peer;
    for hop in hops(req).into_iter().rev() {
        let Some(ip) = read(hop) else {
            warn_of_unreadable_hop(believed, hop);
            break;
        };
        believed = ip;
        if !is_among(trusted, &ip) {
            break;
        }
    }
    believed
}

/// Whether whoever is connected to us is a proxy of the operator's, whose word about a request counts.
pub fn is_proxied(req: &HttpRequest, trusted: &[IpNet]) -> bool {
    let peer = req.peer_addr().map(|peer| peer.ip().to_canonical());
    peer.is_some_and(|peer| is_among(trusted, &peer))
}

fn is_among(trusted: &[IpNet], ip: &IpAddr) -> bool {
    trusted.iter().any(|net| net.contains(ip))
}

/// The hops of all such headers together, left to right. A list may have empty places (RFC 9110, 5.6.1).
fn hops(req: &HttpRequest) -> Vec<&[u8]> {
    req.headers()
        .get_all("x-forwarded-for")
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|hop| !hop.is_empty())
        .collect()
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`, and each between quotes. (An
/// address of version 6 with a port and no brackets may read as an address by itself, of the same /64.)
fn read(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?;
    let inside = hop.strip_prefix('"').and_then(|hop| hop.strip_suffix('"'));
    let hop = inside.unwrap_or(hop).trim();
    let ip = bare(hop).or_else(|| {
        let (ip, port) = hop.rsplit_once(':')?;
        port.parse::<u16>().ok()?;
        bare(ip)
    });
    ip.map(|ip| ip.to_canonical())
}

fn bare(text: &str) -> Option<IpAddr> {
    match text.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

/// Where `TRUSTED_PROXIES` was forgotten, all visitors seem to come from one network: the log says so, once.
fn warn_of_unknown_proxy(req: &HttpRequest, peer: IpAddr) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if req.headers().contains_key("x-forwarded-for") && !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            %peer,
            event = "proxy_unknown",
            "X-Forwarded-For from a peer that TRUSTED_PROXIES does not name: all visitors behind it \
             look like one network"
        );
    }
}

fn warn_of_unreadable_hop(proxy: IpAddr, hop: &[u8]) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.swap(true, Ordering::Relaxed) {
        let looks_like = shape(hop);
        tracing::warn!(
            %proxy,
            looks_like,
            event = "proxy_unreadable",
            "a trusted proxy writes X-Forwarded-For in a way that cannot be read: all visitors behind it \
             look like one network"
        );
    }
}

/// What it looks like, and not what it says: every letter an `a`, every digit a `9`. It may be somebody's address,
/// or a text that a stranger chose.
fn shape(hop: &[u8]) -> String {
    let sign = |byte: &u8| match byte {
        b'0'..=b'9' => '9',
        b'a'..=b'z' | b'A'..=b'Z' => 'a',
        b' '..=b'~' => char::from(*byte),
        _ => '?',
    };
    hop.iter().take(LONGEST_SHAPE).map(sign).collect()
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
        assert_eq!(
            believed(proxy, &["", "198.51.100.1,", " , "]),
            "198.51.100.1"
        );
        assert_eq!(
            believed(proxy, &["203.0.113.9:1, 198.51.100.1:2, 10.0.0.1:3"]),
            "198.51.100.1"
        );
    }

    #[test]
    fn a_hop_is_read_however_proxies_write_it() {
        for (hop, address) in [
            ("203.0.113.9", "203.0.113.9"),
            ("203.0.113.9:4711", "203.0.113.9"),
            ("\"203.0.113.9:4711\"", "203.0.113.9"),
            ("2001:db8::1", "2001:db8::1"),
            ("2001:DB8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("\"[2001:db8::1]:4711\"", "2001:db8::1"),
            ("\" [2001:db8::1] \"", "2001:db8::1"),
            ("2001:db8:0:0:0:0:0:1:4711", "2001:db8::1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("[::ffff:203.0.113.9]:4711", "203.0.113.9"),
        ] {
            let read = read(hop.as_bytes()).map(|ip| ip.to_string());
            assert_eq!(read.as_deref(), Some(address), "{hop}");
        }
        for hop in [
            "unknown",
            "_hidden",
            "localhost",
            "visitor.example.org:80",
            "203.0.113",
            "203.0.113.009",
            "203.0.113.9:",
            "203.0.113.9:port",
            "203.0.113.9:70000",
            "203.0.113.9;4711",
            "203.0.113.9 4711",
            "[203.0.113.9]:4711",
            "[2001:db8::1",
            "2001:db8::1]:80",
            "[2001:db8::1]4711",
            "\"203.0.113.9",
            "for=203.0.113.9",
            "203.0.113.9/32",
            "\u{661}.1.1.1",
        ] {
            assert_eq!(read(hop.as_bytes()), None, "{hop}");
        }
        assert_eq!(read(b"203.0.113.9\xff"), None);
    }

    #[test]
    fn what_cannot_be_read_is_shown_by_its_shape_alone() {
        assert_eq!(shape(b"203.0.113.9;secret"), "999.9.999.9;aaaaaa");
        assert_eq!(shape("\x1b[2Jü".as_bytes()), "?[9a??");
        assert_eq!(shape(&[b'x'; 1000]).len(), LONGEST_SHAPE);
    }
}
