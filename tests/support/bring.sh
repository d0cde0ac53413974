#!/usr/bin/env bash
#
# Brings what the tests need and this machine lacks, for tests/run: tests/support/bring.sh FOLDER. Logs go into the
# folder, and at the end the file "brought", which says in shell words where things are.
#
# What Debian has is installed by apt-get (as root, or with sudo). The rest is kept in target, each under the version or the
# list it was brought by: it comes once, and another list brings others.

set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin:$HOME/.cargo/bin
cd "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../.."

readonly logs=$1 geckodriver_version=0.37.1 cargo_deb_version=3.8.0
target=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}")
as_root=()
((EUID == 0)) || as_root=(sudo --non-interactive)

main() {
    local audit clients geckodriver cargo_deb
    audit=$target/audit/$(sha256sum tests/support/audit/package-lock.json | head --bytes=16)
    clients=$target/clients/$(sha256sum tests/support/clients/requirements.txt | head --bytes=16)
    geckodriver=$target/geckodriver/$geckodriver_version
    cargo_deb=$target/cargo-deb/$cargo_deb_version

    bring_debian_packages
    bring_npm_packages "$audit"
    bring_python_packages "$clients"
    bring_program geckodriver "$geckodriver_version" "$geckodriver"
    bring_program cargo-deb "$cargo_deb_version" "$cargo_deb"

    cat >"$logs/brought" <<SAID
export DOORPOST_TEST_PACKAGES=$(quoted "$audit/node_modules")
export DOORPOST_TEST_CLIENTS=$(quoted "$clients/venv/bin")
export DOORPOST_TEST_GECKODRIVER=$(quoted "$geckodriver/bin/geckodriver")
export PATH=$(quoted "$cargo_deb/bin"):\$PATH
SAID
}

bring_debian_packages() {
    local missing
    mapfile -t missing < <(missing_packages)
    ((${#missing[@]} > 0)) || return 0
    on_path apt-get || fail "missing, with no apt-get to install them: ${missing[*]}"
    printf 'installing %s\n' "${missing[*]}"
    bounded 30m "${as_root[@]}" tests/support/install.sh "${missing[@]}" >"$logs/install.log" 2>&1 ||
        fail_showing "$logs/install.log" "could not install ${missing[*]}"
    mapfile -t missing < <(missing_packages)
    ((${#missing[@]} == 0)) || fail "still missing: ${missing[*]}"
}

missing_packages() {
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || echo postgresql
    on_path postfix || echo postfix
    on_path pgbouncer || echo pgbouncer
    on_path openssl || echo openssl
    on_path saslpasswd2 || echo sasl2-bin
    compgen -G '/usr/lib/*/sasl2/libplain.so' >/dev/null || echo libsasl2-modules
    on_path spamassassin || echo spamassassin
    on_path chromium || on_path google-chrome || echo chromium
    on_path chromedriver || echo chromium-driver
    on_path python3 || echo python3
    python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    node_is_new_enough || echo nodejs
    on_path npm || echo npm
    on_path java || echo default-jre-headless
    local program
    for program in lynx w3m links tmux; do on_path "$program" || echo "$program"; done
    on_path promtool || echo prometheus
    on_path firefox-esr || on_path firefox || echo firefox-esr
    for program in nginx caddy haproxy curl lintian adduser; do on_path "$program" || echo "$program"; done
    on_path dpkg-shlibdeps || echo dpkg-dev
    on_path systemd-analyze || echo systemd
}

node_is_new_enough() {
    on_path node && node --eval 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)'
}

# The list names no registry, so a package that asks for the "latest" of another cannot be on it: Lighthouse since 12.3.
bring_npm_packages() {
    local list=tests/support/audit kept=$1 fresh
    [[ ! -d $kept ]] || return 0
    mkdir -p "${kept%/*}"
    fresh=$(mktemp --directory "$kept.XXXXXX")
    cp "$list"/package*.json "$fresh"
    bounded 10m npm ci --prefix "$fresh" --ignore-scripts --no-audit --no-fund >"$logs/npm.log" 2>&1 || {
        rm -rf "$fresh"
        fail_showing "$logs/npm.log" "npm could not bring what audits the pages"
    }
    # All of it or nothing; another run may have been faster.
    mv --no-target-directory "$fresh" "$kept" 2>/dev/null || rm -rf "$fresh"
}

# A virtual environment knows where it is, so it is made there, and counts once it is complete.
bring_python_packages() {
    local list=tests/support/clients/requirements.txt kept=$1
    wait_for_others "$kept"
    [[ -e $kept/complete ]] || {
        bounded 10m python3 -m venv --clear "$kept/venv" >"$logs/pip.log" 2>&1 &&
            bounded 10m "$kept/venv/bin/pip" install --quiet --no-deps --requirement "$list" >>"$logs/pip.log" 2>&1 ||
            fail_showing "$logs/pip.log" "pip could not bring the programs that call the API, and the proxies"
        touch "$kept/complete"
    }
    exec {only_one}>&-
}

# Debian has none. Not optimised: it works little, and waits for a browser or a disk.
bring_program() {
    local name=$1 version=$2 kept=$3
    wait_for_others "$kept"
    [[ -x $kept/bin/$name ]] ||
        bounded 15m nice env CARGO_PROFILE_DEV_DEBUG=false cargo install "$name" --version "=$version" --locked --debug \
            --root "$kept" --target-dir "$logs/$name" >"$logs/$name.log" 2>&1 ||
        fail_showing "$logs/$name.log" "cargo could not build $name"
    rm -rf "${logs:?}/$name"
    exec {only_one}>&-
}

# Another run may be at it.
wait_for_others() {
    mkdir -p "$1"
    exec {only_one}>"$1/lock"
    flock --wait 600 "$only_one"
}

on_path() {
    command -v "$1" >/dev/null
}

quoted() {
    printf '%q' "$1"
}

# In this process group, so that whoever ends this script ends it, too.
bounded() {
    timeout --foreground --kill-after=10s "$@"
}

fail_showing() {
    tail --lines=40 "$1" >&2
    fail "$2"
}

fail() {
    printf '%s\n' "$1" >&2
    exit 1
}

main
