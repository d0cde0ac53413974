//! `doorpost mail`: what waits, what became of it, and whether any would leave.
//!
//! Nothing here shows the content of a mail: it may hold a live link.

use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use serde::Serialize;

use crate::accounts::email_address::EmailAddress;
use crate::app::App;
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::error::Result;
use crate::humanize;
use crate::mail::bounce_address;
use crate::mail::letters;
use crate::mail::message::compose;
use crate::mail::outbox::kept::{self, KeptMail, Retried};
use crate::mail::outbox::{Mail, state};
use crate::mail::smtp::{Envelope, Smtp, Stage};
use crate::operator::out::Out;

mod bounce;

/// What can be done with mail.
#[derive(Subcommand)]
pub enum Command {
    /// Read what a mail server reports of letters that came back: one message from standard input, or a Maildir.
    Bounce(bounce::Arguments),
    /// The newest mail, a line each, and how much there is of each state.
    List {
        /// Only what stands so.
        #[arg(long, value_enum)]
        state: Option<State>,
        /// How many at the most.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// All that is kept of one mail, but for its content.
    Show {
        /// As `list` names it.
        id: String,
        /// As a JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Try a mail now that waits for its time, or was refused and had no link in it.
    Retry {
        /// As `list` names them.
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Send one message to this address, now, and say each step of the conversation with the mail server.
    Test {
        /// The address.
        #[arg(value_parser = EmailAddress::parse)]
        address: EmailAddress,
    },
}

/// Where a mail stands.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum State {
    /// It waits for its next try, or is being tried.
    Queued,
    /// The mail server took charge of it.
    Sent,
    /// It was sent, and came back.
    Bounced,
    /// The mail server will never take it, or it is damaged.
    Refused,
    /// It came to be of no use before it could be sent.
    Dropped,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Queued => state::QUEUED,
            Self::Sent => state::SENT,
            Self::Bounced => state::BOUNCED,
            Self::Refused => state::REFUSED,
            Self::Dropped => state::DROPPED,
        }
    }
}

impl Command {
    /// With what code it ends if the configuration is refused. A mail server that calls it keeps the message then:
    /// with any other code it would take it for lost.
    pub fn refused(&self) -> Option<u8> {
        matches!(self, Self::Bounce(_)).then_some(bounce::TRY_AGAIN)
    }
}

/// Does what the command says and prints what it found.
pub async fn run(command: Command, config: Config, clock: Clock, out: &Out) -> Result<ExitCode> {
    match command {
        Command::Bounce(arguments) => Ok(bounce::run(arguments, config, clock, out).await),
        Command::List { state, limit, json } => {
            list(&open(config, clock).await?, state, limit, json, out).await
        }
        Command::Show { id, json } => show(&open(config, clock).await?, id, json, out).await,
        Command::Retry { ids } => retry(&open(config, clock).await?, ids, out).await,
        Command::Test { address } => test(&config, &address, clock.now(), out).await,
    }
}

async fn open(config: Config, clock: Clock) -> Result<App> {
    let app = App::new(config, clock)?;
    app.db.ready().await?;
    Ok(app)
}

async fn list(
    app: &App,
    state: Option<State>,
    limit: i64,
    json: bool,
    out: &Out,
) -> Result<ExitCode> {
    let (mails, counts) = app
        .read(move |tx| {
            let mails = kept::list(tx, state.map(State::name), limit)?;
            Ok((mails, kept::counts(tx)?))
        })
        .await?;
    let facts: Vec<Facts> = mails.into_iter().map(Facts::from).collect();
    if json {
        return print_json(&facts, out);
    }
    for mail in &facts {
        out.line(mail.line());
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    match counts.as_slice() {
        [] => out.line("There is no mail."),
        counts => out.line(format_args!("In all: {}.", counts.join(", "))),
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(app: &App, id: String, json: bool, out: &Out) -> Result<ExitCode> {
    let wanted = id.clone();
    let Some(mail) = app.read(move |tx| kept::find(tx, &wanted)).await? else {
        out.complain(format_args!("There is no mail {id}."));
        return Ok(ExitCode::FAILURE);
    };
    let facts = Facts::from(mail);
    if json {
        return print_json(&facts, out);
    }
    for (name, value) in facts.fields() {
        out.line(format_args!("{name:<13} {value}"));
    }
    Ok(ExitCode::SUCCESS)
}

async fn retry(app: &App, ids: Vec<String>, out: &Out) -> Result<ExitCode> {
    let mut ended = ExitCode::SUCCESS;
    for id in ids {
        let wanted = id.clone();
        let retried = app.transaction(move |tx| kept::retry(tx, &wanted)).await?;
        if retried == Retried::Now {
            tracing::info!(mail = id, event = "mail_retried", "mail is tried again");
        }
        let told = match retried {
            Retried::Now => "a running Doorpost tries it now",
            Retried::Soon => "it is being tried, or will be within a minute",
            Retried::Over => "it was sent, or is of no use any more",
            Retried::Erased => "its words were erased when it was refused; ask for a new one",
            Retried::Unknown => "there is no such mail",
        };
        out.line(format_args!("{id}  {told}"));
        if !matches!(retried, Retried::Now | Retried::Soon) {
            ended = ExitCode::FAILURE;
        }
    }
    Ok(ended)
}

/// Past the outbox and without a database: who runs this wants to see the conversation.
async fn test(config: &Config, to: &EmailAddress, now: Timestamp, out: &Out) -> Result<ExitCode> {
    let Some(smtp) = Smtp::of(config)? else {
        out.complain("SMTP_URL is not set: mail is shown at /dev/inbox, and none leaves.");
        return Ok(ExitCode::FAILURE);
    };
    let letter = letters::test(config, to.as_str(), now)?;
    let mail = Mail::unqueued(&letter, now);
    let message = compose(config, &mail, &letter.content)?;
    let envelope = Envelope {
        from: &bounce_address::probing_sender(config),
        to: to.as_str(),
        id: &mail.id,
    };
    let steps = out.clone();
    let tell = move |stage: Stage, what: &str| {
        steps.line(format_args!("{:<12} {what}", stage.to_string()));
    };
    match smtp.send_watched(envelope, &message, &tell).await {
        Ok(()) => {
            out.line(format_args!(
                "The server took charge of it. Look for it in the mailbox of {to}."
            ));
            Ok(ExitCode::SUCCESS)
        }
        Err(failure) => {
            out.line(format_args!("FAILED at {failure}"));
            Ok(ExitCode::FAILURE)
        }
    }
}

/// A mail in words and in JSON; times are RFC 3339.
#[derive(Serialize)]
struct Facts {
    id: String,
    letter: String,
    to: String,
    state: String,
    queued_at: String,
    useful_until: String,
    tries: i32,
    next_try_at: Option<String>,
    sealed_by: Option<String>,
    settled_at: Option<String>,
    reason: Option<String>,
}

impl From<KeptMail> for Facts {
    fn from(mail: KeptMail) -> Self {
        let moment = |at: Option<Timestamp>| at.map(humanize::rfc3339);
        Self {
            id: mail.id,
            letter: mail.letter,
            to: mail.email,
            state: mail.state,
            queued_at: humanize::rfc3339(mail.queued_at),
            useful_until: humanize::rfc3339(mail.useful_until),
            tries: mail.tries,
            next_try_at: moment(mail.due_at),
            sealed_by: mail.sealed_by,
            settled_at: moment(mail.settled_at),
            reason: mail.reason,
        }
    }
}

impl Facts {
    fn line(&self) -> String {
        let reason = self.reason.as_deref().unwrap_or_default();
        let line = format!(
            "{}  {}  {:<7}  {}  {}  {reason}",
            self.id, self.queued_at, self.state, self.letter, self.to
        );
        line.trim_end().to_owned()
    }

    /// What there is to say, by name.
    fn fields(&self) -> Vec<(&'static str, String)> {
        let known = |value: &Option<String>| value.clone().unwrap_or_default();
        let fields = [
            ("id", self.id.clone()),
            ("letter", self.letter.clone()),
            ("to", self.to.clone()),
            ("state", self.state.clone()),
            ("queued at", self.queued_at.clone()),
            ("useful until", self.useful_until.clone()),
            ("tries", self.tries.to_string()),
            ("next try at", known(&self.next_try_at)),
            ("sealed by", known(&self.sealed_by)),
            ("settled at", known(&self.settled_at)),
            ("reason", known(&self.reason)),
        ];
        fields
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect()
    }
}

fn print_json(facts: &impl Serialize, out: &Out) -> Result<ExitCode> {
    out.json(facts)?;
    Ok(ExitCode::SUCCESS)
}
