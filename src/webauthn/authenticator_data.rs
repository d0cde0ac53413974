//! What the authenticator says of itself, of who touched it, and of a new key: fixed bytes, and CBOR behind them.

use minicbor::Decoder;
use sha2::{Digest, Sha256};

use super::{Refusal, RelyingParty};

/// Authenticator data (6.1).
pub(super) struct AuthenticatorData<'a> {
    rp_id_hash: &'a [u8; 32],
    user_present: bool,
    user_verified: bool,
    pub(super) backup_eligible: bool,
    pub(super) backed_up: bool,
    pub(super) sign_count: u32,
    /// Only at registration.
    pub(super) credential: Option<AttestedCredential<'a>>,
}

/// Attested credential data (6.5.1).
pub(super) struct AttestedCredential<'a> {
    pub(super) aaguid: [u8; 16],
    pub(super) id: &'a [u8],
    pub(super) public_key: &'a [u8],
}

/// The flags, bit by bit (6.1).
mod flag {
    pub(super) const USER_PRESENT: u8 = 1;
    pub(super) const USER_VERIFIED: u8 = 1 << 2;
    pub(super) const BACKUP_ELIGIBLE: u8 = 1 << 3;
    pub(super) const BACKED_UP: u8 = 1 << 4;
    pub(super) const HAS_CREDENTIAL: u8 = 1 << 6;
    pub(super) const HAS_EXTENSIONS: u8 = 1 << 7;
}

impl<'a> AuthenticatorData<'a> {
    /// Every byte has its place; one too many or too few is refused.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        Self::read(bytes).ok_or(Refusal::Malformed)
    }

    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (rp_id_hash, rest) = bytes.split_first_chunk()?;
        let (&[flags], rest) = rest.split_first_chunk()?;
        let (sign_count, rest) = rest.split_first_chunk()?;
        let has = |flag: u8| flags & flag != 0;
        let (credential, rest) = match has(flag::HAS_CREDENTIAL) {
            true => AttestedCredential::read(rest).map(|(read, rest)| (Some(read), rest))?,
            false => (None, rest),
        };
        let rest = match has(flag::HAS_EXTENSIONS) {
            true => after_one_item(rest)?,
            false => rest,
        };
        rest.is_empty().then(|| Self {
            rp_id_hash,
            user_present: has(flag::USER_PRESENT),
            user_verified: has(flag::USER_VERIFIED),
            backup_eligible: has(flag::BACKUP_ELIGIBLE),
            backed_up: has(flag::BACKED_UP),
            sign_count: u32::from_be_bytes(*sign_count),
            credential,
        })
    }

    /// What 7.1 and 7.2 ask of it alike: made for this site, with flags that go together.
    pub(super) fn check_site(&self, site: &RelyingParty) -> Result<(), Refusal> {
        if self.rp_id_hash.as_slice() != Sha256::digest(site.id()).as_slice() {
            Err(Refusal::WrongRelyingParty)
        } else if self.backed_up && !self.backup_eligible {
            Err(Refusal::WrongBackupFlags)
        } else {
            Ok(())
        }
    }

    /// It was touched, by somebody whom the authenticator made sure of.
    pub(super) fn check_person(&self) -> Result<(), Refusal> {
        if !self.user_present {
            Err(Refusal::NotPresent)
        } else if !self.user_verified {
            Err(Refusal::NotVerified)
        } else {
            Ok(())
        }
    }
}

impl<'a> AttestedCredential<'a> {
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (aaguid, rest) = bytes.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (id, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        let after_key = after_one_item(rest)?;
        let public_key = &rest[..rest.len() - after_key.len()];
        let read = Self {
            aaguid: *aaguid,
            id,
            public_key,
        };
        Some((read, after_key))
    }
}

/// What follows one item of CBOR.
fn after_one_item(bytes: &[u8]) -> Option<&[u8]> {
    let mut decoder = Decoder::new(bytes);
    decoder.skip().ok()?;
    bytes.get(decoder.position()..)
}

/// The authenticator data in an attestation object (6.5.4). What is attested beside it, and by whom, is not looked at.
pub(super) fn of_attestation(object: &[u8]) -> Option<&[u8]> {
    let mut decoder = Decoder::new(object);
    let entries = decoder.map().ok()??;
    let mut found = None;
    for _ in 0..entries {
        match decoder.str().ok()? {
            "authData" if found.is_none() => found = Some(decoder.bytes().ok()?),
            "authData" => return None,
            _ => decoder.skip().ok()?,
        }
    }
    found.filter(|_| decoder.position() == object.len())
}
