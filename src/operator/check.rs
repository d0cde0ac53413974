//! `doorpost check`: whether it could serve, before it does.
//!
//! It does what a start would do, and undoes it: takes the address, makes a file where files are to be made, applies
//! what is pending, opens what the key has sealed, writes, logs in at the mail server. What remains is as it was: no
//! file, no key, no table, no mail.

use std::iter;
use std::net::SocketAddr;
use std::ops::Not;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::accounts::key_probe::{self, Proof};
use crate::app;
use crate::clock::Clock;
use crate::config::{Config, DatabaseUrl, HostPattern, SignUp};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::humanize;
use crate::keys::{self, Keys};
use crate::mail::bounce_address;
use crate::mail::smtp::Smtp;
use crate::operator::health;
use crate::operator::out::Out;
use crate::server::{self, Server};
use crate::webauthn::RelyingParty;
use crate::writable;

/// What is well, or what is not, in words.
type Found = Result<String, String>;

/// How it is said.
#[derive(Args)]
pub struct Arguments {
    /// As a JSON array.
    #[arg(long)]
    pub json: bool,
}

/// One part, and how it is with it.
#[derive(Serialize)]
struct Part {
    part: &'static str,
    ok: bool,
    /// Nothing that would stop a start, and hardly what was meant.
    #[serde(skip_serializing_if = "Not::not")]
    warning: bool,
    words: String,
}

/// Says how it is with each part, and fails if one fails. That it runs at all says that the configuration
/// was read: else the program has ended before, and named the variable.
pub async fn run(
    arguments: Arguments,
    config: &Config,
    server: &Server,
    out: &Out,
) -> Result<ExitCode> {
    let keys = app::keys_at_hand(config);
    let (database, fits) = database(&config.database.url, server, keys.as_ref());
    let found = [
        ("configuration", Ok(where_from())),
        ("address", addresses(config)),
        ("database", database),
        ("key", key(config, keys, fits)),
        ("passkeys", passkeys(config)),
        ("mail", mail(config).await),
    ];
    let parts = found.map(|(part, found)| Part::found(part, found));
    let parts: Vec<Part> = parts.into_iter().chain(gate(config)).collect();
    match arguments.json {
        true => out.json(&parts)?,
        false => parts.iter().for_each(|part| out.line(part.line())),
    }
    Ok(match parts.iter().all(|part| part.ok) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

impl Part {
    fn found(part: &'static str, found: Found) -> Self {
        Self {
            part,
            ok: found.is_ok(),
            warning: false,
            words: found.unwrap_or_else(|why| why),
        }
    }

    fn warning(part: &'static str, words: String) -> Self {
        Self {
            warning: true,
            ..Self::found(part, Ok(words))
        }
    }

    fn line(&self) -> String {
        let how = match (self.ok, self.warning) {
            (false, _) => "FAILED",
            (true, true) => "but   ",
            (true, false) => "ok    ",
        };
        format!("{:<14} {how}  {}", self.part, self.words)
    }
}

/// Who checks in another folder than the one where it runs checks something else.
fn where_from() -> String {
    match Config::file() {
        (file, true) => format!("read, with {}", file.display()),
        (file, false) => format!("read; there is no {}", file.display()),
    }
}

/// A Doorpost that runs there already is to be restarted, and is in nobody's way: with it go its metrics.
fn addresses(config: &Config) -> Found {
    let address = config.server.bind_address;
    match server::could_listen("BIND_ADDRESS", address) {
        Ok(()) => {}
        Err(_) if is_one_of_us(address) => {
            return Ok(format!("a Doorpost listens at {address}"));
        }
        Err(why) => return Err(why.to_string()),
    }
    let Some(metrics) = config.metrics.address else {
        return Ok(format!("{address} is free"));
    };
    server::could_listen("METRICS_ADDRESS", metrics).map_err(|why| why.to_string())?;
    Ok(format!("{address} is free, and so is {metrics}"))
}

fn is_one_of_us(address: SocketAddr) -> bool {
    health::ask(address, "/healthz").is_ok_and(|answer| {
        answer.has_header("x-request-id") && answer.body() == r#"{"status":"ok"}"#
    })
}

/// How it is with the database; and, where that could be seen, whether the key is its own.
fn database(
    url: &DatabaseUrl,
    server: &Server,
    keys: Result<&Option<Keys>, &Error>,
) -> (Found, Option<Proof>) {
    if let DatabaseUrl::Sqlite(path) = url
        && matches!(path.try_exists(), Ok(false))
    {
        return (to_be_made(path), None);
    }
    // Where no key can be had, another one's trouble need not be looked for.
    let keys = keys.ok().and_then(Option::as_ref);
    let rehearsed = Db::open(url, Clock::System).and_then(|db| {
        let db = db.with_migrations(server.own_migrations());
        db.rehearse(|tx| key_probe::prove(tx, keys).map_err(|why| db.not_written(&why)))
    });
    match rehearsed {
        Ok((pending, proof)) => (Ok(ready(pending.len())), Some(proof)),
        Err(why) if why.words().contains("canceling statement due to") => {
            let busy = "it answers; what the next start applies was not tried: it takes its time, or others use the tables";
            (Ok(busy.to_owned()), None)
        }
        Err(why) => (Err(why.to_string()), None),
    }
}

fn to_be_made(path: &Path) -> Found {
    match writable::could_make(path) {
        Ok(()) => Ok(format!("{} is made at the first start", path.display())),
        Err(why) => Err(format!("{} is to be made, and {why}", path.display())),
    }
}

fn ready(pending: usize) -> String {
    match pending {
        0 => "it answers, can be written to, and has every migration".to_owned(),
        some => {
            format!("it answers, and can be written to; the next start applies {some} migrations")
        }
    }
}

fn key(config: &Config, keys: Result<Option<Keys>, Error>, fits: Option<Proof>) -> Found {
    let keys = keys.map_err(|why| why.to_string())?;
    match (&keys, fits) {
        (_, Some(Proof::Misfit { sealed_by })) => Err(keys::misfit(&sealed_by, keys.as_ref())),
        (Some(_), Some(Proof::Fits)) => Ok("it is there, and fits the database".to_owned()),
        (Some(_), None) => Ok("it is there".to_owned()),
        (None, _) => {
            app::could_make_key(config).map_err(|why| why.to_string())?;
            Ok("one is made at the first start".to_owned())
        }
    }
}

/// A site without them is whole: people come in by mail, and with their password.
fn passkeys(config: &Config) -> Found {
    Ok(match RelyingParty::of(&config.server.public_url) {
        Some(site) => format!("they belong to {}", site.id()),
        None => "there are none: the host of PUBLIC_URL is an IP address, and no name".to_owned(),
    })
}

/// Logs in, and asks whether we may send as `MAIL_FROM`, or as what stands for it in the envelope.
async fn mail(config: &Config) -> Found {
    let smtp = Smtp::of(config).map_err(|error| error.to_string())?;
    let (Some(smtp), Some(url)) = (smtp, &config.mail.smtp) else {
        return Ok("no SMTP_URL: it is shown at /dev/inbox, and none leaves".to_owned());
    };
    let server = format!("{}:{}", url.host, url.port);
    let from = bounce_address::probing_sender(config);
    match smtp.check(&from).await {
        Ok(()) => Ok(format!("{server} would have our mail")),
        Err(failure) => Err(format!("{server}: {failure}")),
    }
}

/// Who may pass to the apps that this is a sign-in for, and below that what was forgotten; nothing where it is one for none.
fn gate(config: &Config) -> Vec<Part> {
    let gateway = &config.gateway;
    let words = match &gateway.gate {
        Some(file) => {
            let count = humanize::counted(file.rules.hosts().len() as u64, "host");
            format!("GATE_FILE has rules for {count}")
        }
        None if gateway.return_hosts.is_empty() && gateway.cookie_domain.is_none() => {
            return Vec::new();
        }
        None if config.accounts.sign_up == SignUp::Open => {
            "no GATE_FILE: whoever is signed in may pass, and anybody may sign up".to_owned()
        }
        None => "no GATE_FILE: whoever is signed in may pass".to_owned(),
    };
    let found = Part::found("gate", Ok(words));
    let warnings = forgotten(config).map(|words| Part::warning("gate", words));
    iter::once(found).chain(warnings).collect()
}

/// What these settings forget of each other.
fn forgotten(config: &Config) -> impl Iterator<Item = String> {
    let return_hosts = &config.gateway.return_hosts;
    let rules = config
        .gateway
        .gate
        .iter()
        .flat_map(|file| file.rules.hosts());
    let named: Vec<&HostPattern> = rules.map(|host| &host.name).collect();
    let others = return_hosts.iter().filter(|host| !named.contains(host));
    let apps = named.iter().copied().chain(others);
    let unreached = listed(apps.filter(|host| !is_reached_by_a_cookie(host, config)));
    let unreturned = listed(
        named
            .iter()
            .copied()
            .filter(|host| !return_hosts.cover(host)),
    );
    let leads_nowhere = return_hosts.is_empty() && config.gateway.gate.is_none();
    let is_unheard = config.proxies.trusted.is_empty();
    let forgotten = [
        leads_nowhere.then(|| "RETURN_HOSTS leads nobody back to any app".to_owned()),
        unreturned.map(|hosts| format!("RETURN_HOSTS leads nobody back to {hosts}")),
        unreached
            .map(|hosts| format!("COOKIE_DOMAIN does not reach {hosts}, where nobody is known")),
        is_unheard.then(|| {
            "TRUSTED_PROXIES names no proxy, and what one asks is not believed".to_owned()
        }),
    ];
    forgotten.into_iter().flatten()
}

fn listed<'h>(hosts: impl Iterator<Item = &'h HostPattern>) -> Option<String> {
    let names: Vec<String> = hosts.map(HostPattern::to_string).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// The site's own goes to its own host, whatever the port; that for all goes to those below its domain.
fn is_reached_by_a_cookie(host: &HostPattern, config: &Config) -> bool {
    let shared = config.gateway.cookie_domain.as_ref();
    host.is(config.server.public_url.host()) || shared.is_some_and(|domain| host.is_within(domain))
}
