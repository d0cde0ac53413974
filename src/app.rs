//! What a request may need, built the same way by the program and by the tests.

pub mod gate;

use std::sync::Arc;
use std::thread;

use serde_json::Value;

use crate::accounts::access_tokens::ReadLately;
use crate::accounts::notes_under_way::NotesUnderWay;
use crate::accounts::passwords::{Cost, Hasher};
use crate::accounts::signed_links::SignedLinks;
use crate::accounts::signing_keys::SigningKeys;
use crate::accounts::users::User;
use crate::clock::Clock;
use crate::config::Config;
use crate::db::{Db, Tx};
use crate::error::Result;
use crate::keys::{self, Keys};
use crate::mail::health::Health;
use crate::mail::outbox::Outbox;
use crate::webauthn::RelyingParty;
use crate::writable;
use gate::Gate;

/// What a site is called that was given no other name.
pub const NAME: &str = "Doorpost";

/// One Doorpost: its configuration, its keys, its database and its outgoing mail.
#[derive(Clone)]
pub struct App {
    /// What the site calls itself, at the top of every page.
    pub name: &'static str,
    pub config: Arc<Config>,
    pub keys: Arc<Keys>,
    pub clock: Clock,
    pub db: Db,
    /// Where passwords are hashed and compared.
    pub passwords: Hasher,
    /// The site as authenticators know it; none where its host is an IP address.
    pub relying_party: Option<RelyingParty>,
    /// Makes links to pages of ours for a reader, and reads them again.
    pub signed_links: SignedLinks,
    /// What access tokens are signed with.
    pub signing_keys: SigningKeys,
    /// Those that were read lately.
    pub access_tokens: ReadLately,
    /// Sessions of which it is just being written down that they are in use.
    pub notes_under_way: NotesUnderWay,
    pub outbox: Outbox,
    /// Who may pass to which app.
    pub gate: Gate,
    /// What an app that is built on Doorpost keeps of an account.
    pub own_data: Vec<OwnData>,
    /// How the mail worker is doing.
    pub mail_health: Arc<Health>,
}

/// Something that an app keeps of an account, and its name in the file that the owner downloads.
#[derive(Clone, Copy)]
pub struct OwnData {
    pub name: &'static str,
    pub read: fn(&mut Tx, &User) -> Result<Value>,
}

impl App {
    /// Finds or makes the secret key and opens the database. Nothing is served and nothing is migrated
    /// yet.
    pub fn new(config: Config, clock: Clock) -> Result<Self> {
        let keys = Arc::new(match keys_at_hand(&config)? {
            Some(keys) => keys,
            None => {
                let made = keys::load_or_make(config.secret_key_file())?;
                Keys::new(&made, &config.keys.secret_keys_old)?
            }
        });
        let db = Db::open(&config.database.url, clock.clone())?;
        let passwords = hasher(&config)?;
        let config = Arc::new(config);
        Ok(Self {
            name: NAME,
            passwords,
            relying_party: RelyingParty::of(&config.server.public_url),
            signed_links: SignedLinks::new(config.clone(), keys.clone()),
            signing_keys: SigningKeys::new(keys.clone()),
            access_tokens: ReadLately::default(),
            notes_under_way: NotesUnderWay::default(),
            outbox: Outbox::new(config.clone(), keys.clone()),
            gate: Gate::new(config.gateway.gate.as_ref()),
            own_data: Vec::new(),
            mail_health: Arc::new(Health::default()),
            config,
            keys,
            clock,
            db,
        })
    }

    /// Reads, and changes nothing.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tx) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.db.read(work).await
    }

    /// Does all of the work or none of it; mail that was posted by it leaves only now.
    pub async fn transaction<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tx) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let done = self.db.transaction(work).await?;
        self.outbox.notify();
        Ok(done)
    }
}

/// The keys of this configuration, as far as there are any: with none configured, one is made at the first
/// start.
pub fn keys_at_hand(config: &Config) -> Result<Option<Keys>> {
    let found;
    let secret_key = match &config.keys.secret_key {
        Some(given) => given,
        None if !config.secret_key_file().exists() => return Ok(None),
        None => {
            found = keys::load(config.secret_key_file())?;
            &found
        }
    };
    Keys::new(secret_key, &config.keys.secret_keys_old).map(Some)
}

/// Whether one could be made.
pub fn could_make_key(config: &Config) -> Result<()> {
    writable::could_make(config.secret_key_file())
}

fn hasher(config: &Config) -> Result<Hasher> {
    let cost = Cost {
        memory_kib: config.passwords.memory_kib,
        passes: config.passwords.passes,
    };
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    Hasher::new(cost, config.passwords.parallel.unwrap_or_else(cores))
}
