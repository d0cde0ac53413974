//! Fills a database: all rows of a table at once, in the order of its key, and the other indexes afterwards.

use std::fs;
use std::time::Instant;

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::Text;
use doorpost::clock::Clock;

use crate::program::postgres;
use crate::rows::{Dialect, Filling};
use crate::site::{Kind, Site};

/// Makes it anew, with this hash of everybody's password, and says how long it takes.
pub fn fill(site: &Site, password_hash: &str) {
    make_anew(site);
    drop(site.open()); // which makes the tables
    let fillings = site.living(now(), password_hash).fillings();
    let began = Instant::now();
    match site.url() {
        None => fill_sqlite(site, &fillings),
        Some(url) => fill_postgres(&url, &fillings),
    }
    let took = began.elapsed().as_secs_f64();
    let (dialect, accounts) = (site.dialect(), site.accounts);
    println!("{dialect:?}, {accounts} accounts, filled in {took:.0} s\n");
    tell_sizes(site);
}

/// As the program has the time.
pub fn now() -> i64 {
    Clock::System.now()
}

fn make_anew(site: &Site) {
    match &site.kind {
        Kind::Sqlite if site.folder.exists() => fs::remove_dir_all(&site.folder).unwrap(),
        Kind::Sqlite => {}
        Kind::Postgres { cluster, name } => {
            let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            postgres::run(cluster, &drop);
            postgres::run(cluster, &format!("CREATE DATABASE {name}"));
        }
    }
}

#[derive(QueryableByName)]
struct Index {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    sql: String,
}

/// Nobody else has the file: nothing is written twice, and nothing waits for the disk.
fn fill_sqlite(site: &Site, fillings: &[Filling]) {
    let mut conn = site.sqlite();
    conn.batch_execute(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; PRAGMA threads = 2; \
         PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -2000000; PRAGMA temp_store = FILE",
    )
    .unwrap();
    let indexes = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL";
    let indexes: Vec<Index> = diesel::sql_query(indexes).load(&mut conn).unwrap();
    for Index { name, .. } in &indexes {
        conn.batch_execute(&format!("DROP INDEX {name}")).unwrap();
    }
    let run = |conn: &mut SqliteConnection, what: &str, sql: &str| {
        let began = Instant::now();
        conn.batch_execute(sql).unwrap();
        eprintln!("{what}: {:.1} s", began.elapsed().as_secs_f64());
    };
    for (table, filling) in fillings {
        run(&mut conn, table, filling);
    }
    for Index { name, sql } in &indexes {
        run(&mut conn, name, sql);
    }
    run(
        &mut conn,
        "ANALYZE",
        "PRAGMA analysis_limit = 1000; ANALYZE",
    );
    conn.batch_execute("PRAGMA locking_mode = NORMAL; PRAGMA journal_mode = WAL")
        .unwrap();
}

/// What refers to what is right by itself, and not asked for.
fn fill_postgres(url: &str, fillings: &[Filling]) {
    let settings = "SET session_replication_role = replica; SET synchronous_commit = off; SET work_mem = '512MB'; \
                    SET maintenance_work_mem = '1GB'";
    let indexes = postgres::rows(
        url,
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index \
         WHERE indrelid::regclass::text = ANY (SELECT tablename FROM pg_tables WHERE schemaname = 'public') \
         AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid)",
    );
    let run = |what: &str, sql: &str| {
        let began = Instant::now();
        postgres::run(url, &format!("{settings}; {sql}"));
        eprintln!("{what}: {:.1} s", began.elapsed().as_secs_f64());
    };
    for index in &indexes {
        run("without an index", &format!("DROP INDEX {}", index[0]));
    }
    for (table, filling) in fillings {
        run(table, filling);
    }
    for index in &indexes {
        run(&index[0], &index[1]);
    }
    let began = Instant::now();
    postgres::run(url, "VACUUM (ANALYZE)");
    eprintln!("VACUUM: {:.1} s", began.elapsed().as_secs_f64());
}

/// What each table takes, with its indexes.
pub fn tell_sizes(site: &Site) {
    let tables = site.living(0, "").fillings().into_iter();
    let sizes: Vec<(&str, i64, i64)> = tables
        .map(|(table, _)| {
            let rows = site.number(&format!("SELECT count(*) FROM {table}"));
            (table, rows, site.number(&size_of(site, table)))
        })
        .collect();
    let of_account = |bytes: i64| bytes as f64 / site.accounts as f64;
    println!("| table | rows | MiB | bytes of it for an account |");
    println!("|---|---|---|---|");
    for (table, rows, bytes) in &sizes {
        let (mebibytes, of_account) = (bytes >> 20, of_account(*bytes));
        println!("| `{table}` | {rows} | {mebibytes} | {of_account:.0} |");
    }
    let rows: i64 = sizes.iter().map(|(_, rows, _)| rows).sum();
    let bytes: i64 = sizes.iter().map(|(.., bytes)| bytes).sum();
    let (mebibytes, of_account) = (bytes >> 20, of_account(bytes));
    println!("| all | {rows} | {mebibytes} | {of_account:.0} |\n");
}

fn size_of(site: &Site, table: &str) -> String {
    match site.dialect() {
        Dialect::Postgres => format!("SELECT pg_total_relation_size('{table}')"),
        Dialect::Sqlite => format!(
            "SELECT sum(pgsize) FROM dbstat WHERE aggregate = TRUE \
             AND name IN (SELECT name FROM sqlite_master WHERE tbl_name = '{table}')"
        ),
    }
}
