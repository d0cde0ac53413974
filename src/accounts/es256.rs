//! ES256 (RFC 7518, 3.4) for `jsonwebtoken`, by ring, which TLS needs anyhow.
//!
//! `jsonwebtoken` lets its user choose the cryptography. Of the two that it offers, one needs more than a C compiler
//! to be built, and the other brings an RSA whose timing gives the private key away (RUSTSEC-2023-0071). Every
//! other algorithm is refused here, whatever a token says of itself.
//!
//! It is only asked to verify. Each time it signs, it would read the private key anew, and to check that costs as much as
//! the signature: so we keep the key as it was read, and sign by ourselves.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use signature::{Error, Verifier};
use zeroize::Zeroizing;

use crate::error;
use crate::random;

/// A key pair that was just made: the private half in PKCS #8, the public one as an uncompressed point.
pub struct KeyPair {
    pub private: Zeroizing<Vec<u8>>,
    pub public: Vec<u8>,
}

impl KeyPair {
    /// A new one that nobody has seen.
    pub fn draw() -> error::Result<Self> {
        let random = random::for_signatures();
        let failed = |_| error::Error::internal("no key pair could be made");
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
            .map_err(failed)?;
        let private = Zeroizing::new(document.as_ref().to_vec());
        let pair = SigningKey::read(&private)?.0;
        Ok(Self {
            public: pair.public_key().as_ref().to_vec(),
            private,
        })
    }
}

/// The private half of a key pair, ready to sign.
pub struct SigningKey(EcdsaKeyPair);

impl SigningKey {
    /// Reads one in PKCS #8.
    pub fn read(pkcs8: &[u8]) -> error::Result<Self> {
        let random = random::for_signatures();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &random);
        pair.map(Self).map_err(error::Error::internal)
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> error::Result<Vec<u8>> {
        let signed = self.0.sign(&random::for_signatures(), message);
        let signed = signed.map_err(|_| error::Error::internal("nothing could be signed"))?;
        Ok(signed.as_ref().to_vec())
    }
}

/// Makes this the cryptography of `jsonwebtoken`; to do so again does no harm.
pub fn install() {
    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: no_signer,
        verifier_factory: verifier,
        key_utils: KeyUtils::new_unimplemented(),
    };
    // An error says that it is installed already.
    let _ = PROVIDER.install_default();
}

fn no_signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    Err(ErrorKind::InvalidAlgorithm.into())
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    match (algorithm, key.family()) {
        (Algorithm::ES256, AlgorithmFamily::Ec) => {
            Ok(Box::new(Public(key.try_get_as_bytes()?.to_vec())))
        }
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

struct Public(Vec<u8>);

impl Verifier<Vec<u8>> for Public {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.0)
            .verify(message, signature)
            .map_err(|_| Error::new())
    }
}

impl JwtVerifier for Public {
    fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }
}
