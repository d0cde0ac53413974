#!/usr/bin/env bash
#
# tokio-postgres 0.7.18 (crates.io): when the server ends a session amid its rows, the stream of rows gives one error after the
# other and never ends.
#
#   findings/tokio-postgres-error-without-end.sh        Rust, and Debian's PostgreSQL 15; as root (the server runs as postgres)
#
# `Client::query_raw` gives a `RowStream`. Once the session is gone (pg_terminate_backend, a restart, a failover) it has nothing more
# to give, and says so anew at every poll; `None`, by which a stream tells that it is over, does not come:
#
#     rows, and then: connection closed
#     of the next 1000 polls 1000 gave that error again, 0 the end
#
# So whoever asks until the end (`while let Some(row) = rows.next().await`, or `collect::<Vec<Result<…>>>()`, for which the
# memory does not suffice) waits for ever; `try_collect`, and whatever else stops at the first error, does not. `Client::query` is
# made so.
#
# Ends with 0 if all of that is still so, with 1 if something has changed. Everything is on 127.0.0.1 and in a temporary
# folder.

set -euo pipefail

main() {
    [ "$(id --user)" = 0 ] || { echo "It needs root, for PostgreSQL does not run as root and is run as postgres."; exit 2; }
    folder=$(mktemp --directory)
    trap finish EXIT
    start_postgres
    build
    timeout 60 "$folder/target/debug/reads" "host=127.0.0.1 port=$port user=postgres dbname=postgres" | tee "$folder/seen"
    grep --quiet '^rows, and then: connection closed$' "$folder/seen"
    grep --quiet '^of the next 1000 polls 1000 gave that error again, 0 the end$' "$folder/seen"
}

start_postgres() {
    local programs
    programs=$(find /usr/lib/postgresql -path '*/15/bin/initdb' -printf '%h\n')
    port=$((20000 + RANDOM % 10000))
    chmod 711 "$folder"
    install --directory --owner=postgres --mode=700 "$folder/data"
    as_postgres "$programs/initdb" --pgdata="$folder/data" --no-sync --auth=trust >"$folder/initdb.log" 2>&1
    as_postgres "$programs/pg_ctl" --pgdata="$folder/data" --wait --silent --log="$folder/data/log" \
        --options="-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories= -c fsync=off" start
    server=$programs/pg_ctl
}

as_postgres() {
    env --chdir=/ setpriv --reuid=postgres --regid=postgres --init-groups "$@"
}

build() {
    mkdir "$folder/src"
    cat >"$folder/Cargo.toml" <<'TOML'
[package]
name = "reads"
version = "0.1.0"
edition = "2024"

[dependencies]
futures-util = { version = "=0.3.31", default-features = false }
tokio = { version = "=1.54.1", features = ["macros", "net", "rt", "time"] }
tokio-postgres = "=0.7.18"
TOML
    cat >"$folder/src/main.rs" <<'RUST'
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use tokio_postgres::{Client, NoTls};

async fn connect(server: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(server, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let server = std::env::args().nth(1).unwrap();
    let (reader, other) = (connect(&server).await, connect(&server).await);
    let backend: i32 = reader.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let statement = reader.prepare("SELECT i, repeat('x', 1000) FROM generate_series(1, 1000000) i").await.unwrap();
    let mut rows = pin!(reader.query_raw(&statement, std::iter::empty::<&i32>()).await.unwrap());
    rows.next().await.unwrap().unwrap();
    other.execute("SELECT pg_terminate_backend($1)", &[&backend]).await.unwrap();

    let error = loop {
        match rows.next().await.expect("an error comes before the end") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    println!("rows, and then: {error}");
    let (mut errors, mut ends) = (0, 0);
    for _ in 0..1000 {
        match tokio::time::timeout(Duration::from_secs(5), rows.next()).await.unwrap() {
            Some(Err(_)) => errors += 1,
            Some(Ok(_)) => {}
            None => ends += 1,
        }
    }
    println!("of the next 1000 polls {errors} gave that error again, {ends} the end");
}
RUST
    (cd "$folder" && cargo build --quiet)
}

finish() {
    [ -z "${server-}" ] || as_postgres "$server" --pgdata="$folder/data" --mode=immediate --silent stop
    rm -rf "$folder"
}

main
