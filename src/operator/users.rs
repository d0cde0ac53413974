//! `doorpost users`: lets people into a house that is closed to others.

use clap::Subcommand;

use crate::accounts::email_address::EmailAddress;
use crate::accounts::links::{self, Purpose, Wanted};
use crate::accounts::users;
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;
use crate::mail::letters;

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
pub async fn run(command: Command, app: App) -> Result<()> {
    let Command::Invite {
        address: email,
        print,
        withdraw,
    } = command;
    app.db.migrate()?;
    let told = if withdraw {
        app.transaction(move |tx| withdraw_invitation(tx, &email))
            .await?
    } else {
        let house = app.clone();
        app.transaction(move |tx| invite(tx, &house, &email, print))
            .await?
    };
    println!("{told}");
    Ok(())
}

fn invite(tx: &mut Tx, app: &App, email: &EmailAddress, print: bool) -> Result<String> {
    if users::find_by_email(tx, email)?.is_some() {
        return Ok(format!("{email} has an account already; nothing was sent."));
    }
    users::invite(tx, email)?;
    let wanted = Wanted {
        purpose: Purpose::ConfirmEmail,
        email: email.as_str(),
        user_id: None,
        ask_id: None,
        session_id: None,
    };
    let issued = links::issue(tx, &app.config, &app.keys, &wanted)?;
    if print {
        return Ok(app.config.server.public_url.link(&issued.path()));
    }
    let letter = letters::invitation(&app.config, email.as_str(), &issued, tx.now)?;
    app.outbox.post(tx, &letter)?;
    Ok(format!(
        "{email} is invited; the mail leaves with the next running Doorpost."
    ))
}

fn withdraw_invitation(tx: &mut Tx, email: &EmailAddress) -> Result<String> {
    if !users::withdraw_invitation(tx, email)? {
        return Ok(format!("{email} was not invited."));
    }
    links::end(tx, email.as_str(), Purpose::ConfirmEmail)?;
    Ok(format!("{email} is not invited any more."))
}
