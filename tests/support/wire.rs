//! A bare connection: what no well-behaved client sends.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than any answer takes; what has not come by then is not coming.
const QUIET: Duration = Duration::from_millis(700);

/// What came back over one connection.
#[derive(Debug)]
pub struct Heard {
    /// The status of each answer, in order.
    pub statuses: Vec<u16>,
    /// All of it.
    pub text: String,
    /// Whether the server closed the connection.
    pub closed: bool,
}

/// Sends these bytes to the server at `url` and listens until it closes or falls silent.
pub async fn say(url: &str, bytes: impl AsRef<[u8]>) -> Heard {
    let mut stream = connect(url).await;
    // A server that has heard enough may close while we still talk.
    let _ = stream.write_all(bytes.as_ref()).await;
    listen(stream, QUIET).await
}

pub async fn connect(url: &str) -> TcpStream {
    let port = url.rsplit_once(':').unwrap().1;
    TcpStream::connect(format!("127.0.0.1:{port}"))
        .await
        .unwrap()
}

/// Listens until the server closes, or says nothing for so long.
pub async fn listen(mut stream: TcpStream, quiet: Duration) -> Heard {
    let mut bytes = Vec::new();
    let closed = loop {
        match tokio::time::timeout(quiet, stream.read_buf(&mut bytes)).await {
            Ok(Ok(0) | Err(_)) => break true,
            Ok(Ok(_)) => {}
            Err(_) => break false,
        }
    };
    let text = String::from_utf8(bytes).unwrap();
    let statuses = text
        .match_indices("HTTP/1.")
        .filter_map(|(at, _)| text.get(at + 9..at + 12)?.parse().ok())
        .collect();
    Heard {
        statuses,
        text,
        closed,
    }
}
