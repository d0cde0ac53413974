//! `doorpost users`: who has an account, and what only the operator may do to one.
//!
//! An account is named by its address or by its id. What is done to it stands in its activity as the operator's, and
//! waits for a visitor who changes it just now, as visitors wait for each other.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};

use crate::accounts::admission;
use crate::accounts::email_address::EmailAddress;
use crate::accounts::users::{Named, Operator};
use crate::actions::invite::{self, Invited, Told};
use crate::actions::lock_account::{self, Outcome as LockOutcome};
use crate::actions::make_sign_in_link::{self, Outcome as LinkOutcome};
use crate::actions::reset_hold::{self, Outcome as HoldOutcome};
use crate::actions::set_email::{self, Outcome as EmailOutcome};
use crate::actions::{delete_account, end_sessions};
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;
use crate::humanize;
use crate::operator::out::Out;
use crate::operator::{self, ask};

mod shown;

use shown::Account;

/// What can be done with users.
#[derive(Subcommand)]
pub enum Command {
    /// All accounts, a line each, by their addresses.
    List(ListArguments),
    /// What is kept of one account, but for secrets.
    Show {
        #[command(flatten)]
        who: Who,
        /// As a JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Let an address in, whatever SIGN_UP says, and mail it a link to begin with.
    Invite {
        /// The address.
        #[arg(value_parser = EmailAddress::parse)]
        address: EmailAddress,
        /// Print the link instead of mailing it.
        #[arg(long, conflicts_with = "withdraw")]
        print: bool,
        /// Take the invitation back; an account made through it stays.
        #[arg(long)]
        withdraw: bool,
        /// Only say whether there is one to take back.
        #[arg(long, requires = "withdraw")]
        dry_run: bool,
    },
    /// Lock an account: nobody comes in.
    ///
    /// Every session, every token of a program and every link ends at once, on all nodes. Whoever tries to come in sees
    /// what a stranger sees; the mailbox is told, once a day, when somebody asks for a message to come in.
    Lock {
        #[command(flatten)]
        who: Who,
        /// Only say what would end.
        #[arg(long)]
        dry_run: bool,
    },
    /// Unlock an account.
    ///
    /// What the lock ended stays ended.
    Unlock {
        #[command(flatten)]
        who: Who,
    },
    /// End the hold on an account whose password was set by mail, for somebody who has lost their passkey.
    ///
    /// Another address, other passkeys and the end of the account wait no more. Be sure who asks: whoever reads the mailbox
    /// would ask for that.
    EndHold {
        #[command(flatten)]
        who: Who,
        /// Only say whether anything is held.
        #[arg(long)]
        dry_run: bool,
    },
    /// Sign an account out everywhere.
    ///
    /// Every session ends at once, in browsers and of programs. Links in messages live on.
    EndSessions {
        #[command(flatten)]
        who: Who,
        /// Only say what would end.
        #[arg(long)]
        dry_run: bool,
    },
    /// Print a link that signs in to an account, to be handed on without mail.
    ///
    /// It works once, asks for the address of the account, and ends the sign-in links of before. It stands nowhere else.
    SignInLink {
        #[command(flatten)]
        who: Who,
    },
    /// Give an account another address, because the mailbox of the old one is lost.
    ///
    /// It counts at once. Every session, every link and the password of before are gone, and nothing takes it back but this
    /// command. Both addresses are told.
    SetEmail {
        #[command(flatten)]
        who: Who,
        /// The address it is to have. No link proves it: be sure whose it is.
        #[arg(value_parser = EmailAddress::parse)]
        new_address: EmailAddress,
        #[command(flatten)]
        how: How,
    },
    /// Delete an account with everything that is kept of it.
    ///
    /// It is what its owner could do. One letter tells the mailbox.
    Delete {
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        how: How,
    },
}

/// Which account.
#[derive(Args)]
pub struct Who {
    /// The account, by its address or its id.
    #[arg(value_name = "ADDRESS|ID", value_parser = Named::parse)]
    pub who: Named,
}

/// How what cannot be undone is done.
#[derive(Args)]
pub struct How {
    /// Only say what would be gone.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}

/// Which accounts, and how they are shown.
#[derive(Args)]
pub struct ListArguments {
    /// Only those whose address is this, in which `*` stands for anything: `*@example.org`.
    #[arg(long, value_name = "PATTERN")]
    pub address: Option<String>,
    /// Only those that stand so.
    #[arg(long, value_enum)]
    pub state: Option<State>,
    /// How many at the most; all, unless it is said.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// As a JSON array.
    #[arg(long)]
    pub json: bool,
}

/// How an account stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum State {
    /// Its owner can come in.
    Active,
    /// Nobody can.
    Locked,
}

impl Command {
    /// Whether it is about what is there already or not at all. Whoever invites may be the first.
    pub fn wants_accounts(&self) -> bool {
        !matches!(self, Self::Invite { dry_run: false, .. })
    }
}

/// Does what the command says and prints what it did.
pub async fn run(command: Command, app: App, out: &Out) -> Result<ExitCode> {
    match command.wants_accounts() {
        true => app.db.ready().await?,
        false => operator::bring_up_to_date(&app.db)?,
    }
    // No reason to leave an account unlocked: a key that was stolen is replaced before the new one is the database's.
    operator::key_fits(&app, out).await?;
    let console = Console { app, out };
    match command {
        Command::List(arguments) => shown::list(&console.app, arguments, out).await,
        Command::Show { who, json } => console.show(who, json).await,
        Command::Invite {
            address,
            print,
            withdraw: false,
            ..
        } => console.invite(address, print).await,
        Command::Invite {
            address,
            dry_run: true,
            ..
        } => console.say_whether_invited(address).await,
        Command::Invite { address, .. } => console.withdraw_invitation(address).await,
        Command::Lock { who, dry_run: true } => console.say_what_ends(who, "lock").await,
        Command::Lock { who, .. } => console.lock(who).await,
        Command::Unlock { who } => console.unlock(who).await,
        Command::EndHold { who, dry_run: true } => console.say_whether_held(who).await,
        Command::EndHold { who, .. } => console.end_hold(who).await,
        Command::EndSessions { who, dry_run: true } => console.say_what_ends(who, "sign out").await,
        Command::EndSessions { who, .. } => console.end_sessions(who).await,
        Command::SignInLink { who } => console.make_sign_in_link(who).await,
        Command::SetEmail {
            who,
            new_address,
            how,
        } => console.set_email(who, new_address, how).await,
        Command::Delete { who, how } => console.delete(who, how).await,
    }
}

/// Where the operator asks and is answered.
struct Console<'a> {
    app: App,
    out: &'a Out,
}

impl Console<'_> {
    async fn show(&self, who: Who, json: bool) -> Result<ExitCode> {
        let Some(account) = self.find(&who.who).await? else {
            return Ok(self.know_no(&who.who));
        };
        account.print(json, self.out)?;
        Ok(ExitCode::SUCCESS)
    }

    async fn invite(&self, email: EmailAddress, print: bool) -> Result<ExitCode> {
        let told = if print {
            Told::ByOperator
        } else {
            Told::ByMail
        };
        let address = email.clone();
        let invited = self
            .act(move |tx, app, _| invite::invite(tx, app, &address, told))
            .await?;
        Ok(match invited {
            Invited::Mailed => self.say(format!(
                "{email} is invited; the mail leaves with the next running Doorpost."
            )),
            Invited::Link(path) => self.say(self.app.config.server.public_url.link(&path)),
            Invited::HasAccount if print => {
                self.complain(format!("{email} has an account already; no link was made."))
            }
            Invited::HasAccount => {
                self.say(format!("{email} has an account already; nothing was sent."))
            }
            Invited::Kept => self.complain(format!("{}; nothing was sent.", is_kept(&email))),
        })
    }

    async fn withdraw_invitation(&self, email: EmailAddress) -> Result<ExitCode> {
        let address = email.clone();
        let was_invited = self
            .act(move |tx, _, _| invite::withdraw(tx, &address))
            .await?;
        Ok(self.say(match was_invited {
            true => format!("{email} is not invited any more."),
            false => was_not_invited(&email),
        }))
    }

    async fn say_whether_invited(&self, email: EmailAddress) -> Result<ExitCode> {
        let address = email.clone();
        let is_invited = self
            .app
            .read(move |tx| admission::is_invited(tx, address.as_str()))
            .await?;
        Ok(self.say(match is_invited {
            true => format!("Would take the invitation of {email} back."),
            false => was_not_invited(&email),
        }))
    }

    async fn lock(&self, who: Who) -> Result<ExitCode> {
        let named = who.who.clone();
        let locked = self
            .act(move |tx, _, operator| lock_account::lock(tx, operator, &named))
            .await?;
        Ok(match locked {
            LockOutcome::Done(email) => self.say(format!(
                "{email} is locked; every session and every link of it has ended."
            )),
            LockOutcome::WasSo(email) => self.say(format!("{email} was locked already.")),
            LockOutcome::NoAccount => self.know_no(&who.who),
        })
    }

    async fn unlock(&self, who: Who) -> Result<ExitCode> {
        let named = who.who.clone();
        let unlocked = self
            .act(move |tx, _, operator| lock_account::unlock(tx, operator, &named))
            .await?;
        Ok(match unlocked {
            LockOutcome::Done(email) => self.say(format!("{email} is not locked any more.")),
            LockOutcome::WasSo(email) => self.say(format!("{email} was not locked.")),
            LockOutcome::NoAccount => self.know_no(&who.who),
        })
    }

    async fn end_hold(&self, who: Who) -> Result<ExitCode> {
        let named = who.who.clone();
        let ended = self
            .act(move |tx, app, operator| reset_hold::lift(tx, app, operator, &named))
            .await?;
        Ok(match ended {
            HoldOutcome::Done(email) => self.say(format!("Nothing of {email} is held any more.")),
            HoldOutcome::WasSo(email) => self.say(nothing_is_held(&email)),
            HoldOutcome::NoAccount => self.know_no(&who.who),
        })
    }

    async fn say_whether_held(&self, who: Who) -> Result<ExitCode> {
        Ok(match self.find(&who.who).await? {
            Some(account) => self.say(match account.held_until() {
                Some(until) => format!(
                    "Would end the hold on {}, which lasts until {until}.",
                    account.email()
                ),
                None => nothing_is_held(account.email()),
            }),
            None => self.know_no(&who.who),
        })
    }

    async fn end_sessions(&self, who: Who) -> Result<ExitCode> {
        let named = who.who.clone();
        let ended = self
            .act(move |tx, _, operator| end_sessions::end_all(tx, operator, &named))
            .await?;
        Ok(match ended {
            Some(email) => self.say(format!("{email} is signed out everywhere.")),
            None => self.know_no(&who.who),
        })
    }

    /// The link goes to standard output, alone, and nowhere else.
    async fn make_sign_in_link(&self, who: Who) -> Result<ExitCode> {
        let named = who.who.clone();
        let made = self
            .act(move |tx, app, operator| make_sign_in_link::make(tx, app, operator, &named))
            .await?;
        Ok(match made {
            LinkOutcome::Made(made) => {
                self.out.complain(format_args!(
                    "Signs in to {}, once, for {} from now on; it asks for this address. Older sign-in links have ended.",
                    made.email,
                    humanize::lasting(made.lifetime)
                ));
                self.say(self.app.config.server.public_url.link(&made.path))
            }
            LinkOutcome::Locked(email) => {
                self.complain(format!("{email} is locked; no link was made."))
            }
            LinkOutcome::NoAccount => self.know_no(&who.who),
        })
    }

    async fn set_email(&self, who: Who, new: EmailAddress, how: How) -> Result<ExitCode> {
        let Some(account) = self.find(&who.who).await? else {
            return Ok(self.know_no(&who.who));
        };
        let email = account.email();
        if how.dry_run {
            let (named, address) = (account.named(), new.clone());
            let look = move |tx: &mut Tx<'_>| set_email::look(tx, &named, &address);
            return Ok(match self.app.read(look).await? {
                Some(refused) => self.say_what_became(refused, &who.who, &new),
                None => self.say(format!(
                    "Would give {email} the address {new}, and end or take away: {}.",
                    account.in_short()
                )),
            });
        }
        let question = format!(
            "{email} gets the address {new}, and loses its password, every session and every link."
        );
        if let Err(ended) = ask::confirm(question, how.yes, self.out) {
            return Ok(ended);
        }
        let (named, address) = (account.named(), new.clone());
        let set = self
            .act(move |tx, app, operator| set_email::set(tx, app, operator, &named, &address))
            .await?;
        Ok(self.say_what_became(set, &who.who, &new))
    }

    fn say_what_became(&self, set: EmailOutcome, who: &Named, new: &EmailAddress) -> ExitCode {
        match set {
            EmailOutcome::Done { before } => self.say(format!(
                "{before} is {new} now; every session, every link and the password are gone, and both addresses are told."
            )),
            EmailOutcome::WasSo => self.say(format!(
                "The account has the address {new} already; nothing was done."
            )),
            EmailOutcome::Taken => self.complain(format!(
                "Another account has the address {new}; nothing was done."
            )),
            EmailOutcome::Kept => self.complain(format!("{}; nothing was done.", is_kept(new))),
            EmailOutcome::NoAccount => self.know_no(who),
        }
    }

    async fn delete(&self, who: Who, how: How) -> Result<ExitCode> {
        let Some(account) = self.find(&who.who).await? else {
            return Ok(self.know_no(&who.who));
        };
        if how.dry_run {
            return Ok(self.say(format!(
                "Would delete {} with everything that is kept of it: {}.",
                account.email(),
                account.in_short()
            )));
        }
        let question = format!(
            "{} is deleted for good, with everything that is kept of it: {}.",
            account.email(),
            account.in_short()
        );
        if let Err(ended) = ask::confirm(question, how.yes, self.out) {
            return Ok(ended);
        }
        // The very account that was asked about, whatever address it has by now.
        let named = account.named();
        let deleted = self
            .act(move |tx, app, operator| delete_account::by_operator(tx, app, operator, &named))
            .await?;
        Ok(match deleted {
            Some(email) => self.say(format!("{email} is deleted, and the mailbox will be told.")),
            None => self.know_no(&who.who),
        })
    }

    async fn say_what_ends(&self, who: Who, verb: &str) -> Result<ExitCode> {
        Ok(match self.find(&who.who).await? {
            Some(account) => self.say(format!(
                "Would {verb} {}: {}.",
                account.email(),
                account.in_short()
            )),
            None => self.know_no(&who.who),
        })
    }

    async fn find(&self, who: &Named) -> Result<Option<Account>> {
        let (config, who) = (self.app.config.clone(), who.clone());
        self.app
            .read(move |tx| Account::find(tx, &config, &who))
            .await
    }

    async fn act<T: Send + 'static>(
        &self,
        action: impl FnOnce(&mut Tx, &App, Operator) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let app = self.app.clone();
        let operator = Operator::at_the_command_line();
        self.app
            .transaction(move |tx| action(tx, &app, operator))
            .await
    }

    fn say(&self, words: String) -> ExitCode {
        self.out.line(words);
        ExitCode::SUCCESS
    }

    fn complain(&self, words: String) -> ExitCode {
        self.out.complain(words);
        ExitCode::FAILURE
    }

    fn know_no(&self, who: &Named) -> ExitCode {
        self.complain(match who {
            Named::Address(address) => format!("There is no account {address}."),
            Named::Id(id) => format!("There is no account with the id {id}."),
        })
    }
}

fn was_not_invited(email: &EmailAddress) -> String {
    format!("{email} was not invited.")
}

fn nothing_is_held(email: &str) -> String {
    format!("Nothing of {email} was held.")
}

fn is_kept(email: &EmailAddress) -> String {
    format!(
        "{email} was another account's until lately, and is kept while its owner may take that back"
    )
}
