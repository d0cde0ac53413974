//! What systemd says to the programs that it starts: where it listens, and how often it wants to hear from them.

use std::ffi::OsString;
use std::process;
use std::time::Duration;

/// A service manager that wants to hear from this process (`Type=notify`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceManager {
    /// The path of its socket, or behind an `@` a name without a file.
    pub socket: OsString,
    /// Whoever is not heard for so long is taken to hang, and is restarted (`WatchdogSec=`).
    pub watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The one in this environment, if one started us. What it says to another process is inherited by its children.
    pub(super) fn among(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Option<Self> {
        let (mut socket, mut watchdog, mut is_ours) = (None, None, true);
        for (name, value) in variables {
            let number = || value.to_str()?.parse::<u64>().ok();
            match name.to_str() {
                Some("NOTIFY_SOCKET") => socket = Some(value),
                Some("WATCHDOG_USEC") => watchdog = number().filter(|micros| *micros > 0),
                Some("WATCHDOG_PID") => is_ours = number() == Some(u64::from(process::id())),
                _ => {}
            }
        }
        Some(Self {
            socket: socket.filter(|socket| !socket.is_empty())?,
            watchdog: watchdog.filter(|_| is_ours).map(Duration::from_micros),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn among(variables: &[(&str, &str)]) -> Option<ServiceManager> {
        ServiceManager::among(
            variables
                .iter()
                .map(|(name, value)| (name.into(), value.into())),
        )
    }

    #[test]
    fn only_who_started_this_process_is_told() {
        assert_eq!(among(&[("WATCHDOG_USEC", "1000000")]), None);
        assert_eq!(among(&[("NOTIFY_SOCKET", "")]), None);
        let pid = process::id().to_string();
        for (watchdog, seconds) in [
            (&[][..], None),
            (&[("WATCHDOG_USEC", "30000000")], Some(30)),
            (
                &[("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", &pid)],
                Some(30),
            ),
            (
                &[("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", "1")],
                None,
            ),
            (&[("WATCHDOG_USEC", "0")], None),
            (&[("WATCHDOG_USEC", "soon")], None),
        ] {
            let variables = [&[("NOTIFY_SOCKET", "@a")], watchdog].concat();
            let found = among(&variables).unwrap();
            assert_eq!(
                found.watchdog,
                seconds.map(Duration::from_secs),
                "{watchdog:?}"
            );
            assert_eq!(found.socket, "@a");
        }
    }
}
