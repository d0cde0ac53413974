import os
import urllib.request

from models import GrantType, Me, TokenRequest, Tokens

site, email, password = (os.environ[name] for name in ("SITE", "EMAIL", "PASSWORD"))


def call(path: str, headers: dict[str, str], body: bytes | None = None) -> bytes:
    return urllib.request.urlopen(urllib.request.Request(site + path, body, headers)).read()


asked = TokenRequest(grant_type=GrantType.password, email=email, password=password)
body = asked.model_dump_json(exclude_none=True).encode()
tokens = Tokens.model_validate_json(call("/api/v1/tokens", {"Content-Type": "application/json"}, body))
me = Me.model_validate_json(call("/api/v1/me", {"Authorization": f"Bearer {tokens.access_token}"}))
assert me.email == email
print("signed in as", me.email)
