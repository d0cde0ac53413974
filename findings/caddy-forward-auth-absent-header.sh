#!/usr/bin/env bash
#
# Caddy 2.6.2 (Debian 12, package caddy 2.6.2-5): of a header that the verifier does not send, forward_auth gives the app
# the name of a placeholder.
#
#   findings/caddy-forward-auth-absent-header.sh        on Debian 12 (amd64), with Python 3
#
# A verifier that lets a request pass need not know who asks: a page may be open to everybody. Of
#
#     forward_auth 127.0.0.1:9091 {
#         uri /verify
#         copy_headers Remote-User
#     }
#
# and an answer that is a plain 204, the app is told
#
#     Remote-User: {http.reverse_proxy.header.Remote-User}
#
# which to an app that believes Remote-User is an account's name, the same for everybody. (An empty header, or none, is what
# one would expect; an empty one comes through as such.) Known as Caddy's issue 6610, and gone from later versions.
#
# And the verifier is asked for /verify?a=1 where the visitor asks for /?a=1: the visitor's query goes along. With
# "uri /verify?" it does not.
#
# Ends with 0 if all of that is still so, with 1 if something has changed. Everything is in a temporary folder.

set -euo pipefail

readonly CADDY=2.6.2-5
readonly PORT=2571 VERIFIER=2572 APP=2573

main() {
    folder=$(mktemp --directory)
    trap finish EXIT
    chmod 755 "$folder"
    (cd "$folder" && apt-get download "caddy=$CADDY" >download.log 2>&1 && dpkg -x caddy_*.deb root)
    settings >"$folder/Caddyfile"
    servers & servers=$!
    HOME=$folder "$folder/root/usr/bin/caddy" run --adapter caddyfile --config "$folder/Caddyfile" >"$folder/log" 2>&1 & caddy=$!
    for port in "$PORT" "$VERIFIER" "$APP"; do
        until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.1; done
    done
    look
}

settings() {
    cat <<CADDY
{
	admin off
	auto_https off
}
http://127.0.0.1:$PORT {
	@clear path /clear
	forward_auth @clear 127.0.0.1:$VERIFIER {
		uri /verify?
		copy_headers Remote-User
	}
	@others not path /clear
	forward_auth @others 127.0.0.1:$VERIFIER {
		uri /verify
		copy_headers Remote-User
	}
	reverse_proxy 127.0.0.1:$APP
}
CADDY
}

# A verifier that lets everybody pass, and writes down what it was asked for; it knows a user on /ada and an empty one on
# /empty. And an app that answers with the user that it was told.
servers() {
    exec python3 -c '
import sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Verifier(BaseHTTPRequestHandler):
    def do_GET(self):
        open(sys.argv[3] + "/asked", "a").write(self.path + "\n")
        self.send_response(204)
        user = {"/ada": "ada", "/empty": ""}.get(self.headers["X-Forwarded-Uri"])
        if user is not None:
            self.send_header("Remote-User", user)
        self.end_headers()

    def log_message(self, *_):
        pass

class App(Verifier):
    def do_GET(self):
        user = repr(self.headers["Remote-User"]).encode()
        self.send_response(200)
        self.send_header("Content-Length", len(user))
        self.end_headers()
        self.wfile.write(user)

verifier = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Verifier)
threading.Thread(target=verifier.serve_forever, daemon=True).start()
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), App).serve_forever()
' "$VERIFIER" "$APP" "$folder"
}

look() {
    echo "the app is told: $(user /) of a visitor without a user"
    still "a user comes through" [ "$(user /ada)" = "'ada'" ]
    still "an empty one comes through as such" [ "$(user /empty)" = "''" ]
    still "none becomes the name of a placeholder" [ "$(user /)" = "'{http.reverse_proxy.header.Remote-User}'" ]
    rm "$folder/asked"
    user '/?a=1' >/dev/null
    still "the visitor's query goes to the verifier" [ "$(cat "$folder/asked")" = '/verify?a=1' ]
    rm "$folder/asked"
    user '/clear?a=1' >/dev/null
    still "with a question mark it does not" [ "$(cat "$folder/asked")" = '/verify' ]
}

user() {
    curl --silent --noproxy '*' --max-time 20 "http://127.0.0.1:$PORT$1"
}

still() {
    local what=$1
    shift
    "$@" && echo "as it was: $what" || { echo "CHANGED: $what"; exit 1; }
}

finish() {
    kill "${servers:-}" "${caddy:-}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$folder"
}

main
