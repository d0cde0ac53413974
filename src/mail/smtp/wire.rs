//! The stream beneath an SMTP connection, and what it keeps from whoever is at the other end.
//!
//! It gives its reader one line at a time. lettre keeps what it has read ahead when STARTTLS begins; a
//! stranger on the way could send answers in clear text behind the server's go-ahead, and they would
//! count as said under TLS (response injection, <https://nostarttls.secvuln.info>). Here they are
//! still on the wire when the handshake begins, and break it.
//!
//! It ends an answer that does not end: lettre reads a line to its end, however far that is.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, BufReader, ReadBuf};

/// More than any answer, a handshake's certificates included.
const LONGEST_ANSWER: usize = 32 * 1024;

/// A stream to a server, line by line.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: BufReader<S>,
    peer: SocketAddr,
    /// Bytes read since something was last written.
    answered: usize,
}

impl<S: AsyncRead> Wire<S> {
    /// Puts itself before a stream of which nothing was read yet.
    pub(super) fn new(stream: S, peer: SocketAddr) -> Self {
        Self {
            stream: BufReader::new(stream),
            peer,
            answered: 0,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = &mut *self;
        let waiting = ready!(Pin::new(&mut wire.stream).poll_fill_buf(cx))?;
        let line = match waiting.iter().position(|byte| *byte == b'\n') {
            Some(end) => &waiting[..=end],
            None => waiting,
        };
        let read = line.len().min(buffer.remaining());
        buffer.put_slice(&line[..read]);
        Pin::new(&mut wire.stream).consume(read);
        wire.answered += read;
        if wire.answered > LONGEST_ANSWER {
            return Poll::Ready(Err(io::Error::other("the answer does not end")));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.answered = 0;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S> AsyncTokioStream for Wire<S>
where
    S: AsyncRead + AsyncWrite + Send + Sync + Unpin + std::fmt::Debug,
{
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}
