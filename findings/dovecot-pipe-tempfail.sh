#!/usr/bin/env bash
#
# Dovecot 2.3.19 with Pigeonhole (Debian 12, packages dovecot-core and dovecot-sieve 1:2.3.19.1+dfsg1-2.1+deb12u7): a
# program that Sieve's `pipe` calls cannot ask for its message again later. Exit code 75 ends as a delivery that went well.
#
#   findings/dovecot-pipe-tempfail.sh        as root, on Debian 12 (amd64)
#
# 75 is EX_TEMPFAIL of sysexits.h. To Postfix' pipe and to Exim's it says: keep the message, and call again; and dovecot-lda
# itself ends with 75 for just that, when a mailbox cannot be written to now. But of a script
#
#     require "vnd.dovecot.pipe";
#     pipe "later";
#
# whose program ends with 75, the log says
#
#     program exec:…/bin/later (…): Terminated with non-zero exit code 75
#     sieve: msgid=…: stored mail into mailbox 'INBOX'
#     sieve: Execution of script … failed, but implicit keep was successful
#
# and dovecot-lda ends with 0. The message is in a mailbox that nobody may read, the mail server takes it for delivered, and the
# program is called once.
#
# Ends with 0 if all of that is still so, with 1 if something has changed. Touches nothing outside of a temporary folder and
# a mount namespace of its own; no server is started.

set -euo pipefail

readonly DOVECOT=1:2.3.19.1+dfsg1-2.1+deb12u7
readonly PACKAGES=("dovecot-core=$DOVECOT" "dovecot-sieve=$DOVECOT" libexttextcat-2.0-0 libwrap0 liblua5.4-0)

main() {
    [ "$(id --user)" = 0 ] || { echo "It needs root, to lay the packages over /usr for a moment."; exit 2; }
    folder=$(mktemp --directory)
    trap 'rm -rf "$folder"' EXIT
    chmod 755 "$folder"
    (cd "$folder" && apt-get download "${PACKAGES[@]}" >download.log 2>&1 && for it in *.deb; do dpkg -x "$it" root; done)
    mkdir "$folder"/{home,bin}
    program 75
    settings >"$folder/dovecot.conf"
    printf '%s\n' 'require "vnd.dovecot.pipe";' 'pipe "later";' >"$folder/home/script.sieve"
    printf '%s\n' 'From: somebody@example.org' 'Subject: a letter' '' 'its body' >"$folder/letter"
    touch "$folder"/{log,calls}
    chown -R mail: "$folder"/{home,log,calls}

    deliver
    cat "$folder/log"
    still "the program was called once" [ "$(wc --lines <"$folder/calls")" = 1 ]
    still "the log knows its exit code" grep --quiet 'Terminated with non-zero exit code 75' "$folder/log"
    still "the message lies in INBOX" [ "$(mails)" = 1 ]
    still "and was delivered, says the exit code" [ "$code" = 0 ]

    program 0
    deliver
    still "where the program is content, nothing lies there" [ "$(mails)" = 1 ]

    chmod 500 "$folder/home/Maildir/tmp"
    rm "$folder/home/script.sieve"
    deliver
    still "of a mailbox that cannot be written to, dovecot-lda says 75" [ "$code" = 75 ]
}

# Reads its message, and ends with this code.
program() {
    printf '%s\n' '#!/bin/sh' 'cat >/dev/null' "echo called >>'$folder/calls'" "exit $1" >"$folder/bin/later"
    chmod 755 "$folder/bin/later"
}

settings() {
    cat <<CONF
base_dir = $folder/run
log_path = $folder/log
mail_location = maildir:$folder/home/Maildir
postmaster_address = postmaster@example.org
hostname = mail.example.org
ssl = no
protocol lda {
  mail_plugins = sieve
}
plugin {
  sieve = file:$folder/home/script.sieve
  sieve_plugins = sieve_extprograms
  sieve_extensions = +vnd.dovecot.pipe
  sieve_pipe_bin_dir = $folder/bin
}
CONF
}

# As a mail server hands a message over.
deliver() {
    code=0
    unshare --mount bash -euc "
        mount -t overlay -o lowerdir='$folder/root/usr':/usr overlay /usr
        exec setpriv --reuid=mail --regid=mail --clear-groups env HOME='$folder/home' USER=mail \
            timeout 60 /usr/lib/dovecot/dovecot-lda -c '$folder/dovecot.conf' -f somebody@example.org <'$folder/letter'" || code=$?
}

mails() {
    find "$folder/home/Maildir/new" -type f | wc --lines
}

still() {
    local what=$1
    shift
    "$@" && echo "as it was: $what" || { echo "CHANGED: $what"; exit 1; }
}

main
