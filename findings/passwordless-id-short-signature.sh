#!/usr/bin/env bash
#
# @passwordless-id/webauthn 2.4.0 (npm): about one in 128 sign-ins with an ES256 passkey is refused, and the signature is right.
#
#   findings/passwordless-id-short-signature.sh        needs Node.js 20 or newer, and npm
#
# An ES256 signature is two numbers, each below 2^256, and in an assertion they stand in DER (Web Authentication Level 3, 6.5.5:
# Ecdsa-Sig-Value), which writes a number in as few bytes as it has. One number in 256 has 31 bytes or fewer. The library takes
# the signature apart as if each number had 32, and the cryptography below it says no:
#
#     20000 sign-ins, each with a signature that node:crypto finds right
#     refused: all of those with a number of 31 bytes or fewer (about 156), and no other
#
# So it comes and goes: the same passkey passes at the next try.
#
# Ends with 0 if all of that is still so, with 1 if something has changed. Everything is in a temporary folder.

set -euo pipefail
folder=$(mktemp --directory)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

npm install --silent --no-audit --no-fund @passwordless-id/webauthn@2.4.0 >/dev/null

cat >site.mjs <<'JAVASCRIPT'
import { createHash, generateKeyPairSync, sign, verify } from 'node:crypto';
import { server } from '@passwordless-id/webauthn';

const origin = 'https://example.org';
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const text = (bytes) => Buffer.from(bytes).toString('base64url');
const digest = (bytes) => createHash('sha256').update(bytes).digest();
const credential = {
  id: text('a passkey'),
  algorithm: 'ES256',
  publicKey: text(publicKey.export({ format: 'der', type: 'spki' })),
  transports: ['internal'],
};

// DER: 0x30, the length of both; 0x02, the length of one number, the number; and the other likewise. A number whose first
// bit is set has a zero byte before it.
function isShort(signature) {
  const first = signature.subarray(4, 4 + signature[3]);
  const second = signature.subarray(4 + first.length + 2);
  return [first, second].some((number) => number.length - (number[0] === 0) < 32);
}

const seen = { signIns: 0, right: 0, short: 0, refused: 0, otherwise: 0 };
for (let count = 1; count <= 20_000; count++) {
  const challenge = text(digest(`challenge ${count}`));
  const authenticatorData = Buffer.concat([digest('example.org'), Buffer.from([5]), Buffer.alloc(4)]);
  authenticatorData.writeUInt32BE(count, 33);
  const clientData = Buffer.from(JSON.stringify({ type: 'webauthn.get', challenge, origin, crossOrigin: false }));
  const signed = Buffer.concat([authenticatorData, digest(clientData)]);
  const signature = sign('sha256', signed, privateKey);
  const used = {
    id: credential.id,
    rawId: credential.id,
    type: 'public-key',
    clientExtensionResults: {},
    response: {
      authenticatorData: text(authenticatorData),
      clientDataJSON: text(clientData),
      signature: text(signature),
    },
  };
  const expected = { challenge, origin, userVerified: true, counter: 0 };
  const refused = await server.verifyAuthentication(used, credential, expected).then(() => false, () => true);
  seen.signIns += 1;
  seen.right += verify('sha256', signed, publicKey, signature);
  seen.short += isShort(signature);
  seen.refused += refused;
  seen.otherwise += refused !== isShort(signature);
}
console.log(`${seen.signIns} sign-ins, ${seen.right} signatures are right, ${seen.short} have a short number`);
console.log(`refused: ${seen.refused}; refused without a short number, or taken with one: ${seen.otherwise}`);
const asTold = seen.right === seen.signIns && seen.refused > 50 && seen.refused === seen.short && seen.otherwise === 0;
process.exit(asTold ? 0 : 1);
JAVASCRIPT
node site.mjs
