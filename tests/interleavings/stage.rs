//! A PostgreSQL database with three nodes on it, and a gate in the way of one of them.
//!
//! Triggers count the steps of the node called `first`: each statement that writes, and each commit. Before
//! the step of a schedule it stands still, in the midst of its transaction and with all that it holds, until the
//! gate is opened. Everybody else passes. So a schedule is a fact and not a matter of luck.
//!
//! The first node calls itself something else than the others do, at the database too: what it may do there can be
//! taken away while it stands still.

use std::fmt::{self, Display};
use std::time::{Duration, Instant};

use doorpost::app::App;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Row};

use crate::support::{Database, House, postgres};

/// How often the database is asked whether somebody waits.
const LOOK: Duration = Duration::from_millis(1);

/// Whoever neither waits nor answers for so long does neither.
const PATIENCE: Duration = Duration::from_secs(20);

/// The clock goes on so far between any two moves of a schedule: what happens later has a later time.
const TICK: Duration = Duration::from_secs(1);

const COUNT_STEPS: &str = "
    CREATE SEQUENCE steps;
    CREATE FUNCTION step() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF current_setting('application_name') = 'first' THEN
            PERFORM pg_advisory_xact_lock_shared(7, nextval('steps')::int);
        END IF;
        RETURN NULL;
    END $$;
    CREATE FUNCTION step_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF current_setting('application_name') = 'first'
            AND current_setting('stage.commits', true) IS DISTINCT FROM pg_current_xact_id()::text
        THEN
            PERFORM set_config('stage.commits', pg_current_xact_id()::text, true);
            PERFORM pg_advisory_xact_lock_shared(7, nextval('steps')::int);
        END IF;
        RETURN NULL;
    END $$;";

/// Where the first of two is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Before its step of this number: a statement that writes, or a commit.
    Step(u32),
    /// Where it wants what somebody else just holds.
    Lock(&'static str),
}

impl Point {
    /// The account, with others let in that only refer to it; its links; its sessions; its addresses.
    pub const LOCKS: [Self; 4] = [
        Self::Lock("SELECT 1 FROM users WHERE id = '{id}' FOR NO KEY UPDATE"),
        Self::Lock("SELECT 1 FROM links WHERE user_id = '{id}' FOR UPDATE"),
        Self::Lock("SELECT 1 FROM sessions WHERE user_id = '{id}' FOR UPDATE"),
        Self::Lock(
            "SELECT pg_advisory_xact_lock(hashtextextended(email, 1)) FROM links WHERE user_id = '{id}'",
        ),
    ];
}

impl Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(step) => write!(f, "stopped before its step {step}"),
            Self::Lock(lock) => write!(f, "stopped by a lock ({lock})"),
        }
    }
}

/// What somebody does who was let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Waits,
    Answered,
}

/// The database and its nodes. No mail leaves: what is posted can be read where it waits.
pub struct Stage {
    pub house: House,
    first: House,
    second: House,
    /// Holds what a schedule holds.
    holder: Client,
    /// Looks on.
    watcher: Client,
    /// Who the first node is at the database.
    role: String,
}

impl Stage {
    pub async fn open() -> Self {
        let mut house = House::new(Database::Postgres).await;
        house.hold_mail();
        let url = house.database_url().to_owned();
        let watcher = postgres(&url).await;
        let role = make_role(&watcher).await;
        let stage = Self {
            first: node(&house, &url, "first", Some(role.as_str())),
            second: node(&house, &url, "second", None),
            holder: postgres(&url).await,
            watcher,
            house,
            role,
        };
        stage.count_steps().await;
        stage
    }

    /// This node, for what is done without a page.
    pub fn app(&self, node: &str) -> &App {
        match node == self.first.url {
            true => &self.first.app,
            false => &self.second.app,
        }
    }

    /// Whatever the first node asks of the database from here on fails, but for what it is amid.
    pub async fn cut_off(&self) {
        let cut = format!(
            "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {}",
            self.role
        );
        self.watcher.batch_execute(&cut).await.unwrap();
    }

    /// It may do everything again.
    pub async fn restore(&self) {
        let restored = format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {}", self.role);
        self.watcher.batch_execute(&restored).await.unwrap();
    }

    async fn count_steps(&self) {
        self.watcher.batch_execute(COUNT_STEPS).await.unwrap();
        for table in crate::house_rules::tables() {
            let triggers = format!(
                "CREATE TRIGGER step BEFORE INSERT OR UPDATE OR DELETE ON {table}
                    FOR EACH STATEMENT EXECUTE FUNCTION step();
                CREATE CONSTRAINT TRIGGER step_at_commit AFTER INSERT OR UPDATE OR DELETE ON {table}
                    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION step_at_commit();"
            );
            self.watcher.batch_execute(&triggers).await.unwrap();
        }
        let counting = format!("GRANT ALL ON SEQUENCE steps TO {}", self.role);
        self.watcher.batch_execute(&counting).await.unwrap();
    }

    /// The node that can be stopped.
    pub fn first(&self) -> &str {
        &self.first.url
    }

    /// The node that does what is done meanwhile.
    pub fn second(&self) -> &str {
        &self.second.url
    }

    pub fn tick(&self) {
        self.house.advance(TICK);
    }

    /// From here on the first node stops there, on its way through this account.
    pub async fn shut(&self, point: Point, id: &str) {
        self.count_anew().await;
        match point {
            Point::Step(step) => {
                let lock = format!("SELECT pg_advisory_lock(7, {step})");
                self.holder.batch_execute(&lock).await.unwrap();
            }
            Point::Lock(lock) => {
                let lock = lock.replace("{id}", id);
                let lock = format!("BEGIN; {lock}");
                self.holder.batch_execute(&lock).await.unwrap();
            }
        }
    }

    /// Whoever was stopped goes on.
    pub async fn unlock(&self) {
        let unlock = "ROLLBACK; SELECT pg_advisory_unlock_all()";
        self.holder.batch_execute(unlock).await.unwrap();
    }

    pub async fn count_anew(&self) {
        let anew = "SELECT setval('steps', 1, false)";
        self.watcher.batch_execute(anew).await.unwrap();
    }

    /// How many steps the first node has made.
    pub async fn steps(&self) -> u32 {
        let counted = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM steps";
        let steps: i64 = self.query(counted).await[0].get(0);
        steps as u32
    }

    /// Waits until the one node waits for a lock, or its visitor has an answer.
    pub async fn seen<T>(&self, node: &str, visit: &JoinHandle<T>) -> Seen {
        let waits = format!(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
                AND application_name = '{node}' AND wait_event_type = 'Lock'"
        );
        let began = Instant::now();
        loop {
            if visit.is_finished() {
                return Seen::Answered;
            }
            if !self.query(&waits).await.is_empty() {
                return Seen::Waits;
            }
            assert!(began.elapsed() < PATIENCE, "{node} does nothing");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// How many deadlocks PostgreSQL has resolved by refusing one of the two.
    pub async fn deadlocks(&self) -> i64 {
        let counted = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        self.query(counted).await[0].get(0)
    }

    pub async fn query(&self, query: &str) -> Vec<Row> {
        self.watcher.query(query, &[]).await.unwrap()
    }
}

/// Somebody who may do everything, until it is taken away. Others on this cluster have theirs.
async fn make_role(watcher: &Client) -> String {
    let database = watcher.query_one("SELECT current_database()", &[]).await;
    let role = format!("first_of_{}", database.unwrap().get::<_, String>(0));
    let made = format!(
        "CREATE ROLE {role} LOGIN; GRANT ALL ON SCHEMA public TO {role};
            GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"
    );
    watcher.batch_execute(&made).await.unwrap();
    role
}

fn node(house: &House, database: &str, name: &str, role: Option<&str>) -> House {
    let mut named = url::Url::parse(database).unwrap();
    if let Some(role) = role {
        named.set_username(role).unwrap();
    }
    named
        .query_pairs_mut()
        .append_pair("application_name", name);
    let mut node = house.second_node(&[
        ("DATABASE_URL", named.as_str()),
        ("PUBLIC_URL", &house.url),
        ("ARGON2_MEMORY_KIB", "64"),
        ("ARGON2_PASSES", "1"),
    ]);
    node.hold_mail();
    node
}
