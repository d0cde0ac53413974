//! How a database says it would go about a statement, read for one question: how much of which table does it look at?

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use serde_json::Value;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::{MANY, growing};
use crate::support::postgres;

/// Whoever is asked.
pub enum Explainer {
    Sqlite(SqliteConnection),
    Postgres(Client),
}

/// A statement, and what it looks at.
pub struct Explained {
    pub statement: String,
    plan: String,
    looks: Vec<Look>,
}

/// One look at one table.
struct Look {
    table: String,
    at: Part,
    /// As PostgreSQL estimates it.
    rows: f64,
}

/// What part of a table is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// All of it, be it by an index.
    Whole,
    /// All that lies on one side of a value.
    Range,
    /// What has a value.
    Key,
}

impl Explained {
    /// What it reads that it should not, with its plan.
    pub fn what_is_wrong(&self) -> Option<String> {
        let growing = growing();
        let is_bounded = self.statement.contains(" LIMIT ");
        let is_wrong = |look: &&Look| match look.at {
            Part::Whole => true,
            Part::Range => !is_bounded,
            Part::Key => look.rows > MANY && !is_bounded,
        };
        let looks = self
            .looks
            .iter()
            .filter(|look| growing.contains(&look.table));
        let wrong = looks.into_iter().find(is_wrong)?;
        let (part, table) = (wrong.at, &wrong.table);
        let (statement, plan) = (&self.statement, &self.plan);
        Some(format!(
            "{part:?} of {table} is read by\n{statement}\n{plan}"
        ))
    }
}

/// The statements that name this table.
pub fn about(statements: &[String], table: &str) -> Vec<String> {
    let name_it = |statement: &&String| {
        let mut words = statement.split([' ', '.', '(', ')', ',']);
        words.any(|word| word == table)
    };
    statements.iter().filter(name_it).cloned().collect()
}

impl Explainer {
    /// One that plans without knowing the values, as it does for a statement that is kept prepared.
    pub async fn postgres(url: &str) -> Self {
        let client = postgres(url).await;
        let generic = "SET plan_cache_mode = force_generic_plan";
        client.batch_execute(generic).await.unwrap();
        Self::Postgres(client)
    }

    pub async fn explain_all(&mut self, statements: &[String]) -> Vec<Explained> {
        let mut all = Vec::new();
        for statement in statements {
            all.push(match self {
                Self::Sqlite(conn) => on_sqlite(conn, statement),
                Self::Postgres(client) => on_postgres(client, statement).await,
            });
        }
        all
    }
}

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = diesel::sql_types::Text)]
    detail: String,
}

/// Values are not needed: the program's SQLite plans without them (`SQLITE_ENABLE_QPSG`), and so does this one.
pub fn on_sqlite(conn: &mut SqliteConnection, statement: &str) -> Explained {
    let steps = diesel::sql_query(format!("EXPLAIN QUERY PLAN {statement}")).load::<Step>(conn);
    let steps = steps.unwrap_or_else(|why| panic!("{statement}: {why}"));
    let looks = steps.iter().filter_map(|step| {
        let (verb, rest) = step.detail.split_once(' ')?;
        let (name, how) = rest.split_once(' ').unwrap_or((rest, ""));
        let at = match verb {
            "SCAN" => Part::Whole,
            "SEARCH" if how.contains("=?") || how.contains("rowid=") => Part::Key,
            "SEARCH" => Part::Range,
            _ => return None,
        };
        Some(Look {
            table: without_alias(statement, name).to_owned(),
            at,
            rows: 0.0,
        })
    });
    let plan: Vec<&str> = steps.iter().map(|step| step.detail.as_str()).collect();
    Explained {
        statement: statement.to_owned(),
        looks: looks.collect(),
        plan: plan.join("\n"),
    }
}

/// A table has another name in a statement that has it twice.
fn without_alias<'a>(statement: &'a str, name: &'a str) -> &'a str {
    let alias = format!(" AS {name}");
    match statement.split_once(&alias) {
        Some((before, _)) => before.rsplit([' ', '(']).next().unwrap_or(name),
        None => name,
    }
}

async fn on_postgres(client: &Client, statement: &str) -> Explained {
    let prepare = format!("PREPARE asked AS {}", what_it_reads(statement));
    let prepared = client.batch_execute(&prepare).await;
    prepared.unwrap_or_else(|why| panic!("{statement}: {why:?}"));
    let values =
        "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'asked'";
    let values: i32 = client.query_one(values, &[]).await.unwrap().get(0);
    let values = match values {
        0 => String::new(),
        some => format!(
            "({})",
            vec!["NULL"; some.unsigned_abs() as usize].join(", ")
        ),
    };
    let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE asked{values}");
    let answer = client.simple_query(&explain).await.unwrap();
    let plan = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    let plan: Value = serde_json::from_str(plan.unwrap()).unwrap();
    client.batch_execute("DEALLOCATE asked").await.unwrap();
    let mut looks = Vec::new();
    collect(&plan[0]["Plan"], "", &mut looks);
    Explained {
        statement: statement.to_owned(),
        plan: serde_json::to_string_pretty(&plan[0]["Plan"]).unwrap(),
        looks,
    }
}

/// What a statement looks at: of an `INSERT … SELECT` what it selects, and of one with an `ON CONFLICT` what is before
/// that, for a conflict is found by a unique index. With the rest, the server would not know the types of all values, which
/// the program names.
fn what_it_reads(statement: &str) -> &str {
    if !statement.starts_with("INSERT") {
        return statement;
    }
    let (inserted, _) = statement
        .split_once(" ON CONFLICT")
        .unwrap_or((statement, ""));
    inserted
        .find(" SELECT ")
        .map_or(inserted, |at| &inserted[at..])
}

/// The looks of a step of a plan and of those below it; an index that a bitmap is made of is one of the table above.
fn collect(step: &Value, above: &str, looks: &mut Vec<Look>) {
    let table = step["Relation Name"].as_str().unwrap_or(above);
    let condition = step["Index Cond"].as_str().unwrap_or_default();
    let at = match step["Node Type"].as_str().unwrap_or_default() {
        "Seq Scan" => Some(Part::Whole),
        "Index Scan" | "Index Only Scan" | "Bitmap Index Scan" => Some(match condition {
            "" => Part::Whole,
            by_value if by_value.contains(" = ") || by_value.contains(" IS NULL") => Part::Key,
            _ => Part::Range,
        }),
        _ => None,
    };
    looks.extend(at.map(|at| Look {
        table: table.to_owned(),
        at,
        rows: step["Plan Rows"].as_f64().unwrap_or_default(),
    }));
    for below in step["Plans"].as_array().into_iter().flatten() {
        collect(below, table, looks);
    }
}
