#!/usr/bin/env bash
#
# One Postfix for the tests, run by root:
#
#   tests/support/postfix.sh FOLDER OWNER USER:PASSWORD PORT SUBMISSION_PORT SUBMISSIONS_PORT
#
# Takes mail for any address on 127.0.0.1 and puts all of it into FOLDER/maildir, as files of OWNER's:
#
#   PORT               from anybody, in plain text
#   SUBMISSION_PORT    after STARTTLS, from USER alone, who may send as doorpost@localhost and as nobody else
#   SUBMISSIONS_PORT   the same in TLS from the first byte
#
# The certificate is for localhost and 127.0.0.1; FOLDER/ca.pem vouches for it. Sends nothing on: it has no
# SMTP client, and bounces land in the same Maildir. Shows that it is ready by FOLDER/ready; at the end of
# its standard input it stops and removes FOLDER.

set -euo pipefail
umask 022

folder=$1 owner=$2 user=${3%%:*} password=${3#*:} port=$4 submission_port=$5 submissions_port=$6

main() {
    trap finish EXIT
    trap 'exit 1' HUP INT TERM
    make_folders
    make_certificate
    make_log_in
    main_cf >"$folder/etc/main.cf"
    master_cf >"$folder/etc/master.cf"
    timeout 60 postfix -c "$folder/etc" start
    touch "$folder/ready"
    read -r _ || true
}

make_folders() {
    mkdir -p "$folder"/{etc/sasl,queue}
    install --directory --owner=postfix "$folder/data"
    install --directory --owner="$owner" --mode=700 "$folder"/maildir{,/new,/cur,/tmp}
}

# By an authority that no system knows, as private relays have one.
make_certificate() {
    local key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
    openssl req -x509 "${key[@]}" -days 2 -subj '/CN=Authority of the tests' \
        -keyout "$folder/etc/ca.key" -out "$folder/ca.pem"
    openssl req "${key[@]}" -subj '/CN=localhost' -keyout "$folder/etc/server.key" |
        openssl x509 -req -CA "$folder/ca.pem" -CAkey "$folder/etc/ca.key" -CAcreateserial -days 2 \
            -extfile <(echo 'subjectAltName = DNS:localhost, IP:127.0.0.1') -out "$folder/etc/server.pem"
}

# In files of our own, so that nobody can log in who is known to the machine. (Debian's Postfix looks for
# smtpd.conf in sasl/ beside main.cf, whatever cyrus_sasl_config_path says.)
make_log_in() {
    saslpasswd2 -p -c -f "$folder/sasldb" -u localhost "$user" <<<"$password"
    chown postfix: "$folder/sasldb"
    cat >"$folder/etc/sasl/smtpd.conf" <<CONF
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: $folder/sasldb
mech_list: PLAIN LOGIN
CONF
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

smtpd_tls_chain_files = $folder/etc/server.key, $folder/etc/server.pem
cyrus_sasl_config_path = $folder/etc/sasl
smtpd_sasl_local_domain = localhost
smtpd_sender_login_maps = inline:{ doorpost@localhost=$user@localhost }

# Wherever a mail is to go, the virtual(8) agent delivers it, and that knows one mailbox for all.
mydestination =
local_recipient_maps =
default_transport = virtual
virtual_mailbox_base = $folder
virtual_mailbox_maps = static:maildir/
virtual_uid_maps = static:$(id --user "$owner")
virtual_gid_maps = static:$(id --group "$owner")

# But for this domain, where nobody is: what goes there comes back.
transport_maps = inline:{ { bounces.example = error:5.1.1 no such user } }
smtpd_reject_unlisted_recipient = no

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
127.0.0.1:$submission_port inet n - n - - smtpd
$(for_those_who_log_in)
127.0.0.1:$submissions_port inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
$(for_those_who_log_in)
tlsmgr          unix  -       -      n      1000?  1       tlsmgr
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

for_those_who_log_in() {
    cat <<'CONF'
  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_sender_restrictions=reject_sender_login_mismatch
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
CONF
}

finish() {
    trap '' HUP INT TERM
    timeout 60 postfix -c "$folder/etc" stop || true
    cat "$folder/mail.log" || true
    rm -rf "$folder"
}

main
