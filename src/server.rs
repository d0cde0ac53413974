//! How Doorpost is served, with what is built on it: what a request passes through, on which sockets, until when.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server as Serving, ServerHandle};
use actix_web::middleware::from_fn;
use actix_web::rt::{self, net::TcpStream};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App as Actix, HttpServer};
use serde_json::Value;
use socket2::{Domain, SockRef, Socket, Type};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::accounts::key_probe::{self, Proof};
use crate::accounts::users::User;
use crate::app::gate::Gate;
use crate::app::{App, OwnData};
use crate::clock::Clock;
use crate::config::Config;
use crate::db::{Migrations, Tx};
use crate::error::{Error, Result};
use crate::flows::notification_links;
use crate::keys;
use crate::mail::delivery;
use crate::service_manager::{Notifier, Pulses};
use crate::web::{assets, form_token, middleware, same_origin, session_cookie};
use crate::{api, exporter, flows, gateway, health};

/// A client has this long to send its head: slow senders hold a socket and nothing else.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);

/// A client has this long to read what it was sent.
const READ_DEADLINE: Duration = Duration::from_secs(30);

/// Between two requests on one connection.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// What is under way at SIGTERM, requests and letters, may take this long to finish: all has ended after 30 s.
const FINISH: Duration = Duration::from_secs(28);

/// What a client may send ahead of the answers. actix-http takes all requests apart that it finds there, and each
/// then weighs a hundred times what was sent: with the kernel's usual 128 KiB, one connection would cost 14 MB.
/// A form, which weighs 16 KiB at most, is read as it comes.
const AHEAD: usize = 8 * 1024;

/// Connections one worker holds at once; more wait in the listen queue.
const CONNECTIONS: usize = 4_096;

/// How many may wait there, as far as the kernel lets them (`net.core.somaxconn`).
const WAITING: i32 = 4_096;

/// What is served: signing in and all that goes with it, and besides that what the program brings. The pages of
/// Doorpost come in the same way as those of an app that is built on it.
///
/// ```no_run
/// use doorpost::server::Server;
/// use doorpost::{operator, pages};
///
/// fn main() -> std::process::ExitCode {
///     operator::run(Server::new().pages(pages::configure))
/// }
/// ```
#[derive(Clone, Default)]
pub struct Server {
    name: Option<&'static str>,
    pages: Vec<fn(&mut ServiceConfig)>,
    migrations: Option<&'static Migrations>,
    own_data: Vec<OwnData>,
    workers: Pulses,
}

impl Server {
    /// One that serves no page of its own yet, not even a home page.
    pub fn new() -> Self {
        Self::default()
    }

    /// Under this name, which stands at the top of every page.
    pub fn name(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    /// With these pages, too. Whoever calls them is known (`Visitor`, `SignedIn`), their forms are behind the
    /// same-origin check, and none can take the place of a page of Doorpost's.
    pub fn pages(mut self, configure: fn(&mut ServiceConfig)) -> Self {
        self.pages.push(configure);
        self
    }

    /// With these tables beside Doorpost's. Their migrations run after Doorpost's, at the same time and under the
    /// same lock.
    pub fn migrations(mut self, own: &'static Migrations) -> Self {
        self.migrations = Some(own);
        self
    }

    /// With this in the file in which an owner downloads everything that is kept of the account, under `own` and this
    /// name. It is read outside of any transaction, and may not write.
    pub fn export(mut self, name: &'static str, read: fn(&mut Tx, &User) -> Result<Value>) -> Self {
        self.own_data.push(OwnData { name, read });
        self
    }

    /// Finds or makes the secret key and opens the database. Nothing is served and nothing is migrated yet.
    pub fn open(&self, config: Config, clock: Clock) -> Result<App> {
        let mut app = App::new(config, clock)?;
        app.db = app.db.with_migrations(self.migrations);
        app.name = self.name.unwrap_or(app.name);
        app.own_data.clone_from(&self.own_data);
        Ok(app)
    }

    /// The tables it brings beside Doorpost's.
    pub fn own_migrations(&self) -> Option<&'static Migrations> {
        self.migrations
    }

    /// Everything a request may reach, around one [`App`].
    ///
    /// The middleware stands around all of it. Static files, the health routes, programs and what browsers do by themselves
    /// do without a session; what visitors use is behind the same-origin check and the session cookie.
    pub fn build(&self, app: App, listener: TcpListener, workers: usize) -> Result<Serving> {
        let (data, pages) = (Data::new(app), self.pages.clone());
        let pulses = self.workers.clone();
        let server = HttpServer::new(move || {
            pulses.beat_here();
            let session = session_cookie::middleware(&data);
            Actix::new()
                .app_data(data.clone())
                .wrap(from_fn(api::cors::guard))
                .wrap(from_fn(middleware::attend))
                .configure(assets::configure)
                .configure(health::configure)
                .configure(api::configure)
                .configure(flows::configure_for_browsers)
                .configure(|cfg| gateway::configure(cfg, &data))
                .service(
                    web::scope("")
                        .wrap(from_fn(notification_links::follow))
                        .wrap(from_fn(form_token::give))
                        .wrap(from_fn(same_origin::guard))
                        .wrap(session)
                        .wrap(from_fn(session_cookie::mend))
                        .configure(api::openapi::configure_page)
                        .configure(flows::configure)
                        .configure(|cfg| pages.iter().for_each(|configure| configure(cfg))),
                )
        });
        Ok(server
            .workers(workers)
            .client_request_timeout(HEAD_DEADLINE)
            .keep_alive(KEEP_ALIVE)
            .max_connections(CONNECTIONS)
            .on_connect(|connection, _| {
                if let Some(stream) = connection.downcast_ref::<TcpStream>() {
                    give_up_on_silent_readers(stream);
                }
            })
            .shutdown_timeout(FINISH.as_secs())
            .disable_signals()
            .listen(listener)
            .map_err(Error::internal)?
            .run())
    }

    /// Migrates, starts the mail worker and serves until told to stop; then finishes what is under way.
    pub async fn serve(&self, app: App) -> Result<()> {
        let manager = Config::service_manager();
        let mut signals = Signals::listen()?;
        let hangups = hangups(&app, manager.is_some())?;
        let notifier = Arc::new(Notifier::of(manager));
        prepare(&app).await?;
        // Listed before the first token is asked for: some who verify take an empty list for a broken one.
        app.signing_keys
            .ring_that_signs(&app.db, app.clock.now())
            .await?;
        let listener = listen("BIND_ADDRESS", app.config.server.bind_address)?;
        let listening = listener.local_addr().map_err(Error::internal)?;
        let exporter = export_metrics(&app)?;
        let mail = delivery::start(app.clone())?;
        announce(&app, listening);
        let reading = hangups.map(|hangups| rt::spawn(read_again(app.gate.clone(), hangups)));
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let db = app.db.clone();
        let server = self.build(app, listener, workers)?;
        let handle = server.handle();
        let mut serving = rt::spawn(server);
        notifier.ready();
        let watching = rt::spawn(Arc::clone(&notifier).watch(db, self.workers.clone()));
        let served = tokio::select! {
            served = &mut serving => {
                mail.tell_to_stop(Duration::ZERO);
                served
            }
            finish = signals.told() => {
                notifier.stopping();
                // Both at once, so that each has all of the time.
                mail.tell_to_stop(finish);
                handle.stop(!finish.is_zero()).await;
                serving.await
            }
        };
        watching.abort();
        if let Some(reading) = reading {
            reading.abort();
        }
        let stopped = web::block(move || mail.join()).await;
        if let Some(exporter) = exporter {
            exporter.stop(false).await;
        }
        served.map_err(Error::internal)?.map_err(Error::internal)?;
        stopped.map_err(Error::internal)
    }
}

/// The database, before anybody is let in: with every table, writable, and of our key.
async fn prepare(app: &App) -> Result<()> {
    let migrated = app.db.clone();
    let applied = web::block(move || migrated.migrate())
        .await
        .map_err(Error::internal)??;
    if !applied.is_empty() {
        tracing::info!(?applied, event = "migrated", "migrated");
    }
    let keys = app.keys.clone();
    let proven = app.transaction(move |tx| key_probe::prove(tx, Some(&keys)));
    if let Proof::Misfit { sealed_by } = proven.await.map_err(|why| app.db.not_written(&why))? {
        tracing::error!(
            event = "key_misfit",
            "{}",
            keys::misfit(&sealed_by, Some(&app.keys))
        );
    }
    Ok(())
}

/// A client that sends and never reads stops acknowledging once its window is full. Nothing above TCP has a
/// deadline for that.
fn give_up_on_silent_readers(stream: &TcpStream) {
    if let Err(error) = SockRef::from(stream).set_tcp_user_timeout(Some(READ_DEADLINE)) {
        tracing::debug!(%error, "a connection has no deadline for reading its answer");
    }
}

/// What tells the program to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).map_err(Error::internal);
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// How long what is under way may take: whoever presses Ctrl-C does not wait for it.
    async fn told(&mut self) -> Duration {
        tokio::select! {
            _ = self.terminate.recv() => FINISH,
            _ = self.interrupt.recv() => Duration::ZERO,
        }
    }
}

/// What tells the program to read again what may change while it serves (SIGHUP). To a program that says nothing about it,
/// that is the end, and so it stays on a terminal: one that is closed sends it, and nobody could press Ctrl-C any more. It is
/// another matter where there is something to read; and where a service manager reloads us, perhaps without knowing that
/// there is not.
fn hangups(app: &App, is_managed: bool) -> Result<Option<Signal>> {
    if app.gate.rules().is_none() && !is_managed {
        return Ok(None);
    }
    let hangups = signal(SignalKind::hangup()).map_err(Error::internal)?;
    Ok(Some(hangups))
}

/// The rules of the gate, whenever we are told to.
async fn read_again(gate: Gate, mut hangups: Signal) {
    while hangups.recv().await.is_some() {
        let gate = gate.clone();
        match web::block(move || gate.read_again()).await {
            Ok(Ok(Some(rules))) => tracing::info!(
                hosts = rules.hosts().len(),
                event = "gate_read",
                "the rules of GATE_FILE were read again, and hold from now on"
            ),
            Ok(Ok(None)) => tracing::info!(
                event = "nothing_read",
                "nothing was read again: the settings are read at the start, and there is no GATE_FILE"
            ),
            Ok(Err(mistake)) => tracing::error!(
                event = "gate_not_read",
                "the rules of before stay: GATE_FILE {mistake}"
            ),
            Err(error) => tracing::error!(
                %error,
                event = "gate_not_read",
                "the rules of before stay: GATE_FILE could not be read again"
            ),
        }
    }
}

/// On a listener of their own, if the operator wants them. They are there until the end, for what is finished counts,
/// too.
fn export_metrics(app: &App) -> Result<Option<ServerHandle>> {
    let Some(address) = app.config.metrics.address else {
        return Ok(None);
    };
    let listener = listen("METRICS_ADDRESS", address)?;
    let address = listener.local_addr().map_err(Error::internal)?;
    let server = exporter::serve(app.clone(), listener)?;
    let handle = server.handle();
    rt::spawn(server);
    tracing::info!(
        event = "exporting",
        "metrics are at http://{address}/metrics"
    );
    Ok(Some(handle))
}

/// std would let 128 callers wait; a crowd that comes at once would meet dropped packets, and try again
/// only after a second.
fn listen(variable: &str, address: SocketAddr) -> Result<TcpListener> {
    let socket = bind(variable, address)?;
    socket
        .listen(WAITING)
        .map_err(|why| refused(variable, address, &why))?;
    Ok(socket.into())
}

/// Whether a start could listen at the address of this variable. Nobody can call meanwhile, and whoever starts in this
/// moment is not disturbed.
pub fn could_listen(variable: &str, address: SocketAddr) -> Result<()> {
    bind(variable, address).map(drop)
}

fn bind(variable: &str, address: SocketAddr) -> Result<Socket> {
    let refused = |why: io::Error| refused(variable, address, &why);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).map_err(refused)?;
    socket.set_reuse_address(true).map_err(refused)?;
    socket.set_recv_buffer_size(AHEAD).map_err(refused)?;
    socket.bind(&address.into()).map_err(refused)?;
    Ok(socket)
}

fn refused(variable: &str, address: SocketAddr, why: &io::Error) -> Error {
    Error::misconfigured(format!("{variable} {address}: {why}"))
}

/// Port 0 in `BIND_ADDRESS` is any free one: so what is said is where it listens, not what was asked for.
fn announce(app: &App, listening: SocketAddr) {
    let site = app.config.server.public_url.as_str();
    tracing::info!(%listening, event = "listening", "Doorpost is at {site}");
    if app.config.has_dev_inbox() {
        tracing::info!(
            event = "dev_inbox",
            "its mail is at {site}/dev/inbox (no SMTP_URL is set: nothing is sent)"
        );
    }
    if app.relying_party.is_none() {
        tracing::info!(
            event = "passkeys_off",
            "there are no passkeys: browsers know them only where the host of PUBLIC_URL is a name, such as localhost"
        );
    }
    let contact_until = app.config.security.expires;
    if contact_until.is_some_and(|expires| expires < app.clock.now()) {
        tracing::warn!(
            event = "contact_expired",
            "SECURITY_CONTACT_EXPIRES has passed: nobody relies on security.txt any more"
        );
    }
    if !app.config.server.public_url.is_https() {
        tracing::warn!(
            event = "plain_http",
            "plain http: cookies are not Secure; fine on this machine and nowhere else"
        );
    }
}
