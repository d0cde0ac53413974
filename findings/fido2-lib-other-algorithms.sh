#!/usr/bin/env bash
#
# fido2-lib 3.5.9 (npm): of the algorithms that it can be told to ask for (`cryptoParams`) it verifies -7 and -257 alone. -8
# ends in a TypeError; -35 and -258 are registered, and then no sign-in with them is ever right.
#
#   findings/fido2-lib-other-algorithms.sh        needs Node.js 20, npm, python3
#
# -8 is EdDSA, -35 ES384, -258 RS384. `attestationOptions()` hands them to the browser as they were given. What becomes of
# passkeys that are of them:
#
#     -7    registered   signed in
#     -257  registered   signed in
#     -8    TypeError: Failed to normalize algorithm … (at registration)
#     -35   registered   Error: Unsupported key format
#     -258  registered   Error: signature validation failed
#
# The signatures are right: node:crypto says so of each (last column of what is printed).
#
# Ends with 0 if all of that is still so, with 1 if something has changed. Everything is in a temporary folder.

set -euo pipefail
folder=$(mktemp --directory)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

npm install --silent --no-audit --no-fund fido2-lib@3.5.9 >/dev/null
python3 -m venv python
python/bin/pip install --quiet cbor2==6.3.0 cryptography==50.0.2

cat >authenticator.py <<'PYTHON'
import base64, hashlib, json, secrets, struct, sys
import cbor2
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

def text(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

def elliptic(algorithm, curve, number, size, digest):
    key = ec.generate_private_key(curve)
    point = key.public_key().public_numbers()
    public = {1: 2, 3: algorithm, -1: number, -2: point.x.to_bytes(size, "big"), -3: point.y.to_bytes(size, "big")}
    return key, public, lambda said: key.sign(said, ec.ECDSA(digest))

def edwards():
    key = ed25519.Ed25519PrivateKey.generate()
    return key, {1: 1, 3: -8, -1: 6, -2: key.public_key().public_bytes_raw()}, key.sign

def rsa_key(algorithm, digest):
    key = rsa.generate_private_key(65537, 2048)
    modulus = key.public_key().public_numbers().n.to_bytes(256, "big")
    return key, {1: 3, 3: algorithm, -1: modulus, -2: b"\1\0\1"}, lambda said: key.sign(said, padding.PKCS1v15(), digest)

def client_data(kind, challenge):
    said = {"type": kind, "challenge": challenge, "origin": "https://example.org", "crossOrigin": False}
    return json.dumps(said).encode()

def passkey(digest, key, public, sign):
    identifier, challenge = secrets.token_bytes(32), text(secrets.token_bytes(32))
    site = hashlib.sha256(b"example.org").digest()
    made = site + b"\x45" + struct.pack(">I", 0) + bytes(16) + struct.pack(">H", 32) + identifier
    made += cbor2.dumps(public, canonical=True)
    used, asked = site + b"\x05" + struct.pack(">I", 0), client_data("webauthn.get", challenge)
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return {
        "algorithm": public[3],
        "challenge": challenge,
        "digest": digest,
        "pem": pem.decode(),
        "id": text(identifier),
        "made": {
            "clientDataJSON": text(client_data("webauthn.create", challenge)),
            "attestationObject": text(cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": made}, canonical=True)),
        },
        "used": {
            "clientDataJSON": text(asked),
            "authenticatorData": text(used),
            "signature": text(sign(used + hashlib.sha256(asked).digest())),
            "userHandle": text(b"ada"),
        },
    }

json.dump([
    passkey("sha256", *elliptic(-7, ec.SECP256R1(), 1, 32, hashes.SHA256())),
    passkey("sha256", *rsa_key(-257, hashes.SHA256())),
    passkey(None, *edwards()),
    passkey("sha384", *elliptic(-35, ec.SECP384R1(), 2, 48, hashes.SHA384())),
    passkey("sha384", *rsa_key(-258, hashes.SHA384())),
], sys.stdout)
PYTHON
python/bin/python authenticator.py >passkeys.json

cat >site.mjs <<'JAVASCRIPT'
import { createHash, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Fido2Lib } from 'fido2-lib';

const passkeys = JSON.parse(readFileSync('passkeys.json'));
const site = new Fido2Lib({ rpId: 'example.org', cryptoParams: passkeys.map((passkey) => passkey.algorithm) });
const bytes = (text) => Uint8Array.from(Buffer.from(text, 'base64url'));
const why = (error) => `${error.name}: ${error.message.slice(0, 29)}`;
const isRight = ({ digest, pem, used }) => {
  const said = createHash('sha256').update(bytes(used.clientDataJSON)).digest();
  return verify(digest, Buffer.concat([bytes(used.authenticatorData), said]), pem, bytes(used.signature));
};

const offered = (await site.attestationOptions()).pubKeyCredParams.map((one) => one.alg);
console.log('offered', offered.join(' '));
for (const passkey of passkeys) {
  const { challenge, id, made, used, pem } = passkey;
  // Anew each time: it writes into what it is given.
  const expected = () => ({ challenge, origin: 'https://example.org', factor: 'first', rpId: 'example.org' });
  const named = { id: bytes(id).buffer, rawId: bytes(id).buffer, type: 'public-key' };
  const registered = await site.attestationResult({ ...named, response: made }, expected()).then(() => 'registered', why);
  const answer = { ...used, authenticatorData: bytes(used.authenticatorData).buffer };
  const kept = { publicKey: pem, prevCounter: 0, userHandle: used.userHandle };
  const signedIn = await site.assertionResult({ ...named, response: answer }, { ...expected(), ...kept }).then(() => 'signed in', why);
  console.log(`${passkey.algorithm}: ${registered}; ${signedIn}; the signature is ${isRight(passkey) ? 'right' : 'wrong'}`);
}
JAVASCRIPT
node site.mjs | tee seen

diff - seen <<'SEEN'
offered -7 -257 -8 -35 -258
-7: registered; signed in; the signature is right
-257: registered; signed in; the signature is right
-8: TypeError: Failed to normalize algorithm; Error: Unsupported key format; the signature is right
-35: registered; Error: Unsupported key format; the signature is right
-258: registered; Error: signature validation failed; the signature is right
SEEN
