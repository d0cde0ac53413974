#!/usr/bin/env bash
#
# Exim 4.96 (Debian 12, packages exim4-base and exim4-daemon-light 4.96-15+deb12u11): the example of its own manual for
# UUCP delivers nothing, for no command is run with an address among its arguments.
#
#   findings/exim-pipe-tainted-argument.sh        as root, on Debian 12 (amd64)
#
# The manual of this very release (spec.txt) has, in "Manualroute examples",
#
#     driver = pipe
#     command = /usr/local/bin/uux -r - \
#       ${substr_-5:$host}!rmail ${local_part}
#
# and says in 29.3 that a command is expanded argument by argument and run without a shell, so that an address cannot add
# an argument. All the same the command is not run, and the address fails for good, not for now:
#
#     ** ada@example.org R=all T=uucp: Tainted arg 4 for uucp transport command: 'ada'
#
# (The changelog of 4.96 has the check; the example was left as it is.) `exim -bt` finds nothing wrong: it shows only when
# somebody writes.
#
# Ends with 0 if all of that is still so, with 1 if something has changed. Touches nothing outside of a temporary folder and
# a mount namespace of its own.

set -euo pipefail

readonly EXIM=4.96-15+deb12u11
readonly PACKAGES=("exim4-daemon-light=$EXIM" "exim4-base=$EXIM" libidn12 libgnutls-dane0)

main() {
    [ "$(id --user)" = 0 ] || { echo "It needs root, for exim looks for a user that only the package makes."; exit 2; }
    folder=$(mktemp --directory)
    trap 'rm -rf "$folder"' EXIT
    chmod 755 "$folder"
    (cd "$folder" && apt-get download "${PACKAGES[@]}" >download.log 2>&1 && for it in *.deb; do dpkg -x "$it" root; done)
    etc=$folder/root/etc
    mkdir -p "$etc/exim4"
    { cat /etc/passwd; echo Debian-exim:x:5904:5904::/:/usr/sbin/nologin; } >"$etc/passwd"
    { cat /etc/group; echo Debian-exim:x:5904:; } >"$etc/group"
    install --directory --mode=1777 "$folder"/{spool,log,ran}
    printf '%s\n' '#!/bin/sh' 'cat >/dev/null' "echo \"\$@\" >'$folder/ran/uux'" >"$folder/uux"
    chmod 755 "$folder/uux"

    still "the manual has the example" bash -c "zcat '$folder/root/usr/share/doc/exim4-base/spec.txt.gz' | grep --quiet --fixed-strings '\${substr_-5:\$host}!rmail \${local_part}'"
    : >"$folder/letter"
    settings >"$etc/exim4/exim4.conf"
    exim -bt ada@example.org
    still "a test finds the transport" grep --quiet 'transport = uucp' "$folder/said"
    deliver
    still "the command is not run" [ ! -e "$folder/ran/uux" ]
    still "for its argument is tainted, and that is for good" \
        grep --quiet "\*\* ada@example.org .*: Tainted arg 4 for uucp transport command: 'ada'" "$folder/log/mainlog"
}

# The manual's transport. What comes back is thrown away.
settings() {
    cat <<CONF
primary_hostname = mail.example.net
spool_directory = $folder/spool
log_file_path = $folder/log/%slog
keep_environment =
begin routers
reports:
  driver = redirect
  domains = sender.example
  data = :blackhole:
all:
  driver = accept
  transport = uucp
begin transports
uucp:
  driver = pipe
  user = nobody
  command = $folder/uux -r - \\
    \${substr_-5:\$host}!rmail \${local_part}
  return_fail_output = true
CONF
}

deliver() {
    printf '%s\n' 'From: door@sender.example' 'Subject: a letter' '' 'its body' >"$folder/letter"
    exim -odf -f door@sender.example ada@example.org
    cat "$folder/log/mainlog"
}

exim() {
    unshare --mount bash -euc "
        for place in etc usr; do mount -t overlay -o lowerdir='$folder'/root/\$place:/\$place overlay /\$place; done
        timeout 60 exim4 $* <'$folder/letter'" >"$folder/said" 2>&1 || true
}

still() {
    local what=$1
    shift
    "$@" && echo "as it was: $what" || { echo "CHANGED: $what"; exit 1; }
}

main
