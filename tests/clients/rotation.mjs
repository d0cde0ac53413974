// Verifiers through a rotation of keys: rotation.mjs SITE EMAIL PASSWORD PYTHON; see `rotate`.
import { execFileSync, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import * as oauth from "oauth4webapi";
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from "jose";

const [site, email, password, python] = process.argv.slice(2);
const { PROGRAM, FOLDER } = process.env;
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

async function freshToken() {
  const body = new URLSearchParams({ grant_type: "password", username: email, password });
  const answer = await fetch(`${site}/api/v1/tokens`, { method: "POST", body });
  const { access_token: token, error } = await answer.json();
  if (!token) throw new Error(`no token: ${error}`);
  return token;
}

// With nothing kept: whoever reads the list for each token can only fail if the key is not on it.
async function kidsListed() {
  return (await (await fetch(`${site}/.well-known/jwks.json`)).json()).keys.map((key) => key.kid);
}

const child = spawn(python, [new URL("rotation.py", import.meta.url).pathname, site], { stdio: ["pipe", "pipe", "inherit"] });
const words = createInterface({ input: child.stdout })[Symbol.asyncIterator]();

const kept = createRemoteJWKSet(new URL(`${site}/.well-known/jwks.json`));
const insecure = { [oauth.allowInsecureRequests]: true };
const found = await oauth.discoveryRequest(new URL(site), { algorithm: "oauth2", ...insecure });
const server = await oauth.processDiscoveryResponse(new URL(site), found);

const verifiers = {
  PyJWT: async (token) => {
    child.stdin.write(`${token}\n`);
    const { value } = await words.next();
    if (value !== "taken") throw new Error(value);
  },
  jose: (token) => jwtVerify(token, kept, { issuer: site, audience: site }),
  oauth4webapi: (token) => {
    const request = new Request(`${site}/x`, { headers: { authorization: `Bearer ${token}` } });
    return oauth.validateJwtAccessToken(server, request, site, insecure);
  },
  "ten minutes, then again": tenMinutes(),
};

// As Envoy does by default: the list is read every ten minutes, and never because a key is unknown.
function tenMinutes() {
  let listed, at;
  return async (token) => {
    if (!at || Date.now() - at > 600_000) [listed, at] = [await kidsListed(), Date.now()];
    if (!listed.includes(decodeProtectedHeader(token).kid)) throw new Error("the key is unknown");
  };
}

const told = Object.fromEntries(Object.keys(verifiers).map((name) => [name, { before: 0, after: 0, refused: [] }]));
const began = Date.now();
const first = decodeProtectedHeader(await freshToken()).kid;
let rotated = false;
let changedAt;
while (!changedAt || Date.now() - changedAt < 120_000) {
  if (Date.now() - began > 30 * 60_000) throw new Error("the new key never signed");
  if (!rotated && Date.now() - began > 30_000) {
    rotated = true;
    const port = { BIND_ADDRESS: new URL(site).host.replace("localhost", "127.0.0.1"), PUBLIC_URL: site };
    console.log(execFileSync(PROGRAM, ["keys", "rotate"], { cwd: FOLDER, env: { ...process.env, ...port } }).toString().trim());
  }
  const token = await freshToken();
  const isNew = decodeProtectedHeader(token).kid !== first;
  if (isNew) changedAt ??= Date.now();
  for (const [name, verify] of Object.entries(verifiers)) {
    try {
      await verify(token);
      told[name][isNew ? "after" : "before"] += 1;
    } catch (why) {
      told[name].refused.push(`${Math.round((Date.now() - began) / 1000)} s: ${why.message}`);
    }
  }
  await pause(10);
}
child.stdin.end();
console.log(`the new key began to sign after ${Math.round((changedAt - began) / 1000)} s`);
for (const [name, { before, after, refused }] of Object.entries(told)) {
  console.log(`${name}: took ${before} of the old key and ${after} of the new one, refused ${refused.length}`, ...refused.slice(0, 5));
}
process.exit(Object.values(told).some(({ refused }) => refused.length > 0) ? 1 : 0);
