import os

from doorpost_client import AuthenticatedClient, Client
from doorpost_client.api.me import me
from doorpost_client.api.tokens import get_tokens
from doorpost_client.models import GrantType, Me, TokenRequest, Tokens

site, email, password = (os.environ[name] for name in ("SITE", "EMAIL", "PASSWORD"))

asked = TokenRequest(grant_type=GrantType.PASSWORD, email=email, password=password)
tokens = get_tokens.sync(client=Client(base_url=site), body=asked)
assert isinstance(tokens, Tokens) and isinstance(tokens.access_token, str), tokens
who = me.sync(client=AuthenticatedClient(base_url=site, token=tokens.access_token))
assert isinstance(who, Me) and who.email == email, who
print("signed in as", who.email)
