#!/usr/bin/env bash
#
# Installs Debian packages for tests/run; run by root: tests/support/install.sh PACKAGE…
#
# Starts no service that a package brings: tests/run starts servers of its own, and a machine that
# only tests should not begin to answer on port 25. One installation at a time, and none for ever.

set -euo pipefail

export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
readonly services=/usr/sbin/policy-rc.d

exec 9>/run/lock/doorpost-tests
flock --wait 600 9

if [[ ! -e $services ]]; then
    trap 'rm -f "$services"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$services"
    chmod 755 "$services"
fi

if [[ " $* " == *" postfix "* ]]; then
    debconf-set-selections <<<'postfix postfix/main_mailer_type select No configuration'
fi

apt=(timeout --kill-after=10s 10m apt-get --quiet --option DPkg::Lock::Timeout=300 --option Acquire::Retries=3)
"${apt[@]}" update || echo "The package lists could not be brought up to date: trying with those at hand."
"${apt[@]}" install --yes --no-install-recommends "$@"
