//! Mailed links and the codes beside them: stored as hashes, single use, bound to the address they were
//! sent to.
//!
//! The heart is [`consume`]: one guarded `UPDATE` whose row count decides, on both databases, which of
//! many callers at once has the link's effect. Six products of this kind had the other order (look,
//! then mark) as an advisory in 2026.
//!
//! A row lives on after its use until `keep_until`, so that a second click can be told from a stranger's
//! guess; it is live only while it is unused, unexpired and fewer than three wrong addresses were named.
//! An ask that mails nobody writes the same row as one that does: its tries and its end answer alike.
//!
//! Such a link does something, and once. One that only brings a reader to a page, as often as they like, is
//! signed and not stored: [`signed_links`](super::signed_links).

use std::time::Duration;

use diesel::prelude::*;

use crate::accounts::email_address::EmailAddress;
use crate::accounts::users::{self, User};
use crate::clock::{Timestamp, millis};
use crate::config::Config;
use crate::db::{Connection, Tx, on_either};
use crate::error::Result;
use crate::keys::{KeyPurpose, Keys};
use crate::random::{Code, Token, TokenHash};
use crate::schema::links;

/// What a link is for. Each one brings its facts; a new one does not compile until all are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Signs a member in.
    SignIn,
    /// Proves a stranger's address; the account exists from then on.
    ConfirmEmail,
    /// Sets a password, the first one too.
    ResetPassword,
    /// Proves the address that an account is to have from now on.
    ChangeEmail,
    /// From the address an account had before: takes that back.
    UndoChangeEmail,
}

impl Purpose {
    const ALL: [Self; 5] = [
        Self::SignIn,
        Self::ConfirmEmail,
        Self::ResetPassword,
        Self::ChangeEmail,
        Self::UndoChangeEmail,
    ];

    /// As the table holds it.
    pub fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::ConfirmEmail => "confirm_email",
            Self::ResetPassword => "reset_password",
            Self::ChangeEmail => "change_email",
            Self::UndoChangeEmail => "undo_change_email",
        }
    }

    /// The page a link of this purpose opens; the token follows as `?token=`.
    pub fn route(self) -> &'static str {
        match self {
            Self::SignIn => "/sign-in/link",
            Self::ConfirmEmail => "/confirm-email",
            Self::ResetPassword => "/reset-password",
            Self::ChangeEmail => "/account/email/confirm",
            Self::UndoChangeEmail => "/account/email/undo",
        }
    }

    /// The form that mails a new one; none where only the account's own page may ask.
    pub fn asks_again_at(self) -> Option<&'static str> {
        match self {
            Self::SignIn | Self::UndoChangeEmail => Some("/sign-in"),
            Self::ConfirmEmail => Some("/confirm-email/send"),
            Self::ResetPassword => Some("/forgot-password"),
            Self::ChangeEmail => None,
        }
    }

    /// How long it is good, from the hand-over to SMTP.
    pub fn lifetime(self, config: &Config) -> Duration {
        match self {
            Self::SignIn => config.links.sign_in,
            Self::ConfirmEmail => config.links.confirm_email,
            Self::ResetPassword => config.links.reset_password,
            Self::ChangeEmail => config.links.change_email,
            Self::UndoChangeEmail => config.links.undo_change_email,
        }
    }

    /// Whether a code goes with it, for the browser that asked.
    fn has_code(self) -> bool {
        matches!(self, Self::SignIn | Self::ConfirmEmail)
    }

    /// How long its row is kept after the asking. An ask for an address that may or may not be known writes
    /// one of two purposes, or a decoy: those are forgotten at the same time.
    fn kept(self, config: &Config) -> Duration {
        let lifetime = match self {
            Self::SignIn | Self::ConfirmEmail => {
                config.links.sign_in.max(config.links.confirm_email)
            }
            other => other.lifetime(config),
        };
        2 * lifetime
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.name() == name)
    }
}

/// Wrong addresses that end a link: a scanner that types guesses gets two, and so does a typo.
const WRONG_ADDRESSES: i32 = 3;

/// Codes that may be tried on one ask; the link lives on.
const CODE_TRIES: i32 = 5;

/// A link that is live as far as this transaction saw. Only [`consume`] decides.
#[derive(Clone, Debug, Queryable, Selectable)]
pub struct Link {
    pub email: String,
    pub ask_id: Option<String>,
    /// The account it acts on, where that is known already.
    pub user_id: Option<String>,
    /// The session of that account that asked for it.
    pub session_id: Option<String>,
    expires_at: Timestamp,
    used_at: Option<Timestamp>,
    wrong_addresses: i32,
}

/// What a token turned out to be.
pub enum Look {
    /// It would be consumed now.
    Live(Link),
    /// It was used, by this account.
    UsedBy {
        user_id: String,
        ask_id: Option<String>,
    },
    /// Expired, replaced, unknown, or meant for something else: nobody is told which.
    Dead,
}

/// Looks at a token without touching it. Loading a page does no more than this.
pub fn look(tx: &mut Tx, token: &Token, purpose: Purpose) -> Result<Look> {
    let found = links::table
        .find(token.hash().as_bytes())
        .filter(links::purpose.eq(purpose.name()))
        .select(Link::as_select())
        .first(tx.conn)
        .optional()?;
    Ok(match found {
        Some(link) if link.is_live(tx.now) => Look::Live(link),
        Some(Link {
            used_at: Some(_),
            user_id: Some(user_id),
            ask_id,
            ..
        }) => Look::UsedBy { user_id, ask_id },
        _ => Look::Dead,
    })
}

impl Link {
    fn is_live(&self, now: Timestamp) -> bool {
        self.used_at.is_none() && self.expires_at > now && self.wrong_addresses < WRONG_ADDRESSES
    }
}

/// Proof that a live link was used up, in this transaction, by exactly one caller. Only this module
/// makes one; what changes an account on the strength of a link asks for it.
#[derive(Debug)]
pub struct Consumed {
    token_hash: TokenHash,
    purpose: Purpose,
    email: String,
    ask_id: Option<String>,
    user_id: Option<String>,
    session_id: Option<String>,
    asked_at: Timestamp,
}

impl Consumed {
    /// The address that is proven by this: the one the link was sent to.
    pub fn email(&self) -> &str {
        &self.email
    }

    /// The ask that the link answered, if a browser made it.
    pub fn ask_id(&self) -> Option<&str> {
        self.ask_id.as_deref()
    }

    /// What the link was for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The account it was made for, if there was one.
    pub fn user_id(&self) -> Option<&str> {
        self.user_id.as_deref()
    }

    /// The session that asked for it, if that was one of its account.
    pub fn session_id(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    /// When it was asked for.
    pub fn asked_at(&self) -> Timestamp {
        self.asked_at
    }
}

/// Uses a link up. Of any number of callers at once, on any number of nodes, one gets past here.
pub fn consume(tx: &mut Tx, token: &Token, purpose: Purpose) -> Result<Option<Consumed>> {
    use_up(tx, token.hash(), purpose)
}

fn use_up(tx: &mut Tx, token_hash: TokenHash, purpose: Purpose) -> Result<Option<Consumed>> {
    hold_account(tx, &token_hash)?;
    let used = diesel::update(
        links::table
            .find(token_hash.as_bytes())
            .filter(links::purpose.eq(purpose.name()))
            .filter(links::used_at.is_null())
            .filter(links::expires_at.gt(tx.now))
            .filter(links::wrong_addresses.lt(WRONG_ADDRESSES)),
    )
    .set(links::used_at.eq(tx.now))
    .returning((
        links::email,
        links::ask_id,
        links::user_id,
        links::session_id,
        links::asked_at,
    ))
    .get_result(tx.conn)
    .optional()?;
    Ok(
        used.map(|(email, ask_id, user_id, session_id, asked_at)| Consumed {
            token_hash,
            purpose,
            email,
            ask_id,
            user_id,
            session_id,
            asked_at,
        }),
    )
}

/// Two links of one account that are used at once would each end the other: whoever has the account first goes
/// first.
fn hold_account(tx: &mut Tx, token_hash: &TokenHash) -> Result<()> {
    if let Connection::Sqlite(_) = tx.conn {
        return Ok(());
    }
    let user_id: Option<Option<String>> = links::table
        .find(token_hash.as_bytes())
        .select(links::user_id)
        .first(tx.conn)
        .optional()?;
    match user_id.flatten() {
        Some(user_id) => users::hold(tx, &user_id),
        None => Ok(()),
    }
}

/// Writes down whose account a used link led to, so that its second click in a browser signed in there
/// is no mistake.
pub fn remember_user(tx: &mut Tx, used: &Consumed, user_id: &str) -> Result<()> {
    diesel::update(links::table.find(used.token_hash.as_bytes()))
        .set(links::user_id.eq(user_id))
        .execute(tx.conn)?;
    Ok(())
}

/// What became of a link for which somebody named an address.
pub enum AddressTried {
    /// It was the right one, and the link is used up.
    Right(Consumed),
    /// It was not; it counts, and the third one ends the link of this account.
    Wrong {
        ended: bool,
        user_id: Option<String>,
    },
    /// The link is not live.
    Dead,
}

/// Uses a link up for somebody who is not in the browser that asked, if they know where it was sent.
///
/// This is what stops mail scanners that run scripts and press buttons, and a person who was sent
/// somebody else's link (login CSRF by mail).
pub fn consume_knowing_address(
    tx: &mut Tx,
    token: &Token,
    purpose: Purpose,
    typed: &EmailAddress,
) -> Result<AddressTried> {
    let Look::Live(link) = look(tx, token, purpose)? else {
        return Ok(AddressTried::Dead);
    };
    if link.email == typed.as_str() {
        let consumed = consume(tx, token, purpose)?;
        return Ok(consumed.map_or(AddressTried::Dead, AddressTried::Right));
    }
    let wrong = diesel::update(
        links::table
            .find(token.hash().as_bytes())
            .filter(links::used_at.is_null())
            .filter(links::wrong_addresses.lt(WRONG_ADDRESSES)),
    )
    .set(links::wrong_addresses.eq(links::wrong_addresses + 1))
    .returning(links::wrong_addresses)
    .get_result::<i32>(tx.conn)
    .optional()?;
    Ok(match wrong {
        Some(count) => AddressTried::Wrong {
            ended: count >= WRONG_ADDRESSES,
            user_id: link.user_id,
        },
        None => AddressTried::Dead,
    })
}

/// What became of a code that somebody typed.
pub enum CodeTried {
    /// It was right, and the link beside it is used up.
    Right(Consumed),
    /// It was not; `ended` when that was the last try.
    Wrong { ended: bool },
    /// No tries are left, or there is no such ask any more: a new one must be asked for.
    Ended,
}

/// Tries a code on the ask it was mailed for. The try is counted before the code is compared, so that
/// many at once are no more than five; an expired ask counts on like a live one, lest its end tell
/// whether the mail was one with a short life or with a long one.
pub fn try_code(tx: &mut Tx, keys: &Keys, ask_id: &str, typed: Option<&Code>) -> Result<CodeTried> {
    let counted = diesel::update(
        links::table
            .filter(links::ask_id.eq(ask_id))
            .filter(links::code_tries.lt(CODE_TRIES)),
    )
    .set(links::code_tries.eq(links::code_tries + 1))
    .returning((
        links::token_hash,
        links::purpose,
        links::code_mac,
        links::code_tries,
    ))
    .get_result::<(Vec<u8>, String, Option<Vec<u8>>, i32)>(tx.conn)
    .optional()?;
    let Some((token_hash, purpose, code_mac, tries)) = counted else {
        return Ok(CodeTried::Ended);
    };
    let is_right = typed.zip(code_mac).is_some_and(|(code, mac)| {
        keys.verify(
            KeyPurpose::Code,
            &[ask_id.as_bytes(), code.as_bytes()],
            &mac,
        )
    });
    if !is_right {
        return Ok(CodeTried::Wrong {
            ended: tries >= CODE_TRIES,
        });
    }
    let (Some(token_hash), Some(purpose)) =
        (TokenHash::stored(&token_hash), Purpose::named(&purpose))
    else {
        return Ok(CodeTried::Ended);
    };
    let consumed = use_up(tx, token_hash, purpose)?;
    Ok(consumed.map_or(CodeTried::Ended, CodeTried::Right))
}

/// What goes into a letter, and nowhere else.
pub struct Issued {
    pub token: Token,
    /// For the browser that asked; a link nobody asked for in a browser has none.
    pub code: Option<Code>,
    pub purpose: Purpose,
    pub lifetime: Duration,
}

impl Issued {
    /// The path of the link, with its token.
    pub fn path(&self) -> String {
        format!("{}?token={}", self.purpose.route(), self.token.reveal())
    }
}

/// A link to be made.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    pub purpose: Purpose,
    /// Where its letter goes.
    pub email: &'a str,
    /// The account it is for, if there is one: when that is deleted, so is the link.
    pub user_id: Option<&'a str>,
    /// The ask that it answers, if a browser made it.
    pub ask_id: Option<&'a str>,
    /// The session that asked, where only somebody signed in may.
    pub session_id: Option<&'a str>,
}

/// Makes a link for this address and ends its older ones of the same purpose; those that change an address
/// are ended by account ([`end_of`]).
///
/// It can be used from now on, and at the latest twice its lifetime from now: the lifetime proper
/// begins when the letter is handed over ([`handed_over`]), for mail may have to wait.
pub fn issue(tx: &mut Tx, config: &Config, keys: &Keys, wanted: &Wanted<'_>) -> Result<Issued> {
    // Whoever asks for somebody's next or former address must not end what is on its way to it.
    if !matches!(
        wanted.purpose,
        Purpose::ChangeEmail | Purpose::UndoChangeEmail
    ) {
        end(tx, wanted.email, wanted.purpose)?;
    }
    insert(
        tx,
        config,
        keys,
        wanted,
        Life::of(tx.now, wanted.purpose, config),
    )
}

/// Writes the row of a link that nobody is mailed. Its token and code are known to no one, and it ends no
/// other link.
pub fn decoy(tx: &mut Tx, config: &Config, keys: &Keys, wanted: &Wanted<'_>) -> Result<()> {
    insert(
        tx,
        config,
        keys,
        wanted,
        Life::of(tx.now, wanted.purpose, config),
    )
    .map(drop)
}

/// From when to when a link can be used, and what its letter says of it.
struct Life {
    asked_at: Timestamp,
    expires_at: Timestamp,
    said: Duration,
}

impl Life {
    fn of(now: Timestamp, purpose: Purpose, config: &Config) -> Self {
        let lifetime = purpose.lifetime(config);
        Self {
            asked_at: now,
            expires_at: now + 2 * millis(lifetime),
            said: lifetime,
        }
    }
}

fn insert(
    tx: &mut Tx,
    config: &Config,
    keys: &Keys,
    wanted: &Wanted<'_>,
    life: Life,
) -> Result<Issued> {
    let has_code = wanted.purpose.has_code() && wanted.ask_id.is_some();
    let issued = Issued {
        token: Token::draw(),
        code: has_code.then(Code::draw),
        purpose: wanted.purpose,
        lifetime: life.said,
    };
    let code_mac = wanted
        .ask_id
        .zip(issued.code.as_ref())
        .map(|(ask, code)| keys.authenticate(KeyPurpose::Code, &[ask.as_bytes(), code.as_bytes()]));
    let token_hash = issued.token.hash();
    let row = (
        links::token_hash.eq(token_hash.as_bytes()),
        links::purpose.eq(wanted.purpose.name()),
        links::email.eq(wanted.email),
        links::user_id.eq(wanted.user_id),
        links::ask_id.eq(wanted.ask_id),
        links::session_id.eq(wanted.session_id),
        links::code_mac.eq(code_mac),
        links::code_tries.eq(0),
        links::wrong_addresses.eq(0),
        links::asked_at.eq(life.asked_at),
        links::expires_at.eq(life.expires_at),
        links::keep_until.eq(tx.now + millis(wanted.purpose.kept(config))),
    );
    on_either!(tx.conn, |conn| diesel::insert_into(links::table)
        .values(row)
        .execute(conn))?;
    Ok(issued)
}

/// An undo link that still works.
pub struct Undo {
    pub user_id: String,
    asked_at: Timestamp,
    expires_at: Timestamp,
}

/// The oldest undo link that still works for an account which had this address once. While there is one,
/// the address is kept for its owner.
pub fn oldest_undo(tx: &mut Tx, email: &str) -> Result<Option<Undo>> {
    let found = links::table
        .filter(links::email.eq(email))
        .filter(links::purpose.eq(Purpose::UndoChangeEmail.name()))
        .filter(links::used_at.is_null())
        .filter(links::expires_at.gt(tx.now))
        .filter(links::wrong_addresses.lt(WRONG_ADDRESSES))
        .filter(links::user_id.is_not_null())
        .order(links::asked_at)
        .select((
            links::user_id.assume_not_null(),
            links::asked_at,
            links::expires_at,
        ))
        .first(tx.conn)
        .optional()?;
    Ok(found.map(|(user_id, asked_at, expires_at)| Undo {
        user_id,
        asked_at,
        expires_at,
    }))
}

/// The same undo link once more, with a token of its own: it is as old as the first one, and ends with it.
pub fn issue_undo_again(
    tx: &mut Tx,
    config: &Config,
    keys: &Keys,
    email: &EmailAddress,
    undo: &Undo,
) -> Result<Issued> {
    let wanted = Wanted {
        purpose: Purpose::UndoChangeEmail,
        email: email.as_str(),
        user_id: Some(&undo.user_id),
        ask_id: None,
        session_id: None,
    };
    let rest = Duration::from_millis((undo.expires_at - tx.now).unsigned_abs());
    let life = Life {
        asked_at: undo.asked_at,
        expires_at: undo.expires_at,
        said: rest.min(wanted.purpose.lifetime(config)),
    };
    insert(tx, config, keys, &wanted, life)
}

/// Once an undo link is used, the later ones of its account are over: of several, the oldest wins, for it
/// goes to the address that was the owner's before anybody changed it.
pub fn end_later_undos(tx: &mut Tx, used: &Consumed) -> Result<()> {
    let Some(user_id) = used.user_id() else {
        return Ok(());
    };
    let later = live_of(user_id, Purpose::UndoChangeEmail, tx.now)
        .filter(links::asked_at.ge(used.asked_at));
    diesel::update(later)
        .set(links::expires_at.eq(tx.now))
        .execute(tx.conn)?;
    Ok(())
}

/// The letter went out: the lifetime (in milliseconds) begins, never beyond what [`issue`] allowed.
pub fn handed_over(tx: &mut Tx, token_hash: &[u8], lifetime: Timestamp) -> Result<()> {
    let end = tx.now + lifetime;
    let link = links::table.find(token_hash);
    on_either!(tx.conn, |conn| diesel::update(
        link.filter(links::expires_at.gt(end))
    )
    .set(links::expires_at.eq(end))
    .execute(conn))?;
    Ok(())
}

/// Whether a letter with this link is still worth sending.
pub fn is_live(tx: &mut Tx, token_hash: &[u8]) -> Result<bool> {
    let link = on_either!(tx.conn, |conn| links::table
        .find(token_hash)
        .select(Link::as_select())
        .first(conn)
        .optional())?;
    Ok(link.is_some_and(|link| link.is_live(tx.now)))
}

/// Ends every unused link of this purpose that was sent to this address.
///
/// The rows stay until they are purged, and go on counting tries at their code. Were they gone, the code
/// page would tell a stranger who asked for an address that somebody can sign in with it: a decoy's row
/// is never ended by a newer mail or a sign-in.
pub fn end(tx: &mut Tx, email: &str, purpose: Purpose) -> Result<()> {
    let unused = links::table
        .filter(links::email.eq(email))
        .filter(links::purpose.eq(purpose.name()))
        .filter(links::used_at.is_null())
        .filter(links::expires_at.gt(tx.now));
    on_either!(tx.conn, |conn| diesel::update(unused)
        .set(links::expires_at.eq(tx.now))
        .execute(conn))?;
    Ok(())
}

/// Ends every unused link of this account, whatever it is for and the signed ones too, except undo links:
/// those are how an owner gets back what a thief has changed, so that no later change may end them.
pub fn end_all(tx: &mut Tx, user: &User) -> Result<()> {
    let sent_to_it = links::email.eq(&user.email).and(links::user_id.is_null());
    let of_account = links::user_id.eq(&user.id).or(sent_to_it.nullable());
    diesel::update(
        links::table
            .filter(of_account)
            .filter(links::purpose.ne(Purpose::UndoChangeEmail.name()))
            .filter(links::used_at.is_null())
            .filter(links::expires_at.gt(tx.now)),
    )
    .set(links::expires_at.eq(tx.now))
    .execute(tx.conn)?;
    users::end_signed_links(tx, &user.id)
}

/// A link as it is kept, without what would open anything.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = links)]
pub struct Kept {
    pub purpose: String,
    pub email: String,
    pub asked_at: Timestamp,
    pub used_at: Option<Timestamp>,
}

/// All links of an account that are kept, the newest first. Not when they end: that would tell one that was
/// mailed from one that only looks like it.
pub fn kept_of(tx: &mut Tx, user: &User) -> Result<Vec<Kept>> {
    let sent_to_it = links::email.eq(&user.email).and(links::user_id.is_null());
    let of_account = links::user_id.eq(&user.id).or(sent_to_it.nullable());
    Ok(links::table
        .filter(of_account)
        .order(links::asked_at.desc())
        .select(Kept::as_select())
        .load(tx.conn)?)
}

/// Forgets every link that was sent to this address: a new account there one day has nothing of this one.
pub fn delete_sent_to(tx: &mut Tx, email: &str) -> Result<()> {
    diesel::delete(links::table.filter(links::email.eq(email))).execute(tx.conn)?;
    Ok(())
}

/// Ends this account's links of one purpose, wherever they were sent.
pub fn end_of(tx: &mut Tx, user_id: &str, purpose: Purpose) -> Result<()> {
    diesel::update(live_of(user_id, purpose, tx.now))
        .set(links::expires_at.eq(tx.now))
        .execute(tx.conn)?;
    Ok(())
}

/// The address that an account is about to have: asked for, not confirmed yet, and not too late.
#[derive(Clone, Debug)]
pub struct PendingChange {
    pub email: String,
    pub asked_at: Timestamp,
}

/// The pending change of this account's address, if there is one. A change to an address that was taken,
/// whose link nobody was mailed, looks like any other for as long as any other.
pub fn pending_change(
    tx: &mut Tx,
    config: &Config,
    user_id: &str,
) -> Result<Option<PendingChange>> {
    let oldest = tx.now - millis(config.links.change_email);
    let found = live_of(user_id, Purpose::ChangeEmail, tx.now)
        .filter(links::asked_at.gt(oldest))
        .order(links::asked_at.desc())
        .select((links::email, links::asked_at))
        .first(tx.conn)
        .optional()?;
    Ok(found.map(|(email, asked_at)| PendingChange { email, asked_at }))
}

#[diesel::dsl::auto_type(no_type_alias)]
fn live_of(user_id: &str, purpose: Purpose, now: Timestamp) -> _ {
    let purpose: &'static str = purpose.name();
    let most_wrong: i32 = WRONG_ADDRESSES;
    links::table
        .filter(links::user_id.eq(user_id))
        .filter(links::purpose.eq(purpose))
        .filter(links::used_at.is_null())
        .filter(links::expires_at.gt(now))
        .filter(links::wrong_addresses.lt(most_wrong))
}
