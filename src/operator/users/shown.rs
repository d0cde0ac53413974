//! Accounts as an operator sees them: all of them in a list, one of them from every side. No secret is among it.

use std::process::ExitCode;

use serde::Serialize;

use super::{ListArguments, State};
use crate::accounts::links;
use crate::accounts::passkeys;
use crate::accounts::sessions;
use crate::accounts::users::{self, Filter, Named, User};
use crate::app::App;
use crate::config::Config;
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::humanize::{self, rfc3339};
use crate::operator::out::Out;

/// So many accounts are read at once: a list may be longer than what fits into memory.
const PAGE: u64 = 500;

/// Prints the accounts that are wanted.
pub(super) async fn list(app: &App, arguments: ListArguments, out: &Out) -> Result<ExitCode> {
    let mut list = List::begin(out, arguments.json);
    let mut left = arguments.limit.unwrap_or(u64::MAX);
    let mut after = None;
    let filter = Filter {
        pattern: arguments.address,
        locked: arguments.state.map(|state| state == State::Locked),
    };
    while left > 0 && out.is_heard() {
        let (filter, last) = (filter.clone(), after.clone());
        let at_most = i64::try_from(left.min(PAGE)).map_err(Error::internal)?;
        let page = app.read(move |tx| users::list(tx, &filter, last.as_deref(), at_most));
        let page = page.await?;
        let Some(last) = page.last() else {
            break;
        };
        after = Some(last.email.clone());
        left -= page.len() as u64;
        for user in &page {
            list.add(&Facts::of(user))?;
        }
    }
    list.end();
    Ok(ExitCode::SUCCESS)
}

/// A list on its way to standard output, a line each or an element each.
struct List<'a> {
    out: &'a Out,
    json: bool,
    count: u64,
    /// The last element, which is told once it is known whether a comma follows.
    element: Option<String>,
}

impl<'a> List<'a> {
    fn begin(out: &'a Out, json: bool) -> Self {
        if json {
            out.line("[");
        }
        Self {
            out,
            json,
            count: 0,
            element: None,
        }
    }

    fn add(&mut self, account: &Facts) -> Result<()> {
        self.count += 1;
        if !self.json {
            self.out.line(account.line());
            return Ok(());
        }
        let element = serde_json::to_string(account).map_err(Error::internal)?;
        if let Some(before) = self.element.replace(element) {
            self.out.line(format_args!("{before},"));
        }
        Ok(())
    }

    fn end(self) {
        if self.json {
            if let Some(last) = self.element {
                self.out.line(last);
            }
            self.out.line("]");
        } else if self.count == 0 {
            self.out.line("There is no such account.");
        }
    }
}

/// What a list says of an account; times are RFC 3339.
#[derive(Serialize)]
struct Facts {
    id: String,
    email: String,
    state: &'static str,
    created_at: String,
    locked_at: Option<String>,
    has_password: bool,
}

impl Facts {
    fn of(user: &User) -> Self {
        Self {
            id: user.id.clone(),
            email: user.email.clone(),
            state: if user.is_locked() { "locked" } else { "active" },
            created_at: rfc3339(user.created_at),
            locked_at: user.locked_at.map(rfc3339),
            has_password: user.has_password(),
        }
    }

    fn line(&self) -> String {
        format!(
            "{}  {}  {:<6}  {}",
            self.id, self.created_at, self.state, self.email
        )
    }
}

/// One account, with what hangs on it.
#[derive(Serialize)]
pub(super) struct Account {
    #[serde(flatten)]
    facts: Facts,
    password_set_at: Option<String>,
    passkeys: usize,
    /// Until when a reset by mail holds what its passkeys guard, if it does.
    held_until: Option<String>,
    notification_links: bool,
    usual_networks_only: bool,
    announcements: bool,
    /// The address that it is about to have.
    pending_email: Option<String>,
    /// Living ones, in browsers.
    sessions: usize,
    /// So many of them are bound to their device.
    bound_sessions: usize,
    /// Living ones, of programs.
    program_sessions: usize,
    last_seen_at: Option<String>,
    /// Those that were mailed and are not forgotten yet, the newest first.
    links: Vec<MailedLink>,
}

#[derive(Serialize)]
struct MailedLink {
    purpose: String,
    sent_to: String,
    asked_at: String,
    used_at: Option<String>,
}

impl Account {
    /// As it stands now, if there is one.
    pub(super) fn find(tx: &mut Tx, config: &Config, who: &Named) -> Result<Option<Self>> {
        let Some(user) = users::find_named(tx, who)? else {
            return Ok(None);
        };
        let sessions = sessions::list(tx, config, &user.id)?;
        let links = links::kept_of(tx, &user)?;
        let passkeys = passkeys::list(tx, &user.id)?;
        let pending = links::pending_change(tx, config, &user.id)?;
        let hold = user.reset_hold(tx.now, config);
        let of_programs = sessions.iter().filter(|session| session.for_program);
        let program_sessions = of_programs.count();
        let bound = sessions.iter().filter(|session| session.bound_at.is_some());
        Ok(Some(Self {
            password_set_at: user.password_set_at.map(rfc3339),
            passkeys: passkeys.len(),
            held_until: hold.map(|hold| rfc3339(hold.until)),
            notification_links: user.notification_links,
            usual_networks_only: user.usual_networks_only,
            announcements: user.announcements,
            pending_email: pending.map(|pending| pending.email),
            sessions: sessions.len() - program_sessions,
            bound_sessions: bound.count(),
            program_sessions,
            last_seen_at: sessions.first().map(|newest| rfc3339(newest.last_seen_at)),
            links: links
                .into_iter()
                .map(|link| MailedLink {
                    purpose: link.purpose,
                    sent_to: link.email,
                    asked_at: rfc3339(link.asked_at),
                    used_at: link.used_at.map(rfc3339),
                })
                .collect(),
            facts: Facts::of(&user),
        }))
    }

    pub(super) fn email(&self) -> &str {
        &self.facts.email
    }

    pub(super) fn held_until(&self) -> Option<&str> {
        self.held_until.as_deref()
    }

    /// This very account, also if it has another address by then.
    pub(super) fn named(&self) -> Named {
        Named::Id(self.facts.id.clone())
    }

    /// What there is of it that can end.
    pub(super) fn in_short(&self) -> String {
        let counted = |count: usize, what| humanize::counted(count as u64, what);
        let unused = self.links.iter().filter(|link| link.used_at.is_none());
        format!(
            "{}, {}, {}",
            counted(self.sessions, "browser session"),
            counted(self.program_sessions, "program session"),
            counted(unused.count(), "unused link")
        )
    }

    pub(super) fn print(&self, json: bool, out: &Out) -> Result<()> {
        if json {
            out.json(self)?;
            return Ok(());
        }
        for (name, value) in self.fields() {
            out.line(format_args!("{name:<20} {value}"));
        }
        for link in &self.links {
            let used = link.used_at.as_deref().unwrap_or("not used");
            out.line(format_args!(
                "{:<20} {} to {}, asked for {}, used: {used}",
                "link", link.purpose, link.sent_to, link.asked_at
            ));
        }
        Ok(())
    }

    /// What there is to say, by name.
    fn fields(&self) -> Vec<(&'static str, String)> {
        let facts = &self.facts;
        let known = |value: &Option<String>| value.clone().unwrap_or_default();
        let yes_or_no = |is: bool| if is { "yes" } else { "no" }.to_owned();
        let fields = [
            ("id", facts.id.clone()),
            ("email", facts.email.clone()),
            ("state", facts.state.to_owned()),
            ("locked at", known(&facts.locked_at)),
            ("created at", facts.created_at.clone()),
            ("password", yes_or_no(facts.has_password)),
            ("password set at", known(&self.password_set_at)),
            ("passkeys", self.passkeys.to_string()),
            ("held until", known(&self.held_until)),
            ("notification links", yes_or_no(self.notification_links)),
            ("usual networks only", yes_or_no(self.usual_networks_only)),
            ("announcements", yes_or_no(self.announcements)),
            ("pending email", known(&self.pending_email)),
            ("sessions", self.sessions.to_string()),
            ("bound sessions", self.bound_sessions.to_string()),
            ("program sessions", self.program_sessions.to_string()),
            ("last seen at", known(&self.last_seen_at)),
        ];
        fields
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect()
    }
}
