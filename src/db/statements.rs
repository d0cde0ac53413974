//! What a database is asked, in the log at `trace`: the text of each statement, and never a value in it.
//!
//! An operator who looks for what is slow sees there what was asked, and so does the test that has both databases say
//! how they would go about each statement.

use std::fmt::Write as _;

use diesel::Connection as _;
use diesel::connection::{Instrumentation, InstrumentationEvent};
use tracing::Level;

use super::Connection;

/// Behind this diesel shows the values of a statement.
const VALUES: &str = " -- binds: ";

/// Has a connection say each statement, if the log shows it. Where it does not, nothing is put into words.
pub(super) fn say(conn: &mut Connection) {
    if tracing::enabled!(Level::TRACE) {
        conn.set_instrumentation(Teller);
    }
}

struct Teller;

impl Instrumentation for Teller {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        let InstrumentationEvent::StartQuery { query, .. } = event else {
            return;
        };
        let mut shown = String::new();
        if write!(shown, "{query}").is_ok() {
            let statement = without_values(&shown);
            tracing::trace!(statement, event = "statement", "statement");
        }
    }
}

/// The first of these marks is diesel's own: our statements have no such comment, and a value stands behind it.
fn without_values(shown: &str) -> &str {
    shown
        .split_once(VALUES)
        .map_or(shown, |(statement, _)| statement)
}

#[cfg(test)]
mod tests {
    use diesel::prelude::*;
    use diesel::sqlite::Sqlite;

    use super::*;
    use crate::schema::users;

    #[test]
    fn a_statement_is_said_without_its_values() {
        let secret = "ada@example.org -- binds: [";
        let statement = users::table
            .filter(users::email.eq(secret))
            .select(users::id);
        let shown = diesel::debug_query::<Sqlite, _>(&statement).to_string();
        assert!(shown.contains("ada@"), "diesel shows them: {shown}");
        let said = without_values(&shown);
        assert!(said.ends_with("(`users`.`email` = ?)"), "{said}");
        assert_eq!(without_values("COMMIT"), "COMMIT");
    }
}
