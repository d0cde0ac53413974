//! What Lighthouse makes of the pages that visitors see most, on a phone and on a desk.
//!
//! How fast a page is, it measures on a machine that may be busy. So what it measures is left to the benches, and what
//! makes a page fast on any machine is judged here: how much is loaded, how often, and that nothing moves.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Database, House, audit};

/// It loses a page now and then, on a machine that is busy.
const TRIES: usize = 3;

/// The page, its stylesheet, its script and its icon; in bytes, as they are sent.
const REQUESTS: usize = 4;
const WEIGHT: f64 = 24.0 * 1024.0;

#[tokio::test]
async fn at_home_lighthouse_misses_nothing() {
    let house = House::new(Database::Sqlite).await;
    misses_nothing(&house, "/", "", REQUESTS);
}

#[tokio::test]
async fn at_sign_in_lighthouse_misses_nothing() {
    let house = House::new(Database::Sqlite).await;
    // And what offers a passkey: a script, and the challenge that it asks for.
    misses_nothing(&house, "/sign-in", "", REQUESTS + 2);
}

#[tokio::test]
async fn at_the_account_lighthouse_misses_nothing() {
    let house = House::new(Database::Sqlite).await;
    let member = house.member("ada@example.org").await;
    let session = member.cookie("doorpost").unwrap();
    misses_nothing(&house, "/account", &format!("doorpost={session}"), REQUESTS);
}

fn misses_nothing(house: &House, path: &str, cookie: &str, requests: usize) {
    let page = format!("{}{path}", house.url);
    for preset in ["--form-factor=mobile", "--preset=desktop"] {
        let report = lighthouse(&page, preset, cookie);
        assert_eq!(report["finalDisplayedUrl"], page, "{preset}");
        for category in ["accessibility", "best-practices"] {
            let score = score(&report, category);
            assert_eq!(score, 1.0, "{preset}, {category}: {}", missed(&report));
        }
        match cookie.is_empty() {
            true => assert_eq!(score(&report, "seo"), 1.0, "{preset}: {}", missed(&report)),
            // robots.txt keeps search engines away from what is a member's.
            false => assert_eq!(report["audits"]["is-crawlable"]["score"], 0, "{preset}"),
        }
        is_light(&report, preset, requests);
    }
}

fn is_light(report: &Value, preset: &str, most: usize) {
    let requests = &report["audits"]["network-requests"]["details"]["items"];
    let requests = requests.as_array().unwrap().iter();
    // What is at hand already is named once more.
    let loaded = requests
        .filter(|request| request["transferSize"] != 0)
        .count();
    assert!(loaded <= most, "{preset}: {loaded} requests");
    let figure = |audit: &str| report["audits"][audit]["numericValue"].as_f64().unwrap();
    let weight = figure("total-byte-weight");
    assert!(weight > 0.0 && weight <= WEIGHT, "{preset}: {weight} bytes");
    let shift = figure("cumulative-layout-shift");
    assert!(shift < 0.01, "{preset}: something moves: {shift}");
}

/// What it reports of a page, loaded in a browser of its own that sends this cookie.
fn lighthouse(page: &str, preset: &str, cookie: &str) -> Value {
    let home = tempfile::tempdir().unwrap();
    let headers = serde_json::json!({ "Cookie": cookie });
    let mut why = String::new();
    for _ in 0..TRIES {
        match load(page, preset, &headers.to_string(), home.path()) {
            Ok(report) => return report,
            Err(said) => why = said,
        }
    }
    panic!("{page}: {why}");
}

fn load(page: &str, preset: &str, headers: &str, home: &Path) -> Result<Value, String> {
    let run = Command::new("timeout")
        .args(["--kill-after=10s", "2m", "node"])
        .arg(audit::in_packages("lighthouse/cli/index.js"))
        .args([page, preset, "--output=json", "--quiet"])
        .arg(format!("--extra-headers={headers}"))
        .arg("--chrome-flags=--headless=new --no-sandbox --disable-gpu --no-first-run")
        .arg("--no-enable-error-reporting")
        .env("HOME", home)
        .output()
        .unwrap();
    match run.status.success() {
        true => Ok(serde_json::from_slice(&run.stdout).unwrap()),
        false => Err(String::from_utf8_lossy(&run.stderr).into_owned()),
    }
}

fn score(report: &Value, category: &str) -> f64 {
    report["categories"][category]["score"].as_f64().unwrap()
}

/// The audits that were not passed, of those that count, with what they found.
fn missed(report: &Value) -> String {
    let categories = report["categories"].as_object().unwrap().values();
    let refs = categories.flat_map(|category| category["auditRefs"].as_array().unwrap());
    let missed = refs.filter(|it| it["weight"] != 0).filter_map(|it| {
        let audit = &report["audits"][it["id"].as_str().unwrap()];
        let passed = audit["score"].as_f64().is_none_or(|score| score >= 1.0);
        (!passed).then(|| format!("{}: {}", audit["title"], audit["details"]["items"]))
    });
    missed.collect::<Vec<_>>().join("\n")
}
