#!/usr/bin/env bash
#
# DragonFly Mail Agent 0.13 (Debian 12, package dma 0.13-1+b1): its reports come "From: MAILER-DAEMON <>", which is no From
# line, and their X-Original-To is not where they were sent.
#
#   findings/dma-report-sender.sh        as root, on Debian 12 (amd64)
#
# A letter of door+letter-1@sender.example is refused ("550 5.1.1 no such user"). What dma sends back to that address begins
#
#     X-Original-To: <nobody@example.org>
#     From: MAILER-DAEMON <>
#     To: door+letter-1@sender.example
#     Subject: Mail delivery failed
#
# "<>" is the empty sender of an envelope (RFC 5321, 4.5.5). A From line has mailboxes, and one between angle brackets is
# an address (RFC 5322, 3.4: angle-addr), never nothing: a strict reader, as Python's is, refuses the line. X-Original-To, by which Postfix, procmail and their like say where a message itself was sent,
# names here the mailbox that the letter had been for: who looks first there for the address of the letter (VERP)
# does not find it. There is no Auto-Submitted (RFC 3834), no Content-Type, and no code but in the words.
#
# Ends with 0 if all of that is still so, with 1 if something has changed. Touches nothing outside of a temporary folder and
# a mount namespace of its own.

set -euo pipefail

readonly PACKAGE=dma=0.13-1+b1
readonly PORT=2552
readonly SENDER=door+letter-1@sender.example

main() {
    [ "$(id --user)" = 0 ] || { echo "It needs root, for dma's folders are at fixed places."; exit 2; }
    folder=$(mktemp --directory)
    trap finish EXIT
    chmod 755 "$folder"
    (cd "$folder" && apt-get download "$PACKAGE" >download.log 2>&1 && dpkg -x dma_*.deb root)
    mkdir -p "$folder/root/etc/dma"
    printf '%s\n' 'SMARTHOST 127.0.0.1' "PORT $PORT" 'MAILNAME mail.example.net' >"$folder/root/etc/dma/dma.conf"
    printf '%s\n' "From: $SENDER" 'To: nobody@example.org' 'Subject: a letter' '' 'its body' >"$folder/letter"
    next_server & next=$!
    until (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; do sleep 0.1; done
    unshare --mount bash -euc "
        for place in etc usr; do mount -t overlay -o lowerdir='$folder'/root/\$place:/\$place overlay /\$place; done
        mount -t tmpfs none /var/spool
        install --directory --group=mail --mode=2775 /var/spool/dma
        timeout 60 dma -D -f $SENDER nobody@example.org <'$folder/letter'" >"$folder/dma.log" 2>&1 || true
    look
}

# Takes reports into a file, and refuses nobody.
next_server() {
    exec python3 -c '
import socketserver, sys

class Server(socketserver.StreamRequestHandler):
    def handle(self):
        say = lambda words: self.wfile.write(words + b"\r\n")
        say(b"220 next")
        while line := self.rfile.readline():
            verb = line[:4].upper()
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
    cat "$folder/report"
    sed '/^$/,$d' "$folder/report" >"$folder/head"
    still "it comes from nobody between angle brackets" grep --quiet --line-regexp 'From: MAILER-DAEMON <>' "$folder/head"
    still "a strict reader refuses that" refused_by_a_strict_reader
    still "X-Original-To is whom the letter was for" grep --quiet --line-regexp 'X-Original-To: <nobody@example.org>' "$folder/head"
    still "where the report was sent is in To alone" [ "$(grep --fixed-strings "$SENDER" "$folder/head")" = "To: $SENDER" ]
    still "it does not say that a program wrote it" lacks Auto-Submitted
    still "it has no form for programs" lacks Content-Type
}

refused_by_a_strict_reader() {
    python3 - "$folder/report" <<'PYTHON'
import email, email.errors, email.policy, sys

report = email.message_from_binary_file(open(sys.argv[1], "rb"), policy=email.policy.default)
sender = report["From"]
print("Python finds in", repr(str(sender)), sender.defects)
sys.exit(not any(isinstance(it, email.errors.InvalidHeaderDefect) for it in sender.defects))
PYTHON
}

lacks() {
    ! grep --quiet --ignore-case "^$1:" "$folder/head"
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
