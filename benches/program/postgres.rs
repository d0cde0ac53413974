//! The throw-away PostgreSQL cluster that `DOORPOST_TEST_POSTGRES` names, as for the tests. What is made in it goes
//! with it.

use std::fs;

use tokio_postgres::{Client, NoTls};

use super::process;

/// Where it is; `None`, if the variable is not set.
#[expect(clippy::disallowed_methods, reason = "the cluster that the tests use")]
pub fn cluster() -> Option<String> {
    std::env::var("DOORPOST_TEST_POSTGRES").ok()
}

/// A new database in it, by its URL.
pub fn fresh_database(cluster: &str, name: &str) -> String {
    let name = format!("{name}_{}", std::process::id());
    run(cluster, &format!("CREATE DATABASE {name}"));
    database(cluster, &name)
}

/// Runs this in a database.
pub fn run(url: &str, sql: &str) {
    connected(url, async |client| client.batch_execute(sql).await.unwrap());
}

/// The one number that a query finds.
pub fn number(url: &str, sql: &str) -> i64 {
    connected(url, async |client| {
        let row = client.query_one(sql, &[]).await.unwrap();
        row.get(0)
    })
}

/// What a query finds, as text.
pub fn rows(url: &str, sql: &str) -> Vec<Vec<String>> {
    connected(url, async |client| {
        let rows = client.query(sql, &[]).await.unwrap();
        let texts = rows
            .iter()
            .map(|row| (0..row.len()).map(|column| row.get(column)).collect());
        texts.collect()
    })
}

/// The URL of a database in it.
pub fn database(cluster: &str, name: &str) -> String {
    let mut url = url::Url::parse(cluster).unwrap();
    url.set_path(name);
    url.into()
}

/// All processes of the cluster.
pub struct Processes {
    /// The one that begins the others.
    first: u32,
}

impl Processes {
    /// The cluster has to run on this machine.
    pub fn of(cluster: &str) -> Self {
        let first = connected(cluster, async |client| {
            let row = client.query_one("SELECT pg_backend_pid()", &[]).await;
            let ours: i32 = row.unwrap().get(0);
            process::parent(ours.unsigned_abs()) // while it is there
        });
        Self {
            first: first.expect("DOORPOST_TEST_POSTGRES names a PostgreSQL on this machine"),
        }
    }

    /// Their processor time so far, in microseconds.
    pub fn cpu(&self) -> f64 {
        let others = self.others().map(process::cpu);
        process::cpu_with_ended(self.first) + others.sum::<f64>()
    }

    /// Their ids.
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        std::iter::once(self.first).chain(self.others())
    }

    fn others(&self) -> impl Iterator<Item = u32> {
        let all = fs::read_dir("/proc").unwrap().flatten();
        let all = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        all.filter(|other| process::parent(*other) == Some(self.first))
    }
}

fn connected<T>(url: &str, work: impl AsyncFnOnce(Client) -> T) -> T {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        tokio::spawn(connection);
        work(client).await
    })
}
