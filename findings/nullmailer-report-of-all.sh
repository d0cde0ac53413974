#!/usr/bin/env bash
#
# nullmailer 2.2 (Debian 12, package 1:2.2-4): where the next server refuses one recipient of a message, its report says that
# all of them failed, each with the code that was said of that one.
#
#   findings/nullmailer-report-of-all.sh        as root, on Debian 12 (amd64)
#
# A message goes to bob, nobody and carol. The server takes bob, refuses nobody ("550 5.1.1 no such user"), and is not
# asked for carol, for nullmailer hangs up there and gives up the whole message. Its report is a well-formed
# multipart/report; the part that programs go by (RFC 3464, 2.3: each block is about one recipient, its Status and
# Diagnostic-Code what happened to that one) has
#
#     Final-Recipient: rfc822; bob@example.org
#     Action: failed
#     Status: 5.1.1
#     […]
#     Diagnostic-Code: SMTP; 550 5.1.1 no such user
#
# and word for word the same for nobody and for carol. Whoever strikes off addresses by such reports strikes off bob, whom
# the server had just taken, and carol, of whom nobody has said a word. Seen beside it: what is returned says that it is a whole
# message (message/rfc822), and is its head alone.
#
# Ends with 0 if all of that is still so, with 1 if something has changed. Touches nothing outside of a temporary folder and
# a mount namespace of its own.

set -euo pipefail

readonly PACKAGE=nullmailer=1:2.2-4
readonly PORT=2550

main() {
    [ "$(id --user)" = 0 ] || { echo "It needs root, for nullmailer's folders are at fixed places."; exit 2; }
    folder=$(mktemp --directory)
    trap finish EXIT
    chmod 755 "$folder"
    (cd "$folder" && apt-get download "$PACKAGE" >download.log 2>&1 && dpkg -x nullmailer_*.deb root)
    mkdir -p "$folder/root/etc/nullmailer"
    echo "127.0.0.1 smtp --port=$PORT" >"$folder/root/etc/nullmailer/remotes"
    echo mail.example.org >"$folder/root/etc/mailname"
    next_server & next=$!
    until (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; do sleep 0.1; done
    letter >"$folder/letter"
    unshare --mount bash -euc "
        for place in etc usr; do mount -t overlay -o lowerdir='$folder'/root/\$place:/\$place overlay /\$place; done
        mount -t tmpfs none /var/spool
        mkdir -p /var/spool/nullmailer/{failed,queue,tmp}
        mkfifo /var/spool/nullmailer/trigger
        chown -R mail: /var/spool/nullmailer
        setpriv --reuid=mail --regid=mail --clear-groups \
            nullmailer-inject -f list@example.net bob@example.org nobody@example.org carol@example.org <'$folder/letter'
        cd /var/spool/nullmailer
        exec setpriv --reuid=mail --regid=mail --clear-groups nullmailer-send" >"$folder/nullmailer.log" 2>&1 &
    nullmailer=$!
    look
}

letter() {
    printf '%s\n' 'From: list@example.net' 'To: readers@example.net' 'Subject: a letter' '' 'the body of the letter'
}

# Writes down whom it is asked for, takes reports into a file, and refuses nobody.
next_server() {
    exec python3 -c '
import socketserver, sys

class Server(socketserver.StreamRequestHandler):
    def handle(self):
        say = lambda words: self.wfile.write(words + b"\r\n")
        say(b"220 next")
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"RCPT":
                open(sys.argv[2] + "/asked", "ab").write(line)
            if verb == b"RCPT" and b"nobody@" in line:
                say(b"550 5.1.1 no such user")
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
    cat "$folder/asked"
    sed -n '/delivery-status$/,$p' "$folder/report"
    still "the server was asked for two, and took bob" asked_for_two
    still "the report has the form of RFC 3464" grep --quiet "^Content-Type: multipart/report; report-type=delivery-status" "$folder/report"
    still "it says that bob failed, for there is no such user" failed bob
    still "that nobody did" failed nobody
    still "and that carol did" failed carol
    still "what is returned says that it is the whole letter" grep --quiet "^Content-Type: message/rfc822" "$folder/report"
    still "and has no body" bash -c "! grep --quiet '^the body of the letter' '$folder/report'"
}

asked_for_two() {
    [ "$(grep --only-matching '[a-z]*@example.org' "$folder/asked" | xargs)" = "bob@example.org nobody@example.org" ]
}

# The block about this one, up to the next empty line.
failed() {
    local block
    block=$(sed -n "/^Final-Recipient: rfc822; $1@/,/^\$/p" "$folder/report")
    grep --quiet '^Action: failed$' <<<"$block" && grep --quiet '^Status: 5\.1\.1$' <<<"$block" &&
        grep --quiet '^Diagnostic-Code: SMTP; 550 5\.1\.1 no such user$' <<<"$block"
}

still() {
    local what=$1
    shift
    "$@" && echo "as it was: $what" || { echo "CHANGED: $what"; exit 1; }
}

finish() {
    kill "${nullmailer:-}" "${next:-}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$folder"
}

main
