//! A caller's function on its way to a thread that owns a connection, and its answer on the way back.
//!
//! A job is begun only while its caller waits, and may be kept only if its caller still waits when it is
//! through: whoever was told "not done" finds nothing done. Its answer leaves when the thread says so,
//! after the commit. A panic is caught here and is that job's alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Instant;

use tokio::sync::oneshot;

use super::Tx;
use super::after_commit::AfterCommit;
use crate::error::{Error, Result};
use crate::metrics;

/// How many jobs may wait for a thread. More would only wait too long and fill the memory.
pub(super) const QUEUE: usize = 1024;

/// A function that waits for a connection, whatever its answer's type.
pub(super) trait Job: Send {
    /// Whether the caller still waits for the answer.
    fn is_awaited(&self) -> bool;
    /// Runs the function. The answer stays in hand until it is known what became of the transaction.
    fn run(self: Box<Self>, tx: &mut Tx<'_>) -> Ran;
    /// Says that nothing was done, and why.
    fn refuse(self: Box<Self>, why: &str);
}

/// A job that has run.
pub(super) struct Ran {
    pub outcome: Outcome,
    pub reply: Box<dyn Reply>,
}

/// What is to become of the work of a job that has run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It may be kept.
    Done,
    /// It is to be undone: the function said so, or nobody waits for its answer any more.
    Failed,
    /// It is to be undone, and the connection may be in any state.
    Panicked,
}

/// The answer of a job that has run.
pub(super) trait Reply {
    /// Does what waited for the commit, and sends the answer as the function gave it.
    fn send(self: Box<Self>);
    /// Says instead that nothing was done, and why.
    fn refuse(self: Box<Self>, why: &str);
}

/// A queue of jobs, short enough that whoever waits in it is served in time.
pub(super) fn queue<J>() -> (SyncSender<J>, Receiver<J>) {
    sync_channel(QUEUE)
}

/// Puts a job into its queue, or refuses at once when it is full.
pub(super) fn enqueue<J>(queue: &SyncSender<J>, job: J) -> Result<()> {
    queue.try_send(job).map_err(|refused| match refused {
        TrySendError::Full(_) => {
            metrics::database_refusals("queue_full").inc();
            Error::unavailable("too much waits for the database already")
        }
        TrySendError::Disconnected(_) => Error::unavailable("the database's thread has ended"),
    })
}

/// Makes a function a job, and the place where its answer will arrive.
pub(super) fn job<T: Send + 'static>(
    work: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
) -> (Box<dyn Job>, Answer<T>) {
    let (caller, answer) = oneshot::channel();
    let question = Question {
        work,
        caller,
        asked: Instant::now(),
    };
    (Box::new(question), Answer(answer))
}

/// Runs a function; a panic in it comes back as the error that its caller is to be told.
pub(super) fn caught<T>(
    work: impl FnOnce(&mut Tx<'_>) -> Result<T>,
    tx: &mut Tx<'_>,
) -> Result<Result<T>> {
    // Whatever the panic left half done is in the transaction, which is rolled back, or in the
    // connection, which is thrown away.
    catch_unwind(AssertUnwindSafe(|| work(tx)))
        .map_err(|_| Error::internal("a function panicked inside the database"))
}

/// Where a job's answer arrives.
pub(super) struct Answer<T>(oneshot::Receiver<Result<T>>);

impl<T> Answer<T> {
    /// Waits for the answer. To stop waiting is to want nothing done.
    pub async fn arrive(self) -> Result<T> {
        self.0
            .await
            .unwrap_or_else(|_| Err(Error::unavailable("the database gave the job up")))
    }
}

struct Question<F, T> {
    work: F,
    caller: oneshot::Sender<Result<T>>,
    asked: Instant,
}

impl<F, T> Job for Question<F, T>
where
    F: FnOnce(&mut Tx<'_>) -> Result<T> + Send,
    T: Send + 'static,
{
    fn is_awaited(&self) -> bool {
        !self.caller.is_closed()
    }

    fn run(self: Box<Self>, tx: &mut Tx<'_>) -> Ran {
        let Self {
            work,
            caller,
            asked,
        } = *self;
        metrics::database_wait(asked.elapsed());
        let (outcome, answer) = match caught(work, tx) {
            Ok(Ok(value)) if !caller.is_closed() => (Outcome::Done, Ok(value)),
            Ok(answer) => (Outcome::Failed, answer),
            Err(panicked) => (Outcome::Panicked, Err(panicked)),
        };
        let after_commit = match outcome {
            Outcome::Done => std::mem::take(&mut tx.after_commit),
            Outcome::Failed | Outcome::Panicked => AfterCommit::default(),
        };
        Ran {
            outcome,
            reply: Box::new(Answered {
                answer,
                after_commit,
                caller,
            }),
        }
    }

    fn refuse(self: Box<Self>, why: &str) {
        metrics::database_refusals("unavailable").inc();
        say(self.caller, Err(Error::unavailable(why)));
    }
}

struct Answered<T> {
    answer: Result<T>,
    after_commit: AfterCommit,
    caller: oneshot::Sender<Result<T>>,
}

impl<T> Reply for Answered<T> {
    fn send(self: Box<Self>) {
        self.after_commit.run();
        say(self.caller, self.answer);
    }

    fn refuse(self: Box<Self>, why: &str) {
        metrics::database_refusals("not_kept").inc();
        say(self.caller, Err(Error::unavailable(why)));
    }
}

/// Sends an answer. A caller who has gone needs none.
fn say<T>(caller: oneshot::Sender<Result<T>>, answer: Result<T>) {
    let _ = caller.send(answer);
}
