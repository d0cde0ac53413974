//! `/metrics`, for Prometheus, on a listener of its own (`METRICS_ADDRESS`): nothing of it is where visitors are.
//!
//! What was counted is at hand. What has to be asked of the database is asked at most every few seconds, whoever
//! scrapes and however often; the longer the answer takes, the more seldom. A database that is away or does not
//! answer in time keeps back no more than its own part.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::dev::Server as Serving;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{self, Data};
use actix_web::{App as Actix, HttpResponse, HttpServer};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::accounts::sessions::AuthMethod;
use crate::app::App;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::mail::outbox::kept::{self, Standing};
use crate::mail::outbox::state;
use crate::metrics::{self, Reading};

/// How long the database has to answer: a scrape is given up after ten seconds.
const PATIENCE: Duration = Duration::from_secs(3);

/// What it said counts for so long,
const FRESH: Duration = Duration::from_secs(5);

/// and for so many times as long as it took to say: so no more than a fiftieth of a connection's time goes to this.
const FRESH_PER_COST: u32 = 50;

/// Those who scrape are few.
const CONNECTIONS: usize = 64;

/// Serves there until it is told to stop.
pub fn serve(app: App, listener: TcpListener) -> Result<Serving> {
    show_what_has_not_happened_yet();
    let data = Data::new(Exporter {
        app,
        last: Arc::default(),
    });
    let serving = HttpServer::new(move || {
        Actix::new()
            .app_data(data.clone())
            .service(web::resource("/metrics").get(scrape))
    });
    Ok(serving
        .workers(1)
        .max_connections(CONNECTIONS)
        .disable_signals()
        .listen(listener)
        .map_err(Error::internal)?
        .run())
}

/// A count that appears with its first event looks to Prometheus as if it had never grown.
fn show_what_has_not_happened_yet() {
    for method in AuthMethod::ALL {
        metrics::sign_ins(method.name());
    }
    for outcome in ["sent", "deferred", "refused", "dropped"] {
        metrics::letters(outcome);
    }
    for reason in ["queue_full", "unavailable", "timeout", "not_kept"] {
        metrics::database_refusals(reason);
    }
}

/// What a scrape needs.
struct Exporter {
    app: App,
    /// What the database last said; whoever asks meanwhile waits for the answer that is under way.
    last: Arc<Mutex<Option<Said>>>,
}

#[derive(Clone)]
struct Said {
    answers: bool,
    /// `None`: it has not counted it in time, be it for lack of time.
    outbox: Option<Arc<Standing>>,
    counts_until: Instant,
}

async fn scrape(exporter: Data<Exporter>) -> HttpResponse {
    let said = exporter.ask_database().await;
    let now = exporter.app.clock.now();
    let readings = at_hand(&exporter.app).into_iter();
    let readings = readings.chain(of_database(said.as_ref(), now));
    match metrics::text(readings.collect()) {
        Ok(text) => HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, metrics::CONTENT_TYPE))
            .body(text),
        Err(error) => {
            tracing::error!(%error, event = "scrape_failed", "the metrics could not be written");
            HttpResponse::InternalServerError().finish()
        }
    }
}

impl Exporter {
    /// On SQLite a read runs where it is called, and a disk that hangs holds it there: so it is called on a thread of its
    /// own, and no second one begins before it is through.
    async fn ask_database(&self) -> Option<Said> {
        let (app, last) = (self.app.clone(), Arc::clone(&self.last));
        let handle = Handle::current();
        let asked = tokio::spawn(async move {
            let mut last = last.lock_owned().await;
            if let Some(said) = last
                .as_ref()
                .filter(|said| Instant::now() < said.counts_until)
            {
                return said.clone();
            }
            let began = Instant::now();
            let asking = web::block(move || handle.block_on(look(&app)));
            let (answers, outbox) = asking.await.unwrap_or_default();
            let said = Said {
                answers,
                outbox,
                counts_until: Instant::now() + FRESH.max(began.elapsed() * FRESH_PER_COST),
            };
            *last = Some(said.clone());
            said
        });
        timeout(PATIENCE, asked).await.ok()?.ok()
    }
}

/// Whether the database answers, and how the outbox stands. While an announcement to very many waits, it may take longer
/// to count than a statement has: then the database is not away.
async fn look(app: &App) -> (bool, Option<Arc<Standing>>) {
    match app.read(kept::standing).await {
        Ok(standing) => (true, Some(Arc::new(standing))),
        Err(_) => (app.db.pending().await.is_ok(), None),
    }
}

/// What this process knows without asking anybody.
fn at_hand(app: &App) -> Vec<Reading> {
    let hashing = app.passwords.load();
    let health = &app.mail_health;
    let label = |name, value: &str| vec![(name, value.to_owned())];
    vec![
        Reading::by(
            "doorpost_build_info",
            "The program, and the kind of its database",
            [(
                vec![
                    ("version", env!("CARGO_PKG_VERSION").to_owned()),
                    ("database", app.db.kind().to_owned()),
                ],
                1.0,
            )],
        ),
        Reading::by(
            "doorpost_password_hashes",
            "Passwords that are being hashed or compared, and those that wait for it",
            [
                (label("state", "running"), hashing.running as f64),
                (label("state", "waiting"), hashing.waiting as f64),
            ],
        ),
        Reading::gauge(
            "doorpost_password_hash_slots",
            "As many of them as run at once",
            hashing.slots as f64,
        ),
        Reading::flag(
            "doorpost_mail_worker_up",
            "Whether the mail worker of this node goes round",
            health.is_running(),
        ),
        Reading::flag(
            "doorpost_smtp_breaker_open",
            "Whether this node finds no way to its mail server, and all mail waits",
            !health.breaker.is_closed(),
        ),
        Reading::flag(
            "doorpost_smtp_refusing",
            "Whether the mail server refuses our letters",
            health.refusals.trouble().is_some(),
        ),
    ]
}

/// What the database knows of all nodes together; of a database that is away, only that.
fn of_database(said: Option<&Said>, now: Timestamp) -> Vec<Reading> {
    let mut readings = vec![Reading::flag(
        "doorpost_database_up",
        "Whether the database answered",
        said.is_some_and(|said| said.answers),
    )];
    if let Some(outbox) = said.and_then(|said| said.outbox.as_deref()) {
        let count = |state: &str| {
            let labels = vec![("state", state.to_owned())];
            (labels, outbox.of_state(state) as f64)
        };
        let oldest = outbox.oldest_waiting_since.map_or(0, |since| now - since);
        readings.extend([
            Reading::by(
                "doorpost_outbox_letters",
                "Letters in the database, of all nodes together: waiting, and those that did not leave within two weeks",
                state::WATCHED.map(count),
            ),
            Reading::gauge(
                "doorpost_outbox_oldest_age_seconds",
                "For how long the oldest letter has waited, announcements aside",
                oldest.max(0) as f64 / 1000.0,
            ),
        ]);
    }
    readings
}
