// Each client signs in, refreshes and gives back by itself, told the address of the site and nothing else.
// clients.mjs SITE EMAIL PASSWORD; prints one line a client, and ends with 1 if one of them got no further.
import * as oauth from "oauth4webapi";
import * as openid from "openid-client";
import { createRemoteJWKSet, jwtVerify } from "jose";
import { OAuth2Client } from "@badgateway/oauth2-client";
import { ResourceOwnerPassword } from "simple-oauth2";

const [site, email, password] = process.argv.slice(2);
const scope = "account:read";

async function who(token) {
  const answer = await fetch(`${site}/api/v1/me`, { headers: { authorization: `Bearer ${token}` } });
  return answer.status === 200 ? (await answer.json()).email : null;
}

function expect(what, is) {
  if (!is) throw new Error(`not so: ${what}`);
}

const clients = {
  async "openid-client"(say) {
    const config = await openid.discovery(new URL(site), "anything", undefined, openid.None(), {
      algorithm: "oauth2",
      execute: [openid.allowInsecureRequests],
    });
    say("found");
    const first = await openid.genericGrantRequest(config, "password", { username: email, password });
    expect("it signs in", (await who(first.access_token)) === email);
    say("signed in");
    const second = await openid.refreshTokenGrant(config, first.refresh_token);
    expect("it refreshes", (await who(second.access_token)) === email);
    say("refreshed");
    await openid.tokenRevocation(config, second.refresh_token);
    expect("it gives back", (await who(second.access_token)) === null);
    say("gave back");
  },

  async oauth4webapi(say) {
    const insecure = { [oauth.allowInsecureRequests]: true };
    const issuer = new URL(site);
    const found = await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...insecure });
    const server = await oauth.processDiscoveryResponse(issuer, found);
    say("found");
    const client = { client_id: "anything" };
    const asked = await oauth.genericTokenEndpointRequest(
      server, client, oauth.None(), "password", new URLSearchParams({ username: email, password }), insecure);
    const first = await oauth.processGenericTokenEndpointResponse(server, client, asked);
    say("signed in");
    const request = new Request(`${site}/anything`, { headers: { authorization: `Bearer ${first.access_token}` } });
    const claims = await oauth.validateJwtAccessToken(server, request, site, insecure);
    expect("it verifies", claims.client_id);
    say("verified");
    const refreshed = await oauth.refreshTokenGrantRequest(server, client, oauth.None(), first.refresh_token, insecure);
    const second = await oauth.processRefreshTokenResponse(server, client, refreshed);
    expect("it refreshes", (await who(second.access_token)) === email);
    say("refreshed");
    const revoked = await oauth.revocationRequest(server, client, oauth.None(), second.refresh_token, insecure);
    await oauth.processRevocationResponse(revoked);
    expect("it gives back", (await who(second.access_token)) === null);
    say("gave back");
  },

  async "@badgateway/oauth2-client"(say) {
    const client = new OAuth2Client({ server: site, clientId: "anything", discoveryEndpoint: "/.well-known/oauth-authorization-server" });
    const first = await client.password({ username: email, password });
    expect("it signs in", (await who(first.accessToken)) === email);
    say("signed in");
    const second = await client.refreshToken(first);
    expect("it refreshes", (await who(second.accessToken)) === email);
    say("refreshed");
    await client.revoke(second, "refresh_token");
    expect("it gives back", (await who(second.accessToken)) === null);
    say("gave back");
  },

  async "simple-oauth2"(say) {
    const client = new ResourceOwnerPassword({
      client: { id: "anything", secret: "anything" },
      auth: { tokenHost: site, tokenPath: "/api/v1/tokens", revokePath: "/api/v1/tokens/revoke" },
    });
    const first = await client.getToken({ username: email, password, scope });
    expect("it signs in", (await who(first.token.access_token)) === email);
    say("signed in");
    const second = await first.refresh();
    expect("it refreshes", (await who(second.token.access_token)) === email);
    say("refreshed");
    await second.revoke("refresh_token");
    expect("it gives back", (await who(second.token.access_token)) === null);
    say("gave back");
  },

  async jose(say) {
    const body = new URLSearchParams({ grant_type: "password", username: email, password });
    const tokens = await (await fetch(`${site}/api/v1/tokens`, { method: "POST", body })).json();
    const keys = createRemoteJWKSet(new URL(`${site}/.well-known/jwks.json`));
    await jwtVerify(tokens.access_token, keys, { issuer: site, audience: site, typ: "at+jwt" });
    say("verified");
  },
};

for (const [name, run] of Object.entries(clients)) {
  const did = [];
  try {
    await run((step) => did.push(step));
    console.log(`${name}: ${did.join(", ")}`);
  } catch (error) {
    console.log(`${name}: ${did.join(", ")}; then ${error.code ?? ""} ${error.message} ${error.cause?.message ?? ""}`);
    process.exitCode = 1;
  }
}
