//! Mailed links and the codes beside them: stored as hashes, single use, bound to the address they were
//! sent to.
//!
//! The heart is [`Found::consume`]: one guarded `UPDATE` whose row count decides, on both databases, which of
//! many callers at once has the link's effect. Six products of this kind did it in the other
//! order (look, then mark), and had to publish an advisory for it in 2026.
//!
//! A link is found together with its account, whose row is locked ([`Held`]), and only then used up: so what is
//! decided on the strength of a link is decided on an account that no other transaction is changing.
//!
//! A row lives on after its use until `keep_until`, so that a second click can be told from a stranger's
//! guess; it is live only while it is unused, unexpired and fewer than three wrong addresses were named.
//! A request that mails nobody writes the same row as one that does: wrong codes and its end are answered alike.
//!
//! One table in four files: what links are for (`purpose`), how they are made (`issue`), what is known of those that
//! were mailed (`kept`), and here how they are found, used up and ended.
//!
//! An app that is built on Doorpost says itself what its links are for ([`OwnPurpose`]). One that is to work more than
//! once asks for [`Found::is_live`], and counts by itself.
//!
//! Such a link does something. One that only brings a reader to a page of theirs, as often as they like, is signed
//! and not stored: [`signed_links`](super::signed_links).

mod issue;
mod kept;
mod purpose;

use diesel::prelude::*;

pub use issue::{
    Issued, Wanted, answer_once_more, decoy, handed_over, is_live, issue, issue_undo_again,
};
pub use kept::{
    Kept, Live, PendingChange, Undo, any_live, change_was_used, kept_of, live, oldest_undo,
    pending_change, request_is_live, takes_code,
};
pub use purpose::{OwnPurpose, Purpose};

use crate::accounts::users::{self, Held, Owner, ProvenAddress, Settled, User};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::db::{Tx, on_either, prepared};
use crate::error::Result;
use crate::keys::{KeyPurpose, Keys};
use crate::random::{Code, Token, TokenHash};
use crate::schema::links;

/// Wrong addresses that end a link: one or two may be typing errors, and a scanner that guesses has no more.
const WRONG_ADDRESSES: i32 = 3;

/// When a link has expired that was ended before its time: always, by whatever clock. Were it the moment of its end,
/// a node whose clock is behind would still take it.
const ENDED: Timestamp = 0;

/// Codes that may be tried on one request; its link stays live.
const CODE_TRIES: i32 = 5;

/// A link that is live as far as this transaction saw. Only [`Found::consume`] decides.
#[derive(Clone, Debug, Queryable, Selectable)]
pub struct Link {
    pub email: String,
    pub link_request_id: Option<String>,
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
        link_request_id: Option<String>,
    },
    /// Used, expired, replaced, unknown, or meant for something else: nobody is told which. The request it
    /// answered, if there was one, means something to the browser that made it and to no other.
    Dead { link_request_id: Option<String> },
}

/// Looks at a token without touching it. Loading a page does no more than this.
pub fn look(tx: &mut Tx, token: &Token, purpose: Purpose) -> Result<Look> {
    let found = on_either!(tx.conn, |conn| links::table
        .find(token.hash().as_bytes())
        .filter(links::purpose.eq(purpose.name()))
        .select(Link::as_select())
        .first(conn)
        .optional())?;
    Ok(match found {
        Some(link) if link.is_live(tx.now) => Look::Live(link),
        Some(Link {
            used_at: Some(_),
            user_id: Some(user_id),
            link_request_id,
            ..
        }) => Look::UsedBy {
            user_id,
            link_request_id,
        },
        dead => Look::Dead {
            link_request_id: dead.and_then(|link| link.link_request_id),
        },
    })
}

/// The account that the link of this token would act on now, if it is live: without a lock, to show a page.
pub fn account_of(tx: &mut Tx, token: &Token, purpose: Purpose) -> Result<Option<User>> {
    match look(tx, token, purpose)? {
        Look::Live(Link {
            user_id: Some(id), ..
        }) => users::find(tx, &id),
        Look::Live(link) => users::of_address(tx, &link.email),
        Look::UsedBy { .. } | Look::Dead { .. } => Ok(None),
    }
}

impl Link {
    fn is_live(&self, now: Timestamp) -> bool {
        self.used_at.is_none() && self.expires_at > now && self.wrong_addresses < WRONG_ADDRESSES
    }
}

/// A link that was found, with its address and its account held: whatever is decided on it now stays true until
/// the transaction ends. Whether it is live, only [`Found::consume`] decides.
pub struct Found {
    token_hash: TokenHash,
    purpose: Purpose,
    email: String,
    user: Option<Held<User>>,
}

impl Found {
    /// Where it was sent.
    pub fn email(&self) -> &str {
        &self.email
    }

    /// What it is for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The account it acts on: the one it was made for or, if it was made for none, that of its address.
    pub fn user(&self) -> Option<&Held<User>> {
        self.user.as_ref()
    }
}

/// Finds the link of this token.
pub fn find(tx: &mut Tx, token: &Token, purpose: Purpose) -> Result<Option<Found>> {
    let row = on_either!(tx.conn, |conn| links::table
        .find(token.hash().as_bytes())
        .filter(links::purpose.eq(purpose.name()))
        .select((links::email, links::user_id))
        .first::<(String, Option<String>)>(conn)
        .optional())?;
    let Some((email, user_id)) = row else {
        return Ok(None);
    };
    // Nobody else gives this address to an account meanwhile.
    if purpose.gives_address() {
        users::hold_address(tx, &email)?;
    }
    found(tx, token.hash(), purpose, email, user_id).map(Some)
}

fn found(
    tx: &mut Tx,
    token_hash: TokenHash,
    purpose: Purpose,
    email: String,
    user_id: Option<String>,
) -> Result<Found> {
    let user = match user_id {
        Some(id) => users::hold(tx, &id)?,
        None => users::hold_by_email(tx, &email)?,
    };
    Ok(Found {
        token_hash,
        purpose,
        email,
        user,
    })
}

/// Proof that a live link was used up, in this transaction, by exactly one caller. Only this module
/// makes one; what changes an account on the strength of a link asks for it.
pub struct Consumed {
    token_hash: TokenHash,
    purpose: Purpose,
    address: Option<ProvenAddress>,
    user: Option<Held<User>>,
    session_id: Option<String>,
    asked_at: Timestamp,
}

impl Consumed {
    /// The address that is proven by this, if one is: the one the link was sent to.
    pub fn address(&self) -> Option<&ProvenAddress> {
        self.address.as_ref()
    }

    /// What the link was for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The account it acts on, if there is one.
    pub fn user(&self) -> Option<&Held<User>> {
        self.user.as_ref()
    }

    /// The session that asked for it, if that was one of its account.
    pub fn session_id(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    /// When it was asked for.
    pub fn asked_at(&self) -> Timestamp {
        self.asked_at
    }

    /// The account it acts on, to keep.
    pub fn into_user(self) -> Option<Held<User>> {
        self.user
    }

    /// The account whose address it changes, unless that is held: such a link counts if it was asked for since the hold
    /// began, for then that was not held from whoever asked. One that takes a change back always does: it is how an owner
    /// gets an account back whose new mailbox somebody else reads, and who could otherwise hold it by a reset.
    pub fn settled(&self, now: Timestamp, config: &Config) -> Option<Settled<'_, Held<User>>> {
        let user = self.user.as_ref()?;
        let is_free = match self.purpose {
            Purpose::ChangeEmail => user
                .reset_hold(now, config)
                .is_none_or(|hold| self.asked_at >= hold.since),
            Purpose::UndoChangeEmail => true,
            Purpose::SignIn | Purpose::ConfirmEmail | Purpose::ResetPassword | Purpose::Own(_) => {
                false
            }
        };
        is_free.then(|| Settled::proven(user))
    }

    /// The owner, as proven by a link that was used up for setting a password, at the address that the account
    /// has; or by one that takes back a change of address, from the mailbox that was the owner's before. Links for
    /// anything else prove less.
    pub fn into_owner(self) -> Option<Owner> {
        let user = self.user?;
        let proves = match self.purpose {
            Purpose::ResetPassword => self
                .address
                .is_some_and(|proven| proven.as_str() == user.email),
            Purpose::UndoChangeEmail => true,
            Purpose::SignIn | Purpose::ConfirmEmail | Purpose::ChangeEmail | Purpose::Own(_) => {
                false
            }
        };
        proves.then(|| Owner::proven(user))
    }
}

impl Found {
    /// Whether it is live, for a link that does not work once but until its time is over. The account is held, and
    /// whoever ends a link holds it, too: so what is done now on the strength of this is done before its end.
    pub fn is_live(&self, tx: &mut Tx) -> Result<bool> {
        is_live(tx, self.token_hash.as_bytes())
    }

    /// Uses the link up. Of any number of callers at once, on any number of nodes, one gets past here. Whose account
    /// it led to is written down with it, so that its second click in a browser signed in there is no mistake.
    pub fn consume(self, tx: &mut Tx) -> Result<Option<Consumed>> {
        let live = links::table
            .find(self.token_hash.as_bytes())
            .filter(links::used_at.is_null())
            .filter(links::expires_at.gt(tx.now))
            .filter(links::wrong_addresses.lt(WRONG_ADDRESSES));
        let use_up = prepared(
            diesel::update(live)
                .set((
                    links::used_at.eq(tx.now),
                    links::user_id.eq(self.user.as_ref().map(|user| &user.id)),
                ))
                .returning((links::session_id, links::asked_at)),
        );
        let used = on_either!(tx.conn, |conn| use_up.get_result(conn).optional())?;
        Ok(used.map(|(session_id, asked_at)| Consumed {
            token_hash: self.token_hash,
            purpose: self.purpose,
            address: self
                .purpose
                .proves_address()
                .then(|| ProvenAddress::by_link(self.email)),
            user: self.user,
            session_id,
            asked_at,
        }))
    }

    /// Counts a wrong address that was named for it; whether that was the one that ends it. `None`: it is not live.
    pub fn count_wrong_address(&self, tx: &mut Tx) -> Result<Option<bool>> {
        let wrong = diesel::update(
            links::table
                .find(self.token_hash.as_bytes())
                .filter(links::used_at.is_null())
                .filter(links::expires_at.gt(tx.now))
                .filter(links::wrong_addresses.lt(WRONG_ADDRESSES)),
        )
        .set(links::wrong_addresses.eq(links::wrong_addresses + 1))
        .returning(links::wrong_addresses)
        .get_result::<i32>(tx.conn)
        .optional()?;
        Ok(wrong.map(|count| count >= WRONG_ADDRESSES))
    }
}

/// Writes down whose account began with a used link.
pub fn remember_user(tx: &mut Tx, used: &Consumed, user: &Held<User>) -> Result<()> {
    diesel::update(links::table.find(used.token_hash.as_bytes()))
        .set(links::user_id.eq(&user.id))
        .execute(tx.conn)?;
    Ok(())
}

/// What became of a code that somebody typed.
pub enum CodeTried {
    /// It was right: the link beside it, to be used up.
    Right(Box<Found>),
    /// It was right, and was used before.
    Used,
    /// It was not; `ended` when that was the last try.
    Wrong { ended: bool },
    /// No tries are left, or there is no such request any more: a new one must be made.
    Ended,
}

/// Tries a code on the request that it was mailed for. The try is counted before the code is compared, so that
/// many at once are no more than five; an expired request goes on counting like a live one, lest its
/// end tell whether the mail was one with a short life or with a long one. For the same reason the address is
/// locked whether or not the code could make an account.
pub fn try_code(
    tx: &mut Tx,
    keys: &Keys,
    link_request_id: &str,
    typed: &Code,
) -> Result<CodeTried> {
    let Some(found) = find_by_link_request(tx, link_request_id)? else {
        return Ok(CodeTried::Ended);
    };
    let open = links::table
        .find(found.token_hash.as_bytes())
        .filter(links::code_tries.lt(CODE_TRIES));
    let count_up = prepared(
        diesel::update(open)
            .set(links::code_tries.eq(links::code_tries + 1))
            .returning((links::code_mac, links::code_tries, links::used_at)),
    );
    let counted = on_either!(tx.conn, |conn| count_up
        .get_result::<(Option<Vec<u8>>, i32, Option<Timestamp>)>(conn)
        .optional())?;
    let Some((code_mac, tries, used_at)) = counted else {
        return Ok(CodeTried::Ended);
    };
    let is_right = code_mac.is_some_and(|mac| {
        keys.verify(
            KeyPurpose::Code,
            &[link_request_id.as_bytes(), typed.as_bytes()],
            &mac,
        )
    });
    Ok(match is_right {
        true if used_at.is_some() => CodeTried::Used,
        true => CodeTried::Right(Box::new(found)),
        false => CodeTried::Wrong {
            ended: tries >= CODE_TRIES,
        },
    })
}

fn find_by_link_request(tx: &mut Tx, link_request_id: &str) -> Result<Option<Found>> {
    let asked = on_either!(tx.conn, |conn| links::table
        .filter(links::link_request_id.eq(link_request_id))
        .select((
            links::token_hash,
            links::purpose,
            links::email,
            links::user_id,
        ))
        .first::<(Vec<u8>, String, String, Option<String>)>(conn)
        .optional())?;
    let Some((token_hash, purpose, email, user_id)) = asked else {
        return Ok(None);
    };
    let recognised = TokenHash::stored(&token_hash).zip(Purpose::named(&purpose));
    let Some((token_hash, purpose)) = recognised else {
        return Ok(None);
    };
    users::hold_address(tx, &email)?;
    found(tx, token_hash, purpose, email, user_id).map(Some)
}

/// Once an undo link is used, the later ones of its account are over: of several, the oldest wins, for it
/// goes to the address that was the owner's before anybody changed it.
pub fn end_undos_since(tx: &mut Tx, user: &Held<User>, asked_at: Timestamp) -> Result<()> {
    let later =
        live_of(&user.id, Purpose::UndoChangeEmail, tx.now).filter(links::asked_at.ge(asked_at));
    diesel::update(later)
        .set(links::expires_at.eq(ENDED))
        .execute(tx.conn)?;
    Ok(())
}

/// Ends every unused link that was sent to this address, for one of these purposes.
///
/// The rows stay until they are purged, and go on counting tries at their code. Were they gone, the code
/// page would tell a stranger who asked for an address that somebody can sign in with it: a decoy's row
/// is never ended by a newer mail or a sign-in.
pub fn end(tx: &mut Tx, email: &str, purposes: &[Purpose]) -> Result<()> {
    let names = purposes.iter().map(|purpose| purpose.name());
    let unused = links::table
        .filter(links::email.eq(email))
        .filter(links::purpose.eq_any(names))
        .filter(links::used_at.is_null())
        .filter(links::expires_at.gt(tx.now));
    on_either!(tx.conn, |conn| {
        prepared(diesel::update(unused).set(links::expires_at.eq(ENDED))).execute(conn)
    })?;
    Ok(())
}

/// Ends every unused link of this account, whatever it is for and the signed ones too, except undo links:
/// those are how an owner gets back what a thief has changed, so that no later change may end them.
pub fn end_all(tx: &mut Tx, user: &Held<User>) -> Result<()> {
    let sent_to_it = links::email.eq(&user.email).and(links::user_id.is_null());
    let of_account = links::user_id.eq(&user.id).or(sent_to_it.nullable());
    diesel::update(
        links::table
            .filter(of_account)
            .filter(links::purpose.ne(Purpose::UndoChangeEmail.name()))
            .filter(links::used_at.is_null())
            .filter(links::expires_at.gt(tx.now)),
    )
    .set(links::expires_at.eq(ENDED))
    .execute(tx.conn)?;
    users::end_signed_links(tx, user)
}

/// Forgets every link of everybody: a database that was restored does not know which of them were used since.
pub fn forget_all(tx: &mut Tx) -> Result<usize> {
    Ok(diesel::delete(links::table).execute(tx.conn)?)
}

/// Forgets the links of an account that is about to be deleted, and those that were sent to its address: a new
/// account there one day has nothing of this one.
///
/// Whoever asked in a browser may be a stranger, who must not learn of the deletion by what becomes of the code they
/// asked for: those rows lose all that is the account's, and go on counting tries like anybody's.
pub fn forget_account(tx: &mut Tx, user: &Held<User>) -> Result<()> {
    let of_account = links::email
        .eq(&user.email)
        .nullable()
        .or(links::user_id.eq(&user.id));
    diesel::delete(
        links::table
            .filter(of_account)
            .filter(links::link_request_id.is_null()),
    )
    .execute(tx.conn)?;
    diesel::update(links::table.filter(of_account))
        .set((
            links::user_id.eq(None::<String>),
            links::email.eq(""),
            links::code_mac.eq(None::<Vec<u8>>),
            links::expires_at.eq(ENDED),
        ))
        .execute(tx.conn)?;
    Ok(())
}

/// Ends this one of the account's links. Whether there was anything to end.
pub fn end_one(
    tx: &mut Tx,
    user: &Held<User>,
    purpose: Purpose,
    token_hash: &[u8],
) -> Result<bool> {
    let one = live_of(&user.id, purpose, tx.now).filter(links::token_hash.eq(token_hash));
    let ended = diesel::update(one)
        .set(links::expires_at.eq(ENDED))
        .execute(tx.conn)?;
    Ok(ended > 0)
}

/// Ends this account's links of one purpose, wherever they were sent.
pub fn end_of(tx: &mut Tx, user: &Held<User>, purpose: Purpose) -> Result<()> {
    diesel::update(live_of(&user.id, purpose, tx.now))
        .set(links::expires_at.eq(ENDED))
        .execute(tx.conn)?;
    Ok(())
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
