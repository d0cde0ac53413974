//! Public keys of passkeys, as authenticators write them (COSE_Key, RFC 9052 and 9053), and what they have signed.

use minicbor::Decoder;
use minicbor::data::Type;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};

use super::Refusal;

/// The algorithms that are asked for, the one we like best first, by their COSE numbers. Nearly everything speaks
/// ES256; RS256 is the TPM's of older Windows.
pub const ALGORITHMS: [i64; 3] = [EDDSA, ES256, RS256];

const EDDSA: i64 = -8;
const ES256: i64 = -7;
const RS256: i64 = -257;

/// A key that can verify.
pub(super) enum PublicKey<'a> {
    /// An uncompressed point of P-256.
    Es256([u8; 65]),
    /// Ed25519.
    EdDsa(&'a [u8; 32]),
    Rs256 {
        n: &'a [u8],
        e: &'a [u8],
    },
}

/// The longest modulus of an RSA key, in bytes: to verify with longer ones costs more than it is worth.
const LONGEST_MODULUS: usize = 512;

/// The parameters of a key that are read, by their labels (RFC 9052, 7.1; RFC 9053, 7; RFC 8230, 4).
#[derive(Default)]
struct Parameters<'a> {
    kty: Option<i64>,
    alg: Option<i64>,
    /// At -1: the curve, or the modulus of RSA.
    crv: Option<i64>,
    n: Option<&'a [u8]>,
    /// At -2: the point's x, or the exponent of RSA.
    x_or_e: Option<&'a [u8]>,
    /// At -3.
    y: Option<&'a [u8]>,
}

impl<'a> PublicKey<'a> {
    /// Reads one of a kind that was asked for. Its kind stands in it twice, and both have to agree.
    pub(super) fn parse(cose: &'a [u8]) -> Result<Self, Refusal> {
        let parameters = Parameters::read(cose).ok_or(Refusal::Malformed)?;
        let Parameters {
            kty,
            alg,
            crv,
            n,
            x_or_e,
            y,
        } = parameters;
        match (kty, alg, crv) {
            (Some(2), Some(ES256), Some(1)) => {
                let point = x_or_e.zip(y).and_then(|(x, y)| uncompressed(x, y));
                point.map(Self::Es256)
            }
            (Some(1), Some(EDDSA), Some(6)) => {
                x_or_e.and_then(|x| x.try_into().ok()).map(Self::EdDsa)
            }
            (Some(3), Some(RS256), None) => n
                .filter(|n| n.len() <= LONGEST_MODULUS)
                .zip(x_or_e)
                .map(|(n, e)| Self::Rs256 { n, e }),
            _ => return Err(Refusal::UnknownAlgorithm),
        }
        .ok_or(Refusal::Malformed)
    }

    /// Whether its private half has signed this.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        let verified = match self {
            Self::Es256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature)
            }
            Self::EdDsa(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
            Self::Rs256 { n, e } => RsaPublicKeyComponents { n, e }.verify(
                &RSA_PKCS1_2048_8192_SHA256,
                message,
                signature,
            ),
        };
        verified.map_err(|_| Refusal::WrongSignature)
    }
}

fn uncompressed(x: &[u8], y: &[u8]) -> Option<[u8; 65]> {
    let mut point = [4; 65];
    point
        .get_mut(1..33)
        .filter(|_| x.len() == 32)?
        .copy_from_slice(x);
    point
        .get_mut(33..)
        .filter(|_| y.len() == 32)?
        .copy_from_slice(y);
    Some(point)
}

impl<'a> Parameters<'a> {
    /// A map, and nothing behind it. Of a label that comes twice the first would count here and the last there: so it is
    /// refused.
    fn read(cose: &'a [u8]) -> Option<Self> {
        let mut decoder = Decoder::new(cose);
        let mut read = Self::default();
        for _ in 0..decoder.map().ok()?? {
            let label = decoder.i64().ok()?;
            let is_bytes = decoder.datatype().ok()? == Type::Bytes;
            let anew = match (label, is_bytes) {
                (1, false) => read.kty.replace(decoder.i64().ok()?).is_none(),
                (3, false) => read.alg.replace(decoder.i64().ok()?).is_none(),
                (-1, false) => read.crv.replace(decoder.i64().ok()?).is_none(),
                (-1, true) => read.n.replace(decoder.bytes().ok()?).is_none(),
                (-2, true) => read.x_or_e.replace(decoder.bytes().ok()?).is_none(),
                (-3, true) => read.y.replace(decoder.bytes().ok()?).is_none(),
                _ => decoder.skip().is_ok(),
            };
            if !anew {
                return None;
            }
        }
        (decoder.position() == cose.len()).then_some(read)
    }
}
