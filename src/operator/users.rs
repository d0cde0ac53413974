//! `doorpost users`: lets people in where sign-up is closed to others.

use clap::Subcommand;

use crate::accounts::email_address::EmailAddress;
use crate::actions::invite::{self, Invited, Told};
use crate::app::App;
use crate::error::Result;
use crate::operator::out::Out;

/// What can be done with users.
#[derive(Subcommand)]
pub enum Command {
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
    },
}

/// Does what the command says and prints what it did.
pub async fn run(command: Command, app: App, out: &Out) -> Result<()> {
    let Command::Invite {
        address: email,
        print,
        withdraw,
    } = command;
    app.db.migrate()?;
    out.line(match withdraw {
        true => withdraw_invitation(&app, email).await?,
        false => invite(&app, email, print).await?,
    });
    Ok(())
}

async fn invite(app: &App, email: EmailAddress, print: bool) -> Result<String> {
    let told = if print {
        Told::ByOperator
    } else {
        Told::ByMail
    };
    let (inviting, address) = (app.clone(), email.clone());
    let invited = app.transaction(move |tx| invite::invite(tx, &inviting, &address, told));
    Ok(match invited.await? {
        Invited::Mailed => {
            format!("{email} is invited; the mail leaves with the next running Doorpost.")
        }
        Invited::Link(path) => app.config.server.public_url.link(&path),
        Invited::HasAccount => format!("{email} has an account already; nothing was sent."),
        Invited::Kept => format!(
            "{email} was another account's until lately, and is kept while its owner may take that back; \
             nothing was sent."
        ),
    })
}

async fn withdraw_invitation(app: &App, email: EmailAddress) -> Result<String> {
    let address = email.clone();
    let was_invited = app.transaction(move |tx| invite::withdraw(tx, &address));
    Ok(match was_invited.await? {
        true => format!("{email} is not invited any more."),
        false => format!("{email} was not invited."),
    })
}
