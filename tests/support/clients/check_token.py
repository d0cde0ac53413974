"""Checks an access token as any other service would: check_token.py SITE ISSUER TOKEN. Prints what it says."""
import json
import sys

import jwt

site, issuer, token = sys.argv[1:]
key = jwt.PyJWKClient(f"{site}/.well-known/jwks.json").get_signing_key_from_jwt(token)
claims = jwt.decode(
    token,
    key,
    algorithms=["ES256"],
    audience=issuer,
    issuer=issuer,
    options={"require": ["iss", "aud", "sub", "iat", "exp", "jti"]},
)
print(json.dumps(claims))
