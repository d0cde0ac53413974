//! A table that cannot be written: its disk is full, its rows are damaged, somebody holds it. Whoever is no member
//! must not learn from what fails then who is one (promises 9 and 28).

use std::time::Duration;

use serde_json::json;

use crate::house_rules;
use crate::support::{Database, House, postgres};

const ADA: &str = "ada@example.org";
const NOBODY: &str = "eva@example.org";
const WRONG: &str = "a horse that eats grass alone";

/// All windows are over after that.
const TWO_DAYS: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// What anybody can do with an address: by which way, and how often before the table fails. The fifth wrong
/// password closes a window, which the owner hears of.
const ASKS: [(Way, usize); 6] = [
    (Way::Form("/register"), 0),
    (Way::Form("/sign-in"), 0),
    (Way::Form("/reset-password"), 0),
    (Way::Code, 0),
    (Way::Password, 0),
    (Way::Password, 4),
];

#[derive(Clone, Copy, Debug)]
enum Way {
    Form(&'static str),
    Code,
    Password,
}

impl Way {
    /// What somebody from a network of their own is answered.
    async fn tried(self, house: &House, network: usize, address: &str) -> String {
        let from = house
            .visitor()
            .calling_from(&format!("198.51.100.{network}"));
        let page = match self {
            Self::Form(route) => from.ask(route, address).await,
            Self::Password => from.enter(address, WRONG).await,
            Self::Code => {
                let body = json!({ "email": address }).to_string();
                let code = from.request(reqwest::Method::POST, "/api/v1/sign-in-codes");
                from.send(code.header("content-type", "application/json").body(body))
                    .await
            }
        };
        page.looks().replace(address, "ADDRESS")
    }
}

on_both! {
    /// FLT-01: each table, one at a time.
    async fn whichever_table_cannot_be_written_a_member_looks_like_nobody(db: Database) {
        let mut house = House::new(db).await;
        house.member_with_password(ADA).await;
        house.hold_mail(); // The table of the mail that waits is one of them.
        for table in house_rules::tables() {
            for (way, before) in ASKS {
                house.advance(TWO_DAYS);
                for network in 0..before {
                    way.tried(&house, network, ADA).await;
                    way.tried(&house, network, NOBODY).await;
                }
                refuse_to_write(&house, db, &table).await;
                let member = way.tried(&house, 200, ADA).await;
                let nobody = way.tried(&house, 201, NOBODY).await;
                write_again(&house, db, &table).await;
                assert_eq!(as_looked(&member), as_looked(&nobody), "{way:?} without {table}");
            }
        }
    }
}

/// Two answers of the API name two requests.
fn as_looked(answer: &str) -> String {
    match answer.split_once("\"sign_in_id\":\"") {
        Some((before, rest)) => before.to_owned() + rest.split_once('"').unwrap().1,
        None => answer.to_owned(),
    }
}

async fn refuse_to_write(house: &House, db: Database, table: &str) {
    if db == Database::Postgres {
        house
            .execute(
                "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN RAISE 'no row can be written'; END $$",
            )
            .await;
        house
            .execute(format!(
                "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON {table} \
                 FOR EACH ROW EXECUTE FUNCTION refuse()"
            ))
            .await;
        return;
    }
    for change in ["INSERT", "UPDATE", "DELETE"] {
        house
            .execute(format!(
                "CREATE TRIGGER refuse_{change} BEFORE {change} ON {table} BEGIN \
                 SELECT RAISE(ABORT, 'no row can be written'); END"
            ))
            .await;
    }
}

async fn write_again(house: &House, db: Database, table: &str) {
    if db == Database::Postgres {
        house
            .execute(format!("DROP TRIGGER refuse ON {table}"))
            .await;
        return;
    }
    for change in ["INSERT", "UPDATE", "DELETE"] {
        house.execute(format!("DROP TRIGGER refuse_{change}")).await;
    }
}

/// Both wait for the table as long, and are told the same.
#[tokio::test]
async fn whichever_table_somebody_holds_a_member_waits_as_long_as_nobody() {
    let mut house = House::new(Database::Postgres).await;
    house.member_with_password(ADA).await;
    house.hold_mail();
    let holder = postgres(house.database_url()).await;
    for table in ["events", "outbox", "links"] {
        for (way, _) in ASKS {
            house.advance(TWO_DAYS);
            let hold = format!("BEGIN; LOCK TABLE {table} IN SHARE MODE");
            holder.batch_execute(&hold).await.unwrap();
            let member = way.tried(&house, 200, ADA);
            let nobody = way.tried(&house, 201, NOBODY);
            let (member, nobody) = tokio::join!(member, nobody);
            holder.batch_execute("ROLLBACK").await.unwrap();
            assert_eq!(
                as_looked(&member),
                as_looked(&nobody),
                "{way:?} while {table} is held"
            );
        }
    }
}
