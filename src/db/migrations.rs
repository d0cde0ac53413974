//! The tables, and how they come about: Doorpost's migrations, and after them those of the app built on it.
//!
//! Both are noted in the one table that diesel keeps. There a migration of the app goes by a name that begins
//! with [`OWN`], so that it can neither be taken for one of ours nor stand before one, whatever either is called.

use std::fmt;

use diesel::connection::BoxableConnection;
use diesel::dsl::sql;
use diesel::migration::{
    Migration, MigrationMetadata, MigrationName, MigrationSource, MigrationVersion,
    Result as MigrationResult,
};
use diesel::prelude::*;
use diesel::sql_types::{Bool, Nullable, Text};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{Backend, Connection, Tx};
use crate::error::{Error, Result};

/// Doorpost's own.
static HOUSE: Migrations = Migrations {
    sqlite: embed_migrations!("migrations/sqlite"),
    postgres: embed_migrations!("migrations/postgres"),
};

/// Begins the version of an app's migration. Versions are digits and are applied in their order as text, in
/// which a letter comes after every digit.
const OWN: &str = "own_";

/// Ends the version of a migration that takes away, or changes, what the release before it uses: a folder's name begins like
/// `2027-01-01-000001-breaks_`. A program that does not know it must not serve on what it has left. Every other
/// migration only adds, and an older program works beside it.
const BREAKS: &str = "breaks";

/// The same tables in the words of either database, to be embedded in a crate that brings tables of its own:
///
/// ```no_run
/// use diesel_migrations::embed_migrations;
/// use doorpost::db::Migrations;
///
/// static MIGRATIONS: Migrations = Migrations {
///     sqlite: embed_migrations!("migrations/sqlite"),
///     postgres: embed_migrations!("migrations/postgres"),
/// };
/// ```
pub struct Migrations {
    pub sqlite: EmbeddedMigrations,
    pub postgres: EmbeddedMigrations,
}

/// Which of the two a database understands.
#[derive(Clone, Copy)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

impl Migrations {
    fn of(&self, dialect: Dialect) -> Result<Vec<Box<dyn Migration<Backend>>>> {
        let embedded = match dialect {
            Dialect::Sqlite => &self.sqlite,
            Dialect::Postgres => &self.postgres,
        };
        MigrationSource::<Backend>::migrations(embedded).map_err(Error::internal)
    }
}

/// Every migration this program knows.
#[derive(Clone, Copy)]
pub(super) struct Known {
    pub dialect: Dialect,
    /// Those of the app that is built on Doorpost.
    pub own: Option<&'static Migrations>,
}

impl Known {
    pub fn versions(self) -> Result<Vec<String>> {
        let all = self.all()?;
        Ok(all
            .iter()
            .map(|migration| migration.name().version().to_string())
            .collect())
    }

    /// As their folders are called.
    pub fn names(self) -> Result<Vec<String>> {
        let all = self.all()?;
        Ok(all
            .iter()
            .map(|migration| migration.name().to_string())
            .collect())
    }

    /// Whether a version is of tables that this program uses: those of an app, if it is that app.
    fn depends_on(self, version: &str) -> bool {
        !version.starts_with(OWN) || self.own.is_some()
    }

    fn all(self) -> Result<Vec<Box<dyn Migration<Backend>>>> {
        let mut all = HOUSE.of(self.dialect)?;
        if let Some(own) = self.own {
            let own = own.of(self.dialect)?;
            all.extend(own.into_iter().map(Own::boxed));
        }
        Ok(all)
    }
}

impl MigrationSource<Backend> for Known {
    fn migrations(&self) -> MigrationResult<Vec<Box<dyn Migration<Backend>>>> {
        Ok(self.all()?)
    }
}

/// Applies what is pending; the caller holds a lock and a transaction around it. Where nothing is, not even the table
/// of what was applied is touched: so a role that may make no tables can run what another one has migrated.
pub(super) fn apply_pending(tx: &mut Tx<'_>, known: Known) -> Result<Vec<String>> {
    if pending(tx, known)?.is_empty() {
        return Ok(Vec::new());
    }
    may_make_tables(tx)?;
    let failed = |why| Error::unavailable(format!("the migration failed and was undone: {why}"));
    let pending = tx.conn.pending_migrations(known).map_err(failed)?;
    let apply = |migration| {
        tx.conn.run_migration(migration).map_err(failed)?;
        Ok(migration.name().to_string())
    };
    pending.iter().map(|boxed| &**boxed).map(apply).collect()
}

/// The versions that are known and not yet applied.
///
/// # Errors
/// A newer release has changed the tables so that this program cannot use them.
pub(super) fn pending(tx: &mut Tx<'_>, known: Known) -> Result<Vec<String>> {
    let applied = applied(tx)?;
    let mut pending = known.versions()?;
    let is_newer = |version: &&String| !pending.contains(version) && known.depends_on(version);
    if let Some(newer) = applied
        .iter()
        .filter(is_newer)
        .find(|version| version.ends_with(BREAKS))
    {
        return Err(Error::misconfigured(format!(
            "the tables are those of a newer release, which this program cannot use (migration {newer}): start the newer \
             one, or bring back the copy of the database from before it"
        )));
    }
    pending.retain(|version| !applied.contains(version));
    Ok(pending)
}

/// The same, as their folders are called.
pub(super) fn pending_names(tx: &mut Tx<'_>, known: Known) -> Result<Vec<String>> {
    let applied = applied(tx)?;
    let all = known.all()?;
    let names = all.iter().map(|migration| migration.name());
    let pending = names.filter(|name| !applied.contains(&name.version().to_string()));
    Ok(pending.map(|name| name.to_string()).collect())
}

/// What made the tables of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MadeBy {
    /// No Doorpost: it has no tables of ours.
    Others,
    /// This program, or one before it.
    Us,
    /// One that knows migrations which this one does not.
    Newer,
}

impl MadeBy {
    /// Refuses what has no tables that this program can use, and calls it by this name.
    pub fn must_be_us(self, what: &str) -> Result<()> {
        match self {
            Self::Us => Ok(()),
            Self::Others => Err(Error::misconfigured(format!(
                "{what} has no tables of Doorpost"
            ))),
            Self::Newer => Err(Error::misconfigured(format!(
                "{what} was made by a newer Doorpost than this one"
            ))),
        }
    }
}

pub(super) fn made_by(tx: &mut Tx<'_>, known: Known) -> Result<MadeBy> {
    let (applied, known) = (applied(tx)?, known.versions()?);
    Ok(match &*applied {
        [] => MadeBy::Others,
        applied if applied.iter().any(|it| !known.contains(it)) => MadeBy::Newer,
        _ => MadeBy::Us,
    })
}

/// Since PostgreSQL 15 only the owner of a database makes tables in its `public`; the server itself would say no more
/// than that permission was denied.
fn may_make_tables(tx: &mut Tx<'_>) -> Result<()> {
    let Connection::Postgres(conn) = &mut *tx.conn else {
        return Ok(());
    };
    let (role, schema, may): (String, Option<String>, Option<bool>) = diesel::select((
        sql::<Text>("current_user::text"),
        sql::<Nullable<Text>>("current_schema()::text"),
        sql::<Nullable<Bool>>("has_schema_privilege(current_schema(), 'CREATE')"),
    ))
    .get_result(conn)?;
    match (schema, may) {
        (Some(_), Some(true)) => Ok(()),
        (Some(schema), _) => Err(Error::misconfigured(format!(
            "the role {role} may not make tables in the schema {schema}: let it own the database \
             (ALTER DATABASE … OWNER TO {role}), or GRANT CREATE ON SCHEMA {schema} TO {role}"
        ))),
        (None, _) => Err(Error::misconfigured(format!(
            "the role {role} has no schema to make tables in: its search_path names none that is there and that it may use"
        ))),
    }
}

diesel::table! {
    /// Where diesel notes the migrations it has applied.
    __diesel_schema_migrations (version) {
        version -> Text,
    }
}

/// None in a database that is still empty.
fn applied(tx: &mut Tx<'_>) -> Result<Vec<String>> {
    use __diesel_schema_migrations::{table, version};
    if !has_notes(tx)? {
        return Ok(Vec::new());
    }
    Ok(table.select(version).load(tx.conn)?)
}

fn has_notes(tx: &mut Tx<'_>) -> Result<bool> {
    let has = match tx.conn {
        Connection::Postgres(conn) => diesel::select(sql::<Bool>(
            "to_regclass('__diesel_schema_migrations') IS NOT NULL",
        ))
        .get_result(conn)?,
        Connection::Sqlite(conn) => diesel::select(sql::<Bool>(
            "EXISTS (SELECT 1 FROM sqlite_master WHERE name = '__diesel_schema_migrations')",
        ))
        .get_result(conn)?,
    };
    Ok(has)
}

/// A migration of an app, noted as its own.
struct Own {
    migration: Box<dyn Migration<Backend>>,
    name: OwnName,
}

struct OwnName {
    /// With [`OWN`] before it.
    version: String,
    /// As its folder is called.
    shown: String,
}

impl Own {
    fn boxed(migration: Box<dyn Migration<Backend>>) -> Box<dyn Migration<Backend>> {
        let name = OwnName {
            version: format!("{OWN}{}", migration.name().version()),
            shown: migration.name().to_string(),
        };
        Box::new(Self { migration, name })
    }
}

impl Migration<Backend> for Own {
    fn run(&self, conn: &mut dyn BoxableConnection<Backend>) -> MigrationResult<()> {
        self.migration.run(conn)
    }

    fn revert(&self, conn: &mut dyn BoxableConnection<Backend>) -> MigrationResult<()> {
        self.migration.revert(conn)
    }

    fn metadata(&self) -> &dyn MigrationMetadata {
        self.migration.metadata()
    }

    fn name(&self) -> &dyn MigrationName {
        &self.name
    }
}

impl MigrationName for OwnName {
    fn version(&self) -> MigrationVersion<'_> {
        self.version.as_str().into()
    }
}

impl fmt::Display for OwnName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}
