#!/usr/bin/env bash
#
# nginx 1.22.1 (Debian 12, package nginx 1.22.1-9+deb12u11): where auth_request is answered with 401 and error_page hands
# the visitor to another server, the visitor gets the WWW-Authenticate of both, even beside a redirect.
#
#   findings/nginx-auth-request-two-challenges.sh        on Debian 12 (amd64), with Python 3
#
# auth_request knows 2xx, 401 and 403; what else a verifier has to say (where to sign in, a page) is fetched by
#
#     auth_request /verify;
#     error_page 401 = @turned_away;
#     location @turned_away { proxy_pass http://…; }
#
# nginx keeps the challenge of the 401, although another answer takes its place. If that has one as well, the
# visitor gets
#
#     HTTP/1.1 401 Unauthorized
#     WWW-Authenticate: Bearer realm="verify"
#     WWW-Authenticate: Bearer realm="turned away"
#
# and if it is a redirect, a 303 with a challenge beside it. All other headers are those of the second answer alone. With
# "proxy_hide_header WWW-Authenticate" in @turned_away there is one, that of the first answer.
#
# Ends with 0 if all of that is still so, with 1 if something has changed. Everything is in a temporary folder.

set -euo pipefail

readonly NGINX=1.22.1-9+deb12u11
readonly PORT=2591 SERVER=2592

main() {
    folder=$(mktemp --directory)
    trap finish EXIT
    chmod 755 "$folder"
    (cd "$folder" && apt-get download "nginx=$NGINX" >download.log 2>&1 && dpkg -x nginx_*.deb root)
    settings >"$folder/nginx.conf"
    server & server=$!
    "$folder/root/usr/sbin/nginx" -p "$folder" -e "$folder/error.log" -c "$folder/nginx.conf" & nginx=$!
    for port in "$PORT" "$SERVER"; do
        until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.1; done
    done
    look
}

settings() {
    cat <<NGINX
daemon off;
pid $folder/pid;
user $(id --user --name);
events {}
http {
    access_log off;
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    server {
        listen 127.0.0.1:$PORT;
        location / {
            auth_request /verify;
            error_page 401 = @turned_away;
        }
        location /hidden {
            auth_request /verify;
            error_page 401 = @turned_away_hidden;
        }
        location = /verify {
            internal;
            proxy_pass http://127.0.0.1:$SERVER;
        }
        location @turned_away {
            proxy_pass http://127.0.0.1:$SERVER;
        }
        location @turned_away_hidden {
            proxy_pass http://127.0.0.1:$SERVER;
            proxy_hide_header WWW-Authenticate;
        }
    }
}
NGINX
}

# As a verifier: 401. Asked for anything else: a redirect, if "redirect" is in its path, or another 401.
server() {
    exec python3 -c '
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        realm = "verify" if self.path == "/verify" else "turned away"
        redirect = "redirect" in self.path
        self.send_response(303 if redirect else 401)
        if redirect:
            self.send_header("Location", "/sign-in")
        else:
            self.send_header("WWW-Authenticate", f"Bearer realm=\"{realm}\"")
        self.send_header("X-From", realm)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Server).serve_forever()
' "$SERVER"
}

look() {
    head_of /
    still "two challenges with a 401" [ "$(challenges /)" = '"turned away" "verify" ' ]
    still "and nothing else of the first answer" [ "$(head_of / | grep '^X-From')" = 'X-From: turned away' ]
    still "a challenge with a redirect" [ "$(challenges /redirect)" = '"verify" ' ]
    still "which is a 303" grep --quiet '^HTTP/1.1 303' <(head_of /redirect)
    still "that of the first answer, where the other's is hidden" [ "$(challenges /hidden)" = '"verify" ' ]
}

challenges() {
    head_of "$1" | sed -n 's/^WWW-Authenticate: Bearer realm=//p' | sort | tr '\n' ' '
}

head_of() {
    curl --silent --noproxy '*' --max-time 20 --dump-header - --output /dev/null "http://127.0.0.1:$PORT$1" | tr -d '\r'
}

still() {
    local what=$1
    shift
    "$@" && echo "as it was: $what" || { echo "CHANGED: $what"; exit 1; }
}

finish() {
    kill "${server:-}" "${nginx:-}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$folder"
}

main
