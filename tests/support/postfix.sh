#!/usr/bin/env bash
#
# One Postfix for the tests, run by root: tests/support/postfix.sh FOLDER PORT OWNER
#
# Takes mail for any address on 127.0.0.1:PORT and puts all of it into FOLDER/maildir, as files of
# OWNER's. Sends nothing on: it has no SMTP client, and bounces land in the same Maildir. Shows that it
# is ready by FOLDER/ready; at the end of its standard input it stops and removes FOLDER.

set -euo pipefail
umask 022

folder=$1 port=$2 owner=$3

main() {
    trap finish EXIT
    trap 'exit 1' HUP INT TERM
    make_folders
    main_cf >"$folder/etc/main.cf"
    master_cf >"$folder/etc/master.cf"
    timeout 60 postfix -c "$folder/etc" start
    touch "$folder/ready"
    read -r _ || true
}

make_folders() {
    mkdir -p "$folder"/{etc,queue}
    install --directory --owner=postfix "$folder/data"
    install --directory --owner="$owner" --mode=700 "$folder"/maildir{,/new,/cur,/tmp}
}

main_cf() {
    cat <<CONF
compatibility_level = 3.6
queue_directory = $folder/queue
data_directory = $folder/data
maillog_file = $folder/mail.log
maillog_file_prefixes = $folder

inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.doorpost.test
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no

# Wherever a mail is to go, the virtual(8) agent delivers it, and that knows one mailbox for all.
mydestination =
local_recipient_maps =
default_transport = virtual
virtual_mailbox_base = $folder
virtual_mailbox_maps = static:maildir/
virtual_uid_maps = static:$(id --user "$owner")
virtual_gid_maps = static:$(id --group "$owner")

# As it was sent, so it lies there.
local_header_rewrite_clients =
append_dot_mydomain = no
alias_maps =
alias_database =
CONF
}

# The services that take, queue and deliver. Above all none that sends: no smtp, no relay.
master_cf() {
    cat <<CONF
# service       type  private unpriv chroot wakeup maxproc command
127.0.0.1:$port inet  n       -      n      -      -       smtpd
cleanup         unix  n       -      n      -      0       cleanup
qmgr            unix  n       -      n      300    1       qmgr
rewrite         unix  -       -      n      -      -       trivial-rewrite
bounce          unix  -       -      n      -      0       bounce
defer           unix  -       -      n      -      0       bounce
trace           unix  -       -      n      -      0       bounce
error           unix  -       -      n      -      -       error
retry           unix  -       -      n      -      -       error
virtual         unix  -       n      n      -      -       virtual
anvil           unix  -       -      n      -      1       anvil
postlog         unix-dgram n  -      n      -      1       postlogd
CONF
}

finish() {
    trap '' HUP INT TERM
    timeout 60 postfix -c "$folder/etc" stop || true
    cat "$folder/mail.log" || true
    rm -rf "$folder"
}

main
