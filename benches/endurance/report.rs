//! What came of one database, as a table to read and as JSON.

use serde_json::{Value, json};

use crate::crowd::MIX;
use crate::trend::Trend;
use crate::watch::Reading;

/// All that was to be seen, at this second from the beginning.
pub type Sample = (f64, Vec<Reading>);

/// What came of one database.
pub struct Report {
    pub database: String,
    /// Visits in a second: what it can do, and what it was driven at.
    pub capacity: f64,
    pub rate: f64,
    pub seconds: u64,
    /// Samples of before that are not judged.
    pub warm_up: u64,
    pub samples: Vec<Sample>,
    pub new_keys: u32,
    /// Of what is kept for longer than an hour, at first and at last.
    pub rows: [i64; 2],
    pub failed: usize,
}

impl Report {
    pub fn tell(&self) {
        let Self {
            database,
            capacity,
            rate,
            seconds,
            warm_up,
            new_keys,
            rows,
            failed,
            ..
        } = self;
        println!(
            "{database}: {capacity:.0} visits a second are what it can do; driven at {rate:.0} for {seconds} s, of which \
             {warm_up} are not judged; {new_keys} new signing keys; {failed} visits failed; {} rows of events and mail at \
             first, {} at last\n",
            rows[0], rows[1]
        );
        println!("| | mean | last | an hour | |");
        println!("|---|---|---|---|---|");
        for (name, unit, trend) in self.trends() {
            let Trend {
                mean,
                last,
                slope,
                give,
            } = trend;
            let verdict = trend.verdict();
            println!(
                "| {name}{unit} | {mean:.2} | {last:.2} | {slope:+.2} ± {give:.2} | {verdict} |"
            );
        }
        println!();
    }

    pub fn json(&self) -> Value {
        let trends = self.trends().into_iter().map(|(name, unit, trend)| {
            json!({
                "what": format!("{name}{unit}"),
                "mean": trend.mean,
                "last": trend.last,
                "slope_in_an_hour": trend.slope,
                "half_of_its_95_percent_interval": trend.give,
                "verdict": trend.verdict(),
            })
        });
        let samples = self.samples.iter().map(|(at, readings)| {
            let readings = readings
                .iter()
                .map(|(name, _, is)| (name.clone(), json!(is)));
            json!({"second": at, "readings": Value::Object(readings.collect())})
        });
        json!({
            "database": self.database,
            "mix": MIX.map(|(_, of_fifty, name)| json!({"what": name, "of_fifty": of_fifty})),
            "capacity": self.capacity,
            "rate": self.rate,
            "seconds": self.seconds,
            "warm_up": self.warm_up,
            "new_signing_keys": self.new_keys,
            "rows_of_events_and_mail": self.rows,
            "failed": self.failed,
            "trends": trends.collect::<Vec<_>>(),
            "samples": samples.collect::<Vec<_>>(),
        })
    }

    /// Each quantity and its unit, with its slope as far as it is judged.
    fn trends(&self) -> Vec<(&str, String, Trend)> {
        let judged = self
            .samples
            .iter()
            .filter(|(at, _)| *at > self.warm_up as f64);
        let judged: Vec<&Sample> = judged.collect();
        let trend = |name: &str| {
            let of_one = |(at, readings): &&Sample| {
                let (.., is) = readings.iter().find(|(its, ..)| its == name)?;
                Some((at / 3600.0, *is))
            };
            Trend::of(&judged.iter().filter_map(of_one).collect::<Vec<_>>())
        };
        let quantities = judged.first().map_or(&[][..], |(_, readings)| readings);
        let trends = quantities.iter().filter_map(|(name, unit, _)| {
            let unit = if unit.is_empty() {
                String::new()
            } else {
                format!(", {unit}")
            };
            Some((name.as_str(), unit, trend(name)?))
        });
        trends.collect()
    }
}
