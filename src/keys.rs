//! The only user of the secret key: derive, seal and open, authenticate.
//!
//! Each [`KeyPurpose`] has a key of its own, derived by HKDF-SHA-256 (RFC 5869), so that what was sealed for one
//! thing opens nothing else: a cookie is no mail body, and one cookie is not another. Sealing is
//! AES-256-GCM with a random 96-bit nonce (NIST SP 800-38D: fine for 2³² seals under one key).
//!
//! Old keys still open and verify, and never seal: that is how a key rotates without a flag day.
//!
//! A key has an id, which tells nothing of it. Who keeps what was sealed keeps the id beside it: so that what another
//! node sealed, under a key that is still to come here, is not taken for damaged. (Not in the sealed bytes: the release
//! before this one has to open what this one seals while nodes are replaced.)

use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use actix_web::cookie::Key as CookieKey;
use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac};
use sha2::Sha256;

use crate::config::SecretKey;
use crate::error::{Error, Result};
use crate::random;
use crate::writable;

/// What a derived key is for. Its label is part of the derivation and never changes.
#[derive(Clone, Copy)]
pub enum KeyPurpose {
    /// The session cookie, sealed by actix-session.
    SessionCookie,
    /// What this browser asked for.
    AskedCookie,
    /// Which accounts know this browser.
    KnownCookie,
    /// The link that is being looked at.
    LinkCookie,
    /// A form that was interrupted, because the password has to be entered first.
    FormCookie,
    /// The field in the forms of browsers that do not say where a form comes from.
    FormToken,
    /// What was just done.
    DoneCookie,
    /// That this browser is on the device that its session is bound to.
    BoundCookie,
    /// What such a device is to sign.
    DeviceChallenge,
    /// Which accounts want no passkey to be offered.
    NotNowCookie,
    /// Mail that waits.
    Outbox,
    /// The code in a letter, authenticated together with the request it belongs to.
    Code,
    /// A link in ordinary mail, authenticated together with its reader.
    SignedLink,
    /// What access tokens are signed with.
    SigningKey,
    /// The refresh token that took a used one's place, for whom the answer did not reach.
    RefreshSuccessor,
    /// The row that tells whose database it is.
    Probe,
    /// The address that a letter comes back to, authenticated together with the letter's number.
    BounceAddress,
    /// What an authenticator is to sign.
    PasskeyChallenge,
    /// By what proxies in front of other apps know a session.
    GateCookie,
    /// Where this browser was sent back to lately.
    ReturnedCookie,
}

impl KeyPurpose {
    const ALL: [Self; 20] = [
        Self::SessionCookie,
        Self::AskedCookie,
        Self::KnownCookie,
        Self::LinkCookie,
        Self::FormCookie,
        Self::FormToken,
        Self::DoneCookie,
        Self::BoundCookie,
        Self::DeviceChallenge,
        Self::NotNowCookie,
        Self::Outbox,
        Self::Code,
        Self::SignedLink,
        Self::SigningKey,
        Self::RefreshSuccessor,
        Self::Probe,
        Self::BounceAddress,
        Self::PasskeyChallenge,
        Self::GateCookie,
        Self::ReturnedCookie,
    ];

    fn label(self) -> &'static [u8] {
        match self {
            Self::SessionCookie => b"doorpost session cookie",
            Self::AskedCookie => b"doorpost asked cookie",
            Self::KnownCookie => b"doorpost known cookie",
            Self::LinkCookie => b"doorpost link cookie",
            Self::FormCookie => b"doorpost form cookie",
            Self::FormToken => b"doorpost form token",
            Self::DoneCookie => b"doorpost done cookie",
            Self::BoundCookie => b"doorpost bound cookie",
            Self::DeviceChallenge => b"doorpost device challenge",
            Self::NotNowCookie => b"doorpost not now cookie",
            Self::Outbox => b"doorpost outbox",
            Self::Code => b"doorpost code",
            Self::SignedLink => b"doorpost signed link",
            Self::SigningKey => b"doorpost signing key",
            Self::RefreshSuccessor => b"doorpost refresh successor",
            Self::Probe => b"doorpost probe",
            Self::BounceAddress => b"doorpost bounce address",
            Self::PasskeyChallenge => b"doorpost passkey challenge",
            Self::GateCookie => b"doorpost gate cookie",
            Self::ReturnedCookie => b"doorpost returned cookie",
        }
    }
}

/// The keys of one deployment, derived once.
pub struct Keys {
    current: Derived,
    old: Vec<Derived>,
}

/// What is derived from one secret key.
struct Derived {
    id: String,
    /// In the order of [`KeyPurpose::ALL`].
    keys: Vec<DerivedKey>,
}

struct DerivedKey {
    cookie: CookieKey,
    cipher: Aes256Gcm,
    mac: Hmac<Sha256>,
}

const NONCE: usize = 12;

/// Bytes of a tag that is short.
pub const SHORT_TAG: usize = 8;

/// The label of what is no key, but the name of one. It never changes either.
const ID: &[u8] = b"doorpost key id";

/// Why something sealed does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unopened {
    /// Whatever sealed it is no key of ours: not yet, or not any more.
    UnknownKey,
    /// A key of ours sealed it, and it does not open.
    Damaged,
}

impl Keys {
    /// Derives everything from the current key and the old ones.
    pub fn new(current: &SecretKey, old: &[SecretKey]) -> Result<Self> {
        Ok(Self {
            current: Derived::from(current)?,
            old: old.iter().map(Derived::from).collect::<Result<_>>()?,
        })
    }

    /// The key actix-session seals with.
    pub fn cookie_key(&self) -> &CookieKey {
        &self.current.of(KeyPurpose::SessionCookie).cookie
    }

    /// The keys it sealed with once, which still open.
    pub fn old_cookie_keys(&self) -> impl Iterator<Item = &CookieKey> {
        self.old
            .iter()
            .map(|keys| &keys.of(KeyPurpose::SessionCookie).cookie)
    }

    /// Names the key that seals now.
    pub fn id(&self) -> &str {
        &self.current.id
    }

    /// Encrypts and authenticates; the nonce goes first.
    pub fn seal(&self, for_what: KeyPurpose, plain: &[u8]) -> Result<Vec<u8>> {
        let nonce = random::bytes::<NONCE>();
        let payload = Payload {
            msg: plain,
            aad: for_what.label(),
        };
        let sealed = self
            .current
            .of(for_what)
            .cipher
            .encrypt(Nonce::from_slice(&nonce), payload)
            .map_err(|_| Error::internal("sealing failed"))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what [`Keys::seal`] made for the same use, under the current key or an old one. Anything
    /// else is `None`.
    pub fn open(&self, for_what: KeyPurpose, sealed: &[u8]) -> Option<Vec<u8>> {
        self.each().find_map(|keys| keys.open(for_what, sealed))
    }

    /// The same for what the key of this id sealed. The release before this one named none: then any of ours may
    /// have, and what none of them opens may be another's.
    pub fn open_by(
        &self,
        id: Option<&str>,
        for_what: KeyPurpose,
        sealed: &[u8],
    ) -> Result<Vec<u8>, Unopened> {
        let Some(id) = id else {
            return self.open(for_what, sealed).ok_or(Unopened::UnknownKey);
        };
        let mut named = self.each().filter(|keys| keys.id == id).peekable();
        if named.peek().is_none() {
            return Err(Unopened::UnknownKey);
        }
        named
            .find_map(|keys| keys.open(for_what, sealed))
            .ok_or(Unopened::Damaged)
    }

    /// HMAC-SHA-256 over the parts, each with its length, so that no two lists of parts read alike.
    pub fn authenticate(&self, for_what: KeyPurpose, parts: &[&[u8]]) -> Vec<u8> {
        let mac = self.current.of(for_what).over(parts);
        mac.finalize().into_bytes().to_vec()
    }

    /// Whether the tag is [`Keys::authenticate`]'s over these parts, under the current key or an old
    /// one; in constant time.
    pub fn verify(&self, for_what: KeyPurpose, parts: &[&[u8]], tag: &[u8]) -> bool {
        self.each()
            .any(|keys| keys.of(for_what).over(parts).verify_slice(tag).is_ok())
    }

    /// The first 64 bits of what [`Keys::authenticate`] gives, where there is no room for more: enough against
    /// guesses that each have to be sent to us.
    pub fn authenticate_in_short(&self, for_what: KeyPurpose, parts: &[&[u8]]) -> [u8; SHORT_TAG] {
        let mut short = [0; SHORT_TAG];
        let mac = self.current.of(for_what).over(parts);
        short.copy_from_slice(&mac.finalize().into_bytes()[..SHORT_TAG]);
        short
    }

    /// As [`Keys::verify`], for [`Keys::authenticate_in_short`].
    pub fn verify_in_short(
        &self,
        for_what: KeyPurpose,
        parts: &[&[u8]],
        short: &[u8; SHORT_TAG],
    ) -> bool {
        self.each().any(|keys| {
            let mac = keys.of(for_what).over(parts);
            mac.verify_truncated_left(short).is_ok()
        })
    }

    fn each(&self) -> impl Iterator<Item = &Derived> {
        std::iter::once(&self.current).chain(&self.old)
    }
}

impl Derived {
    fn from(key: &SecretKey) -> Result<Self> {
        let extracted = Hkdf::<Sha256>::new(None, key.as_bytes());
        let derive = |for_what: KeyPurpose| -> Result<DerivedKey> {
            let mut key = zeroize::Zeroizing::new([0; 64]);
            extracted
                .expand(for_what.label(), key.as_mut())
                .map_err(Error::internal)?;
            Ok(DerivedKey {
                cookie: CookieKey::from(key.as_ref()),
                cipher: Aes256Gcm::new_from_slice(&key[..32]).map_err(Error::internal)?,
                mac: Hmac::new_from_slice(&key[32..]).map_err(Error::internal)?,
            })
        };
        let mut id = [0; 4];
        extracted.expand(ID, &mut id).map_err(Error::internal)?;
        Ok(Self {
            id: id.iter().map(|byte| format!("{byte:02x}")).collect(),
            keys: KeyPurpose::ALL
                .into_iter()
                .map(derive)
                .collect::<Result<_>>()?,
        })
    }

    fn open(&self, for_what: KeyPurpose, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, body) = sealed.split_at_checked(NONCE)?;
        let payload = Payload {
            msg: body,
            aad: for_what.label(),
        };
        let cipher = &self.of(for_what).cipher;
        cipher.decrypt(Nonce::from_slice(nonce), payload).ok()
    }

    fn of(&self, for_what: KeyPurpose) -> &DerivedKey {
        &self.keys[for_what as usize]
    }
}

impl DerivedKey {
    fn over(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac
    }
}

/// What the operator is to be told where what is in the database was sealed by the key of this id, and none of these
/// keys opens it. Without any, one would be made.
pub fn misfit(sealed_by: &str, keys: Option<&Keys>) -> String {
    let ours = match keys {
        Some(keys) => format!("this key ({})", keys.id()),
        None => "a key made now".to_owned(),
    };
    format!(
        "{ours} does not open what is in this database, which key {sealed_by} sealed: look at SECRET_KEY \
         (where it is not set, one is kept in data/ of the folder where Doorpost is started), or name that key in \
         SECRET_KEYS_OLD; if it was given up, say so with `doorpost keys adopt`"
    )
}

/// The key in `path`; made there (readable by its owner alone) when there is none yet.
///
/// Two nodes that start at once on one folder end up with one key: only one of them can create the
/// file, and the other reads it.
pub fn load_or_make(path: &Path) -> Result<SecretKey> {
    if !path.exists() {
        writable::could_make(path)?;
    }
    match make(path) {
        Ok(()) => tracing::info!(path = %path.display(), event = "key_made", "made a secret key"),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(trouble(path, &error)),
    }
    load(path)
}

/// A fresh key, as a line for the settings.
pub fn fresh_setting() -> String {
    format!("SECRET_KEY={}", drawn())
}

fn drawn() -> String {
    STANDARD.encode(random::bytes::<64>())
}

/// Reads the key that was made for this deployment.
pub fn load(path: &Path) -> Result<SecretKey> {
    let text = fs::read_to_string(path)
        .map_err(|error| trouble(path, &format!("{error}{}", writable::whose(path))))?;
    SecretKey::parse(text.trim())
        .ok_or_else(|| trouble(path, &"it does not hold 64 bytes in base64"))
}

/// Writes the whole key beside its place and links it there, so that nobody ever reads half of one.
fn make(path: &Path) -> io::Result<()> {
    if path.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    if let Some(folder) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let draft = path.with_extension(random::id());
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| {
            writeln!(file, "{}", drawn())?;
            file.sync_all()
        })
        .and_then(|()| fs::hard_link(&draft, path));
    fs::remove_file(&draft)?;
    written
}

fn trouble(path: &Path, what: &dyn std::fmt::Display) -> Error {
    Error::misconfigured(format!("the secret key {}: {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(fill: u8) -> SecretKey {
        let bytes: Vec<u8> = (0..64).map(|i| i ^ fill).collect();
        SecretKey::parse(&STANDARD.encode(bytes)).expect("64 bytes")
    }

    #[test]
    fn what_is_sealed_for_one_use_opens_for_no_other() {
        let keys = Keys::new(&key(1), &[]).unwrap();
        let sealed = keys.seal(KeyPurpose::AskedCookie, b"secret").unwrap();
        assert_eq!(
            keys.open(KeyPurpose::AskedCookie, &sealed).unwrap(),
            b"secret"
        );
        assert_eq!(keys.open(KeyPurpose::KnownCookie, &sealed), None);
        for flipped in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[flipped] ^= 1;
            assert_eq!(keys.open(KeyPurpose::AskedCookie, &bent), None);
        }
        assert_eq!(keys.open(KeyPurpose::AskedCookie, b""), None);
    }

    #[test]
    fn an_old_key_opens_and_verifies_and_a_dropped_one_does_not() {
        let before = Keys::new(&key(1), &[]).unwrap();
        let after = Keys::new(&key(2), &[key(1)]).unwrap();
        let dropped = Keys::new(&key(2), &[]).unwrap();
        let sealed = before.seal(KeyPurpose::Outbox, b"letter").unwrap();
        let tag = before.authenticate(KeyPurpose::Code, &[b"ask", b"code"]);
        assert_eq!(after.open(KeyPurpose::Outbox, &sealed).unwrap(), b"letter");
        assert!(after.verify(KeyPurpose::Code, &[b"ask", b"code"], &tag));
        assert!(!after.verify(KeyPurpose::Code, &[b"askc", b"ode"], &tag));
        assert_eq!(dropped.open(KeyPurpose::Outbox, &sealed), None);
        assert!(!dropped.verify(KeyPurpose::Code, &[b"ask", b"code"], &tag));
        let anew = after.seal(KeyPurpose::Outbox, b"letter").unwrap();
        assert_eq!(dropped.open(KeyPurpose::Outbox, &anew).unwrap(), b"letter");
    }

    /// Promise 29
    #[test]
    fn what_another_key_sealed_is_told_from_what_is_damaged() {
        let before = Keys::new(&key(1), &[]).unwrap();
        let after = Keys::new(&key(2), &[key(1)]).unwrap();
        let only_new = Keys::new(&key(2), &[]).unwrap();
        let sealed = before.seal(KeyPurpose::Outbox, b"letter").unwrap();
        let open = |keys: &Keys, id, sealed: &[u8]| keys.open_by(id, KeyPurpose::Outbox, sealed);
        let id = Some(before.id());
        assert_ne!(id, Some(after.id()));
        assert_eq!(open(&after, id, &sealed).unwrap(), b"letter");
        assert_eq!(open(&only_new, id, &sealed), Err(Unopened::UnknownKey));
        for damaged in [&sealed[1..], &sealed[..sealed.len() - 1], b""] {
            assert_eq!(open(&after, id, damaged), Err(Unopened::Damaged));
            assert_eq!(open(&only_new, id, damaged), Err(Unopened::UnknownKey));
        }
        let other = Some(after.id());
        assert_eq!(open(&after, other, &sealed), Err(Unopened::Damaged));

        // As the release before left it, without an id.
        assert_eq!(open(&after, None, &sealed).unwrap(), b"letter");
        assert_eq!(open(&only_new, None, &sealed), Err(Unopened::UnknownKey));
    }

    /// A row outlives the program that wrote it.
    #[test]
    fn the_id_of_a_key_and_what_it_sealed_stay_as_they_are() {
        let keys = Keys::new(&key(1), &[]).unwrap();
        assert_eq!(keys.id(), "238b4c4d");
        let sealed = STANDARD
            .decode("AAECAwQFBgcICQoLQ4ON3u3JauRw4Zvppp0Bt8yP7JoATA==")
            .unwrap();
        assert_eq!(keys.open(KeyPurpose::Outbox, &sealed).unwrap(), b"letter");
    }

    #[test]
    fn the_key_file_is_made_once_and_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = std::env::temp_dir().join(format!("doorpost-{}", random::id()));
        let path = folder.join("secret_key");
        let first = load_or_make(&path).unwrap();
        let second = load_or_make(&path).unwrap();
        assert_eq!(first.as_bytes(), second.as_bytes());
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(folder).unwrap();
    }
}
