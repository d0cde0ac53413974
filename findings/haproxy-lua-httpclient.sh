#!/usr/bin/env bash
#
# HAProxy 2.6.12 (Debian 12, package haproxy 2.6.12-1+deb12u4): the timeout of Lua's httpclient counts four times, and of an
# action in Lua that fails the request knows nothing.
#
#   findings/haproxy-lua-httpclient.sh        on Debian 12 (amd64), with Python 3
#
# Of
#
#     core.httpclient():get({ url = "http://127.0.0.1:2582/", timeout = 1000 })
#
# and a server that takes the request and says nothing, the answer is there after four seconds, not after one: a 504, and the
# server has been asked four times. A request that it hung up on, too, was sent four times.
#
# And where the action itself fails, on "nil + 1" say, there is an alert in the log and the request goes on to the
# next rule, as if the action had been content. So whoever decides in Lua what may pass needs a rule behind it that turns away
# whatever the action has not marked.
#
# Ends with 0 if all of that is still so, with 1 if something has changed. Everything is in a temporary folder.

set -euo pipefail

readonly PACKAGES=(haproxy=2.6.12-1+deb12u4 liblua5.3-0 libopentracing-c-wrapper0 libopentracing1)
readonly PORT=2581 SILENT=2582

main() {
    folder=$(mktemp --directory)
    trap finish EXIT
    chmod 755 "$folder"
    (cd "$folder" && apt-get download "${PACKAGES[@]}" >download.log 2>&1 && for it in *.deb; do dpkg -x "$it" root; done)
    program >"$folder/actions.lua"
    settings >"$folder/haproxy.cfg"
    silent_server & server=$!
    LD_LIBRARY_PATH=$folder/root/usr/lib/x86_64-linux-gnu \
        "$folder/root/usr/sbin/haproxy" -db -f "$folder/haproxy.cfg" >"$folder/log" 2>&1 & haproxy=$!
    for port in "$PORT" "$SILENT"; do
        until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.1; done
    done
    look
}

program() {
    cat <<LUA
core.register_action("ask", { "http-req" }, function(txn)
    local path = txn.sf:path()
    local answer = core.httpclient():get({ url = "http://127.0.0.1:$SILENT" .. path, timeout = 1000 })
    txn:set_var("txn.answer", answer.status)
end)

core.register_action("fail", { "http-req" }, function(txn)
    txn:set_var("txn.answer", nil + 1)
end)
LUA
}

settings() {
    cat <<CFG
global
    lua-load $folder/actions.lua
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend all
    bind 127.0.0.1:$PORT
    http-request lua.fail if { path /fail }
    http-request lua.ask unless { path /fail }
    http-request return status 200 content-type text/plain lf-string "the next rule: %[var(txn.answer)]"
CFG
}

# Says nothing, or hangs up, once it has been asked; and writes down that it has been.
silent_server() {
    exec python3 -c '
import socketserver, sys, time

class Server(socketserver.StreamRequestHandler):
    def handle(self):
        asked = self.rfile.readline().split()[1:2]
        if asked:
            open(sys.argv[2] + "/asked", "a").write(asked[0].decode() + "\n")
            time.sleep(20 if asked[0] == b"/silent" else 0)

socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Server)
server.handle_error = lambda *_: None
server.serve_forever()
' "$SILENT" "$folder"
}

look() {
    local began=$EPOCHREALTIME answer took
    answer=$(get /silent)
    took=$(( (${EPOCHREALTIME/./} - ${began/./}) / 1000 ))
    echo "of a silent server: \"$answer\" after $took ms, with a timeout of 1000 ms"
    still "it ends as a 504" [ "$answer" = "the next rule: 504" ]
    still "after more than three times as long as was asked for" [ "$took" -gt 3500 ]
    still "and four requests" [ "$(grep --count /silent "$folder/asked")" = 4 ]
    get /hangs-up >/dev/null
    still "one that hangs up is asked four times, too" [ "$(grep --count /hangs-up "$folder/asked")" = 4 ]
    still "after an action that fails comes the next rule" [ "$(get /fail)" = "the next rule: " ]
    still "and an alert is in the log" grep --quiet "Lua function 'fail'.*arithmetic on a nil value" "$folder/log"
}

get() {
    curl --silent --noproxy '*' --max-time 30 "http://127.0.0.1:$PORT$1"
}

still() {
    local what=$1
    shift
    "$@" && echo "as it was: $what" || { echo "CHANGED: $what"; exit 1; }
}

finish() {
    kill "${server:-}" "${haproxy:-}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$folder"
}

main
