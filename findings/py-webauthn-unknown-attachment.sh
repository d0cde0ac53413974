#!/usr/bin/env bash
#
# py_webauthn 3.0.1 (PyPI, "webauthn"): a passkey whose authenticatorAttachment it does not know is refused as a whole, at
# registration and at every sign-in.
#
#   findings/py-webauthn-unknown-attachment.sh        needs Python 3.11 or newer, and pip
#
# The browser says beside the signed part how the authenticator is attached: "platform" or "cross-platform" today. The
# member is a DOMString and no enumeration on purpose, so that there can be more: "Relying Parties SHOULD treat unknown values
# as if the value were null" (Web Authentication Level 3, 5.1). Nothing that is signed depends on it. With another word in it
# and all else the same:
#
#     platform   registered   signed in
#     null       registered   signed in
#     absent     registered   signed in
#     orbital    InvalidJSONStructure: Credential had unexpected authenticatorAttachment   (both)
#
# A word that it does not know among the transports, which are of the same kind, it lets pass.
#
# Ends with 0 if all of that is still so, with 1 if something has changed. Everything is in a temporary folder.

set -euo pipefail
folder=$(mktemp --directory)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv python
python/bin/pip install --quiet webauthn==3.0.1 cbor2==6.3.0 cryptography==50.0.2

cat >site.py <<'PYTHON'
import hashlib, json, secrets, struct
import cbor2, webauthn
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from webauthn.helpers import bytes_to_base64url as text

SITE, ORIGIN = "example.org", "https://example.org"

def client_data(kind, challenge):
    return json.dumps({"type": kind, "challenge": text(challenge), "origin": ORIGIN, "crossOrigin": False}).encode()

# One passkey: what the browser sends when it is made, and when it is used.
def passkey(challenge, transports, **attachment):
    key, identifier = ec.generate_private_key(ec.SECP256R1()), secrets.token_bytes(32)
    point, site = key.public_key().public_numbers(), hashlib.sha256(SITE.encode()).digest()
    public = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")}, canonical=True)
    made = site + b"\x45" + struct.pack(">I", 0) + bytes(16) + struct.pack(">H", 32) + identifier + public
    used, asked = site + b"\x05" + struct.pack(">I", 0), client_data("webauthn.get", challenge)
    signature = key.sign(used + hashlib.sha256(asked).digest(), ec.ECDSA(hashes.SHA256()))
    named = {"id": text(identifier), "rawId": text(identifier), "type": "public-key", "clientExtensionResults": {}} | attachment
    registration = named | {"response": {
        "clientDataJSON": text(client_data("webauthn.create", challenge)),
        "attestationObject": text(cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": made}, canonical=True)),
        "transports": transports,
    }}
    sign_in = named | {"response": {
        "clientDataJSON": text(asked),
        "authenticatorData": text(used),
        "signature": text(signature),
    }}
    return public, registration, sign_in

def verdict(done, verify, **what):
    try:
        verify(**what)
        return done
    except Exception as why:
        return f"{type(why).__name__}: {why}"

def visit(name, transports=("internal",), **attachment):
    challenge = secrets.token_bytes(32)
    public, registration, sign_in = passkey(challenge, list(transports), **attachment)
    expected = {"expected_challenge": challenge, "expected_rp_id": SITE, "expected_origin": ORIGIN}
    registered = verdict("registered", webauthn.verify_registration_response, credential=registration, **expected)
    signed_in = verdict(
        "signed in", webauthn.verify_authentication_response, credential=sign_in,
        credential_public_key=public, credential_current_sign_count=0, **expected,
    )
    print(f"{name}: {registered}; {signed_in}")

visit("platform", authenticatorAttachment="platform")
visit("null", authenticatorAttachment=None)
visit("absent")
visit("orbital", authenticatorAttachment="orbital")
visit("a transport that it does not know", transports=["internal", "orbital"], authenticatorAttachment="platform")
PYTHON
python/bin/python site.py | tee seen

diff - seen <<'SEEN'
platform: registered; signed in
null: registered; signed in
absent: registered; signed in
orbital: InvalidJSONStructure: Credential had unexpected authenticatorAttachment; InvalidJSONStructure: Credential had unexpected authenticatorAttachment
a transport that it does not know: registered; signed in
SEEN
