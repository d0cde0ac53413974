"""Signs in, refreshes, verifies and gives back as two OAuth libraries do: oauth_clients.py SITE EMAIL PASSWORD.

They are told the address of the site and nothing else, and send what they send by themselves.
"""
import os
import sys

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # The site is on loopback.
os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"

import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session as Authlib
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from oauthlib.oauth2 import InvalidGrantError, LegacyApplicationClient
from requests_oauthlib import OAuth2Session as RequestsOauthlib

site, email, password = sys.argv[1:]
metadata = requests.get(f"{site}/.well-known/oauth-authorization-server", timeout=10).json()
issuer = metadata["issuer"]
tokens_at = metadata["token_endpoint"].replace(issuer, site)
revocation_at = metadata["revocation_endpoint"].replace(issuer, site)
jwks = requests.get(metadata["jwks_uri"].replace(issuer, site), timeout=10).json()


def who(session):
    answer = session.get(f"{site}/api/v1/me")
    return answer.json()["email"] if answer.status_code == 200 else None


class Verifier(JWTBearerTokenValidator):
    """RFC 9068, to the letter."""

    def get_jwks(self):
        return jwks


def with_authlib():
    session = Authlib("anything", token_endpoint_auth_method="none")
    try:
        session.fetch_token(tokens_at, grant_type="password", username=email, password="wrong")
        raise SystemExit("a wrong password was taken")
    except OAuthError as error:
        assert error.error == "invalid_grant", error
    session.fetch_token(tokens_at, grant_type="password", username=email, password=password)
    assert who(session) == email
    claims = Verifier(issuer=issuer, resource_server=issuer).authenticate_token(session.token["access_token"])
    assert claims["client_id"] and claims["sub"], claims
    before = session.token["refresh_token"]
    session.refresh_token(tokens_at)
    assert session.token["refresh_token"] != before and who(session) == email
    answer = session.revoke_token(revocation_at, session.token["refresh_token"], "refresh_token")
    assert answer.status_code == 200 and who(session) is None


def with_requests_oauthlib():
    session = RequestsOauthlib(client=LegacyApplicationClient(client_id="anything"))
    try:
        session.fetch_token(tokens_at, username=email, password="wrong")
        raise SystemExit("a wrong password was taken")
    except InvalidGrantError:
        pass
    session.fetch_token(tokens_at, username=email, password=password)
    assert who(session) == email
    before = session.token["refresh_token"]
    session.refresh_token(tokens_at)
    assert session.token["refresh_token"] != before and who(session) == email
    asked = session._client.prepare_token_revocation_request(
        revocation_at, session.token["refresh_token"], "refresh_token"
    )
    url, headers, body = asked
    assert requests.post(url, data=body, headers=headers, timeout=10).status_code == 200
    assert who(session) is None


with_authlib()
with_requests_oauthlib()
