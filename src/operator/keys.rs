//! `doorpost keys`: a fresh secret key, whose database it is, and what access tokens are signed with.

use clap::Subcommand;

use crate::accounts::key_probe;
use crate::accounts::signing_keys::{self, Next};
use crate::app::App;
use crate::error::Result;
use crate::humanize;
use crate::keys;
use crate::operator::out::Out;

/// What can be done with the keys.
#[derive(Subcommand)]
pub enum Command {
    /// Take SECRET_KEY for the key of this database, whatever key has sealed what is in it: the one before was given
    /// up. What only that one opens stays shut.
    Adopt,
    /// Print a line with a fresh SECRET_KEY for the settings. It needs none to be there, and keeps nothing.
    Generate,
    /// Make another key to sign access tokens with. It is listed first, and signs once every other service may be
    /// expected to know it; the old one still verifies what it signed.
    Rotate {
        /// The key was stolen: forget it, and sign with another at once. Every access token is dead, whoever signed it;
        /// programs refresh theirs. Services that keep the list of keys refuse new tokens until they read it again.
        #[arg(long)]
        now: bool,
    },
}

/// Prints a fresh key. Where it is to be used there may be no configuration yet.
pub fn generate(out: &Out) {
    out.line(keys::fresh_setting());
}

/// Does what the command says, and says so.
pub async fn run(command: Command, app: App, out: &Out) -> Result<()> {
    app.db.migrate()?;
    match command {
        Command::Generate => {
            generate(out);
            Ok(())
        }
        Command::Adopt => adopt(&app, out).await,
        Command::Rotate { now: false } => rotate(&app, out).await,
        Command::Rotate { now: true } => replace_all(&app, out).await,
    }
}

async fn adopt(app: &App, out: &Out) -> Result<()> {
    let keys = app.keys.clone();
    app.transaction(move |tx| key_probe::adopt(tx, &keys))
        .await?;
    out.line(format_args!(
        "Key {} is the key of this database from now on.",
        app.keys.id()
    ));
    Ok(())
}

async fn rotate(app: &App, out: &Out) -> Result<()> {
    let keys = app.keys.clone();
    let next = app.transaction(move |tx| signing_keys::rotate(tx, &keys));
    let Next { id, signs_from } = next.await?;
    let from = humanize::rfc3339(signs_from);
    out.line(format_args!(
        "{id} is listed from now on, and signs from {from} on."
    ));
    Ok(())
}

async fn replace_all(app: &App, out: &Out) -> Result<()> {
    let keys = app.keys.clone();
    let made = app.transaction(move |tx| signing_keys::replace_all(tx, &keys));
    let Next { id, .. } = made.await?;
    out.line(format_args!(
        "{id} signs from now on; every access token of before is dead. Every node knows within a minute."
    ));
    Ok(())
}
