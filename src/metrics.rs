//! What is counted while the program runs, and how Prometheus reads it: the only user of its library.
//!
//! Counted where it happens, in this process alone, whether anybody looks or not: a count is a look-up in a small
//! table and an atomic addition. What is not counted but measured (how many letters wait) is handed in by whoever is
//! asked for the whole ([`text`]).
//!
//! No label holds what a visitor chose, and none an address, a network or an id: labels are words of the program, so
//! that there are few of them, whatever is asked for, and nobody is to be found in them.

mod process;

use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, prometheus_text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// What the text is sent as.
pub use prometheus_client::encoding::prometheus_text::CONTENT_TYPE;

/// How long a request or a wait may take, in seconds, from a page out of the cache of the disk to one that nobody waits for.
const SHORT: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// How long a letter may take, in seconds, from at once to a mail server that was away for hours.
const LONG: [f64; 12] = [
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0,
];

static COUNTED: LazyLock<Counted> = LazyLock::new(Counted::new);

/// One request that was answered. `route` is its pattern, or a word for none.
pub fn request(route: String, method: &str, status: u16, took: Duration) {
    let method = known(method);
    let requests = &COUNTED.request_durations;
    let by_route = ByRoute { route, method };
    requests
        .get_or_create(&by_route)
        .observe(took.as_secs_f64());
    let by_status = ByStatus { by_route, status };
    COUNTED.requests.get_or_create(&by_status).inc();
}

/// Something that happened to an account, by its name in the log.
pub fn events(event: &'static str) -> Counter {
    COUNTED.events.get_or_create_owned(&[("event", event)])
}

/// Somebody came in.
pub fn sign_ins(method: &'static str) -> Counter {
    COUNTED.sign_ins.get_or_create_owned(&[("method", method)])
}

/// What becomes of a mailed link.
pub fn links(purpose: &'static str, outcome: &'static str) -> Counter {
    let labels = [("purpose", purpose), ("outcome", outcome)];
    COUNTED.links.get_or_create_owned(&labels)
}

/// Somebody met a limit.
pub fn limited(limit: &'static str) -> Counter {
    COUNTED.limited.get_or_create_owned(&[("limit", limit)])
}

/// What became of a try to send a letter.
pub fn letters(outcome: &'static str) -> Counter {
    COUNTED.letters.get_or_create_owned(&[("outcome", outcome)])
}

/// A letter left so long after it was posted.
pub fn letter_left(after: Duration) {
    COUNTED.letter_delay.observe(after.as_secs_f64());
}

/// A password that was not hashed, for too many waited.
pub fn hashes_refused() -> &'static Counter {
    &COUNTED.hashes_refused
}

/// A function waited so long for a connection to the database.
pub fn database_wait(wait: Duration) {
    COUNTED.database_wait.observe(wait.as_secs_f64());
}

/// Why the database did not do something.
pub fn database_refusals(reason: &'static str) -> Counter {
    let labels = [("reason", reason)];
    COUNTED.database_refusals.get_or_create_owned(&labels)
}

type Counts<const LABELS: usize> = Family<[(&'static str, &'static str); LABELS], Counter>;

struct Counted {
    registry: Registry,
    requests: Family<ByStatus, Counter>,
    request_durations: Family<ByRoute, Histogram, fn() -> Histogram>,
    events: Counts<1>,
    sign_ins: Counts<1>,
    links: Counts<2>,
    limited: Counts<1>,
    letters: Counts<1>,
    letter_delay: Histogram,
    hashes_refused: Counter,
    database_wait: Histogram,
    database_refusals: Counts<1>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByRoute {
    route: String,
    method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStatus {
    #[prometheus(flatten)]
    by_route: ByRoute,
    status: u16,
}

impl Counted {
    fn new() -> Self {
        let mut all = Self {
            registry: Registry::default(),
            requests: Family::default(),
            request_durations: Family::new_with_constructor(|| Histogram::new(SHORT)),
            events: Family::default(),
            sign_ins: Family::default(),
            links: Family::default(),
            limited: Family::default(),
            letters: Family::default(),
            letter_delay: Histogram::new(LONG),
            hashes_refused: Counter::default(),
            database_wait: Histogram::new(SHORT),
            database_refusals: Family::default(),
        };
        all.register();
        all
    }

    /// The library adds `_total` to the name of a count, and a full stop to each explanation.
    fn register(&mut self) {
        let registry = self.registry.sub_registry_with_prefix("doorpost");
        registry.register(
            "http_requests",
            "Requests answered, by the pattern of their route",
            self.requests.clone(),
        );
        registry.register(
            "http_request_duration_seconds",
            "From a request's head to its answer's head, by the pattern of its route",
            self.request_durations.clone(),
        );
        registry.register(
            "events",
            "What happened to accounts, by the name that the log has for it",
            self.events.clone(),
        );
        registry.register(
            "sign_ins",
            "Sessions that began, by what proved who it was",
            self.sign_ins.clone(),
        );
        registry.register(
            "links",
            "Mailed links: issued, used, dead when they were followed, or with a wrong address",
            self.links.clone(),
        );
        registry.register(
            "limited",
            "Times that somebody met a limit",
            self.limited.clone(),
        );
        registry.register(
            "letters",
            "Tries to send a letter, by what came of them",
            self.letters.clone(),
        );
        registry.register(
            "letter_delay_seconds",
            "From posting a letter to the mail server's taking it",
            self.letter_delay.clone(),
        );
        registry.register(
            "password_hashes_refused",
            "Passwords that were not compared, for too many waited",
            self.hashes_refused.clone(),
        );
        registry.register(
            "database_wait_seconds",
            "How long a function waited for a connection to the database",
            self.database_wait.clone(),
        );
        registry.register(
            "database_refusals",
            "Functions that the database did not do, by why",
            self.database_refusals.clone(),
        );
    }
}

/// Any client can invent a method.
fn known(method: &str) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        .into_iter()
        .find(|known| *known == method)
        .unwrap_or("other")
}

/// Something that is measured when it is asked for, by one label or by none.
pub struct Reading {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    values: Vec<(Vec<(&'static str, String)>, f64)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gauge,
    Counter,
}

impl Reading {
    /// One value, which can fall.
    pub fn gauge(name: &'static str, help: &'static str, value: f64) -> Self {
        Self::by(name, help, [(Vec::new(), value)])
    }

    /// Whether something is so.
    pub fn flag(name: &'static str, help: &'static str, holds: bool) -> Self {
        Self::gauge(name, help, f64::from(u8::from(holds)))
    }

    /// Several values that can fall, each with its labels.
    pub fn by(
        name: &'static str,
        help: &'static str,
        values: impl IntoIterator<Item = (Vec<(&'static str, String)>, f64)>,
    ) -> Self {
        Self {
            name,
            help,
            kind: Kind::Gauge,
            values: values.into_iter().collect(),
        }
    }

    /// One value that only grows.
    fn counter(name: &'static str, help: &'static str, value: f64) -> Self {
        Self {
            kind: Kind::Counter,
            ..Self::gauge(name, help, value)
        }
    }

    fn register(self, registry: &mut Registry) {
        match self.kind {
            Kind::Gauge => {
                let family = Family::<_, Gauge<f64, AtomicU64>>::default();
                for (labels, value) in &self.values {
                    family.get_or_create(labels).set(*value);
                }
                registry.register(self.name, self.help, family);
            }
            Kind::Counter => {
                let family = Family::<_, Counter<f64, AtomicU64>>::default();
                for (labels, value) in &self.values {
                    family.get_or_create(labels).inc_by(*value);
                }
                registry.register(self.name, self.help, family);
            }
        }
    }
}

/// Everything that was counted so far, these readings, and what the kernel says of this process, as Prometheus reads
/// it.
pub fn text(readings: Vec<Reading>) -> Result<String, fmt::Error> {
    let mut measured = Registry::default();
    for reading in readings.into_iter().chain(process::readings()) {
        reading.register(&mut measured);
    }
    let mut text = String::new();
    prometheus_text::encode(&mut text, &COUNTED.registry)?;
    prometheus_text::encode(&mut text, &measured)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invented_method_is_no_label_of_its_own() {
        for method in ["BREW", "get", "GETX", ""] {
            request("/of-methods".to_owned(), method, 405, Duration::ZERO);
        }
        request("/of-methods".to_owned(), "GET", 200, Duration::ZERO);
        let text = text(Vec::new()).unwrap();
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("doorpost_http_requests_total"))
            .filter(|line| line.contains("/of-methods"))
            .collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        let others = r#"{route="/of-methods",method="other",status="405"} 4"#;
        assert!(lines.iter().any(|line| line.ends_with(others)), "{lines:?}");
    }

    #[test]
    fn what_the_kernel_says_of_this_process_is_read() {
        let readings: Vec<Reading> = process::readings().collect();
        assert_eq!(readings.len(), 7);
        for reading in readings {
            let [(labels, value)] = &reading.values[..] else {
                panic!("{} has several values", reading.name)
            };
            assert!(labels.is_empty() && *value >= 0.0, "{}", reading.name);
            let is_plausible = match reading.name {
                "process_start_time_seconds" => *value > 1.7e9,
                "process_resident_memory_bytes" => *value > 1e6,
                _ => true,
            };
            assert!(is_plausible, "{} {value}", reading.name);
        }
    }
}
