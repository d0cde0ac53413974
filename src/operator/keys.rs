//! `doorpost keys`: what access tokens are signed with.

use clap::Subcommand;

use crate::accounts::signing_keys;
use crate::app::App;
use crate::error::Result;

/// What can be done with the keys.
#[derive(Subcommand)]
pub enum Command {
    /// Make another key that signs access tokens. The old one still verifies what it signed.
    Rotate,
}

/// Does what the command says, and says so.
pub async fn run(command: Command, app: App) -> Result<()> {
    match command {
        Command::Rotate => rotate(&app).await,
    }
}

async fn rotate(app: &App) -> Result<()> {
    app.db.migrate()?;
    let keys = app.keys.clone();
    let made = app.transaction(move |tx| signing_keys::rotate(tx, &keys));
    match made.await? {
        Some(id) => println!("{id} signs from now on; every node knows within a minute."),
        None => println!("Somebody else made another key in this moment; it signs from now on."),
    }
    Ok(())
}
