//! A race that is run, not hoped for.

use std::path::Path;
use std::sync::Arc;

use diesel::connection::{Connection as _, SimpleConnection as _};
use diesel::sqlite::SqliteConnection;
use tokio::sync::Barrier;

/// Does all of this at once: everybody waits at the line until the last one is there. What came of it, in
/// the order of the starters.
pub async fn at_once<T: Send + 'static>(
    starters: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let starters: Vec<_> = starters.into_iter().collect();
    let line = Arc::new(Barrier::new(starters.len()));
    let running: Vec<_> = starters
        .into_iter()
        .map(|starter| {
            let line = line.clone();
            tokio::spawn(async move {
                line.wait().await;
                starter.await
            })
        })
        .collect();
    let mut results = Vec::new();
    for one in running {
        results.push(one.await.unwrap());
    }
    results
}

/// Another process holds SQLite's write lock until this is dropped, as a backup or a shell that somebody forgot does.
pub fn hold_the_write_lock(database: &Path) -> SqliteConnection {
    #[expect(clippy::disallowed_methods, reason = "it plays another program")]
    let mut holder = SqliteConnection::establish(database.to_str().unwrap()).unwrap();
    holder
        .batch_execute("PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE")
        .unwrap();
    holder
}
