"""Verifies each token it is handed, one a line, as one service that goes on running: rotation.py SITE."""
import sys

import jwt

site = sys.argv[1]
keys = jwt.PyJWKClient(f"{site}/.well-known/jwks.json")

for line in sys.stdin:
    token = line.strip()
    try:
        key = keys.get_signing_key_from_jwt(token)
        jwt.decode(token, key, algorithms=["ES256"], audience=site, issuer=site, leeway=5)
        print("taken", flush=True)
    except Exception as why:
        print(f"{type(why).__name__}: {why}".replace("\n", " "), flush=True)
