//! Whether the secret key is the one of this database: a sealed row says so.
//!
//! With another key nothing fails at once. Everybody is signed out, waiting mail cannot be read, access tokens are
//! signed by a new key; and nobody knows why. So there is one row that each start opens, and seals anew with the key
//! that seals now: in the order in which `docs/deploy.md` replaces a key it opens on every node at any time. A key that
//! does not open it leaves it as it is, so that every start says so, until the operator adopts that key.
//!
//! It is written at every start. So a database that can only be read is noticed there, and not by the first visitor.

use diesel::prelude::*;

use crate::db::Tx;
use crate::error::Result;
use crate::keys::{KeyPurpose, Keys};
use crate::schema::key_probe;

/// The only row's key.
const ONLY: i32 = 1;

/// What is sealed in it: nothing that anybody would want to read.
const WORDS: &[u8] = b"doorpost";

/// How a key and a database go together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The key opens what is there, or nothing is.
    Fits,
    /// Another key, of this id, sealed what is there.
    Misfit { sealed_by: String },
}

/// Opens the row and, if the key fits, seals it anew; makes it, where there is none.
pub fn prove(tx: &mut Tx, keys: Option<&Keys>) -> Result<Proof> {
    let proof = look(tx, keys)?;
    if let (Proof::Fits, Some(keys)) = (&proof, keys) {
        adopt(tx, keys)?;
    }
    Ok(proof)
}

/// Opens the row, and leaves it as it is. Without keys (one is made at the first start) only a database that has no row
/// fits.
pub fn look(tx: &mut Tx, keys: Option<&Keys>) -> Result<Proof> {
    let row: Option<(String, Vec<u8>)> = key_probe::table
        .select((key_probe::sealed_by, key_probe::sealed))
        .first(tx.conn)
        .optional()?;
    let Some((sealed_by, sealed)) = row else {
        return Ok(Proof::Fits);
    };
    let opens = |keys: &Keys| {
        keys.open_by(Some(&sealed_by), KeyPurpose::Probe, &sealed)
            .is_ok()
    };
    Ok(match keys.is_some_and(opens) {
        true => Proof::Fits,
        false => Proof::Misfit { sealed_by },
    })
}

/// From now on this is the key of this database, whatever sealed what is in it.
pub fn adopt(tx: &mut Tx, keys: &Keys) -> Result<()> {
    let sealed = keys.seal(KeyPurpose::Probe, WORDS)?;
    let written = diesel::update(key_probe::table.find(ONLY))
        .set((
            key_probe::sealed_by.eq(keys.id()),
            key_probe::sealed.eq(sealed),
            key_probe::sealed_at.eq(tx.now),
        ))
        .execute(tx.conn)?;
    match written {
        0 => first_seal(tx, keys),
        _ => Ok(()),
    }
}

/// Another node that starts in this moment may be faster: then its key is the one, and the next start looks again.
fn first_seal(tx: &mut Tx, keys: &Keys) -> Result<()> {
    let sealed = keys.seal(KeyPurpose::Probe, WORDS)?;
    let now = tx.now;
    tx.attempt(|tx| {
        diesel::insert_into(key_probe::table)
            .values((
                key_probe::id.eq(ONLY),
                key_probe::sealed_by.eq(keys.id()),
                key_probe::sealed.eq(sealed),
                key_probe::sealed_at.eq(now),
            ))
            .execute(tx.conn)
    })?;
    Ok(())
}
