#!/usr/bin/env bash
#
# @simplewebauthn/server 14.0.3 (npm): told to take passkeys of the algorithms -9, -19 and -47, it registers them, and then
# refuses every sign-in with them.
#
#   findings/simplewebauthn-key-it-cannot-use.sh        needs Node.js 20 or newer, npm, python3
#
# Which algorithms a site takes it tells the library in `supportedAlgorithmIDs`. Three of those in IANA's registry of COSE
# algorithms are -9 (ESP256: ECDSA on P-256 with SHA-256, and nothing else) and -19 (Ed25519), the names that RFC 9864 gives
# to what -7 and -8 leave open, and -47 (ES256K). An attestation of the format "none" has no signature, so that the library
# looks at the key for the first time when somebody signs in with it:
#
#     -7   registered: true   signed in: true
#     -8   registered: true   signed in: true
#     -9   registered: true   signed in: Error: Could not map COSE alg value of -9 to a WebCrypto hash alg name
#     -19  registered: true   signed in: Error: Public key had invalid alg -19 (OKP)
#     -47  registered: true   signed in: Error: Unexpected COSE crv value of 8 (EC2)
#
# The same key and the same signature pass where the key is written down as -7 or -8 (for -9 and -19). A site learns of it
# when the first of its people cannot come in.
#
# Ends with 0 if all of that is still so, with 1 if something has changed. Everything is in a temporary folder.

set -euo pipefail
folder=$(mktemp --directory)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

npm install --silent --no-audit --no-fund @simplewebauthn/server@14.0.3 >/dev/null
python3 -m venv python
python/bin/pip install --quiet cbor2==6.3.0 cryptography==50.0.2

# Passkeys of one authenticator, each registered and then used once.
cat >authenticator.py <<'PYTHON'
import base64, hashlib, json, secrets, struct
import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

def text(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

def elliptic(algorithm, curve, number):
    key = ec.generate_private_key(curve)
    point = key.public_key().public_numbers()
    public = {1: 2, 3: algorithm, -1: number, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")}
    return public, lambda said: key.sign(said, ec.ECDSA(hashes.SHA256()))

def edwards(algorithm):
    key = ed25519.Ed25519PrivateKey.generate()
    return {1: 1, 3: algorithm, -1: 6, -2: key.public_key().public_bytes_raw()}, key.sign

def client_data(kind, challenge):
    said = {"type": kind, "challenge": challenge, "origin": "https://example.org", "crossOrigin": False}
    return json.dumps(said).encode()

def passkey(algorithm, public, sign):
    identifier, challenge = secrets.token_bytes(32), text(secrets.token_bytes(32))
    site, key = hashlib.sha256(b"example.org").digest(), cbor2.dumps(public, canonical=True)
    made = site + b"\x45" + struct.pack(">I", 0) + bytes(16) + struct.pack(">H", 32) + identifier + key
    used = site + b"\x05" + struct.pack(">I", 0)
    attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": made}, canonical=True)
    asked = client_data("webauthn.get", challenge)
    named = {"id": text(identifier), "rawId": text(identifier), "type": "public-key", "clientExtensionResults": {}}
    return {
        "algorithm": algorithm,
        "challenge": challenge,
        "key": text(key),
        "registration": named | {"response": {
            "clientDataJSON": text(client_data("webauthn.create", challenge)),
            "attestationObject": text(attestation),
            "transports": ["internal"],
        }},
        "sign_in": named | {"response": {
            "clientDataJSON": text(asked),
            "authenticatorData": text(used),
            "signature": text(sign(used + hashlib.sha256(asked).digest())),
        }},
    }

print(json.dumps([
    passkey(-7, *elliptic(-7, ec.SECP256R1(), 1)),
    passkey(-8, *edwards(-8)),
    passkey(-9, *elliptic(-9, ec.SECP256R1(), 1)),
    passkey(-19, *edwards(-19)),
    passkey(-47, *elliptic(-47, ec.SECP256K1(), 8)),
]))
PYTHON
python/bin/python authenticator.py >passkeys.json

cat >site.mjs <<'JAVASCRIPT'
import { readFileSync } from 'node:fs';
import { verifyAuthenticationResponse, verifyRegistrationResponse } from '@simplewebauthn/server';

const passkeys = JSON.parse(readFileSync('passkeys.json'));
const supportedAlgorithmIDs = passkeys.map((passkey) => passkey.algorithm);
const verdict = (verified) => verified.then((it) => it.verified, (why) => `${why.name}: ${why.message}`);
for (const { algorithm, challenge, key, registration, sign_in } of passkeys) {
  const expected = { expectedChallenge: challenge, expectedOrigin: 'https://example.org', expectedRPID: 'example.org' };
  const registered = await verdict(verifyRegistrationResponse({ response: registration, supportedAlgorithmIDs, ...expected }));
  const credential = { id: sign_in.id, publicKey: new Uint8Array(Buffer.from(key, 'base64url')), counter: 0 };
  const signedIn = await verdict(verifyAuthenticationResponse({ response: sign_in, credential, ...expected }));
  console.log(`${String(algorithm).padEnd(4)} registered: ${registered}   signed in: ${signedIn}`);
}
JAVASCRIPT
node site.mjs | tee seen

diff - seen <<'SEEN'
-7   registered: true   signed in: true
-8   registered: true   signed in: true
-9   registered: true   signed in: Error: Could not map COSE alg value of -9 to a WebCrypto hash alg name
-19  registered: true   signed in: Error: Public key had invalid alg -19 (OKP)
-47  registered: true   signed in: Error: Unexpected COSE crv value of 8 (EC2)
SEEN
