//! How a PostgreSQL is reached: what `DATABASE_URL` says of TLS, and what may stand between it and the program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use url::Url;

use crate::program::{ANY_PORT, Doorpost, empty_folder, run};
use crate::support::{Database, Store};

// --- TLS ---

/// A certificate for `localhost` that only its own file vouches for.
struct Certificate {
    folder: TempDir,
}

impl Certificate {
    fn make() -> Self {
        let folder = empty_folder();
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-nodes",
                "-days",
                "1",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
            ])
            .args([
                "-subj",
                "/CN=the certificate of a test",
                "-addext",
                "subjectAltName=DNS:localhost",
            ])
            .args([
                "-addext",
                "basicConstraints=critical,CA:FALSE",
                "-keyout",
                "key.pem",
                "-out",
                "certificate.pem",
            ])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        Self { folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    fn acceptor(&self) -> TlsAcceptor {
        let certificate = CertificateDer::from_pem_file(self.file()).unwrap();
        let key = PrivateKeyDer::from_pem_file(self.folder.path().join("key.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Arc::new(config).into()
    }
}

/// Speaks TLS as a PostgreSQL does, and hands on to this server what it hears; its port.
async fn with_tls_in_front_of(server: &Url, certificate: &Certificate) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = format!("127.0.0.1:{}", server.port().unwrap());
    let acceptor = certificate.acceptor();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let (server, acceptor) = (server.clone(), acceptor.clone());
            tokio::spawn(async move {
                let mut asked = [0; 8];
                client.read_exact(&mut asked).await?;
                assert_eq!(
                    asked[4..],
                    80_877_103_u32.to_be_bytes(),
                    "TLS is asked for first"
                );
                client.write_all(b"S").await?;
                let mut client = acceptor.accept(client).await?;
                let mut server = TcpStream::connect(&server).await?;
                copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_verified_against_the_authority_that_the_url_names() {
    let store = Store::make(Database::Postgres).await;
    let certificate = Certificate::make();
    let mut url = Url::parse(&store.url).unwrap();
    url.set_port(Some(with_tls_in_front_of(&url, &certificate).await))
        .unwrap();
    let folder = empty_folder();
    let database = |host: &str, options: &str| {
        let mut url = url.clone();
        url.set_host(Some(host)).unwrap();
        url.set_query(Some(options).filter(|options| !options.is_empty()));
        let url = url.to_string().replace("postgres://", "postgresql://");
        let checked = run(
            folder.path(),
            &["check"],
            &[ANY_PORT, ("DATABASE_URL", &url)],
        );
        let said = String::from_utf8(checked.stdout).unwrap();
        said.lines()
            .find(|line| line.starts_with("database"))
            .unwrap()
            .to_owned()
    };
    let named = format!("sslrootcert={}", certificate.file().display());
    for options in [
        format!("sslmode=verify-full&{named}"),
        format!("sslmode=require&{named}"),
        named.clone(),
    ] {
        let line = database("localhost", &options);
        assert!(line.contains("ok      it answers"), "{options}: {line}");
    }
    for (host, options, words) in [
        (
            "127.0.0.1",
            format!("sslmode=verify-full&{named}"),
            "certificate not valid for name",
        ),
        (
            "localhost",
            "sslmode=verify-full".to_owned(),
            "UnknownIssuer",
        ),
        (
            "localhost",
            "sslmode=require&sslrootcert=system".to_owned(),
            "UnknownIssuer",
        ),
        ("localhost", "sslmode=prefer".to_owned(), "UnknownIssuer"),
    ] {
        let line = database(host, &options);
        assert!(
            line.contains("FAILED  cannot connect to PostgreSQL by this DATABASE_URL: "),
            "{options}: {line}"
        );
        assert!(line.contains(words), "{options}: {line}");
    }
}

// --- PgBouncer ---

/// A PgBouncer of a test's own, in front of the tests' PostgreSQL.
struct PgBouncer {
    server: Child,
    port: u16,
    folder: TempDir,
}

impl PgBouncer {
    fn start(pool: &str) -> Self {
        let folder = empty_folder();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let cluster = Url::parse(&crate::support::cluster()).unwrap();
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = any\n{pool}\n",
            cluster.port().unwrap(),
        );
        fs::write(folder.path().join("pgbouncer.ini"), settings).unwrap();
        let server = as_nobody(folder.path())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self {
            server,
            port,
            folder,
        };
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                began.elapsed() < Duration::from_secs(10),
                "PgBouncer does not listen"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }

    fn to(&self, store: &Store) -> String {
        let mut url = Url::parse(&store.url).unwrap();
        url.set_port(Some(self.port)).unwrap();
        url.into()
    }
}

/// It does not run as root.
fn as_nobody(folder: &Path) -> Command {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;

    let mut command = Command::new("pgbouncer");
    command
        .arg("pgbouncer.ini")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    if fs::metadata(folder).unwrap().uid() == 0 {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        command.uid(65534).gid(65534);
    }
    command
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = &self.folder;
    }
}

#[tokio::test]
async fn a_pool_that_hands_sessions_around_is_refused_in_a_sentence() {
    let store = Store::make(Database::Postgres).await;
    let folder = empty_folder();
    for order in ["", "server_round_robin = 1"] {
        let pool = PgBouncer::start(&format!(
            "pool_mode = transaction\ndefault_pool_size = 20\n{order}"
        ));
        let url = pool.to(&store);
        let variables = [ANY_PORT, ("DATABASE_URL", url.as_str())];
        let words = "with PgBouncer, set pool_mode=session";
        let checked = String::from_utf8(run(folder.path(), &["check"], &variables).stdout).unwrap();
        let line = checked
            .lines()
            .find(|line| line.starts_with("database"))
            .unwrap();
        assert!(
            line.contains("FAILED") && line.contains(words),
            "{order}: {line}"
        );
        let mut doorpost = Doorpost::start(folder.path(), &variables);
        assert_eq!(doorpost.ends(), Some(1), "{}", doorpost.log());
        assert!(
            doorpost.log().contains(words),
            "{order}: {}",
            doorpost.log()
        );
    }
}

#[tokio::test]
async fn a_pool_that_keeps_sessions_apart_serves_if_it_is_large_enough() {
    let store = Store::make(Database::Postgres).await;
    let folder = empty_folder();
    let pool = PgBouncer::start("pool_mode = session\ndefault_pool_size = 12");
    let url = pool.to(&store);
    let doorpost = Doorpost::serving(folder.path(), &[ANY_PORT, ("DATABASE_URL", &url)]);
    for number in 0..20 {
        let address = format!("{number}@example.org");
        let visitor = doorpost.visitor();
        visitor.ask("/register", &address).await.sees_inbox_page();
        let mail = doorpost.mail_to(&address).await;
        let fields = [("token", mail.token()), ("email", &*address)];
        let done = visitor.post("/confirm-email", &fields).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", doorpost.log());
    }
    drop(doorpost);

    let small = PgBouncer::start("pool_mode = session\ndefault_pool_size = 1");
    let url = small.to(&store);
    let checked = run(
        folder.path(),
        &["check"],
        &[ANY_PORT, ("DATABASE_URL", &url)],
    );
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(
        said.contains("a second connection is not served beside the first"),
        "{said}"
    );
}
