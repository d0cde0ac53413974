//! Addresses and networks: where we listen, which proxies are believed, who may call.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::PublicUrl;
use super::mistake::{Mistake, Parsed};
use super::reader::comma_list;
use crate::domain_name::DomainName;

pub(super) fn socket_address(text: &str) -> Parsed<SocketAddr> {
    let form = "an IP address and a port: 127.0.0.1:8080, [::1]:8080 or 0.0.0.0:8080";
    text.parse()
        .map_err(|_| Mistake::new("is not an IP address with a port", form))
}

pub(super) fn networks(text: &str) -> Parsed<Vec<IpNet>> {
    let networks = comma_list(text, network)?;
    // If every peer were a trusted proxy, each could claim any address, and no limit per network would hold.
    if IpNet::aggregate(&networks)
        .iter()
        .any(|network| network.prefix_len() == 0)
    {
        return Err(Mistake::new(
            "trusts the whole Internet",
            "the networks of your proxies alone",
        ));
    }
    Ok(networks)
}

/// A network, or a single address.
fn network(text: &str) -> Parsed<IpNet> {
    let form = "networks between commas, such as 10.0.0.0/8,192.0.2.7,2001:db8::/32";
    let network = text
        .parse()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    match network {
        Ok(IpNet::V6(network)) if network.addr().to_ipv4_mapped().is_some() => {
            Err(Mistake::new("has an IPv4 network in IPv6 form", form))
        }
        Ok(network) => Ok(network.trunc()),
        Err(_) => Err(Mistake::new("is not a list of networks", form)),
    }
}

/// An origin as browsers send it.
pub(super) fn origin(text: &str) -> Parsed<String> {
    Ok(PublicUrl::parse(text)?.as_str().to_owned())
}

/// Who a token may be for, besides us: a name or an address that can stand in a token (RFC 7519, StringOrURI).
pub(super) fn audience(text: &str) -> Parsed<String> {
    match text.len() <= 200 && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(text.to_owned()),
        false => Err(Mistake::new(
            "is not a list of audiences",
            "names or addresses between commas, such as https://files.example.org",
        )),
    }
}

/// A domain for whose hosts a cookie is meant. A single word is none: browsers would keep no cookie for `org`.
pub(super) fn cookie_domain(text: &str) -> Parsed<DomainName> {
    let domain = DomainName::parse(text).filter(DomainName::is_full);
    domain.ok_or_else(|| {
        Mistake::new(
            "is not the name of a domain",
            "the domain that the site and the apps have in common, such as example.org",
        )
    })
}
