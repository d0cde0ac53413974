//! `doorpost check`: whether it could serve, before it does.
//!
//! It looks at everything that a start would need and a line of the environment can get wrong. It makes
//! nothing: no file, no key, no table, no mail.

use std::process::ExitCode;

use crate::app;
use crate::clock::Clock;
use crate::config::{Config, DatabaseUrl};
use crate::db::Db;
use crate::mail::smtp::Smtp;
use crate::operator::out::Out;
use crate::server::Server;

/// Says how it is with each part, and fails if one fails. That it runs at all says that the configuration
/// was read: else the program has ended before, and named the variable.
pub async fn run(config: &Config, server: &Server, out: &Out) -> ExitCode {
    let parts = [
        ("configuration", Ok("read".to_owned())),
        ("database", database(&config.database.url, server).await),
        ("key", key(config)),
        ("mail", mail(config).await),
    ];
    for (part, found) in &parts {
        match found {
            Ok(how) => out.line(format_args!("{part:<14} ok      {how}")),
            Err(why) => out.line(format_args!("{part:<14} FAILED  {why}")),
        }
    }
    if parts.iter().all(|(_, found)| found.is_ok()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What is well, or what is not, in words.
type Found = Result<String, String>;

async fn database(url: &DatabaseUrl, server: &Server) -> Found {
    if let DatabaseUrl::Sqlite(path) = url
        && !path.exists()
    {
        return Ok(format!("{} is made at the first start", path.display()));
    }
    let db = Db::open(url, Clock::System).map_err(|error| error.to_string())?;
    let db = db.with_migrations(server.own_migrations());
    let pending = db.pending().await.map_err(|error| error.to_string())?;
    Ok(match pending.len() {
        0 => "it answers, and has every migration".to_owned(),
        some => format!("it answers; the next start applies {some} migrations"),
    })
}

fn key(config: &Config) -> Found {
    match app::keys_at_hand(config) {
        Ok(Some(_)) => Ok("it is there".to_owned()),
        Ok(None) => Ok("one is made at the first start".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Logs in, and asks whether we may send as `MAIL_FROM`.
async fn mail(config: &Config) -> Found {
    let smtp = Smtp::of(config).map_err(|error| error.to_string())?;
    let (Some(smtp), Some(url)) = (smtp, &config.mail.smtp) else {
        return Ok("no SMTP_URL: it is shown at /dev/inbox, and none leaves".to_owned());
    };
    let server = format!("{}:{}", url.host, url.port);
    let from = config.mail.from.email.to_string();
    match smtp.check(&from).await {
        Ok(()) => Ok(format!("{server} would have our mail")),
        Err(failure) => Err(format!("{server}: {failure}")),
    }
}
