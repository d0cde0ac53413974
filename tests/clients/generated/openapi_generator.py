import os

from openapi_client import ApiClient, Configuration, MeApi, TokenRequest, TokensApi
from openapi_client.models.grant_type import GrantType

site, email, password = (os.environ[name] for name in ("SITE", "EMAIL", "PASSWORD"))

asked = TokenRequest(grant_type=GrantType.PASSWORD, email=email, password=password)
tokens = TokensApi(ApiClient(Configuration(host=site))).get_tokens(asked)
me = MeApi(ApiClient(Configuration(host=site, access_token=tokens.access_token))).me()
assert me.email == email
print("signed in as", me.email)
