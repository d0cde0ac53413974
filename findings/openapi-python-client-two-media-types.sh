#!/usr/bin/env bash
#
# openapi-python-client 0.29.1 (PyPI): of an operation whose required body has two media types it makes a module that
# cannot be imported.
#
#   findings/openapi-python-client-two-media-types.sh        needs Python 3.11 or newer, and pip
#
# OpenAPI lets the `content` of a request body have several media types (3.1, 4.8.13.1: "The key is a media type"), as
# the token endpoint of RFC 6749 has that takes JSON, too. The generator says that all is well and exits with 0. The
# module's functions have a parameter
#
#     body: Granted | Asked | Unset = UNSET
#
# (optional, although `required` is true), and the module imports `UNSET` and `Response` but not `Unset`. So importing it,
# and whatever imports all of the client, ends with
#
#     NameError: name 'Unset' is not defined
#
# With one media type the parameter is `body: Asked`, and the module can be imported. Where another optional parameter of the
# operation brings `Unset` along, two media types work, too.
#
# Ends with 0 if all of that is still so, with 1 if something has changed. Everything is in a temporary folder.

set -euo pipefail
folder=$(mktemp --directory)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv python
python/bin/pip install --quiet openapi-python-client==0.29.1 httpx==0.28.1 attrs python-dateutil ruff==0.17.6
export PATH=$folder/python/bin:$PATH

# A document with one operation, whose required body has these media types.
document() {
    python3 - "$@" <<'PYTHON'
import json, sys

name, *kinds = sys.argv[1:]
thing = {"type": "object", "properties": {"grant_type": {"type": "string"}}}
content = {kind: {"schema": {"$ref": f"#/components/schemas/{schema}"}} for kind, schema in zip(kinds, ["Asked", "Granted"])}
operation = {
    "operationId": "ask",
    "tags": ["tokens"],
    "requestBody": {"required": True, "content": content},
    "responses": {"200": {"description": "Asked", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Asked"}}}}},
}
document = {
    "openapi": "3.1.0",
    "info": {"title": name, "version": "1"},
    "paths": {"/ask": {"post": operation}},
    "components": {"schemas": {"Asked": thing, "Granted": thing}},
}
json.dump(document, open(f"{name}.json", "w"))
PYTHON
}

# Makes the client; says how importing the operation's module ends.
imported() {
    openapi-python-client generate --path "$1.json" --output-path "$1" >"$1.log" 2>&1 || { echo "the generator failed"; return; }
    PYTHONPATH=$1 python -c "import ${1}_client.api.tokens.ask" 2>&1 | tail --lines=1 || true
}

document one application/json
document two application/json application/x-www-form-urlencoded
one=$(imported one)
two=$(imported two)
grep --no-filename 'body:' two/two_client/api/tokens/ask.py | sort --unique
grep --no-filename '^from ...types' two/two_client/api/tokens/ask.py
printf 'one media type:  %s\ntwo media types: %s\n' "${one:-imported}" "${two:-imported}"
[[ -z $one && $two == *"NameError: name 'Unset' is not defined"* ]]
