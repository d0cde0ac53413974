//! What Doorpost promises of accounts, sessions, links and codes, as a model that fits on a few pages: no
//! cookies, no tokens, no database, and one thing after the other.
//!
//! Accounts, browsers, programs, addresses and passwords are numbers here. Whatever happens, the model says who
//! is signed in where afterwards, and for what; and which letters with links went out.

use std::collections::{BTreeMap, BTreeSet};

/// Milliseconds.
pub type Time = i64;

pub const SECOND: Time = 1000;
pub const MINUTE: Time = 60 * SECOND;
pub const HOUR: Time = 60 * MINUTE;
pub const DAY: Time = 24 * HOUR;

/// How long after a password entry it counts.
const WINDOW: Time = 10 * MINUTE;
const ACCESS_TOKEN: Time = 15 * MINUTE;
/// How long the answer to a refresh is told again.
const TOLD_AGAIN: Time = 10 * SECOND;
const NOTIFICATION_LINK: Time = 14 * DAY;
const IDLE: Time = 7 * DAY;
const LIFETIME: Time = 30 * DAY;
const CODE_TRIES: u32 = 5;
const WRONG_ADDRESSES: u32 = 3;

/// Where sign-up is open, it is so to every address but this one, which may be had by invitation.
const BY_INVITATION: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    SignIn,
    ConfirmEmail,
    ResetPassword,
    ChangeEmail,
    UndoChangeEmail,
}

impl Purpose {
    pub fn route(self) -> &'static str {
        match self {
            Self::SignIn => "/sign-in/link",
            Self::ConfirmEmail => "/confirm-email",
            Self::ResetPassword => "/reset-password",
            Self::ChangeEmail => "/account/email/confirm",
            Self::UndoChangeEmail => "/account/email/undo",
        }
    }

    fn lifetime(self) -> Time {
        match self {
            Self::SignIn => 10 * MINUTE,
            Self::ConfirmEmail => DAY,
            Self::ResetPassword => 30 * MINUTE,
            Self::ChangeEmail => HOUR,
            Self::UndoChangeEmail => 7 * DAY,
        }
    }
}

#[derive(Debug)]
pub struct Account {
    pub address: usize,
    pub password: Option<usize>,
    /// Browsers it came to know before are strangers.
    known_since: Time,
    /// Signed links of an earlier epoch are dead.
    pub epoch: u32,
    exists: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    Browser(usize),
    Program(usize),
}

#[derive(Debug)]
pub struct Session {
    account: usize,
    holder: Holder,
    entered_at: Option<Time>,
    began_at: Time,
    seen_at: Time,
    /// Raised when its token changes: a copy of the cookie has the one it was copied with.
    pub edition: u32,
    ended: bool,
}

#[derive(Debug)]
pub struct Link {
    pub purpose: Purpose,
    pub address: usize,
    account: Option<usize>,
    /// The session that asked, where only somebody signed in may.
    session: Option<usize>,
    ask: Option<usize>,
    asked_at: Time,
    expires_at: Time,
    wrong_addresses: u32,
    used: bool,
}

/// Somebody typed an address. Where that mailed nobody there is no link, and a code fails all the same.
#[derive(Debug)]
struct Ask {
    link: Option<usize>,
    has_code: bool,
    tries: u32,
}

#[derive(Debug, Default)]
pub struct Browser {
    pub session: Option<usize>,
    ask: Option<usize>,
    known: BTreeMap<usize, Time>,
}

#[derive(Debug, Default)]
pub struct Program {
    pub session: Option<usize>,
    ask: Option<usize>,
    pub access_issued_at: Time,
    /// When it used the refresh token that it still has, for the answer was lost.
    lost_at: Option<Time>,
}

/// What the world looks like.
#[derive(Debug, Default)]
pub struct Model {
    pub now: Time,
    pub accounts: Vec<Account>,
    pub browsers: Vec<Browser>,
    pub programs: Vec<Program>,
    pub sessions: Vec<Session>,
    /// Those that were mailed, in order.
    pub links: Vec<Link>,
    asks: Vec<Ask>,
    invited: BTreeSet<usize>,
    /// Whether nobody comes in who is not invited.
    pub is_closed: bool,
}

impl Model {
    pub fn new(now: Time, browsers: usize, programs: usize) -> Self {
        Self {
            now,
            browsers: (0..browsers).map(|_| Browser::default()).collect(),
            programs: (0..programs).map(|_| Program::default()).collect(),
            ..Self::default()
        }
    }

    // --- what can be seen ---

    /// The address that is shown, and whether what is sensitive is open.
    pub fn seen(&self, session: Option<usize>) -> Option<(usize, bool)> {
        let session = &self.sessions[session.filter(|session| self.lives(*session))?];
        let entered = session.entered_at.is_some_and(|at| self.now < at + WINDOW);
        Some((self.accounts[session.account].address, entered))
    }

    pub fn seen_by_program(&self, program: usize) -> Option<usize> {
        let program = &self.programs[program];
        let session = program.session?;
        let edition = self.sessions[session].edition;
        self.seen_by_token(session, edition, program.access_issued_at)
    }

    /// By an access token of this edition, issued then.
    pub fn seen_by_token(&self, session: usize, edition: u32, issued_at: Time) -> Option<usize> {
        let is_its = edition == self.sessions[session].edition;
        let is_good = is_its && self.now < issued_at + ACCESS_TOKEN;
        let (address, _) = self.seen(Some(session)).filter(|_| is_good)?;
        Some(address)
    }

    pub fn lives(&self, session: usize) -> bool {
        let session = &self.sessions[session];
        let idle = match session.holder {
            Holder::Browser(_) => IDLE,
            Holder::Program(_) => LIFETIME,
        };
        !session.ended
            && self.now < session.seen_at + idle
            && self.now < session.began_at + LIFETIME
    }

    /// Its page was opened just now.
    pub fn touch(&mut self, session: usize) {
        let now = self.now;
        let session = &mut self.sessions[session];
        if now >= session.seen_at + MINUTE {
            session.seen_at = now;
        }
    }

    pub fn account_of(&self, address: usize) -> Option<usize> {
        self.accounts
            .iter()
            .position(|account| account.exists && account.address == address)
    }

    pub fn is_live(&self, link: usize) -> bool {
        let link = &self.links[link];
        !link.used && self.now < link.expires_at && link.wrong_addresses < WRONG_ADDRESSES
    }

    /// Whom the undo links of this address keep it for.
    fn keeper(&self, address: usize) -> Option<usize> {
        let undo =
            self.live(|link| link.purpose == Purpose::UndoChangeEmail && link.address == address);
        undo.into_iter()
            .min_by_key(|link| self.links[*link].asked_at)
            .and_then(|link| self.links[link].account)
    }

    fn live(&self, fits: impl Fn(&Link) -> bool) -> Vec<usize> {
        (0..self.links.len())
            .filter(|link| self.is_live(*link) && fits(&self.links[*link]))
            .collect()
    }

    // --- asking ---

    /// A browser or a program wants to come in.
    pub fn asks_to_come_in(&mut self, holder: Holder, address: usize) {
        let ask = self.new_ask(Some(holder), true);
        self.answers(ask, address);
    }

    /// Somebody else does, who tries nothing of what is mailed.
    pub fn stranger_asks(&mut self, address: usize) {
        let ask = self.new_ask(None, true);
        self.answers(ask, address);
    }

    fn answers(&mut self, ask: usize, address: usize) {
        if let Some(account) = self.account_of(address) {
            self.end_links(|link| link.purpose == Purpose::SignIn && link.address == address);
            self.mail(Purpose::SignIn, address, Some(account), Some(ask), None);
        } else if self.keeper(address).is_some() {
            self.mail_undo_again(address);
        } else if self.is_open(address) {
            self.end_links(|link| link.purpose == Purpose::ConfirmEmail && link.address == address);
            self.mail(Purpose::ConfirmEmail, address, None, Some(ask), None);
        }
    }

    /// The operator invites whoever has this address: nobody who has it already, nor while it is kept.
    pub fn is_invited(&mut self, address: usize) {
        if self.account_of(address).is_none() && self.keeper(address).is_none() {
            self.end_links(|link| link.purpose == Purpose::ConfirmEmail && link.address == address);
            self.mail(Purpose::ConfirmEmail, address, None, None, None);
            self.invited.insert(address);
        }
    }

    /// The operator takes that back.
    pub fn is_withdrawn(&mut self, address: usize) {
        if self.invited.remove(&address) {
            self.end_links(|link| link.purpose == Purpose::ConfirmEmail && link.address == address);
        }
    }

    /// What was mailed since there were so many links waited until now: the life of a link begins as it leaves. The
    /// undo link that is mailed once more is as old as the first one.
    pub fn leave_now(&mut self, from: usize) {
        for link in &mut self.links[from..] {
            if link.purpose != Purpose::UndoChangeEmail {
                link.expires_at = self.now + link.purpose.lifetime();
            }
        }
    }

    pub fn asks_to_reset(&mut self, browser: usize, address: usize) {
        let ask = self.new_ask(Some(Holder::Browser(browser)), false);
        if let Some(account) = self.account_of(address) {
            self.end_links(|link| {
                link.purpose == Purpose::ResetPassword && link.address == address
            });
            self.mail(
                Purpose::ResetPassword,
                address,
                Some(account),
                Some(ask),
                None,
            );
        } else if self.keeper(address).is_some() {
            self.mail_undo_again(address);
        }
    }

    fn new_ask(&mut self, holder: Option<Holder>, has_code: bool) -> usize {
        self.asks.push(Ask {
            link: None,
            has_code,
            tries: 0,
        });
        let ask = Some(self.asks.len() - 1);
        match holder {
            Some(Holder::Browser(browser)) => self.browsers[browser].ask = ask,
            Some(Holder::Program(program)) => self.programs[program].ask = ask,
            None => {}
        }
        self.asks.len() - 1
    }

    fn mail(
        &mut self,
        purpose: Purpose,
        address: usize,
        account: Option<usize>,
        ask: Option<usize>,
        session: Option<usize>,
    ) {
        if let Some(ask) = ask {
            self.asks[ask].link = Some(self.links.len());
        }
        self.links.push(Link {
            purpose,
            address,
            account,
            session,
            ask,
            asked_at: self.now,
            expires_at: self.now + purpose.lifetime(),
            wrong_addresses: 0,
            used: false,
        });
    }

    /// It is as old as the first one, and ends with it.
    fn mail_undo_again(&mut self, address: usize) {
        let undo =
            self.live(|link| link.purpose == Purpose::UndoChangeEmail && link.address == address);
        let Some(oldest) = undo
            .into_iter()
            .min_by_key(|link| self.links[*link].asked_at)
        else {
            return;
        };
        let (account, asked_at, expires_at) = {
            let oldest = &self.links[oldest];
            (oldest.account, oldest.asked_at, oldest.expires_at)
        };
        self.mail(Purpose::UndoChangeEmail, address, account, None, None);
        if let Some(again) = self.links.last_mut() {
            (again.asked_at, again.expires_at) = (asked_at, expires_at);
        }
    }

    fn end_links(&mut self, fits: impl Fn(&Link) -> bool) {
        let now = self.now;
        for link in self
            .links
            .iter_mut()
            .filter(|link| !link.used && fits(link))
        {
            link.expires_at = link.expires_at.min(now);
        }
    }

    /// What a change of rights does to links: the undo links are how an owner gets back what was changed.
    fn end_all_links(&mut self, account: usize, address: usize) {
        self.end_links(|link| {
            let is_its = link.account == Some(account)
                || (link.account.is_none() && link.address == address);
            is_its && link.purpose != Purpose::UndoChangeEmail
        });
        self.accounts[account].epoch += 1;
    }

    // --- coming in ---

    fn begin(&mut self, account: usize, holder: Holder, by_password: bool, fully: bool) {
        if fully {
            let address = self.accounts[account].address;
            let signs_in =
                |link: &Link| matches!(link.purpose, Purpose::SignIn | Purpose::ConfirmEmail);
            self.end_links(|link| signs_in(link) && link.address == address);
        }
        self.sessions.push(Session {
            account,
            holder,
            entered_at: by_password.then_some(self.now),
            began_at: self.now,
            seen_at: self.now,
            edition: 0,
            ended: false,
        });
        let session = Some(self.sessions.len() - 1);
        let now = self.now;
        match holder {
            Holder::Browser(browser) => {
                let replaced = std::mem::replace(&mut self.browsers[browser].session, session);
                if let Some(replaced) = replaced {
                    self.sessions[replaced].ended = true;
                }
                if fully {
                    self.browsers[browser].known.insert(account, now);
                }
            }
            Holder::Program(program) => {
                self.programs[program].session = session;
                self.programs[program].access_issued_at = now;
                self.programs[program].lost_at = None;
            }
        }
    }

    pub fn signs_in(&mut self, holder: Holder, address: usize, password: usize) {
        let account = self.account_of(address);
        if let Some(account) =
            account.filter(|account| self.accounts[*account].password == Some(password))
        {
            self.begin(account, holder, true, true);
        }
    }

    /// The code of the letter with this link is typed where something was asked for last.
    pub fn types_code(&mut self, holder: Holder, link: usize) {
        let ask = match holder {
            Holder::Browser(browser) => self.browsers[browser].ask,
            Holder::Program(program) => self.programs[program].ask,
        };
        let Some(ask) = ask.filter(|ask| self.asks[*ask].has_code) else {
            return;
        };
        if self.asks[ask].tries >= CODE_TRIES {
            return;
        }
        self.asks[ask].tries += 1;
        let is_right = self.asks[ask].link == Some(link);
        if is_right && self.is_live(link) && self.is_admitted(link) {
            self.links[link].used = true;
            self.comes_in_by(holder, link, None);
        }
    }

    /// The link's account, or a new one.
    fn comes_in_by(&mut self, holder: Holder, link: usize, password: Option<usize>) {
        let Link {
            purpose, address, ..
        } = self.links[link];
        let mut account = self.account_of(address);
        if account.is_none() && purpose == Purpose::ConfirmEmail {
            self.accounts.push(Account {
                address,
                password,
                known_since: self.now,
                epoch: 0,
                exists: true,
            });
            account = Some(self.accounts.len() - 1);
        }
        if let Some(account) = account {
            self.begin(account, holder, false, true);
        }
    }

    /// A link's form is sent with the address it was sent to, and a password where one is chosen.
    pub fn uses_link(&mut self, browser: usize, link: usize, password: usize) {
        if !self.is_live(link) || !self.is_admitted(link) {
            return;
        }
        let Link {
            purpose,
            address,
            account,
            ..
        } = self.links[link];
        match purpose {
            Purpose::SignIn | Purpose::ConfirmEmail => {
                self.links[link].used = true;
                self.comes_in_by(Holder::Browser(browser), link, Some(password));
            }
            Purpose::ResetPassword => {
                self.links[link].used = true;
                let account = account.filter(|account| self.account_of(address) == Some(*account));
                if let Some(account) = account {
                    self.accounts[account].password = Some(password);
                    self.end_everything(account);
                    // From here on this browser waits for no code, but for the new password.
                    self.new_ask(Some(Holder::Browser(browser)), false);
                }
            }
            Purpose::ChangeEmail | Purpose::UndoChangeEmail => self.changes_address(browser, link),
        }
    }

    pub fn names_wrong_address(&mut self, link: usize) {
        if self.is_live(link) {
            self.links[link].wrong_addresses += 1;
        }
    }

    fn changes_address(&mut self, browser: usize, link: usize) {
        let Link {
            purpose,
            address,
            account,
            ..
        } = self.links[link];
        let account = account.filter(|account| self.accounts[*account].exists);
        // Back to an address that it had it may come in any case: sign-up was open to that once.
        let is_open = purpose == Purpose::UndoChangeEmail || self.is_open(address);
        let may = |account: &usize| is_open && self.may_have(*account, address);
        let Some(account) = account.filter(may) else {
            return; // and it is not spent
        };
        self.links[link].used = true;
        let before = std::mem::replace(&mut self.accounts[account].address, address);
        self.end_all_links(account, before);
        self.end_all_links(account, address);
        match purpose {
            Purpose::UndoChangeEmail => self.takes_back(browser, link, account),
            _ => self.moves_on(link, account, before),
        }
    }

    fn is_open(&self, address: usize) -> bool {
        let is_open = !self.is_closed && address != BY_INVITATION;
        is_open || self.invited.contains(&address)
    }

    /// Whether the link still gives a new account its address, where it would have to.
    fn is_admitted(&self, link: usize) -> bool {
        let Link {
            purpose, address, ..
        } = self.links[link];
        let makes_account = purpose == Purpose::ConfirmEmail && self.account_of(address).is_none();
        !makes_account || (self.is_open(address) && self.keeper(address).is_none())
    }

    /// Nobody else has it, and nobody may yet take it back.
    fn may_have(&self, account: usize, address: usize) -> bool {
        let others = [self.account_of(address), self.keeper(address)];
        others.into_iter().flatten().all(|other| other == account)
    }

    /// Of the sessions the one that asked goes on, and the address of before may take it back.
    fn moves_on(&mut self, link: usize, account: usize, before: usize) {
        let session = self.links[link].session;
        // A browser comes back for its new token. A program is gone, for nobody is there to be handed one.
        let is_browsers =
            |session: &usize| matches!(self.sessions[*session].holder, Holder::Browser(_));
        let asking = session.filter(is_browsers);
        self.end_sessions(account, asking);
        match asking {
            Some(asking) => self.sessions[asking].edition += 1,
            None => self.accounts[account].known_since = self.now,
        }
        self.mail(Purpose::UndoChangeEmail, before, Some(account), None, None);
    }

    fn takes_back(&mut self, browser: usize, link: usize, account: usize) {
        self.accounts[account].password = None;
        self.end_everything(account);
        let asked_at = self.links[link].asked_at;
        self.end_links(|link| {
            let is_later = link.asked_at >= asked_at && link.account == Some(account);
            is_later && link.purpose == Purpose::UndoChangeEmail
        });
        let (ask, address) = (
            self.new_ask(Some(Holder::Browser(browser)), false),
            self.accounts[account].address,
        );
        self.mail(
            Purpose::ResetPassword,
            address,
            Some(account),
            Some(ask),
            None,
        );
    }

    /// Sessions, links, and the browsers it knew.
    fn end_everything(&mut self, account: usize) {
        self.end_sessions(account, None);
        self.end_all_links(account, self.accounts[account].address);
        self.accounts[account].known_since = self.now;
    }

    fn end_sessions(&mut self, account: usize, but: Option<usize>) {
        for (number, session) in self.sessions.iter_mut().enumerate() {
            if session.account == account && Some(number) != but {
                session.ended = true;
            }
        }
    }

    /// A notification link of this account's epoch and address, made then, is clicked.
    pub fn follows(
        &mut self,
        browser: usize,
        account: usize,
        epoch: u32,
        address: usize,
        made_at: Time,
    ) {
        let Account {
            address: now_at,
            known_since,
            epoch: now_in,
            exists,
            ..
        } = self.accounts[account];
        let is_good = exists
            && epoch == now_in
            && address == now_at
            && self.now < made_at + NOTIFICATION_LINK;
        let known = self.browsers[browser]
            .known
            .get(&account)
            .is_some_and(|since| *since >= known_since);
        if is_good && known && self.seen(self.browsers[browser].session).is_none() {
            self.begin(account, Holder::Browser(browser), false, false);
        }
    }

    pub fn refreshes(&mut self, program: usize) {
        if self.uses_refresh_token(program) {
            self.programs[program].access_issued_at = self.now;
            self.programs[program].lost_at = None;
        }
    }

    /// What took its token's place was used by nobody: this is the only one who has the token.
    pub fn loses_refresh(&mut self, program: usize) {
        let lost_before = self.programs[program].lost_at;
        if self.uses_refresh_token(program) {
            self.programs[program].lost_at = lost_before.or(Some(self.now));
        }
    }

    /// Whether that is answered with tokens.
    fn uses_refresh_token(&mut self, program: usize) -> bool {
        let Program {
            session, lost_at, ..
        } = self.programs[program];
        let Some(session) = session.filter(|session| self.lives(*session)) else {
            return false;
        };
        match lost_at {
            None => self.sessions[session].seen_at = self.now,
            Some(lost_at) if self.now < lost_at + TOLD_AGAIN => {}
            Some(_) => self.sessions[session].ended = true,
        }
        !self.sessions[session].ended
    }

    // --- what somebody does who is signed in ---

    /// The session and the account of this browser, if it is signed in.
    fn here(&self, browser: usize) -> Option<(usize, usize)> {
        let session = self.browsers[browser]
            .session
            .filter(|session| self.lives(*session))?;
        Some((session, self.sessions[session].account))
    }

    pub fn account_in(&self, browser: usize) -> Option<usize> {
        self.here(browser).map(|(_, account)| account)
    }

    /// The same if the password was entered lately.
    fn owner_here(&self, browser: usize) -> Option<(usize, usize)> {
        self.here(browser).filter(|(session, _)| {
            self.seen(Some(*session))
                .is_some_and(|(_, entered)| entered)
        })
    }

    /// The session and the account of this program, if its token is good for what is sensitive.
    fn owner_by_program(&self, program: usize) -> Option<(usize, usize)> {
        self.seen_by_program(program)?;
        let session = self.programs[program].session?;
        let (_, entered) = self.seen(Some(session))?;
        entered.then_some((session, self.sessions[session].account))
    }

    pub fn reauthenticates(&mut self, browser: usize, password: usize) {
        let Some((session, account)) = self.here(browser) else {
            return;
        };
        if self.accounts[account].password == Some(password) {
            self.sessions[session].entered_at = Some(self.now);
            self.sessions[session].edition += 1;
        }
    }

    pub fn changes_password(&mut self, browser: usize, password: usize) {
        if let Some((session, account)) = self.owner_here(browser) {
            self.sets_password(session, account, password);
        }
    }

    /// The tokens of before are dead, and the answer has new ones.
    pub fn changes_password_by_program(&mut self, program: usize, password: usize) {
        if let Some((session, account)) = self.owner_by_program(program) {
            self.sets_password(session, account, password);
            self.programs[program].access_issued_at = self.now;
            self.programs[program].lost_at = None;
        }
    }

    fn sets_password(&mut self, session: usize, account: usize, password: usize) {
        self.accounts[account].password = Some(password);
        self.end_sessions(account, Some(session));
        self.end_all_links(account, self.accounts[account].address);
        self.sessions[session].edition += 1;
    }

    pub fn asks_for_address(&mut self, browser: usize, address: usize) {
        if let Some((session, account)) = self.owner_here(browser) {
            self.wants_address(session, account, address);
        }
    }

    pub fn asks_for_address_by_program(&mut self, program: usize, address: usize) {
        if let Some((session, account)) = self.owner_by_program(program) {
            self.wants_address(session, account, address);
        }
    }

    fn wants_address(&mut self, session: usize, account: usize, address: usize) {
        if self.accounts[account].address == address {
            return;
        }
        self.end_links(|link| {
            link.purpose == Purpose::ChangeEmail && link.account == Some(account)
        });
        if self.may_have(account, address) && self.is_open(address) {
            self.mail(
                Purpose::ChangeEmail,
                address,
                Some(account),
                None,
                Some(session),
            );
        }
    }

    pub fn deletes(&mut self, browser: usize) {
        let Some((_, account)) = self.owner_here(browser) else {
            return;
        };
        let address = self.accounts[account].address;
        self.end_sessions(account, None);
        for link in &mut self.links {
            if link.account == Some(account) || link.address == address {
                link.expires_at = 0;
                // Its ask is forgotten with it.
                if let Some(ask) = link.ask {
                    self.asks[ask].tries = CODE_TRIES;
                }
            }
        }
        self.accounts[account].exists = false;
    }

    pub fn signs_out(&mut self, browser: usize) {
        if let Some((session, _)) = self.here(browser) {
            self.sessions[session].ended = true;
        }
    }

    pub fn ends_other_sessions(&mut self, browser: usize) {
        if let Some((session, account)) = self.here(browser) {
            self.end_sessions(account, Some(session));
        }
    }

    pub fn ends_links(&mut self, browser: usize) {
        if let Some((_, account)) = self.here(browser) {
            self.end_all_links(account, self.accounts[account].address);
        }
    }

    pub fn revokes(&mut self, program: usize) {
        if let Some(session) = self.programs[program].session {
            self.sessions[session].ended = true;
        }
    }
}
