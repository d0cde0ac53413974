#!/usr/bin/env bash
#
# OpenSMTPD 6.8.0p2 (Debian 12, package 6.8.0p2-4+b4): who asks for a report with the head of the letter alone gets
# its body, too, in a part that says it is only the head.
#
#   findings/opensmtpd-bounce-headers.sh        as root, on Debian 12 (amd64)
#
# OpenSMTPD offers DSN and takes `RET=HDRS` (RFC 3461, 4.3). When the next server refuses the recipient, its report has
# a part `Content-Type: text/rfc822-headers`, described as "Message headers", which by RFC 6522, 4 "contains only the
# header section". After that and an empty line the body of the letter follows:
#
#     Content-Description: Message headers
#     Content-Type: text/rfc822-headers
#
#     Received: from localhost (localhost [127.0.0.1])
#     […]
#     Subject: a letter
#
#     the body of the letter
#
# The whole report is multipart/mixed, not multipart/report, and leaves `ENVID` out. Seen beside it: a second EHLO is
# refused ("503 5.5.1 Invalid command: Already identified"), where RFC 5321, 4.1.4 has it start anew.
#
# Ends with 0 if all of that is still so, with 1 if something has changed. Touches nothing outside of a temporary
# folder and a mount namespace of its own.

set -euo pipefail

readonly PACKAGE=opensmtpd=6.8.0p2-4+b4
readonly PORT=2540 NEXT_PORT=2541

main() {
    [ "$(id --user)" = 0 ] || { echo "It needs root, for smtpd drops its rights and has a root folder of its own."; exit 2; }
    folder=$(mktemp --directory)
    trap finish EXIT
    chmod 755 "$folder"
    (cd "$folder" && apt-get download "$PACKAGE" >download.log 2>&1 && dpkg -x opensmtpd_*.deb root)
    users
    cat >"$folder/smtpd.conf" <<CONF
listen on 127.0.0.1 port $PORT
action "on" relay host smtp://127.0.0.1:$NEXT_PORT
match from any for any action "on"
CONF
    next_server & next=$!
    unshare --mount bash -c "
        mount --bind '$folder/passwd' /etc/passwd
        mount --bind '$folder/group' /etc/group
        mount -t tmpfs none /var/spool && mkdir --mode=711 /var/spool/smtpd
        mount -t tmpfs none /var/lib && mkdir -p /var/lib/opensmtpd/empty
        exec '$folder/root/usr/sbin/smtpd' -d -f '$folder/smtpd.conf'" >"$folder/smtpd.log" 2>&1 &
    smtpd=$!
    send
    look
}

# Those that the package would make.
users() {
    { cat /etc/passwd; printf '%s:x:%s:%s::/:/usr/sbin/nologin\n' opensmtpd 5902 5902 opensmtpq 5903 5903; } >"$folder/passwd"
    { cat /etc/group; printf '%s:x:%s:\n' opensmtpd 5902 opensmtpq 5903; } >"$folder/group"
}

# Takes reports into a file, and refuses the recipient at nobody.example.
next_server() {
    exec python3 -c '
import socketserver, sys

class Server(socketserver.StreamRequestHandler):
    def handle(self):
        say = lambda words: self.wfile.write(words + b"\r\n")
        say(b"220 next")
        for line in self.rfile:
            verb = line[:4].upper()
            if verb == b"RCPT" and b"nobody.example" in line:
                say(b"550 5.1.1 no such user")
            elif verb == b"DATA":
                say(b"354 go on")
                report = iter(self.rfile.readline, b".\r\n")
                open(sys.argv[2], "wb").write(b"".join(report))
                say(b"250 taken")
            else:
                say(b"221 bye" if verb == b"QUIT" else b"250 ok")

socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Server).serve_forever()
' "$NEXT_PORT" "$folder/report"
}

send() {
    python3 -c '
import smtplib, sys, time
for _ in range(50):
    try:
        server = smtplib.SMTP("127.0.0.1", int(sys.argv[1]))
        break
    except OSError:
        time.sleep(0.2)
print("EHLO:", server.ehlo("localhost")[0], "and offers DSN:", server.has_extn("dsn"))
print("EHLO once more:", server.docmd("EHLO localhost"))
print("MAIL:", server.mail("door@sender.example", ["RET=HDRS", "ENVID=a-letter"]))
print("RCPT:", server.rcpt("somebody@nobody.example"))
print("DATA:", server.data(b"From: door@sender.example\r\nSubject: a letter\r\n\r\nthe body of the letter\r\n"))
server.quit()
' "$PORT" | tee "$folder/said"
}

look() {
    for _ in $(seq 100); do
        [ -s "$folder/report" ] && break
        sleep 0.2
    done
    sed -n '/Message headers/,$p' "$folder/report"
    still "DSN is offered" grep --quiet "offers DSN: True" "$folder/said"
    still "a second EHLO is refused" grep --quiet "once more: (503" "$folder/said"
    still "the report is multipart/mixed" grep --quiet --ignore-case "^Content-Type: multipart/mixed" "$folder/report"
    still "a part says that it is only the head" grep --quiet "^Content-Type: text/rfc822-headers" "$folder/report"
    still "the body is in it" grep --quiet "^the body of the letter" "$folder/report"
    still "the ENVID is not" bash -c "! grep --quiet 'a-letter' '$folder/report'"
}

still() {
    local what=$1
    shift
    "$@" && echo "as it was: $what" || { echo "CHANGED: $what"; exit 1; }
}

finish() {
    kill "${smtpd:-}" "${next:-}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$folder"
}

main
