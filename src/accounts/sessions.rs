//! Who is signed in, and how that came about.
//!
//! The browser holds a token, the table its hash. A session ends when it was idle for too long, and when it is
//! too old whatever it did. Both are judged by every query, so that neither depends on the purge, and a shorter
//! setting takes effect at once. A visitor who is not signed in has no row.
//!
//! A program's session is a row like a browser's and ends with the others. Its token is drawn and
//! given to nobody: refresh tokens keep it alive, so that it may be idle for as long as one of those is good.
//!
//! A session that came from a link may look. What is sensitive wants the password or a passkey, in this very
//! session and lately: [`HeldSession::into_owner`] is the one place that decides that.

use std::time::Duration;

use diesel::prelude::*;

use crate::accounts::client::{Client, Label};
use crate::accounts::email_address;
use crate::accounts::users::{self, Held, Owner, ResetHold, User};
use crate::clock::{Timestamp, millis};
use crate::config::Config;
use crate::db::{Tx, on_either, prepared};
use crate::error::{Error, Result};
use crate::random::{self, Token, TokenHash};
use crate::schema::{self, sessions};

/// How a session came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    /// A link in a mail was clicked.
    EmailLink,
    /// The code in a mail was typed where it was asked for.
    EmailCode,
    /// The password was entered.
    Password,
    /// A link in ordinary mail was followed in a browser that the account knows.
    NotificationLink,
    /// A passkey was used, by somebody whom its authenticator made sure of.
    Passkey,
}

impl AuthMethod {
    /// Each of them.
    pub const ALL: [Self; 5] = [
        Self::EmailLink,
        Self::EmailCode,
        Self::Password,
        Self::NotificationLink,
        Self::Passkey,
    ];

    /// Whether it proves more than that somebody reads the mail: what is sensitive is open for the window then.
    fn proves_owner(self) -> bool {
        matches!(self, Self::Password | Self::Passkey)
    }

    /// In the words of RFC 8176, for tokens. That a passkey lies in hardware nobody has attested: so it is never `hwk`.
    pub fn amr(self) -> &'static [&'static str] {
        match self {
            Self::Password => &["pwd"],
            Self::Passkey => &["swk", "user"],
            Self::EmailLink | Self::EmailCode | Self::NotificationLink => &["otp"],
        }
    }

    /// The way that has this name.
    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// As the table holds it.
    pub fn name(self) -> &'static str {
        match self {
            Self::EmailLink => "email_link",
            Self::EmailCode => "email_code",
            Self::Password => "password",
            Self::NotificationLink => "notification_link",
            Self::Passkey => "passkey",
        }
    }
}

/// A living session, and what is asked of its account wherever somebody is signed in.
#[derive(Clone, Debug, Queryable, Selectable)]
pub struct Session {
    pub id: String,
    pub user_id: String,
    pub auth_method: String,
    /// Somebody else will sit at this computer: the session ends with the browser, or after an hour.
    pub shared: bool,
    pub created_at: Timestamp,
    pub last_seen_at: Timestamp,
    /// When the password was last entered in this session or a passkey used there, if ever.
    pub reauthenticated_at: Option<Timestamp>,
    /// Its rights have changed elsewhere: its token is to be replaced.
    pub wants_new_token: bool,
    /// Refresh tokens keep it alive, and no cookie opens it.
    pub for_program: bool,
    /// Access tokens that were signed under an earlier epoch are not accepted.
    pub token_epoch: i32,
    /// What whoever signed a program in calls it.
    #[diesel(deserialize_as = String)]
    pub label: Label,
    /// When it was bound to its device, if it is.
    pub bound_at: Option<Timestamp>,
    /// When a passkey was last used in it, to come in or at the gate.
    passkey_used_at: Option<Timestamp>,
    #[diesel(select_expression = schema::users::email)]
    pub email: String,
    /// When the account was made.
    #[diesel(select_expression = schema::users::created_at)]
    pub member_since: Timestamp,
    #[diesel(
        select_expression = schema::users::password_hash.is_not_null(),
        select_expression_type = diesel::dsl::IsNotNull<schema::users::password_hash>,
    )]
    pub has_password: bool,
    #[diesel(select_expression = schema::users::reset_hold_since)]
    reset_hold_since: Option<Timestamp>,
}

/// At most this many sessions an account has; the oldest makes room.
const MOST: i64 = 100;

/// A program's session lives as long as a refresh token of it that nobody uses.
pub const PROGRAM_IDLE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A session on a shared computer ends after this long without use.
const SHARED_IDLE: Duration = Duration::from_secs(60 * 60);

/// What a page asked for when its session was bound has arrived after this long.
const UNDER_WAY: Duration = Duration::from_secs(10);

/// The living session of this token. A signed-in page costs this one query, so it runs on the concrete
/// connection, where diesel keeps its SQL prepared.
pub fn find(tx: &mut Tx, config: &Config, token: &TokenHash) -> Result<Option<Session>> {
    let found = on_either!(tx.conn, |conn| prepared(
        sessions::table
            .inner_join(schema::users::table)
            .filter(sessions::token_hash.eq(token.as_bytes()))
            .select(Session::as_select())
    )
    .get_result(conn)
    .optional())?;
    Ok(found.filter(|session| session.is_alive(tx.now, config)))
}

/// The living session with this id, if it is a program's.
pub fn find_of_program(tx: &mut Tx, config: &Config, id: &str) -> Result<Option<Session>> {
    find_by_id(tx, config, id, true)
}

/// The living session with this id, if it is a browser's.
pub fn find_of_browser(tx: &mut Tx, config: &Config, id: &str) -> Result<Option<Session>> {
    find_by_id(tx, config, id, false)
}

fn find_by_id(
    tx: &mut Tx,
    config: &Config,
    id: &str,
    for_program: bool,
) -> Result<Option<Session>> {
    let found = on_either!(tx.conn, |conn| sessions::table
        .inner_join(schema::users::table)
        .filter(sessions::id.eq(id))
        .filter(sessions::for_program.eq(for_program))
        .select(Session::as_select())
        .first(conn)
        .optional())?;
    Ok(found.filter(|session| session.is_alive(tx.now, config)))
}

impl Session {
    /// The address of its account, as people write it.
    pub fn shown_email(&self) -> String {
        email_address::shown(&self.email)
    }

    /// How it came about; `None` where a newer release knows another way.
    pub fn method(&self) -> Option<AuthMethod> {
        AuthMethod::named(&self.auth_method)
    }

    /// Until when its last password entry, or the last use of a passkey, counts; use does not stretch it.
    pub fn reauthenticated_until(&self, config: &Config) -> Option<Timestamp> {
        let at = self.reauthenticated_at?;
        Some(at + millis(config.sessions.reauthentication_window))
    }

    /// When somebody last proved in it who they are: by a password or a passkey, or else by how it began.
    pub fn auth_time(&self) -> Timestamp {
        self.reauthenticated_at.unwrap_or(self.created_at)
    }

    /// When a passkey was last used in it, if ever.
    pub fn passkey_used_at(&self) -> Option<Timestamp> {
        self.passkey_used_at
    }

    /// Whether that was lately enough for what is sensitive.
    pub fn is_reauthenticated(&self, now: Timestamp, config: &Config) -> bool {
        self.reauthenticated_until(config)
            .is_some_and(|until| now < until)
    }

    /// Whether its requests have to show that they come from the device that it is bound to. In the first seconds they need
    /// not: those that were under way when it was bound know nothing of it.
    pub fn wants_device(&self, now: Timestamp, config: &Config) -> bool {
        let is_bound = |bound_at: Timestamp| now >= bound_at + millis(UNDER_WAY);
        config.sessions.proof.is_some() && self.bound_at.is_some_and(is_bound)
    }

    /// Whether the account began with it: its address was confirmed, and that signed in, in one transaction. That takes
    /// no second, and nobody else comes in meanwhile.
    pub fn began_account(&self) -> bool {
        self.created_at - self.member_since < 1_000
    }

    /// The hold that lies on its account, if one does.
    pub fn reset_hold(&self, now: Timestamp, config: &Config) -> Option<ResetHold> {
        ResetHold::begun(self.reset_hold_since, now, config)
    }

    /// Whether this hold leaves it alone: a passkey was used in it since.
    pub fn is_free_of(&self, hold: ResetHold) -> bool {
        hold.is_none_after(self.passkey_used_at)
    }

    fn is_alive(&self, now: Timestamp, config: &Config) -> bool {
        let idle_end = self.last_seen_at + millis(self.idle(config));
        now < idle_end && now < self.ends_at(config)
    }

    fn idle(&self, config: &Config) -> Duration {
        match (self.for_program, self.shared) {
            (true, _) => PROGRAM_IDLE,
            (false, true) => config.sessions.idle.min(SHARED_IDLE),
            (false, false) => config.sessions.idle,
        }
    }

    /// When it is over, whatever it does until then.
    pub fn ends_at(&self, config: &Config) -> Timestamp {
        self.created_at + millis(config.sessions.lifetime)
    }

    /// Whether it is time to write down that it was seen: often enough that the idle time is right,
    /// seldom enough that most pages write nothing.
    pub fn wants_touch(&self, now: Timestamp, config: &Config) -> bool {
        let pause = (self.idle(config) / 10).min(Duration::from_secs(60));
        now >= self.last_seen_at + millis(pause)
    }
}

/// A living session whose account is held: what it permits now, it still permits when the transaction ends.
pub struct HeldSession {
    pub session: Session,
    pub user: Held<User>,
}

impl HeldSession {
    /// The owner of the account, if the password was entered or a passkey used in this session within the window: not by
    /// any other event, and in no other session. One that is bound to its device wants that proven besides, until this
    /// moment.
    pub fn into_owner(
        self,
        now: Timestamp,
        config: &Config,
        device_proven_until: Option<Timestamp>,
    ) -> Option<Owner> {
        let is_on_device = !self.session.wants_device(now, config)
            || device_proven_until.is_some_and(|until| now < until);
        let may = self.session.is_reauthenticated(now, config) && is_on_device;
        may.then(|| Owner::in_session(self.user, self.session.passkey_used_at))
    }
}

/// The living session of this token, with its account held; that it is one of this account, its caller
/// has read. A transaction that is changing the account comes first, and may have ended the session.
pub fn hold(
    tx: &mut Tx,
    config: &Config,
    user_id: &str,
    token: &TokenHash,
) -> Result<Option<HeldSession>> {
    let user = users::hold(tx, user_id)?;
    let session = find(tx, config, token)?;
    Ok(held(user, session))
}

/// The same for the session of a program.
pub fn hold_of_program(
    tx: &mut Tx,
    config: &Config,
    user_id: &str,
    id: &str,
) -> Result<Option<HeldSession>> {
    let user = users::hold(tx, user_id)?;
    let session = find_of_program(tx, config, id)?;
    Ok(held(user, session))
}

fn held(user: Option<Held<User>>, session: Option<Session>) -> Option<HeldSession> {
    let (user, session) = user.zip(session)?;
    (session.user_id == user.id).then_some(HeldSession { session, user })
}

/// What kind of client has a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    Browser,
    /// One on a shared computer.
    SharedBrowser,
    Program,
}

/// A session that has just begun.
pub struct Started {
    pub session: Session,
    /// For the browser's cookie; a program is not given it.
    pub token: Token,
}

/// Begins a session and ends the one it replaces: no right of the old one carries over. Whoever begins one has seen that
/// the account is not locked; that none begins all the same is made sure of here.
pub fn start(
    tx: &mut Tx,
    user: &Held<User>,
    method: AuthMethod,
    holder: Holder,
    client: &Client,
    replaced: Option<&TokenHash>,
) -> Result<Started> {
    if user.is_locked() {
        return Err(Error::internal(
            "a session was to begin for a locked account",
        ));
    }
    if let Some(old) = replaced {
        end(tx, old)?;
    }
    let token = Token::draw();
    let session = Session {
        id: random::id(),
        user_id: user.id.clone(),
        auth_method: method.name().to_owned(),
        shared: holder == Holder::SharedBrowser,
        created_at: tx.now,
        last_seen_at: tx.now,
        reauthenticated_at: method.proves_owner().then_some(tx.now),
        wants_new_token: false,
        for_program: holder == Holder::Program,
        token_epoch: 0,
        label: client.label.clone(),
        bound_at: None,
        passkey_used_at: (method == AuthMethod::Passkey).then_some(tx.now),
        email: user.email.clone(),
        member_since: user.created_at,
        has_password: user.has_password(),
        reset_hold_since: user.reset_hold_since,
    };
    let token_hash = token.hash();
    let row = (
        sessions::token_hash.eq(token_hash.as_bytes()),
        sessions::id.eq(&session.id),
        sessions::user_id.eq(&session.user_id),
        sessions::auth_method.eq(&session.auth_method),
        sessions::shared.eq(session.shared),
        sessions::for_program.eq(session.for_program),
        sessions::created_at.eq(session.created_at),
        sessions::last_seen_at.eq(session.last_seen_at),
        sessions::reauthenticated_at.eq(session.reauthenticated_at),
        sessions::wants_new_token.eq(session.wants_new_token),
        sessions::ip.eq(client.ip()),
        sessions::browser.eq(client.kind()),
        sessions::label.eq(client.label.as_str()),
        sessions::passkey_used_at.eq(session.passkey_used_at),
    );
    on_either!(tx.conn, |conn| diesel::insert_into(sessions::table)
        .values(row)
        .execute(conn))?;
    end_all_but_newest(tx, user)?;
    Ok(Started { session, token })
}

fn end_all_but_newest(tx: &mut Tx, user: &Held<User>) -> Result<()> {
    let surplus: Vec<String> = on_either!(tx.conn, |conn| sessions::table
        .filter(sessions::user_id.eq(&user.id))
        .order((sessions::created_at.desc(), sessions::id))
        .select(sessions::id)
        .limit(MOST)
        .offset(MOST)
        .load(conn))?;
    if !surplus.is_empty() {
        diesel::delete(sessions::table.filter(sessions::id.eq_any(surplus))).execute(tx.conn)?;
    }
    Ok(())
}

/// Ends the session of this token, if it lives; its cookie opens nothing from here on.
pub fn end(tx: &mut Tx, token: &TokenHash) -> Result<()> {
    let its_own = sessions::table.find(token.as_bytes());
    on_either!(tx.conn, |conn| diesel::delete(its_own).execute(conn))?;
    Ok(())
}

/// The password was entered in this session, or a passkey used there, just now. It goes on under a new token, and the old one is
/// dead at once; `None` when the session has ended meanwhile.
pub fn reauthenticate(tx: &mut Tx, user: &Held<User>, token: &TokenHash) -> Result<Option<Token>> {
    let session = sessions::table
        .find(token.as_bytes())
        .filter(sessions::user_id.eq(&user.id));
    let now = prepared(diesel::update(session).set(sessions::reauthenticated_at.eq(tx.now)));
    let known = on_either!(tx.conn, |conn| now.execute(conn))?;
    if known == 0 {
        return Ok(None);
    }
    renew(tx, token)
}

/// A passkey of the account was used in this session, just now: it counts as the password, and what a reset by mail holds
/// is not held here.
pub fn reauthenticate_by_passkey(
    tx: &mut Tx,
    user: &Held<User>,
    token: &TokenHash,
) -> Result<Option<Token>> {
    let session = sessions::table
        .find(token.as_bytes())
        .filter(sessions::user_id.eq(&user.id));
    let used = prepared(diesel::update(session).set(sessions::passkey_used_at.eq(tx.now)));
    on_either!(tx.conn, |conn| used.execute(conn))?;
    reauthenticate(tx, user, token)
}

/// The session goes on under a new token, because what it may do has changed: the old one is
/// dead. `None` when it has ended, or another request was faster.
pub fn renew(tx: &mut Tx, token: &TokenHash) -> Result<Option<Token>> {
    let new = Token::draw();
    let hash = new.hash();
    let renew = prepared(diesel::update(sessions::table.find(token.as_bytes())).set((
        sessions::token_hash.eq(hash.as_bytes()),
        sessions::wants_new_token.eq(false),
    )));
    let renewed = on_either!(tx.conn, |conn| renew.execute(conn))?;
    Ok((renewed > 0).then_some(new))
}

/// The session with this id gets a new token when it is next seen.
pub fn renew_when_seen(tx: &mut Tx, user: &Held<User>, id: &str) -> Result<()> {
    let its_own = sessions::table
        .filter(sessions::id.eq(id))
        .filter(sessions::user_id.eq(&user.id));
    diesel::update(its_own)
        .set(sessions::wants_new_token.eq(true))
        .execute(tx.conn)?;
    Ok(())
}

/// The rights of a program's session have changed: access tokens that were made for it until now count no more.
pub fn raise_token_epoch(tx: &mut Tx, user: &Held<User>, id: &str) -> Result<()> {
    let its_own = sessions::table
        .filter(sessions::id.eq(id))
        .filter(sessions::user_id.eq(&user.id));
    diesel::update(its_own)
        .set(sessions::token_epoch.eq(sessions::token_epoch + 1))
        .execute(tx.conn)?;
    Ok(())
}

/// Whether this session of the account is a program's.
pub fn is_of_program(tx: &mut Tx, user: &Held<User>, id: &str) -> Result<bool> {
    let found = sessions::table
        .filter(sessions::id.eq(id))
        .filter(sessions::user_id.eq(&user.id))
        .select(sessions::for_program)
        .first(tx.conn)
        .optional()?;
    Ok(found.unwrap_or(false))
}

/// Ends every session of an account, and forgets which browsers it knows.
pub fn end_all(tx: &mut Tx, user: &Held<User>) -> Result<()> {
    diesel::delete(sessions::table.filter(sessions::user_id.eq(&user.id))).execute(tx.conn)?;
    users::forget_browsers(tx, user)
}

/// Ends every session of everybody, with the refresh tokens that hang on them.
pub fn end_everybodys(tx: &mut Tx) -> Result<usize> {
    Ok(diesel::delete(sessions::table).execute(tx.conn)?)
}

/// A living session, as its account's owner sees it.
#[derive(Clone, Debug)]
pub struct Listed {
    pub id: String,
    pub auth_method: String,
    pub shared: bool,
    /// Refresh tokens keep it alive, and no cookie opens it.
    pub for_program: bool,
    pub created_at: Timestamp,
    pub last_seen_at: Timestamp,
    pub ip: String,
    pub browser: String,
    pub label: Label,
    /// When it was bound to its device, if it is.
    pub bound_at: Option<Timestamp>,
}

/// The living sessions of an account, the last seen first.
pub fn list(tx: &mut Tx, config: &Config, user_id: &str) -> Result<Vec<Listed>> {
    let all: Vec<(Session, String, String)> = sessions::table
        .inner_join(schema::users::table)
        .filter(sessions::user_id.eq(user_id))
        .order((sessions::last_seen_at.desc(), sessions::id))
        .select((Session::as_select(), sessions::ip, sessions::browser))
        .load(tx.conn)?;
    let living = all
        .into_iter()
        .filter(|(session, ..)| session.is_alive(tx.now, config));
    let listed = living.map(|(session, ip, browser)| Listed {
        id: session.id,
        auth_method: session.auth_method,
        shared: session.shared,
        for_program: session.for_program,
        created_at: session.created_at,
        last_seen_at: session.last_seen_at,
        ip,
        browser,
        label: session.label,
        bound_at: session.bound_at,
    });
    Ok(listed.collect())
}

/// Ends this session, if it is one of this account.
pub fn end_by_id(tx: &mut Tx, user: &Held<User>, id: &str) -> Result<bool> {
    if !random::is_id(id) {
        return Ok(false);
    }
    let its_own = sessions::table
        .filter(sessions::id.eq(id))
        .filter(sessions::user_id.eq(&user.id));
    Ok(diesel::delete(its_own).execute(tx.conn)? > 0)
}

/// Ends the sessions of an account but this one; how many there were.
pub fn end_others(tx: &mut Tx, user: &Held<User>, kept_id: &str) -> Result<usize> {
    let others = sessions::table
        .filter(sessions::user_id.eq(&user.id))
        .filter(sessions::id.ne(kept_id));
    Ok(diesel::delete(others).execute(tx.conn)?)
}

/// Notes that a browser's session is bound to its device from here on. It is bound once: of two at once, one does it.
pub(super) fn bind(tx: &mut Tx, id: &str) -> Result<bool> {
    let not_bound_yet = sessions::table
        .filter(sessions::id.eq(id))
        .filter(sessions::for_program.eq(false))
        .filter(sessions::bound_at.is_null());
    let bind = prepared(diesel::update(not_bound_yet).set(sessions::bound_at.eq(tx.now)));
    Ok(on_either!(tx.conn, |conn| bind.execute(conn))? > 0)
}

/// Whether a session was last seen in a browser of this kind.
pub fn was_seen_in(tx: &mut Tx, id: &str, client: &Client) -> Result<bool> {
    let seen: Option<String> = sessions::table
        .filter(sessions::id.eq(id))
        .select(sessions::browser)
        .first(tx.conn)
        .optional()?;
    Ok(seen.is_some_and(|browser| browser == client.kind()))
}

/// Writes down that a session was seen just now, and where. Of many that found it as it is here, one does so.
pub fn touch(tx: &mut Tx, found: &Session, client: &Client) -> Result<()> {
    let seen_before = sessions::table
        .filter(sessions::id.eq(&found.id))
        .filter(sessions::last_seen_at.le(found.last_seen_at));
    let seen = prepared(diesel::update(seen_before).set((
        sessions::last_seen_at.eq(tx.now),
        sessions::ip.eq(client.ip()),
        sessions::browser.eq(client.kind()),
    )));
    on_either!(tx.conn, |conn| seen.execute(conn))?;
    Ok(())
}
