#!/usr/bin/env bash
#
# tokio-postgres 0.7.18 (crates.io) beside libpq 15: with two hosts and a connect_timeout, a first host that takes the
# connection and then says nothing keeps tokio-postgres from ever asking the second; libpq goes on to it.
#
#   findings/tokio-postgres-silent-host.sh        Rust, and Debian's psql 15
#
# libpq's connect_timeout is for all that comes before a session: TCP, and what the server has to say first. That of
# tokio-postgres is for TCP alone (its documentation: "the timeout for socket-level connection attempts"); of what the server
# says nothing limits the wait. A server that hangs, or a load balancer with nobody behind it, is just such a host.
#
#     hosts one (silent), two; connect_timeout=2
#     psql: the second was asked after 2 s
#     tokio-postgres: after 8 s the second was not asked
#
# And a list of hosts in a URL's query, which libpq takes apart, is one host's name to it:
#
#     postgres:///d?host=one,two
#     tokio-postgres: 1 host: [Tcp("one,two")]
#
# Ends with 0 if all of that is still so, with 1 if something has changed. Everything is on 127.0.0.1 and in a temporary
# folder.

set -euo pipefail

main() {
    folder=$(mktemp --directory)
    trap finish EXIT
    two_hosts &
    hosts=$!
    until [ -s "$folder/ports" ]; do sleep 0.1; done
    read -r one two <"$folder/ports"
    still "psql asks the second host" asks_the_second timeout 8 psql --no-password \
        "host=127.0.0.1,127.0.0.1 port=$one,$two connect_timeout=2 user=ada dbname=d sslmode=disable" --command='SELECT 1'
    build
    still "tokio-postgres does not" waits_for_the_first timeout 8 "$folder/target/debug/asks" connect "$one" "$two"
    still "a list of hosts in the query is one name to it" grep --quiet --fixed-strings '[Tcp("one,two")]' <("$folder/target/debug/asks" hosts)
}

# Both take connections and say nothing; whoever comes to the second is noted.
two_hosts() {
    exec python3 -I - "$folder" <<'PYTHON'
import os, selectors, socket, sys
folder, kept = sys.argv[1], []
one, two = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
with open(folder + "/ports.new", "w") as ports:
    print(one.getsockname()[1], two.getsockname()[1], file=ports)
os.rename(folder + "/ports.new", folder + "/ports")
both = selectors.DefaultSelector()
for host in (one, two):
    both.register(host, selectors.EVENT_READ)
while True:
    for ready, _ in both.select():
        kept.append(ready.fileobj.accept())
        if ready.fileobj is two:
            open(folder + "/asked", "w").close()
PYTHON
}

build() {
    mkdir "$folder/src"
    cat >"$folder/Cargo.toml" <<'TOML'
[package]
name = "asks"
version = "0.1.0"
edition = "2024"

[dependencies]
tokio = { version = "=1.54.1", features = ["macros", "net", "rt", "time"] }
tokio-postgres = "=0.7.18"
TOML
    cat >"$folder/src/main.rs" <<'RUST'
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let said: Vec<String> = std::env::args().skip(1).collect();
    match &said[..] {
        [_, one, two] => {
            let config = format!(
                "host=127.0.0.1,127.0.0.1 port={one},{two} connect_timeout=2 user=ada dbname=d sslmode=disable"
            );
            let connected = tokio_postgres::connect(&config, tokio_postgres::NoTls).await;
            println!("{:?}", connected.err());
        }
        _ => {
            let config: tokio_postgres::Config = "postgres:///d?host=one,two".parse().unwrap();
            println!("{} host: {:?}", config.get_hosts().len(), config.get_hosts());
        }
    }
}
RUST
    CARGO_TARGET_DIR=$folder/target cargo build --quiet --manifest-path "$folder/Cargo.toml"
}

asks_the_second() {
    rm -f "$folder/asked"
    "$@" >/dev/null 2>&1 || true
    [ -e "$folder/asked" ]
}

# It is ended by the timeout, which has a status of its own: it had not given up.
waits_for_the_first() {
    local status=0
    rm -f "$folder/asked"
    "$@" >/dev/null 2>&1 || status=$?
    [ "$status" = 124 ] && [ ! -e "$folder/asked" ]
}

still() {
    local what=$1
    shift
    "$@" && echo "as it was: $what" || { echo "CHANGED: $what"; exit 1; }
}

finish() {
    kill "$hosts" 2>/dev/null || true
    rm -rf "$folder"
}

main
