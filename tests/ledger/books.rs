//! The tables, read past the program.

use std::time::{Duration, Instant};

use diesel::prelude::*;
use doorpost::clock::{Clock, Timestamp};
use doorpost::config::Config;
use doorpost::db::{Connection, Db};
use doorpost::schema::{links, outbox, sessions, users};

use super::PATIENCE;
use crate::support::{Database, Store};

/// The database, beside the nodes.
pub struct Books {
    db: Db,
}

/// What is written down in the end.
pub struct Tables {
    /// By address.
    pub links: Vec<LinkRow>,
    pub outbox: Vec<MailRow>,
    /// The address of each.
    pub sessions: Vec<String>,
    pub accounts: Vec<String>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = links)]
pub struct LinkRow {
    pub email: String,
    pub asked_at: Timestamp,
    pub used_at: Option<Timestamp>,
    pub token_hash: Vec<u8>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = outbox)]
pub struct MailRow {
    pub id: String,
    pub letter: String,
    pub email: String,
    pub state: String,
    pub reason: Option<String>,
    pub queued_at: Timestamp,
}

impl Tables {
    pub fn links_of(&self, email: &str) -> &[LinkRow] {
        let links = &self.links;
        let from = links.partition_point(|link| link.email.as_str() < email);
        let until = links.partition_point(|link| link.email.as_str() <= email);
        &links[from..until]
    }
}

impl Books {
    pub fn open(store: &Store) -> Self {
        let config = Config::from_environment([("DATABASE_URL", store.url.as_str())]).unwrap();
        Self {
            db: Db::open(&config.database.url, Clock::System).unwrap(),
        }
    }

    /// Waits until all mail is settled. What was claimed by the dead is, soon after its lease ends.
    pub async fn nothing_waits(&self) -> Option<String> {
        let began = Instant::now();
        loop {
            let waiting = outbox::table.filter(outbox::due_at.is_not_null()).count();
            let counted = self.db.read(move |tx| Ok(waiting.get_result(tx.conn)?));
            let count: i64 = counted.await.unwrap();
            if count == 0 || began.elapsed() > PATIENCE {
                return (count > 0).then(|| format!("{count} mails wait in vain"));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// How many mails that were posted since then are under a lease.
    pub async fn claimed(&self, since: Timestamp) -> i64 {
        let claimed = outbox::table
            .filter(outbox::queued_at.ge(since))
            .filter(outbox::due_at.gt(Clock::System.now()))
            .count();
        let counted = self.db.read(move |tx| Ok(claimed.get_result(tx.conn)?));
        counted.await.unwrap()
    }

    pub async fn read(&self) -> Tables {
        let read = self.db.read(|tx| {
            Ok(Tables {
                links: links::table.select(LinkRow::as_select()).load(tx.conn)?,
                outbox: outbox::table.select(MailRow::as_select()).load(tx.conn)?,
                sessions: sessions::table
                    .inner_join(users::table)
                    .select(users::email)
                    .load(tx.conn)?,
                accounts: users::table.select(users::email).load(tx.conn)?,
            })
        });
        let mut tables = read.await.unwrap();
        tables
            .links
            .sort_by(|one, other| one.email.cmp(&other.email));
        tables
    }

    /// What the database itself finds wrong with its files, its indexes and its references.
    pub async fn damage(&self, db: Database) -> Vec<String> {
        let checks: &[&str] = match db {
            Database::Sqlite => &[
                "SELECT integrity_check AS what FROM pragma_integrity_check WHERE integrity_check <> 'ok'",
                "SELECT 'a dangling reference in ' || \"table\" AS what FROM pragma_foreign_key_check",
            ],
            Database::Postgres => &[
                "CREATE EXTENSION amcheck",
                "SELECT relname || ': ' || msg AS what FROM pg_class, verify_heapam(pg_class.oid) \
                 WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
                "SELECT bt_index_check(indexrelid, true)::text AS what FROM pg_index \
                 JOIN pg_class ON pg_class.oid = indrelid WHERE relnamespace = 'public'::regnamespace",
            ],
        };
        let mut found = Vec::new();
        for check in checks {
            let said = self.db.transaction(|tx| {
                let query = diesel::sql_query(*check);
                let said: Vec<Damage> = match tx.conn {
                    Connection::Postgres(conn) => query.load(conn)?,
                    Connection::Sqlite(conn) => query.load(conn)?,
                };
                Ok(said)
            });
            match said.await {
                Ok(said) => found.extend(said.into_iter().map(|row| row.what)),
                Err(error) => found.push(format!("{check}: {error}")),
            }
        }
        // An index that is whole says nothing.
        found.retain(|what| !what.is_empty());
        found
    }
}

#[derive(QueryableByName)]
struct Damage {
    #[diesel(sql_type = diesel::sql_types::Text)]
    what: String,
}
