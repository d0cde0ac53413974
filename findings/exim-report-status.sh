#!/usr/bin/env bash
#
# Exim 4.96 (Debian 12, package exim4-daemon-light 4.96-15+deb12u11): in its reports every failure has the Status 5.0.0,
# whatever code the next server gave.
#
#   findings/exim-report-status.sh        as root, on Debian 12 (amd64)
#
# The next server refuses three recipients: "550 5.1.1 no such user", "552 5.2.2 mailbox full", "550 5.7.1 not welcome". All
# three blocks of the report say
#
#     Action: failed
#     Final-Recipient: rfc822;gone@example.org
#     Status: 5.0.0
#     Remote-MTA: dns; 127.0.0.1
#     Diagnostic-Code: smtp; 550 5.1.1 no such user
#
# The Status is there for programs (RFC 3464, 2.3.4), and 5.0.0 is "other undefined status" (RFC 3463, 3.1). So whoever
# goes by it cannot tell a mailbox that is gone for good from one that is full, or from a letter that was not welcome: that stands
# in the Diagnostic-Code alone.
#
# Ends with 0 if all of that is still so, with 1 if something has changed. Touches nothing outside of a temporary folder and
# a mount namespace of its own.

set -euo pipefail

readonly PACKAGES=(exim4-daemon-light=4.96-15+deb12u11 libidn12 libgnutls-dane0)
readonly PORT=2554

main() {
    [ "$(id --user)" = 0 ] || { echo "It needs root, for exim looks for a user that only the package makes."; exit 2; }
    folder=$(mktemp --directory)
    trap finish EXIT
    chmod 755 "$folder"
    (cd "$folder" && apt-get download "${PACKAGES[@]}" >download.log 2>&1 && for it in *.deb; do dpkg -x "$it" root; done)
    install --directory --mode=1777 "$folder/spool" "$folder/log"
    settings >"$folder/exim.conf"
    { cat /etc/passwd; echo Debian-exim:x:5904:5904::/:/usr/sbin/nologin; } >"$folder/passwd"
    { cat /etc/group; echo Debian-exim:x:5904:; } >"$folder/group"
    next_server & next=$!
    until (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; do sleep 0.1; done
    printf '%s\n' 'From: door@sender.example' 'To: all@example.org' 'Subject: a letter' '' 'its body' >"$folder/letter"
    unshare --mount bash -euc "
        mount --bind '$folder/passwd' /etc/passwd
        mount --bind '$folder/group' /etc/group
        mount -t overlay -o lowerdir='$folder/root/usr':/usr overlay /usr
        timeout 60 exim4 -C '$folder/exim.conf' -odf -f door@sender.example \
            gone@example.org full@example.org spam@example.org <'$folder/letter'" >"$folder/exim.log" 2>&1 || true
    look
}

settings() {
    cat <<CONF
primary_hostname = mail.example.net
spool_directory = $folder/spool
log_file_path = $folder/log/%slog
keep_environment =
begin routers
all:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = next
begin transports
next:
  driver = smtp
  port = $PORT
  allow_localhost
  hosts_try_fastopen =
CONF
}

# Takes reports into a file, and refuses whoever is at example.org.
next_server() {
    exec python3 -c '
import socketserver, sys

ANSWERS = {b"gone": b"550 5.1.1 no such user", b"full": b"552 5.2.2 mailbox full", b"spam": b"550 5.7.1 not welcome"}

class Server(socketserver.StreamRequestHandler):
    def handle(self):
        say = lambda words: self.wfile.write(words + b"\r\n")
        say(b"220 next")
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"RCPT":
                say(ANSWERS.get(line.split(b"<")[1].split(b"@")[0], b"250 ok"))
            elif verb == b"DATA":
                say(b"354 go on")
                report = iter(self.rfile.readline, b".\r\n")
                open(sys.argv[2] + "/report", "wb").write(b"".join(report).replace(b"\r", b""))
                say(b"250 taken")
            elif verb == b"QUIT":
                return say(b"221 bye")
            else:
                say(b"250 ok")

socketserver.ThreadingTCPServer.allow_reuse_address = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Server)
server.handle_error = lambda *_: None
server.serve_forever()
' "$PORT" "$folder"
}

look() {
    for _ in $(seq 100); do
        [ -s "$folder/report" ] && break
        sleep 0.2
    done
    sed -n '/^Action:/,/^$/p' "$folder/report"
    still "no mailbox: 5.0.0" told gone 'smtp; 550 5.1.1 no such user'
    still "a full one: 5.0.0" told full 'smtp; 552 5.2.2 mailbox full'
    still "not welcome: 5.0.0" told spam 'smtp; 550 5.7.1 not welcome'
}

# The block about this one, up to the next empty line.
told() {
    local block
    block=$(sed -n "/^Final-Recipient: rfc822;$1@/,/^\$/p" "$folder/report")
    grep --quiet --line-regexp 'Status: 5\.0\.0' <<<"$block" && grep --quiet --line-regexp "Diagnostic-Code: $2" <<<"$block"
}

still() {
    local what=$1
    shift
    "$@" && echo "as it was: $what" || { echo "CHANGED: $what"; exit 1; }
}

finish() {
    kill "${next:-}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$folder"
}

main
