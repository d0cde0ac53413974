//! A request costs the same whether there are ten accounts or ten million: no statement of a visitor's, of a
//! program's or of the worker's reads a table that grows from one end to the other.
//!
//! The program says every statement that it asks of its database (`doorpost::db::statements=trace`) while everything is
//! done that can be done from outside ([`visits`]), on tables that are filled as a living service's are. Then the
//! database says how it goes about each of these ([`explained`]), and PostgreSQL besides how much was read from
//! which table: what a foreign key has it do is in nobody's statement.
//!
//! What may read more stands in [`MAY_READ_MORE`], with the reason. What operators do by command (lists, an
//! announcement, a purge, a restore) takes the time that it takes, and is not asked about here.

mod explained;
#[path = "../benches/growth/rows.rs"]
mod rows;
mod visits;

use std::collections::BTreeSet;

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use doorpost::clock::Clock;
use serde_json::Value;
use tempfile::TempDir;

use crate::house_rules;
use crate::program::{ANY_PORT, Doorpost, run};
use crate::support::{Database, ScriptedServer, Store, postgres};
use crate::upgrade::HASH;
use explained::{Explained, Explainer};
use rows::{Dialect, Filling, Living};

/// Enough to tell the rows of one account from those of all.
const ACCOUNTS: u64 = 10_000;

/// What is over and waits for the worker; a tenth of it or more in each table.
const OVER: u64 = 300;

/// Rows that a statement may read without anybody asking why: what one account, one address or one batch has.
const MANY: f64 = 250.0;

/// Tables that stay small, whatever the number of accounts.
const SMALL: [&str; 2] = ["signing_keys", "key_probe"];

/// What reads more than the rows of one account, or a batch of them: a part of the statement by which it is known, and
/// why it may.
const MAY_READ_MORE: &[(&str, &str)] = &[
    (
        "SELECT COUNT(*) FROM outbox WHERE ((outbox.due_at IS NOT NULL) AND (outbox.urgency <",
        "what waits, announcements aside, by an index of nothing else: MAIL_QUEUE_MAX at the most, once a second",
    ),
    (
        "SELECT COUNT(*) FROM outbox WHERE (outbox.due_at IS NOT NULL)",
        "what waits, by the same index, for whoever scrapes the metrics: the more there is, the more seldom",
    ),
    (
        "SELECT outbox.state, COUNT(*) FROM outbox WHERE state NOT IN ('queued', 'sent') GROUP BY",
        "what did not leave, by an index of nothing else",
    ),
    (
        "SELECT min(outbox.queued_at) FROM outbox WHERE ((outbox.due_at IS NOT NULL) AND (outbox.urgency <",
        "what waits, announcements aside, for whoever scrapes the metrics",
    ),
];

#[tokio::test]
async fn no_request_reads_a_growing_table_through_on_sqlite() {
    let grown = Grown::make(Database::Sqlite).await;
    grown.fill(&grown.living.expired(OVER)).await;
    let statements = grown.lived_in().await;
    let mut explainer = Explainer::Sqlite(grown.sqlite());
    let as_shipped = explainer.explain_all(&statements).await;
    is_well(&as_shipped);
    // Somebody may have run it by hand.
    grown.sqlite().batch_execute("ANALYZE").unwrap();
    let mut explainer = Explainer::Sqlite(grown.sqlite());
    is_well(&explainer.explain_all(&statements).await);
    what_hangs_on_a_row_is_found_by_an_index(&mut grown.sqlite());
}

#[tokio::test]
async fn no_request_reads_a_growing_table_through_on_postgresql() {
    let grown = Grown::make(Database::Postgres).await;
    grown.fill(&grown.living.expired(OVER)).await;
    let before = grown.read_so_far().await;
    let statements = grown.lived_in().await;
    let after = grown.read_so_far().await;
    let mut explainer = Explainer::postgres(&grown.store.url).await;
    is_well(&explainer.explain_all(&statements).await);
    for (now, then) in after.iter().zip(&before) {
        let (scans, rows) = (now.scans - then.scans, now.rows - then.rows);
        assert!(
            rows as f64 <= MANY * scans.max(1) as f64,
            "{} was read {scans} times, and {rows} rows of it, by one of\n{}",
            now.what,
            explained::about(&statements, &now.table).join("\n"),
        );
    }
}

/// What is wrong with each statement that reads more than it may.
#[track_caller]
fn is_well(explained: &[Explained]) {
    let listed = |statement: &str| {
        let mut listed = MAY_READ_MORE.iter();
        listed.any(|(part, _)| statement.contains(part))
    };
    let wrong = explained
        .iter()
        .filter(|it| !listed(&it.statement))
        .filter_map(Explained::what_is_wrong);
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    for (part, why) in MAY_READ_MORE {
        assert!(
            explained.iter().any(|it| it.statement.contains(part)),
            "nobody asks any more for {part} ({why})"
        );
    }
}

/// Deleting a row deletes what refers to it, by statements that are in nobody's log.
fn what_hangs_on_a_row_is_found_by_an_index(conn: &mut SqliteConnection) {
    #[derive(QueryableByName)]
    struct Key {
        #[diesel(sql_type = diesel::sql_types::Text)]
        table: String,
        #[diesel(sql_type = diesel::sql_types::Text)]
        column: String,
    }
    let keys = "SELECT m.name AS \"table\", k.\"from\" AS \"column\" FROM sqlite_master AS m, \
                pragma_foreign_key_list(m.name) AS k WHERE m.type = 'table'";
    let keys: Vec<Key> = diesel::sql_query(keys).load(conn).unwrap();
    assert!(keys.len() >= 6, "the foreign keys were not found");
    for Key { table, column } in keys {
        let cascade = format!("DELETE FROM {table} WHERE {column} = ?");
        let explained = explained::on_sqlite(conn, &cascade);
        assert_eq!(explained.what_is_wrong(), None);
    }
}

/// The tables that are filled, and grow.
fn growing() -> BTreeSet<String> {
    let tables = house_rules::tables().into_iter();
    tables
        .filter(|table| !SMALL.contains(&table.as_str()))
        .collect()
}

/// A database as it is after years.
struct Grown {
    store: Store,
    folder: TempDir,
    living: Living<'static>,
}

impl Grown {
    async fn make(db: Database) -> Self {
        let grown = Self {
            store: Store::make(db).await,
            folder: tempfile::tempdir().unwrap(),
            living: Living {
                dialect: match db {
                    Database::Sqlite => Dialect::Sqlite,
                    Database::Postgres => Dialect::Postgres,
                },
                accounts: ACCOUNTS,
                now: Clock::System.now(),
                password_hash: HASH,
            },
        };
        let migrated = run(grown.folder.path(), &["migrate"], &grown.variables());
        assert!(migrated.status.success(), "{migrated:?}");
        let mut fillings = grown.living.fillings();
        let filled: BTreeSet<&str> = fillings.iter().map(|(table, _)| *table).collect();
        assert!(
            growing()
                .iter()
                .all(|table| filled.contains(table.as_str()) || table == "invitations")
        );
        fillings.push(invitations());
        grown.fill(&fillings).await;
        grown
    }

    async fn fill(&self, fillings: &[Filling]) {
        match self.living.dialect {
            Dialect::Sqlite => self.fill_sqlite(fillings),
            Dialect::Postgres => self.fill_postgres(fillings).await,
        }
    }

    fn fill_sqlite(&self, fillings: &[Filling]) {
        let mut conn = self.sqlite();
        conn.batch_execute("BEGIN").unwrap();
        for (table, filling) in fillings {
            let filled = conn.batch_execute(filling);
            filled.unwrap_or_else(|why| panic!("{table}: {why}"));
        }
        conn.batch_execute("COMMIT").unwrap();
    }

    /// From then on it goes by an index wherever there is one: tables of this size are sometimes read through sooner, and
    /// those that have grown are not.
    async fn fill_postgres(&self, fillings: &[Filling]) {
        let client = postgres(&self.store.url).await;
        let name = self.store.url.rsplit('/').next().unwrap();
        let by_index = format!("ALTER DATABASE {name} SET enable_seqscan = off");
        client.batch_execute(&by_index).await.unwrap();
        for (table, filling) in fillings {
            let filled = client.batch_execute(filling).await;
            filled.unwrap_or_else(|why| panic!("{table}: {why:?}"));
        }
        client.batch_execute("ANALYZE").await.unwrap();
    }

    #[expect(clippy::disallowed_methods, reason = "looks past the program")]
    fn sqlite(&self) -> SqliteConnection {
        let path = self.store.url.strip_prefix("sqlite:").unwrap();
        SqliteConnection::establish(path).unwrap()
    }

    fn variables(&self) -> [(&str, &str); 2] {
        [
            ("DATABASE_URL", &self.store.url),
            ("SECRET_KEY", &self.store.secret_key),
        ]
    }

    /// Has everything done there; what was asked of the database meanwhile, each statement once.
    async fn lived_in(&self) -> Vec<String> {
        let server = ScriptedServer::start();
        let smtp = server.url();
        let more = [
            ANY_PORT,
            ("SMTP_URL", smtp.as_str()),
            ("METRICS_ADDRESS", "127.0.0.1:0"),
            ("ARGON2_MEMORY_KIB", "64"),
            ("ARGON2_PASSES", "1"),
            ("LIMIT_MAIL_PER_NETWORK", "10000/1m"),
            ("LIMIT_PASSWORD_PER_NETWORK", "10000/1m"),
            ("LIMIT_TOKEN_PER_NETWORK", "10000/1m"),
            ("LOG_FORMAT", "json"),
            ("RUST_LOG", "info,doorpost::db::statements=trace"),
        ];
        let variables = [&self.variables()[..], &more].concat();
        let mut doorpost = Doorpost::serving(self.folder.path(), &variables);
        visits::everything_is_done(&doorpost, &server, self.folder.path(), &variables).await;
        // Of a server that ends, PostgreSQL has counted everything.
        doorpost.signal("TERM");
        assert_eq!(doorpost.ends(), Some(0), "{}", doorpost.log());
        statements_in(&doorpost.log())
    }

    /// How much was read of each table and index, once nobody else is connected who has not told yet.
    async fn read_so_far(&self) -> Vec<Read> {
        let client = postgres(&self.store.url).await;
        let others = "SELECT count(*) FROM pg_stat_activity \
                      WHERE datname = current_database() AND pid <> pg_backend_pid()";
        crate::support::eventually("nobody else is connected", async || {
            let row = client.query_one(others, &[]).await.unwrap();
            row.get::<_, i64>(0) == 0
        })
        .await;
        let read = "SELECT relname::text, relname::text, 0::bigint, seq_tup_read FROM pg_stat_user_tables \
                    UNION ALL SELECT indexrelname::text, relname::text, idx_scan, idx_tup_read FROM pg_stat_user_indexes \
                    ORDER BY 1";
        let growing = growing();
        let all = client.query(read, &[]).await.unwrap().into_iter();
        let all = all.map(|row| Read {
            what: row.get(0),
            table: row.get(1),
            scans: row.get(2),
            rows: row.get(3),
        });
        all.filter(|read| growing.contains(&read.table)).collect()
    }
}

/// A table that was read through, or an index that was looked into.
struct Read {
    what: String,
    table: String,
    /// How often; 0 for a table.
    scans: i64,
    rows: i64,
}

/// As many as there are accounts.
fn invitations() -> Filling {
    let filling =
        "INSERT INTO invitations (email, invited_at) SELECT 'invited ' || email, 0 FROM users";
    ("invitations", filling.to_owned())
}

/// What the log says was asked, without what opens and closes a transaction, and without the marks around names.
fn statements_in(log: &str) -> Vec<String> {
    let said = log.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let is_one = line["event"] == "statement";
        line["statement"]
            .as_str()
            .filter(|_| is_one)
            .map(str::to_owned)
    });
    let verbs = ["SELECT", "INSERT", "UPDATE", "DELETE"];
    let of_ours = said.filter(|said| verbs.iter().any(|verb| said.starts_with(verb)));
    let each: BTreeSet<String> = of_ours
        .map(|statement| statement.replace(['"', '`'], ""))
        .filter(|statement| !statement.contains("__diesel_schema_migrations"))
        // A list with nothing in it: neither database looks for that.
        .filter(|statement| !statement.contains("(1=0)"))
        .collect();
    assert!(each.len() > 100, "only {} statements were seen", each.len());
    let has_values = |statement: &&String| statement.contains("@example");
    assert_eq!(each.iter().find(has_values), None);
    each.into_iter().collect()
}
