//! A copy of an SQLite database, made while it is in use; and how one takes the place of the database again.
//!
//! `VACUUM INTO` copies what one transaction sees, however much is written meanwhile by whatever process, and nobody
//! waits for it. (The log of what is written meanwhile grows for so long.) A copy gets its name once it is whole, was
//! checked and is on the disk: what has the name can be relied on.
//!
//! A database is replaced only while nobody has it open. Two things say so. Every Doorpost holds a lock on a file beside
//! the database from before it opens it; and SQLite folds its log back into the file, which it does for nobody
//! who is not alone: so an older program is noticed as well, and any other. Then the old database is one file, and stays
//! under another name.
//!
//! PostgreSQL has tools of its own for all of this.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf, absolute};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::{Connection as _, SimpleConnection as _};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;

use crate::clock::Timestamp;
use crate::config::DatabaseUrl;
use crate::error::{Error, Result};
use crate::humanize;
use crate::random;

/// How often somebody who watches is told how far it is.
const TELL: Duration = Duration::from_millis(200);

/// How far a copy is: bytes, of so many at the most.
pub type Watch<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// Copies the database to a file, for its owner alone. The number of bytes it has.
///
/// # Errors
/// There is no such database, or something has the name and is not to be overwritten, or the copy is damaged: then the
/// database is.
pub fn back_up(database: &Path, to: &Path, overwrite: bool, watch: Watch<'_>) -> Result<u64> {
    let (database, to) = (whole(database)?, whole(to)?);
    if !database.exists() {
        return Err(Error::misconfigured(format!(
            "there is no database {}",
            database.display()
        )));
    }
    if is_part_of(&to, &database) {
        let why = "is the database itself; name another file";
        return Err(Error::misconfigured(format!("{} {why}", to.display())));
    }
    if to.exists() && !overwrite {
        let why = "is there already; --yes replaces it";
        return Err(Error::misconfigured(format!("{} {why}", to.display())));
    }
    let part = Part::make(&to)?;
    copy(&database, &part, watch)?;
    check(&part.path)?;
    let bytes = part.sync()?;
    part.put(&to)?;
    Ok(bytes)
}

fn copy(database: &Path, part: &Part, watch: Watch<'_>) -> Result<()> {
    let mut conn = open(database)?;
    conn.batch_execute("PRAGMA busy_timeout = 5000")?;
    let size: i64 = diesel::select(sql::<BigInt>(
        "(SELECT page_count * page_size FROM pragma_page_count, pragma_page_size)",
    ))
    .get_result(&mut conn)?;
    let (done, is_done) = channel::<()>();
    let target = utf8(&part.path)?;
    thread::scope(|scope| {
        scope.spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = is_done.recv_timeout(TELL) {
                let copied = fs::metadata(&part.path).map_or(0, |it| it.len());
                watch(copied, size.unsigned_abs());
            }
        });
        let copied = diesel::sql_query("VACUUM INTO ?")
            .bind::<Text, _>(target)
            .execute(&mut conn);
        drop(done);
        copied
    })?;
    Ok(())
}

/// A backup on its way to be the database. As long as this lives, no Doorpost opens the old one. If it is dropped before
/// its end, nothing has changed.
pub struct Restoring {
    database: PathBuf,
    part: Part,
    _alone: Option<File>,
}

impl Restoring {
    /// Copies the backup to where the database is, and checks the copy.
    ///
    /// # Errors
    /// Somebody has the database open; the backup is not there, is no whole database, or is one in use.
    pub fn begin(database: &Path, backup: &Path) -> Result<Self> {
        let (database, backup) = (whole(database)?, whole(backup)?);
        if let Some(folder) = database.parent() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(|why| trouble(folder, &why))?;
        }
        let alone = lock_alone(&database)?;
        fold_unless_in_use(&database)?;
        let part = Part::make(&database)?;
        part.fill_from(&backup)?;
        check(&part.path).map_err(|why| {
            Error::misconfigured(format!("{}: {}", backup.display(), why.words()))
        })?;
        Ok(Self {
            database,
            part,
            _alone: alone,
        })
    }

    /// Where it is meanwhile: what has to be done to it can be done there.
    pub fn url(&self) -> DatabaseUrl {
        DatabaseUrl::Sqlite(self.part.path.clone())
    }

    /// Puts it in the place of the database; where that one is now, if there was one.
    pub fn finish(self, now: Timestamp) -> Result<Option<PathBuf>> {
        fold(&self.part.path, Duration::from_secs(10))?;
        self.part.sync()?;
        let aside = match self.database.exists() {
            true => Some(set_aside(&self.database, now)?),
            false => None,
        };
        self.part.put(&self.database)?;
        Ok(aside)
    }
}

/// Under another name beside it, with the log of one that is too damaged to be folded. It keeps its own name, too, until
/// the new one takes that: at no moment is there none.
fn set_aside(database: &Path, now: Timestamp) -> Result<PathBuf> {
    let moment = humanize::rfc3339(now).replace([':', '-'], "");
    let name = format!(".before-restore-{moment}");
    let (mut aside, mut number) = (with(database, &name), 1);
    // A moment is a second: what another restore set aside in this one is not to be replaced.
    while aside.exists() {
        number += 1;
        aside = with(database, &format!("{name}-{number}"));
    }
    let failed = |why: io::Error| trouble(&aside, &why);
    fs::hard_link(database, &aside)
        .or_else(|_| fs::rename(database, &aside))
        .map_err(failed)?;
    for ending in ["-wal", "-shm"] {
        let beside = with(database, ending);
        if beside.exists() {
            fs::rename(&beside, with(&aside, ending)).map_err(failed)?;
        }
    }
    Ok(aside)
}

/// Says that this process has the database open. Where it cannot be said (another user made the file, or the file
/// system has no locks), SQLite still does.
pub(super) fn mark_in_use(database: &Path) -> Result<Option<File>> {
    let Ok(file) = lock_file(database) else {
        return Ok(None);
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::Error(_)) => Ok(None),
        Err(TryLockError::WouldBlock) => Err(Error::unavailable(format!(
            "{} is just being restored",
            database.display()
        ))),
    }
}

/// Refuses while anybody has the database open.
pub fn must_be_free(database: &Path) -> Result<()> {
    let database = whole(database)?;
    let _alone = lock_alone(&database)?;
    fold_unless_in_use(&database)
}

fn lock_alone(database: &Path) -> Result<Option<File>> {
    let Ok(file) = lock_file(database) else {
        return Ok(None);
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::Error(_)) => Ok(None),
        Err(TryLockError::WouldBlock) => Err(in_use(database)),
    }
}

/// It stays: to remove it would let two hold it who do not know of each other.
fn lock_file(database: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(with(database, "-lock"))
}

fn in_use(database: &Path) -> Error {
    Error::misconfigured(format!(
        "{} is in use; stop whatever has it open, and above all Doorpost",
        database.display()
    ))
}

/// One that is damaged may be replaced as it is.
fn fold_unless_in_use(database: &Path) -> Result<()> {
    if !database.exists() {
        return Ok(());
    }
    match fold(database, Duration::ZERO) {
        Err(why) if why.words().contains("locked") => Err(in_use(database)),
        _ => Ok(()),
    }
}

/// Makes one file of the database and its log. SQLite refuses while anybody else has it open, without any waiting: it is
/// asked again for so long.
fn fold(database: &Path, patience: Duration) -> Result<()> {
    let mut conn = open(database)?;
    let began = Instant::now();
    loop {
        match conn.batch_execute("PRAGMA journal_mode = DELETE") {
            Err(why) if why.to_string().contains("locked") && began.elapsed() < patience => {
                thread::sleep(Duration::from_millis(20));
            }
            folded => return Ok(folded?),
        }
    }
}

/// Whether it is a database, whole, and refers to nothing that is not there.
fn check(database: &Path) -> Result<()> {
    let mut conn = open(database)?;
    let damaged = |what: String| Error::misconfigured(format!("the database is damaged: {what}"));
    let said: String = diesel::select(sql::<Text>(
        "(SELECT integrity_check FROM pragma_integrity_check LIMIT 1)",
    ))
    .get_result(&mut conn)
    .map_err(|why| damaged(why.to_string()))?;
    if said != "ok" {
        return Err(damaged(said));
    }
    let lost: i64 = diesel::select(sql::<BigInt>(
        "(SELECT count(*) FROM pragma_foreign_key_check)",
    ))
    .get_result(&mut conn)?;
    match lost {
        0 => Ok(()),
        lost => Err(damaged(format!("{lost} rows belong to rows that are gone"))),
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the room it belongs in")]
fn open(database: &Path) -> Result<SqliteConnection> {
    SqliteConnection::establish(utf8(database)?).map_err(|why| {
        Error::unavailable(format!("{} cannot be opened: {why}", database.display()))
    })
}

/// A file that is being made, beside the one whose place it will take. Whatever is left of it when it is dropped goes.
struct Part {
    path: PathBuf,
}

impl Part {
    fn make(beside: &Path) -> Result<Self> {
        let name = format!(".{}.part", random::id());
        let path = with(beside, &name);
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        made.map_err(|why| trouble(&path, &why))?;
        Ok(Self { path })
    }

    /// With a log beside it, a file is a database that is or was in use, and not all of one.
    fn fill_from(&self, backup: &Path) -> Result<()> {
        let log = with(backup, "-wal");
        if fs::metadata(&log).is_ok_and(|it| it.len() > 0) {
            return Err(Error::misconfigured(format!(
                "{} is a database in use and no backup, for {} lies beside it; `doorpost backup` makes one",
                backup.display(),
                log.display()
            )));
        }
        let mut source = File::open(backup).map_err(|why| trouble(backup, &why))?;
        let target = OpenOptions::new().write(true).open(&self.path);
        let mut target = target.map_err(|why| trouble(&self.path, &why))?;
        io::copy(&mut source, &mut target).map_err(|why| trouble(&self.path, &why))?;
        Ok(())
    }

    /// Makes sure that it is on the disk; the number of its bytes.
    fn sync(&self) -> Result<u64> {
        let synced = File::open(&self.path).and_then(|file| {
            file.sync_all()?;
            Ok(file.metadata()?.len())
        });
        synced.map_err(|why| trouble(&self.path, &why))
    }

    /// Gives it its name.
    fn put(&self, to: &Path) -> Result<()> {
        let folder = to.parent().unwrap_or(to);
        fs::rename(&self.path, to)
            .and_then(|()| File::open(folder)?.sync_all())
            .map_err(|why| trouble(to, &why))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        for ending in ["", "-wal", "-shm", "-journal", "-lock"] {
            let _ = fs::remove_file(with(&self.path, ending));
        }
    }
}

/// The path with this at its end.
fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// No name means anything special to SQLite then.
fn whole(path: &Path) -> Result<PathBuf> {
    absolute(path).map_err(|why| trouble(path, &why))
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str()
        .ok_or_else(|| Error::misconfigured(format!("{}: its name is not UTF-8", path.display())))
}

/// The database, or what SQLite keeps beside it, by whatever name.
fn is_part_of(file: &Path, database: &Path) -> bool {
    let place = |path: &Path| fs::metadata(path).map(|it| (it.dev(), it.ino())).ok();
    let Some(place_of_file) = place(file) else {
        return ["-wal", "-shm", "-journal", "-lock"]
            .map(|it| with(database, it))
            .contains(&file.to_owned());
    };
    ["", "-wal", "-shm", "-journal", "-lock"]
        .iter()
        .any(|it| place(&with(database, it)) == Some(place_of_file))
}

fn trouble(path: &Path, why: &io::Error) -> Error {
    Error::misconfigured(format!("{}: {why}", path.display()))
}
