//! What Doorpost promises of budgets: how often what may be done, as it stands in docs/operate.md, on one page.

use std::collections::BTreeMap;

use super::model::{DAY, HOUR, MINUTE, Time};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Budget {
    MailGap,
    Address,
    AddressDaily,
    Mailbox,
    MailboxDaily,
    Passwords,
    WrongInARow,
    Reauthenticate,
    ChangePassword,
    AskForAddress,
    Export,
}

impl Budget {
    /// So many in such a time.
    fn rate(self) -> (u32, Time) {
        match self {
            Self::MailGap => (1, MINUTE),
            Self::Address | Self::Passwords | Self::AskForAddress => (5, 15 * MINUTE),
            Self::AddressDaily => (10, DAY),
            Self::Mailbox => (15, 15 * MINUTE),
            Self::MailboxDaily => (30, DAY),
            Self::WrongInARow => (100, DAY),
            Self::Reauthenticate => (200, HOUR),
            Self::ChangePassword | Self::Export => (10, HOUR),
        }
    }
}

/// Whose it is.
pub type Subject = String;

/// What was counted so far: in the window that began with the first of it, so many, and until when it lasts.
#[derive(Debug, Default)]
pub struct Budgets {
    pub now: Time,
    windows: BTreeMap<(Budget, Subject), (u32, Time)>,
}

impl Budgets {
    pub fn at(now: Time) -> Self {
        Self {
            now,
            ..Self::default()
        }
    }

    /// Whether it may happen; if so, it is counted.
    pub fn count(&mut self, budget: Budget, subject: &str) -> bool {
        let (most, per) = budget.rate();
        let window = self.windows.entry((budget, subject.to_owned()));
        let (count, ends_at) = window.or_insert((0, self.now + per));
        if *ends_at <= self.now {
            (*count, *ends_at) = (0, self.now + per);
        }
        let may = *count < most;
        *count += u32::from(may);
        may
    }

    /// Counts against all of them, or none.
    pub fn count_all(&mut self, wanted: &[(Budget, &str)]) -> bool {
        for (index, (budget, subject)) in wanted.iter().enumerate() {
            if !self.count(*budget, subject) {
                for (budget, subject) in &wanted[..index] {
                    self.give_back(*budget, subject);
                }
                return false;
            }
        }
        true
    }

    fn give_back(&mut self, budget: Budget, subject: &str) {
        if let Some((count, _)) = self.windows.get_mut(&(budget, subject.to_owned())) {
            *count = count.saturating_sub(1);
        }
    }

    fn forget(&mut self, budget: Budget, subject: &str) {
        self.windows.remove(&(budget, subject.to_owned()));
    }

    /// Somebody asks for mail to this address: within a minute there is no second one, and that is no mistake.
    pub fn asks(&mut self, address: &str, mailbox: &str) -> bool {
        if !self.count(Budget::MailGap, address) {
            return true;
        }
        let may = self.count_all(&[
            (Budget::Address, address),
            (Budget::AddressDaily, address),
            (Budget::Mailbox, mailbox),
            (Budget::MailboxDaily, mailbox),
        ]);
        if !may {
            self.give_back(Budget::MailGap, address);
        }
        may
    }

    /// The owner asks for another address, one that was not asked for before.
    pub fn asks_for_address(&mut self, address: &str, mailbox: &str) -> bool {
        self.count_all(&[
            (Budget::MailGap, address),
            (Budget::Address, address),
            (Budget::AddressDaily, address),
            (Budget::Mailbox, mailbox),
            (Budget::MailboxDaily, mailbox),
            (Budget::AskForAddress, "ada"),
        ])
    }

    /// Somebody enters a password to come in: each who tries has a budget of their own.
    pub fn enters(&mut self, who: &str, right: bool) -> bool {
        let may = self.count_all(&[(Budget::WrongInARow, who), (Budget::Passwords, who)]);
        if may && right {
            self.forget(Budget::Passwords, who);
            for who in EVERYBODY {
                self.forget(Budget::WrongInARow, who);
            }
        }
        may
    }

    /// The same at the gate, whose budget those who come in do not touch.
    pub fn reauthenticates(&mut self, right: bool) -> bool {
        let may = self.count_all(&[
            (Budget::Reauthenticate, "ada"),
            (Budget::WrongInARow, GATE),
            (Budget::Passwords, GATE),
        ]);
        if may && right {
            self.forget(Budget::WrongInARow, GATE);
            self.forget(Budget::Passwords, GATE);
        }
        may
    }
}

const GATE: &str = "gate";
pub const ANYONE: &str = "anyone";
pub const KNOWN_BROWSER: &str = "known browser";
pub const KNOWN_PROGRAM: &str = "known program";
const EVERYBODY: [&str; 3] = [ANYONE, KNOWN_BROWSER, KNOWN_PROGRAM];
