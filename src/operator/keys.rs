//! `doorpost keys`: a fresh secret key, whose database it is, and what access tokens are signed with.

use clap::Subcommand;

use crate::accounts::key_probe::{self, Proof};
use crate::accounts::signing_keys::{self, Next};
use crate::app::App;
use crate::error::Result;
use crate::humanize;
use crate::keys;
use crate::operator::{self, out::Out};

/// What can be done with the keys.
#[derive(Subcommand)]
pub enum Command {
    /// Take SECRET_KEY for the key of this database, whatever key has sealed what is in it: the one before was given
    /// up. What only that one opens stays shut.
    Adopt {
        /// Only say whether another key is given up.
        #[arg(long)]
        dry_run: bool,
    },
    /// Print a line with a fresh SECRET_KEY for the settings. It needs none to be there, and keeps nothing.
    Generate,
    /// Make another key to sign access tokens with. It is listed first, and signs once every other service may be
    /// expected to know it; the old one still verifies what it signed.
    Rotate {
        /// The key was stolen: forget it, and sign with another at once. Every access token is dead, whoever signed it;
        /// programs refresh theirs. Services that keep the list of keys refuse new tokens until they read it again.
        #[arg(long)]
        now: bool,
        /// Only say which keys would be forgotten.
        #[arg(long, requires = "now")]
        dry_run: bool,
    },
}

/// Prints a fresh key. Where it is to be used there may be no configuration yet.
pub fn generate(out: &Out) {
    out.line(keys::fresh_setting());
}

/// Does what the command says, and says so.
pub async fn run(command: Command, app: App, out: &Out) -> Result<()> {
    match command.changes_nothing() {
        true => app.db.ready().await?,
        false => operator::bring_up_to_date(&app.db)?,
    }
    match command {
        Command::Generate => {
            generate(out);
            Ok(())
        }
        Command::Adopt { dry_run: true } => say_whether_it_fits(&app, out).await,
        Command::Adopt { .. } => adopt(&app, out).await,
        Command::Rotate { now: false, .. } => rotate(&app, out).await,
        Command::Rotate { dry_run: true, .. } => say_what_is_forgotten(&app, out).await,
        Command::Rotate { .. } => replace_all(&app, out).await,
    }
}

impl Command {
    fn changes_nothing(&self) -> bool {
        matches!(
            self,
            Self::Adopt { dry_run: true } | Self::Rotate { dry_run: true, .. }
        )
    }
}

async fn say_whether_it_fits(app: &App, out: &Out) -> Result<()> {
    let keys = app.keys.clone();
    let proof = app.read(move |tx| key_probe::look(tx, Some(&keys)));
    let id = app.keys.id();
    match proof.await? {
        Proof::Fits => out.line(format_args!("Key {id} opens what is in this database.")),
        Proof::Misfit { sealed_by } => out.line(format_args!(
            "Would take key {id} for the key of this database, and give up key {sealed_by}: what only that one opens stays shut."
        )),
    }
    Ok(())
}

async fn adopt(app: &App, out: &Out) -> Result<()> {
    let keys = app.keys.clone();
    app.transaction(move |tx| key_probe::adopt(tx, &keys))
        .await?;
    let key = app.keys.id();
    tracing::info!(key, event = "key_adopted", "adopted");
    out.line(format_args!(
        "Key {key} is the key of this database from now on."
    ));
    Ok(())
}

async fn rotate(app: &App, out: &Out) -> Result<()> {
    let keys = app.keys.clone();
    let next = app.transaction(move |tx| signing_keys::rotate(tx, &keys));
    let Next { id, signs_from } = next.await?;
    let signs_from = humanize::rfc3339(signs_from);
    tracing::info!(key = id, signs_from, event = "signing_key_made", "made");
    out.line(format_args!(
        "{id} is listed from now on, and signs from {signs_from} on."
    ));
    Ok(())
}

async fn say_what_is_forgotten(app: &App, out: &Out) -> Result<()> {
    let ring = app.signing_keys.read_again(&app.db).await?;
    out.line("Would forget these keys, and with them every access token that they have signed:");
    for key in ring.living(app.clock.now()) {
        out.line(&key.id);
    }
    Ok(())
}

async fn replace_all(app: &App, out: &Out) -> Result<()> {
    let keys = app.keys.clone();
    let made = app.transaction(move |tx| signing_keys::replace_all(tx, &keys));
    let Next { id, .. } = made.await?;
    tracing::info!(key = id, event = "signing_keys_replaced", "replaced");
    out.line(format_args!(
        "{id} signs from now on; every access token of before is dead. Every node knows within a minute."
    ));
    Ok(())
}
