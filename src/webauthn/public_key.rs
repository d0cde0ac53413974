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

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ring::signature::{Ed25519KeyPair, KeyPair as _};

    use super::*;
    use crate::random;

    const MESSAGE: &[u8] = b"what was signed";

    /// By a key that was thrown away.
    const N: &str = "qyTuGRC01M3spqw-PnuOH3rf0no1WYqeMDWANTGdYk5MUvFcV19llfgfcdt83QpIyx-0P3_2dNScMu3oQgR6AE \
         TUMhXz1WLT3LxVEyJHZhgH_2gx52IfWc_ayTsT4LXxlc_1Zut0h_j5ELh0dOdecWRooexSrwY_tPd3EUEC9Sx1 \
         eSDFr346blX82A8ChhYqFeKF7cL006whMR1QwSGFHZaNHLzLtDWRjzhGqi_Vhjv9Jabxaj2ZHx8OvMpfp6gjm0 \
         tuVj7NQsTUqibgZT9VdJifZsaeYqUdhCUyKLyYLhiuCZR1cvJy1zQKHTnM2SAK_El52UpZlarcu3hqNLIv7w";
    const SIGNED: &str = "iEhDyJfycEARI-MqPd0mBqkI9sjFDSAel5G3WuxyeNGTHGdASt8P9UNj4D6_IAuekrFHCVNfIkiOdZWi6RqPH7 \
         pjZnHOr8ogZOumGIu3Dp5_adYWk0Kh7qSfARvbC6mDrFuwGYPT0JBoo_Ra65Oic_TeK_Gf1blh9fxHsIPzgfxE \
         Dq8Ky8x7SBqL3gco_Rez2KDKDNfbWHIDxysndEsA9G2oynLT6zHQQXBEmhEyMHyRlVQeHMRMT70Uz_lXx0vB3S \
         WT7gEC6TN_m5FIaX8B--LiYwfqDCNJeUOQea0zcNy10LWEcRwmwOyDasMFhCOJtwnTbyGeI8bkESWJeVvm6g";

    /// Of lines with a space between them.
    fn bytes(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text.replace(' ', "")).unwrap()
    }

    /// {1: 3, 3: -257, -1: n, -2: 65537}
    fn rsa(n: &[u8]) -> Vec<u8> {
        let length = u16::try_from(n.len()).unwrap().to_be_bytes();
        [
            b"\xa4\x01\x03\x03\x39\x01\x00\x20\x59",
            &length[..],
            n,
            b"\x21\x43\x01\x00\x01",
        ]
        .concat()
    }

    /// {1: 1, 3: -8, -1: 6, -2: x}
    fn ed25519(x: &[u8]) -> Vec<u8> {
        [b"\xa4\x01\x01\x03\x27\x20\x06\x21\x58\x20", x].concat()
    }

    #[test]
    fn each_kind_of_key_verifies_what_it_signed_and_nothing_else() {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random::for_signatures()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let signed = pair.sign(MESSAGE);
        for (cose, signature) in [
            (
                ed25519(pair.public_key().as_ref()),
                signed.as_ref().to_vec(),
            ),
            (rsa(&bytes(N)), bytes(SIGNED)),
        ] {
            let key = PublicKey::parse(&cose).unwrap();
            assert_eq!(key.verify(MESSAGE, &signature), Ok(()));
            let wrong = Err(Refusal::WrongSignature);
            assert_eq!(key.verify(b"what was not", &signature), wrong);
            assert_eq!(key.verify(MESSAGE, &signature[1..]), wrong);
            assert_eq!(key.verify(MESSAGE, b""), wrong);
        }
    }

    #[test]
    fn a_key_of_another_kind_or_shape_is_none() {
        let x = [7; 32];
        let good = ed25519(&x);
        assert!(PublicKey::parse(&good).is_ok());
        for at in 0..good.len() {
            assert!(PublicKey::parse(&good[..at]).is_err(), "cut at {at}");
        }
        let twice = [b"\xa5\x01\x01\x01\x01\x03\x27\x20\x06\x21\x58\x20", &x[..]].concat();
        for (what, cose) in [
            ("a byte behind it", [&good[..], &[0]].concat()),
            ("no map", vec![0x80]),
            ("a label twice", twice),
            (
                "another curve",
                [b"\xa4\x01\x01\x03\x27\x20\x04\x21\x58\x20", &x[..]].concat(),
            ),
            (
                "the algorithm of another kind",
                [b"\xa4\x01\x01\x03\x26\x20\x06\x21\x58\x20", &x[..]].concat(),
            ),
            (
                "a short x",
                b"\xa4\x01\x01\x03\x27\x20\x06\x21\x41\x07".to_vec(),
            ),
            (
                "a P-256 key without y",
                [b"\xa4\x01\x02\x03\x26\x20\x01\x21\x58\x20", &x[..]].concat(),
            ),
            (
                "a modulus too long to be worth it",
                rsa(&[0xff; LONGEST_MODULUS + 1]),
            ),
        ] {
            assert!(PublicKey::parse(&cose).is_err(), "{what}");
        }
    }
}
