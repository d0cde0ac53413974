//! The hashing slots of a node: how many passwords are hashed at once, and who waits.
//!
//! A hash is made to be costly, so that a table of them is of little use to a thief; that makes it a way to
//! wear a server out. Hence a few slots, each with memory of its own that it keeps from hash to hash (which
//! is a fifth faster than fresh memory), a short queue before them, and beyond it a refusal at once, before
//! any work. Strangers never fill all slots, nor the whole queue: whoever holds a live link or a session
//! gets through while somebody floods the sign-in page. Nor does one of those fill what all of them share: of one
//! account one at a time has a place in it, and the others wait behind their own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::metrics;
use crate::random;

use super::stored::{self, Stored};
use super::{Cost, Password, PasswordHash, Typed};

/// Those who wait for each slot. At the default cost a hash takes some 20 ms, so that the last in the queue
/// has its answer within two seconds: a class that signs in at once waits a moment, where it would else be told to try
/// again.
const WAITING_PER_SLOT: usize = 64;

/// Those who are there for one account at once; beyond them a refusal.
const PER_ACCOUNT: usize = 64;

/// The hashing slots of this node. Clones are the same ones.
#[derive(Clone)]
pub struct Hasher(Arc<Slots>);

struct Slots {
    cost: Cost,
    parallel: usize,
    memory: Mutex<Vec<Vec<Block>>>,
    running: Arc<Semaphore>,
    anonymous: Share,
    trusted: Share,
    turns: Turns,
}

/// What one priority may have of the slots: so many may wait, and so many of them may run.
struct Share {
    /// So many permits.
    most: usize,
    permits: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

impl Share {
    fn of(slots: usize) -> Self {
        let most = slots * (WAITING_PER_SLOT + 1);
        Self {
            most,
            permits: Arc::new(Semaphore::new(most)),
            running: Arc::new(Semaphore::new(slots)),
        }
    }

    fn admitted(&self) -> usize {
        self.most - self.permits.available_permits()
    }
}

/// Whose password waits for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority<'a> {
    /// Anybody at the sign-in page.
    Anonymous,
    /// Somebody with a live link or a session, for the account of this address.
    Trusted(&'a str),
}

/// Whose turn it is, of those who are there for one account.
#[derive(Default)]
struct Turns(Mutex<HashMap<String, Weak<Semaphore>>>);

impl Turns {
    async fn wait(&self, account: &str) -> Option<OwnedSemaphorePermit> {
        let turn = self.of(account)?;
        turn.acquire_owned().await.ok()
    }

    fn of(&self, account: &str) -> Option<Arc<Semaphore>> {
        let mut all = self.0.lock().ok()?;
        all.retain(|_, turn| turn.strong_count() > 0);
        let turn = all.get(account).and_then(Weak::upgrade);
        let turn = turn.unwrap_or_else(|| Arc::new(Semaphore::new(1)));
        all.insert(account.to_owned(), Arc::downgrade(&turn));
        (Arc::strong_count(&turn) <= PER_ACCOUNT).then_some(turn)
    }
}

/// The right to have one password hashed, as a semaphore gives it: whoever goes away gives it back.
pub struct Permit {
    slots: Arc<Slots>,
    /// Those of its share that run.
    running: Arc<Semaphore>,
    _permit: OwnedSemaphorePermit,
    _turn: Option<OwnedSemaphorePermit>,
}

/// How busy the slots are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    pub running: usize,
    /// Those that were admitted and do not run yet; not those behind others of their own account.
    pub waiting: usize,
    pub slots: usize,
}

/// What a comparison came to.
pub enum Verified {
    /// It is another one, or there is none to compare it with.
    Wrong,
    /// It is the one; hashed anew when the stored hash is not of the present cost.
    Right { rehashed: Option<PasswordHash> },
}

impl Hasher {
    /// So many slots for hashes of this cost. Their memory is taken when they are first used, and kept.
    pub fn new(cost: Cost, parallel: usize) -> Result<Self> {
        params(cost)?;
        let parallel = parallel.max(1);
        Ok(Self(Arc::new(Slots {
            cost,
            parallel,
            memory: Mutex::default(),
            running: Arc::new(Semaphore::new(parallel)),
            // With one slot for all, they take turns: no more than one stranger waits before the others.
            anonymous: Share::of((parallel - 1).max(1)),
            trusted: Share::of(parallel),
            turns: Turns::default(),
        })))
    }

    /// How busy it is just now.
    pub fn load(&self) -> Load {
        let slots = &self.0;
        let running = slots.parallel - slots.running.available_permits();
        let admitted = slots.anonymous.admitted() + slots.trusted.admitted();
        Load {
            running,
            waiting: admitted.saturating_sub(running),
            slots: slots.parallel,
        }
    }

    /// A permit, or none if the queue is full: then nothing was done, and a moment later there is room.
    pub async fn acquire(&self, priority: Priority<'_>) -> Option<Permit> {
        let permit = self.admit(priority).await;
        if permit.is_none() {
            metrics::hashes_refused().inc();
        }
        permit
    }

    async fn admit(&self, priority: Priority<'_>) -> Option<Permit> {
        let (share, turn) = match priority {
            Priority::Anonymous => (&self.0.anonymous, None),
            Priority::Trusted(account) => {
                (&self.0.trusted, Some(self.0.turns.wait(account).await?))
            }
        };
        Some(Permit {
            _permit: share.permits.clone().try_acquire_owned().ok()?,
            _turn: turn,
            slots: self.0.clone(),
            running: share.running.clone(),
        })
    }
}

impl Permit {
    /// Hashes a new password.
    pub async fn hash(self, password: Password) -> Result<PasswordHash> {
        let cost = self.slots.cost;
        self.run(move |memory| hash(memory, cost, password.as_bytes()))
            .await
    }

    /// Compares a password with a stored hash. None, and one that is blank, broken or would cost more than
    /// any of ours, costs what an ordinary hash costs and is never right.
    pub async fn verify(self, stored: Option<PasswordHash>, typed: Typed) -> Result<Verified> {
        let cost = self.slots.cost;
        self.run(move |memory| verify(memory, cost, stored.as_ref(), &typed))
            .await
    }

    /// Waits for a slot and runs there. The slot is held until the work has ended, whoever still waits for
    /// it; the memory goes back for the next one.
    async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce(&mut Vec<Block>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let of_share = self.running.clone().acquire_owned().await;
        let of_share = of_share.map_err(Error::internal)?;
        let of_all = self.slots.running.clone().acquire_owned().await;
        let of_all = of_all.map_err(Error::internal)?;
        let done = spawn_blocking(move || {
            let mut memory = self.slots.take_memory();
            let done = work(&mut memory);
            self.slots.give_memory_back(memory);
            drop((self, of_all, of_share));
            done
        });
        done.await.map_err(Error::internal)?
    }
}

impl Slots {
    fn take_memory(&self) -> Vec<Block> {
        let kept = self.memory.lock().ok().and_then(|mut kept| kept.pop());
        kept.unwrap_or_default()
    }

    fn give_memory_back(&self, mut memory: Vec<Block>) {
        let usual = most_memory_kib(self.cost) as usize;
        if memory.len() > usual {
            memory.truncate(usual);
            memory.shrink_to_fit();
        }
        if let Ok(mut kept) = self.memory.lock() {
            kept.push(memory);
        }
    }
}

fn params(cost: Cost) -> Result<Params> {
    Params::new(cost.memory_kib, cost.passes, 1, Some(stored::OUTPUT)).map_err(Error::internal)
}

fn hash(memory: &mut Vec<Block>, cost: Cost, password: &[u8]) -> Result<PasswordHash> {
    let salt = random::bytes::<{ stored::SALT }>();
    let output = fill(memory, params(cost)?, password, &salt)?;
    Ok(stored::written(cost, &salt, output.as_slice()))
}

fn verify(
    memory: &mut Vec<Block>,
    cost: Cost,
    stored: Option<&PasswordHash>,
    typed: &Typed,
) -> Result<Verified> {
    let Some(stored) = stored.and_then(|hash| Stored::read(hash, cost)) else {
        // The same work for nothing: time must not tell that there is nothing to compare with.
        hash(memory, cost, typed.as_bytes())?;
        return Ok(Verified::Wrong);
    };
    let output = fill(
        memory,
        stored.params.clone(),
        typed.as_bytes(),
        &stored.salt,
    )?;
    if let Some(rest) = rest_of(cost, &stored.params) {
        fill(memory, rest, typed.as_bytes(), &stored.salt)?;
    }
    if !bool::from(output.as_slice().ct_eq(&stored.output)) {
        return Ok(Verified::Wrong);
    }
    let rehashed = match stored.is_of(cost) {
        true => None,
        false => Some(hash(memory, cost, typed.as_bytes())?),
    };
    Ok(Verified::Right { rehashed })
}

/// What is still to be done after a hash that was made when hashes cost less, so that to compare with it takes as
/// long as to compare with nothing: else, from the day on which the cost is raised, a quick answer would tell
/// whose address is known.
fn rest_of(cost: Cost, done: &Params) -> Option<Params> {
    let whole = work(cost.memory_kib, cost.passes);
    let rest = whole.checked_sub(work(done.m_cost(), done.t_cost()))?;
    let memory_of = |passes| u32::try_from(rest / work(1, passes)).ok();
    let most = most_memory_kib(cost);
    let passes = (1..=cost.passes.max(1)).find(|&passes| memory_of(passes) <= Some(most))?;
    // Argon2 takes no less than eight blocks; so little is no difference.
    Params::new(memory_of(passes)?, passes, 1, Some(stored::OUTPUT)).ok()
}

/// What a hash takes, in eighths of what the first pass over a block takes. Each further pass reads what it writes
/// over, and takes an eighth more, as measured.
fn work(memory_kib: u32, passes: u32) -> u64 {
    u64::from(memory_kib) * (9 * u64::from(passes)).saturating_sub(1)
}

/// What a slot's memory comes to: that of a hash, and an eighth more for a first pass in the place of a further one.
fn most_memory_kib(cost: Cost) -> u32 {
    cost.memory_kib.saturating_add(cost.memory_kib / 8)
}

fn fill(
    memory: &mut Vec<Block>,
    params: Params,
    password: &[u8],
    salt: &[u8],
) -> Result<Zeroizing<Vec<u8>>> {
    let blocks = params.block_count();
    if memory.len() < blocks {
        memory.resize(blocks, Block::new());
    }
    let mut output = Zeroizing::new(vec![0; params.output_len().unwrap_or(stored::OUTPUT)]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(password, salt, output.as_mut(), &mut memory[..blocks])
        .map_err(Error::internal)?;
    Ok(output)
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Waker};

    use super::*;
    use crate::accounts::passwords::About;

    /// Whatever a stored hash has cost when it was made, to compare with it costs what a hash costs now.
    #[test]
    fn a_cheaper_hash_is_made_up_for() {
        let now = Cost {
            memory_kib: 32_768,
            passes: 3,
        };
        for (memory_kib, passes) in [(19_456, 2), (32_768, 1), (64, 1), (32_768, 3), (65_536, 1)] {
            let done = Params::new(memory_kib, passes, 1, None).unwrap();
            let rest = rest_of(now, &done);
            let rest = rest.map_or(0, |rest| work(rest.m_cost(), rest.t_cost()));
            let (done, whole) = (work(memory_kib, passes) + rest, work(32_768, 3));
            assert!(
                done <= whole && whole - done < 40,
                "{memory_kib} {passes}: {done} of {whole}"
            );
        }
    }

    const CHEAP: Cost = Cost {
        memory_kib: 64,
        passes: 1,
    };
    const ONE: &str = "a horse that eats staples";

    fn password(text: &str) -> Password {
        let about = About {
            email: "ada@example.org",
            host: "example.org",
        };
        Password::parse(text, &about).unwrap()
    }

    async fn hashed(hasher: &Hasher, text: &str) -> PasswordHash {
        let account = random::id();
        let permit = hasher.acquire(Priority::Trusted(&account)).await.unwrap();
        permit.hash(password(text)).await.unwrap()
    }

    async fn compared(hasher: &Hasher, stored: Option<PasswordHash>, typed: &str) -> Verified {
        let permit = hasher.acquire(Priority::Anonymous).await.unwrap();
        let typed = Typed::new(typed).unwrap();
        permit.verify(stored, typed).await.unwrap()
    }

    fn is_right(verified: &Verified) -> bool {
        matches!(verified, Verified::Right { .. })
    }

    #[tokio::test]
    async fn the_right_one_is_right_and_every_other_is_wrong() {
        let hasher = Hasher::new(CHEAP, 2).unwrap();
        let long = "x".repeat(128);
        for text in [
            ONE,
            " a horse that eats staples ",
            "nul\0 is a character too",
            &long,
        ] {
            let stored = hashed(&hasher, text).await;
            assert!(stored.as_str().starts_with("$argon2id$v=19$m=64,t=1,p=1$"));
            assert!(is_right(
                &compared(&hasher, Some(stored.clone()), text).await
            ));
            for other in [
                format!("{text}x"),
                text.to_uppercase(),
                text[1..].to_owned(),
            ] {
                assert!(!is_right(
                    &compared(&hasher, Some(stored.clone()), &other).await
                ));
            }
        }
        let (one, two) = (hashed(&hasher, ONE).await, hashed(&hasher, ONE).await);
        assert!(one != two, "each has a salt of its own");
    }

    #[tokio::test]
    async fn what_is_missing_blank_broken_or_monstrous_is_never_right() {
        let hasher = Hasher::new(CHEAP, 1).unwrap();
        assert!(!is_right(&compared(&hasher, None, ONE).await));
        let good = hashed(&hasher, ONE).await;
        let text = good.as_str();
        let broken = [
            String::new(),
            " ".to_owned(),
            "*".to_owned(),
            ONE.to_owned(),
            text[..text.len() / 2].to_owned(),
            format!("{text}$"),
            text.replace("argon2id", "argon2i"),
            text.replace("argon2id", "bcrypt"),
            text.replace("v=19", "v=16"),
            text.replace("m=64", "m=4294967295"),
            text.replace("m=64", "m=1048576"),
            text.replace("t=1", "t=4294967295"),
            text.replace("t=1", "t=1000"),
            text.replace("p=1", "p=16777215"),
            text.replace("p=1", "p=0"),
            text.replace("m=64", "m=-64"),
            "$argon2id$v=19$m=64,t=1,p=1$$".to_owned(),
        ];
        for broken in broken {
            let verified = compared(&hasher, Some(PasswordHash::stored(broken.clone())), ONE).await;
            assert!(!is_right(&verified), "{broken}");
        }
    }

    #[tokio::test]
    async fn another_cost_is_compared_as_it_is_and_hashed_anew() {
        let before = Hasher::new(
            Cost {
                memory_kib: 128,
                passes: 2,
            },
            1,
        )
        .unwrap();
        let stored = hashed(&before, ONE).await;
        let hasher = Hasher::new(CHEAP, 1).unwrap();
        assert!(!is_right(
            &compared(&hasher, Some(stored.clone()), "wrong").await
        ));
        let Verified::Right {
            rehashed: Some(anew),
        } = compared(&hasher, Some(stored), ONE).await
        else {
            panic!("not hashed anew");
        };
        assert!(anew.as_str().starts_with("$argon2id$v=19$m=64,t=1,p=1$"));
        let again = compared(&hasher, Some(anew), ONE).await;
        assert!(matches!(again, Verified::Right { rehashed: None }), "once");
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once_and_keeps_room_for_the_trusted() {
        let hasher = Hasher::new(CHEAP, 2).unwrap();
        let mut permits = Vec::new();
        while let Some(permit) = hasher.acquire(Priority::Anonymous).await {
            permits.push(permit);
        }
        assert_eq!(permits.len(), WAITING_PER_SLOT + 1);
        let load = hasher.load();
        assert_eq!(
            (load.running, load.waiting, load.slots),
            (0, permits.len(), 2)
        );
        hashed(&hasher, ONE).await;
        drop(permits);
        assert_eq!(hasher.load().waiting, 0);
        assert!(
            hasher.acquire(Priority::Anonymous).await.is_some(),
            "who goes away makes room"
        );
    }

    fn is_waiting<F: Future>(one: &mut Pin<Box<F>>) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        one.as_mut().poll(&mut nobody).is_pending()
    }

    #[tokio::test]
    async fn of_one_account_one_at_a_time_has_a_place_among_the_trusted() {
        let hasher = Hasher::new(CHEAP, 1).unwrap();
        let ada = Priority::Trusted("ada@example.org");
        let first = hasher.acquire(ada).await.unwrap();
        let mut waiting: Vec<_> = (1..PER_ACCOUNT)
            .map(|_| Box::pin(hasher.acquire(ada)))
            .collect();
        for one in &mut waiting {
            assert!(is_waiting(one));
        }
        assert!(
            hasher.acquire(ada).await.is_none(),
            "the queue of one account ends, too"
        );
        let bob = hasher.acquire(Priority::Trusted("bob@example.org")).await;
        assert!(
            bob.is_some(),
            "whoever else comes finds the place that is left"
        );
        drop(first);
        let next = waiting.remove(0).await.unwrap();
        assert!(is_waiting(&mut waiting[0]));
        drop((next, waiting, bob));
        assert!(hasher.acquire(ada).await.is_some());
        assert_eq!(
            hasher.0.turns.0.lock().unwrap().len(),
            1,
            "who is gone is forgotten"
        );
    }

    #[tokio::test]
    async fn strangers_never_have_the_last_slot_and_memory_is_kept() {
        let hasher = Hasher::new(CHEAP, 3).unwrap();
        let slots = &hasher.0;
        assert_eq!(slots.anonymous.running.available_permits(), 2);
        assert_eq!(slots.trusted.running.available_permits(), 3);
        let many = (0..12).map(|_| hashed(&hasher, ONE));
        futures_util::future::join_all(many).await;
        let kept = slots.memory.lock().unwrap();
        assert!((1..=3).contains(&kept.len()), "{}", kept.len());
        assert!(kept.iter().all(|memory| memory.len() == 64));
        assert_eq!(slots.running.available_permits(), 3);
    }
}
