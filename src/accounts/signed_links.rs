//! Signed links: they lead to a page of ours and say who is meant to read it. Nothing is stored.
//!
//! Take a stored link ([`links`](super::links)) for what has an effect: it is used once, by whoever has it.
//! Take a signed one for ordinary mail: it is opened as often as its reader likes, costs no row for each of
//! ten thousand readers, and does nothing by itself. In a browser that the account knows it signs in, as far
//! as looking goes; anywhere else (a forwarded mail, a scanner) it is a link like any other. The undo of a
//! changed address stays a stored link: it works once, and its row keeps the address for its owner.
//!
//! A token is `account.moment.tag`. The tag is HMAC-SHA-256, under a key of its own, over what the link is
//! for, the account, the moment, and the state of the account that must not have changed since: so a new
//! password, a new address or the owner's wish ends all links that were mailed, without a list of them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use url::Url;

use crate::accounts::users::{self, Held, User};
use crate::clock::{Timestamp, millis};
use crate::config::Config;
use crate::db::Tx;
use crate::error::Result;
use crate::keys::{KeyPurpose, Keys};
use crate::random;

/// The field of the query that carries a notification token, on any page.
pub const FIELD: &str = "login_token";

/// The page of an unsubscribe link; the token follows as `?token=`.
pub const UNSUBSCRIBE: &str = "/unsubscribe";

/// Stands in the place of a token where a link is only shown.
const NO_TOKEN: &str = "TOKEN";

/// What a link is signed for. A token for one is not valid for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Brings the reader of a notice or an announcement to a page.
    Notification,
    /// Ends announcements to its reader, with one click (RFC 8058).
    Unsubscribe,
}

impl Purpose {
    /// As the tag has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Notification => "notification_link",
            Self::Unsubscribe => "unsubscribe",
        }
    }

    /// How long it counts after it was made. Whoever digs out an old mail to unsubscribe still can.
    fn lifetime(self, config: &Config) -> Option<Duration> {
        match self {
            Self::Notification => Some(config.links.notification),
            Self::Unsubscribe => None,
        }
    }

    /// What must be as it was when the link was made, besides the address.
    fn state(self, user: &User) -> String {
        match self {
            Self::Notification => {
                format!("{:?} {}", user.password_set_at, user.signed_links_epoch)
            }
            Self::Unsubscribe => String::new(),
        }
    }

    /// Whether the account takes such links at all.
    fn is_welcome(self, user: &User) -> bool {
        match self {
            Self::Notification => user.notification_links && !user.is_locked(),
            Self::Unsubscribe => true,
        }
    }
}

/// Signs links and reads them again.
#[derive(Clone)]
pub struct SignedLinks {
    config: Arc<Config>,
    keys: Arc<Keys>,
}

impl SignedLinks {
    /// Under these keys, for this site.
    pub fn new(config: Arc<Config>, keys: Arc<Keys>) -> Self {
        Self { config, keys }
    }

    /// The URL of a page of ours (`/invoices/7`, or absolute) for this reader, to be put into a letter to them.
    ///
    /// The user is to be as this transaction has just read it, or the link may be dead already. What is no page of
    /// ours comes back as it is: no other site ever gets a token. Nor does a reader who does not want such links.
    pub fn to_page(&self, tx: &Tx, reader: &User, page: &str) -> String {
        let signed = || self.sign(Purpose::Notification, reader, tx.now);
        let token = reader.notification_links.then(signed);
        self.page_with(page, token.as_ref().map(SignedToken::reveal))
    }

    /// The URL that ends announcements to this reader.
    pub fn to_unsubscribe(&self, tx: &Tx, reader: &User) -> String {
        let token = self.sign(Purpose::Unsubscribe, reader, tx.now);
        self.unsubscribe_with(token.reveal())
    }

    /// As [`SignedLinks::to_page`], with nothing that opens anything: to be looked at.
    pub fn to_page_unsigned(&self, page: &str) -> String {
        self.page_with(page, Some(NO_TOKEN))
    }

    /// As [`SignedLinks::to_unsubscribe`], likewise.
    pub fn to_unsubscribe_unsigned(&self) -> String {
        self.unsubscribe_with(NO_TOKEN)
    }

    /// Whom a token was made for, if it still counts.
    pub fn reader(
        &self,
        tx: &mut Tx,
        purpose: Purpose,
        token: &SignedToken,
    ) -> Result<Option<User>> {
        let reader = users::find(tx, &token.user_id)?;
        Ok(reader.filter(|reader| self.counts(tx.now, purpose, token, reader)))
    }

    /// Whom a token was made for, held, if it still counts then.
    pub fn hold_reader(
        &self,
        tx: &mut Tx,
        purpose: Purpose,
        token: &SignedToken,
    ) -> Result<Option<Held<User>>> {
        let reader = users::hold(tx, &token.user_id)?;
        Ok(reader.filter(|reader| self.counts(tx.now, purpose, token, reader)))
    }

    fn counts(&self, now: Timestamp, purpose: Purpose, token: &SignedToken, reader: &User) -> bool {
        let age = now - token.made_at;
        let lifetime = purpose.lifetime(&self.config);
        lifetime.is_none_or(|lifetime| age < millis(lifetime))
            && purpose.is_welcome(reader)
            && self.verifies(purpose, token, reader)
    }

    fn page_with(&self, page: &str, token: Option<&str>) -> String {
        let Some(mut url) = self.page_of_ours(page) else {
            return page.to_owned();
        };
        if let Some(token) = token {
            url.query_pairs_mut().append_pair(FIELD, token);
        }
        url.into()
    }

    fn unsubscribe_with(&self, token: &str) -> String {
        self.config
            .server
            .public_url
            .link(&format!("{UNSUBSCRIBE}?token={token}"))
    }

    fn sign(&self, purpose: Purpose, reader: &User, at: Timestamp) -> SignedToken {
        let tag = over(purpose, reader, at, |parts| {
            self.keys.authenticate(KeyPurpose::SignedLink, parts)
        });
        SignedToken {
            user_id: reader.id.clone(),
            made_at: at,
            text: format!("{}.{at}.{}", reader.id, URL_SAFE_NO_PAD.encode(&tag)),
            tag,
        }
    }

    /// In constant time, under the current key or an old one.
    fn verifies(&self, purpose: Purpose, token: &SignedToken, reader: &User) -> bool {
        over(purpose, reader, token.made_at, |parts| {
            self.keys.verify(KeyPurpose::SignedLink, parts, &token.tag)
        })
    }

    /// The page without any token that somebody left in it: an operator's own, pasted into an announcement.
    fn page_of_ours(&self, page: &str) -> Option<Url> {
        let home = Url::parse(self.config.server.public_url.as_str()).ok()?;
        let mut url = home.join(page).ok()?;
        let is_ours = url.origin() == home.origin()
            && url.username().is_empty()
            && url.password().is_none()
            && !url.path().starts_with("/static/");
        if url.query_pairs().any(|(name, _)| name == FIELD) {
            let kept: Vec<_> = url
                .query_pairs()
                .filter(|(name, _)| name != FIELD)
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect();
            url.set_query(None);
            if !kept.is_empty() {
                url.query_pairs_mut().extend_pairs(kept);
            }
        }
        is_ours.then_some(url)
    }
}

/// What a tag is made over.
fn over<T>(purpose: Purpose, reader: &User, at: Timestamp, make: impl FnOnce(&[&[u8]]) -> T) -> T {
    make(&[
        purpose.name().as_bytes(),
        reader.id.as_bytes(),
        reader.email.as_bytes(),
        &at.to_be_bytes(),
        purpose.state(reader).as_bytes(),
    ])
}

/// A token that reads like one of ours, verified or not.
#[derive(Clone)]
pub struct SignedToken {
    user_id: String,
    made_at: Timestamp,
    tag: Vec<u8>,
    text: String,
}

impl SignedToken {
    /// Reads a token in its one spelling.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (user_id, made_at, tag) = (parts.next()?, parts.next()?, parts.next()?);
        let moment: Timestamp = made_at.parse().ok()?;
        let fits = parts.next().is_none()
            && random::is_id(user_id)
            && moment >= 0
            && moment.to_string() == made_at;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        fits.then(|| Self {
            user_id: user_id.to_owned(),
            made_at: moment,
            tag,
            text: text.to_owned(),
        })
    }

    /// The account that it says it is for.
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    /// The spelling for a letter, or for the cookie of the browser that brought it.
    pub fn reveal(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for SignedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignedToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(purpose: Purpose, reader: &User, at: Timestamp) -> Vec<u8> {
        over(purpose, reader, at, |parts| parts.concat())
    }

    /// Each of them by itself, whatever else changes along with it in the flows.
    #[test]
    fn a_tag_is_over_all_that_must_not_change() {
        let (ada, purpose) = (User::somebody(), Purpose::Notification);
        let made = tag(purpose, &ada, 1);
        let but = |change: fn(&mut User)| {
            let mut other = ada.clone();
            change(&mut other);
            other
        };
        let ben = but(|user| user.id = random::id());
        let moved = but(|user| user.email = "ada@example.net".into());
        let with_password = but(|user| user.password_set_at = Some(1));
        let ended = but(|user| user.signed_links_epoch = 1);
        for other in [&ben, &moved, &with_password, &ended] {
            assert_ne!(tag(purpose, other, 1), made);
        }
        assert_ne!(tag(purpose, &ada, 2), made);
        let unsubscribe = |reader| tag(Purpose::Unsubscribe, reader, 1);
        assert!(!unsubscribe(&ada).starts_with(purpose.name().as_bytes()));
        assert_ne!(unsubscribe(&moved), unsubscribe(&ada));
        assert_eq!(
            unsubscribe(&with_password),
            unsubscribe(&ada),
            "it ends by the address alone"
        );
        assert_eq!(unsubscribe(&ended), unsubscribe(&ada));
    }
}
