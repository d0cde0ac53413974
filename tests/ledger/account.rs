//! The account: what visitors saw, what was mailed and what is written down have to agree.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::{self, Display};

use doorpost::clock::Timestamp;

use super::books::{LinkRow, Tables};
use super::crowd::{Records, hash_of};
use crate::support::Handed;

/// All that has to agree.
pub struct Account {
    pub records: Records,
    pub letters: Letters,
    pub tables: Tables,
    /// What kills can be the cause of.
    pub most_copies: usize,
    /// From here on nothing was killed.
    pub calm_since: Timestamp,
}

/// What the mail server took.
pub struct Letters {
    /// By the id in the Message-ID, in the order they came.
    copies: BTreeMap<String, Vec<Handed>>,
    /// In which letters a link is, by its hash.
    with_link: HashMap<Vec<u8>, Vec<String>>,
    /// How many letters without a link an address was sent: news of its account.
    news: HashMap<String, usize>,
}

impl Letters {
    pub fn sorted(taken: Vec<Handed>) -> Self {
        let mut copies: BTreeMap<String, Vec<Handed>> = BTreeMap::new();
        for letter in taken {
            let id = letter.header("message-id");
            let (id, _) = id.trim_start_matches('<').split_once('@').unwrap();
            copies.entry(id.to_owned()).or_default().push(letter);
        }
        let (mut with_link, mut news) = (HashMap::<_, Vec<_>>::new(), HashMap::new());
        for (id, copies) in &copies {
            let mail = copies[0].mail();
            if mail.is_news() {
                *news.entry(copies[0].to[0].clone()).or_default() += 1;
            } else {
                with_link
                    .entry(hash_of(&mail))
                    .or_default()
                    .push(id.clone());
            }
        }
        Self {
            copies,
            with_link,
            news,
        }
    }

    fn extra(&self) -> usize {
        self.copies.values().map(|copies| copies.len() - 1).sum()
    }
}

impl Account {
    /// What does not agree, in words: a few of each kind.
    pub fn mistakes(&self) -> Vec<String> {
        let kinds = [
            self.asks(),
            self.links(),
            self.copies(),
            self.uses(),
            self.sessions(),
            self.outbox(),
        ];
        kinds.into_iter().flat_map(a_few).collect()
    }

    /// An ask that was answered made one link; one whose answer was cut off made one or none.
    fn asks(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut made = 0;
        for ask in &self.records.asks {
            let links = self.tables.links_of(&ask.address);
            let its_own = |link: &&LinkRow| (ask.from..=ask.until).contains(&link.asked_at);
            let count = links.iter().filter(its_own).count();
            made += count;
            let address = &ask.address;
            match (ask.was_answered, count) {
                (_, 1) | (false, 0) => {}
                (true, 0) => wrong.push(format!("{address} was answered, and no link was made")),
                _ => wrong.push(format!("{address} asked once, and {count} links were made")),
            }
        }
        let all = self.tables.links.len();
        if made != all {
            wrong.push(format!(
                "{all} links were made, {made} of them for what visitors asked"
            ));
        }
        wrong
    }

    /// A link is in one letter, to the address it is for; or a newer one took its place before it was sent.
    fn links(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let Letters {
            copies, with_link, ..
        } = &self.letters;
        for link in &self.tables.links {
            let email = &link.email;
            let mut of_address = self.tables.links_of(email).iter();
            let was_replaced = of_address.any(|other| other.asked_at > link.asked_at);
            match with_link.get(&link.token_hash).map(Vec::as_slice) {
                None if was_replaced && link.used_at.is_none() => {}
                None => wrong.push(format!("{email} asked for a link and was never sent it")),
                Some([id]) if copies[id][0].to == [email.as_str()] => {}
                Some([_]) => wrong.push(format!("the link for {email} went to somebody else")),
                Some(ids) => wrong.push(format!("one link for {email} is in the letters {ids:?}")),
            }
        }
        let made = self.tables.links.iter().map(|link| &link.token_hash);
        let made: BTreeSet<_> = made.collect();
        let unknown = with_link.keys().filter(|link| !made.contains(link)).count();
        if unknown > 0 {
            wrong.push(format!("{unknown} letters have a link that nobody made"));
        }
        wrong
    }

    /// Copies are the same letter, and come of kills alone.
    fn copies(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let (extra, most) = (self.letters.extra(), self.most_copies);
        if extra > most {
            wrong.push(format!("{extra} extra copies, of kills can come {most}"));
        }
        for (id, copies) in &self.letters.copies {
            let first = &copies[0];
            let is_same = |copy: &Handed| {
                (&copy.raw, &copy.to, &copy.from) == (&first.raw, &first.to, &first.from)
            };
            if !copies.iter().all(is_same) {
                wrong.push(format!("the copies of {id} differ"));
            }
        }
        let outbox = self.tables.outbox.iter();
        for mail in outbox.filter(|mail| mail.queued_at >= self.calm_since) {
            let (id, copies) = (&mail.id, self.letters.copies.get(&mail.id));
            if copies.is_some_and(|copies| copies.len() > 1) {
                wrong.push(format!("{id} was sent again though nothing was killed"));
            }
        }
        wrong
    }

    /// A link was used if it let somebody in, and that was once.
    fn uses(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let uses = self.records.uses.iter();
        let seen: BTreeSet<&Vec<u8>> = uses.clone().map(|used| &used.link).collect();
        for link in &self.tables.links {
            let email = &link.email;
            match (link.used_at, seen.contains(&link.token_hash)) {
                (Some(_), true) | (None, false) => {}
                (Some(_), false) => wrong.push(format!("a link for {email} was used by nobody")),
                (None, true) => {
                    wrong.push(format!("a link for {email} let in and counts as unused"));
                }
            }
        }
        let twice = uses.filter(|used| used.times_seen > 1).count();
        if twice > 0 || seen.len() < self.records.uses.len() {
            wrong.push(format!("{twice} links let in twice"));
        }
        wrong
    }

    /// Each link that was used made one session, and the first of an address its account. Of the others' notices
    /// there is one an hour: whoever signs in once more, because an answer was cut off, gets no second one.
    fn sessions(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let links = self.tables.links.iter();
        let used = links.filter(|link| link.used_at.is_some());
        let used = tally(used.map(|link| &link.email));
        let sessions = tally(&self.tables.sessions);
        let accounts = tally(&self.tables.accounts);
        let asked: BTreeSet<&String> = self.records.asks.iter().map(|ask| &ask.address).collect();
        for email in asked {
            let count = |of: &HashMap<&String, usize>| of.get(email).copied().unwrap_or(0);
            let (used, sessions, accounts) = (count(&used), count(&sessions), count(&accounts));
            let news = self.letters.news.get(email).copied().unwrap_or(0);
            if (sessions, accounts, news) != (used, used.min(1), used.saturating_sub(1).min(1)) {
                wrong.push(format!(
                    "{email}: {used} links used, {sessions} sessions, {accounts} accounts, {news} notices"
                ));
            }
        }
        wrong
    }

    /// What counts as sent was sent; what was dropped had a link that was replaced or used.
    fn outbox(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for mail in &self.tables.outbox {
            let was_taken = self.letters.copies.contains_key(&mail.id);
            let what = format!("{} to {} ({})", mail.letter, mail.email, mail.id);
            match (mail.state.as_str(), mail.reason.as_deref()) {
                ("sent", _) if was_taken => {}
                ("sent", _) => wrong.push(format!("{what} counts as sent and never was")),
                ("dropped", Some("its link is dead")) => {}
                (state, reason) => wrong.push(format!("{what} is {state}: {reason:?}")),
            }
        }
        let posted: BTreeSet<_> = self.tables.outbox.iter().map(|mail| &mail.id).collect();
        let taken = self.letters.copies.keys();
        let unknown = taken.filter(|id| !posted.contains(id)).count();
        if unknown > 0 {
            wrong.push(format!("{unknown} letters were never posted"));
        }
        wrong
    }
}

impl Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Records {
            asks,
            uses,
            unanswered,
        } = &self.records;
        let answered = asks.iter().filter(|ask| ask.was_answered).count();
        let unseen = uses.iter().filter(|used| used.times_seen == 0).count();
        write!(
            f,
            "{} sign-ins seen, {unseen} unseen; {answered} asks of {} answered, {unanswered} requests not; \
             {} letters, {} extra copies of {} allowed; {} sessions, {} accounts",
            uses.len() - unseen,
            asks.len(),
            self.letters.copies.len(),
            self.letters.extra(),
            self.most_copies,
            self.tables.sessions.len(),
            self.tables.accounts.len(),
        )
    }
}

fn a_few(mut wrong: Vec<String>) -> Vec<String> {
    const FEW: usize = 3;
    let more = wrong.len().saturating_sub(FEW);
    wrong.truncate(FEW);
    wrong.extend((more > 0).then(|| format!("… and {more} more like these")));
    wrong
}

fn tally<'a>(addresses: impl IntoIterator<Item = &'a String>) -> HashMap<&'a String, usize> {
    let mut counts = HashMap::new();
    for address in addresses {
        *counts.entry(address).or_default() += 1;
    }
    counts
}
