//! Where a request comes from, as far as limits go.

use std::net::IpAddr;

use super::Limit;

/// The network a visitor comes from: an IPv4 address, or an IPv6 /64 with the /48 around it.
#[derive(Clone, Debug)]
pub struct Network {
    pub ip: IpAddr,
    narrow: String,
    wide: Option<String>,
}

impl Network {
    /// An IPv4 address that comes dressed as IPv6 counts as what it is.
    pub fn of(ip: IpAddr) -> Self {
        let ip = ip.to_canonical();
        let IpAddr::V6(v6) = ip else {
            return Self {
                ip,
                narrow: ip.to_string(),
                wide: None,
            };
        };
        let [a, b, c, d, ..] = v6.segments();
        Self {
            ip,
            narrow: format!("{a:x}:{b:x}:{c:x}:{d:x}::/64"),
            wide: Some(format!("{a:x}:{b:x}:{c:x}::/48")),
        }
    }

    /// Whether two visitors come from one network: an IPv4 address or an IPv6 /64.
    pub fn is_same(&self, other: &Self) -> bool {
        self.narrow == other.narrow
    }

    /// What to count against when this network asks for mail.
    pub fn asking_for_mail(&self) -> Vec<(Limit, &str)> {
        self.both(Limit::MailPerNetwork, Limit::MailPerWideNetwork)
    }

    /// What to count against when this network comes with a token, code or address that is not right.
    pub fn guessing(&self) -> Vec<(Limit, &str)> {
        self.both(Limit::TokenPerNetwork, Limit::TokenPerWideNetwork)
    }

    /// What to count against when this network tries a password.
    pub fn trying_a_password(&self) -> Vec<(Limit, &str)> {
        self.both(Limit::PasswordPerNetwork, Limit::PasswordPerWideNetwork)
    }

    fn both(&self, narrow: Limit, wide: Limit) -> Vec<(Limit, &str)> {
        let around = self.wide.as_deref().map(|subject| (wide, subject));
        std::iter::once((narrow, self.narrow.as_str()))
            .chain(around)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_an_ipv4_address_or_an_ipv6_64_in_its_48() {
        let subjects = |ip: &str| -> Vec<String> {
            Network::of(ip.parse().unwrap())
                .asking_for_mail()
                .into_iter()
                .map(|(_, subject)| subject.to_owned())
                .collect()
        };
        assert_eq!(subjects("192.0.2.7"), ["192.0.2.7"]);
        assert_eq!(subjects("::ffff:192.0.2.7"), ["192.0.2.7"]);
        assert_eq!(
            subjects("2001:db8:1:2:3:4:5:6"),
            ["2001:db8:1:2::/64", "2001:db8:1::/48"]
        );
    }
}
