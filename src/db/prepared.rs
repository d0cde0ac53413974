//! Statements that a database keeps prepared although diesel would not.
//!
//! diesel calls every `UPDATE` and every `ON CONFLICT … DO UPDATE` unsafe to keep, because one that is put together at
//! run time may have any number of texts. Each call of such a statement is then parsed and planned anew, which costs
//! more than what it does. Ours are put together by the compiler: each has one text, or one for each length of a short
//! list. What is kept is found by that text, so that one which varied after all would be kept twice, and never
//! mistaken for another; a `SELECT`, whose text its type determines, by its type.
//!
//! Of a `SELECT` diesel asks each of its parts at every call whether it may be kept. A prepared one is not asked.

use std::cell::Cell;

use diesel::QueryResult;
use diesel::RunQueryDsl;
use diesel::backend::Backend;
use diesel::internal::derives::multiconnection::AstPassHelper as _;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};

/// A statement that is kept prepared.
#[derive(Clone, Copy, Debug)]
#[must_use = "it runs only when it is executed or loaded"]
pub struct Prepared<S>(S);

/// Has the database keep this statement prepared. Only for one whose text does not depend on what it is given.
pub fn prepared<S>(statement: S) -> Prepared<S> {
    Prepared(statement)
}

impl<S: Query> Query for Prepared<S> {
    type SqlType = S::SqlType;
}

impl<S, Conn> RunQueryDsl<Conn> for Prepared<S> {}

/// It is found as diesel finds what is in it: by its type, or by its text where the type does not determine that.
impl<S: QueryId> QueryId for Prepared<S> {
    type QueryId = Prepared<S::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = S::HAS_STATIC_QUERY_ID;
}

impl<S, DB> QueryFragment<DB> for Prepared<S>
where
    S: QueryFragment<DB>,
    DB: Backend,
{
    /// diesel walks a statement to write its text, to collect its values, and to ask whether it may be kept. What asks
    /// only that has nothing to hand over, and is not let in to hear the statement's own answer.
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        pass.push_sql(""); // for whoever asks whether there is anything to be run
        let wants_it = Cell::new(pass.bind_collector().is_some() || pass.debug_binds().is_some());
        let pass = pass.cast_database::<DB>(
            |values| values,
            |text| {
                wants_it.set(true);
                text
            },
            |database| database,
            |types| types,
        );
        match wants_it.get() {
            true => self.0.walk_ast(pass),
            false => Ok(()),
        }
    }
}
