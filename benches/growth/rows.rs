//! What a service that has run for years holds, by account: one `INSERT … SELECT` a table, for either database.
//!
//! Most accounts of a large service rest. Of ten, four came by within the week, one of them in two browsers; two have a
//! program, which keeps eleven refresh tokens; one asked for a link within two days, three within the hours for which
//! limits count, five within the two weeks for which mail is listed. Each has three events of the last year, and had one
//! announcement in the last ninety days; of twenty, the mail of one came back; of fifty, one has changed its
//! address within two weeks. Four of ten have a password.
//!
//! Ids and hashes are scattered over their range, as drawn ones are, and can be foretold: account 7 is
//! `reader7@example.org`.

#![allow(dead_code, reason = "no measurement needs all of it")]

/// Whose words are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

/// How many accounts there are, at what moment, and what those who have a password have of it.
pub struct Living<'a> {
    pub dialect: Dialect,
    pub accounts: u64,
    pub now: i64,
    pub password_hash: &'a str,
}

/// A table, and what fills it.
pub type Filling = (&'static str, String);

const HOUR: i64 = 60 * 60 * 1000;
const DAY: i64 = 24 * HOUR;

impl Living<'_> {
    /// What fills the tables, in an order in which each finds what it refers to.
    pub fn fillings(&self) -> Vec<Filling> {
        vec![
            ("users", self.users()),
            ("sessions", self.sessions()),
            ("device_keys", self.device_keys()),
            ("refresh_tokens", self.refresh_tokens()),
            ("known_programs", self.known_programs()),
            ("passkeys", self.passkeys()),
            ("answered_challenges", self.answered_challenges()),
            ("events", self.events()),
            ("links", self.links()),
            ("limits", self.limits()),
            ("outbox", self.outbox()),
            ("announced", self.announced()),
            ("mail_bounces", self.mail_bounces()),
        ]
    }

    fn users(&self) -> String {
        let (now, hash, id, drawn) = (self.now, self.password_hash, self.id("i"), drawn("i"));
        format!(
            "INSERT INTO users (id, email, created_at, known_since, password_hash, password_set_at) \
             SELECT {id}, {EMAIL}, {now} - {drawn} % 1000 * {DAY}, {now} - {drawn} % 1000 * {DAY}, \
             CASE WHEN i % 10 < 4 THEN '{hash}' END, CASE WHEN i % 10 < 4 THEN {now} - {drawn} % 1000 * {DAY} END \
             FROM {numbers} ORDER BY 1",
            numbers = self.numbers(),
        )
    }

    fn sessions(&self) -> String {
        let (hash, id, of) = (self.hash(SESSION), self.id(SESSION), self.id("i"));
        let (browser, program) = (self.ago("i", 6), self.refreshed());
        let seen = format!("CASE WHEN k = 2 THEN {program} ELSE {browser} END");
        format!(
            "INSERT INTO sessions (token_hash, id, user_id, auth_method, shared, created_at, last_seen_at, ip, browser, \
             for_program) \
             SELECT {hash}, {id}, {of}, 'email_link', FALSE, {seen}, {seen}, '192.0.2.7', 'Firefox on Linux', k = 2 \
             FROM {numbers} CROSS JOIN {kinds} \
             WHERE (k = 0 AND i % 10 < 4) OR (k = 1 AND i % 10 = 0) OR (k = 2 AND i % 10 IN (2, 3)) ORDER BY 1",
            numbers = self.numbers(),
            kinds = several(3),
        )
    }

    fn device_keys(&self) -> String {
        let (session, ago) = (self.id("i * 3"), self.ago("i", 6));
        format!(
            "INSERT INTO device_keys (session_id, jwk, proven_at, proofs, proofs_since, ip) \
             SELECT {session}, '{jwk}', {ago}, 1, {ago}, '192.0.2.7' FROM {numbers} WHERE i % 10 < 4 ORDER BY 1",
            jwk = r#"{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}"#,
            numbers = self.numbers(),
        )
    }

    fn refresh_tokens(&self) -> String {
        let (hash, session) = (self.hash("i * 11 + k"), self.id("i * 3 + 2"));
        let last = self.refreshed();
        format!(
            "INSERT INTO refresh_tokens (token_hash, session_id, issued_at, expires_at, used_at) \
             SELECT {hash}, {session}, {last} - k * {HOUR}, {last} - k * {HOUR} + {good_for}, \
             CASE WHEN k > 0 THEN {last} - (k - 1) * {HOUR} END \
             FROM {numbers} CROSS JOIN {tokens} WHERE i % 10 IN (2, 3) ORDER BY 1",
            good_for = 30 * DAY,
            numbers = self.numbers(),
            tokens = several(11),
        )
    }

    fn known_programs(&self) -> String {
        let (hash, of, session) = (self.hash("i"), self.id("i"), self.id("i * 3 + 2"));
        format!(
            "INSERT INTO known_programs (family, user_id, session_id, since) \
             SELECT {hash}, {of}, {session}, {ago} FROM {numbers} WHERE i % 10 IN (2, 3, 4) ORDER BY 1",
            ago = self.ago("i", 360),
            numbers = self.numbers(),
        )
    }

    fn passkeys(&self) -> String {
        let (id, of, credential) = (self.id("i * 3 + k"), self.id("i"), self.hash("i * 3 + k"));
        format!(
            "INSERT INTO passkeys (id, user_id, credential_id, public_key, sign_count, backup_eligible, backed_up, aaguid, \
             transports, name, created_at, last_used_at) \
             SELECT {id}, {of}, {credential}, {credential}, 0, TRUE, TRUE, {aaguid}, 'internal hybrid', '', {ago}, {ago} \
             FROM {numbers} CROSS JOIN {passkeys} WHERE i % 10 IN (1, 4) ORDER BY 1",
            aaguid = self.bytes("'0123456789abcdef'"),
            ago = self.ago("i", 360),
            numbers = self.numbers(),
            passkeys = several(2),
        )
    }

    /// Those of the last minutes.
    fn answered_challenges(&self) -> String {
        format!(
            "INSERT INTO answered_challenges (hash, ends_at) \
             SELECT {hash}, {now} + {drawn} % {HOUR} FROM {numbers} WHERE i % 100 = 0 ORDER BY 1",
            hash = self.hash("i"),
            now = self.now,
            drawn = drawn("i"),
            numbers = self.numbers(),
        )
    }

    fn events(&self) -> String {
        let (id, of, ago) = (
            self.id("i * 3 + k"),
            self.id("i"),
            self.ago("i * 3 + k", 360),
        );
        format!(
            "INSERT INTO events (id, user_id, at, name, detail, ip, browser, request_id) \
             SELECT {id}, {of}, {ago}, \
             CASE k WHEN 0 THEN 'registered' WHEN 1 THEN 'link_requested' ELSE 'signed_in' END, \
             CASE k WHEN 0 THEN NULL WHEN 1 THEN 'sign_in' ELSE 'email_link' END, \
             '192.0.2.7', 'Firefox on Linux', {id} FROM {numbers} CROSS JOIN {kinds} ORDER BY 1",
            numbers = self.numbers(),
            kinds = several(3),
        )
    }

    /// Those that were asked for, and those that take a change of address back.
    fn links(&self) -> String {
        let (now, hash, id, of) = (self.now, self.hash("i"), self.id("i"), self.id("i"));
        let asked = format!("{now} - {} % {DAY}", drawn("i"));
        let columns = "token_hash, purpose, email, user_id, ask_id, code_mac, asked_at, expires_at, used_at, keep_until";
        format!(
            "INSERT INTO links ({columns}) \
             SELECT {hash}, 'sign_in', {EMAIL}, {of}, {id}, {hash}, {asked}, {asked} + {HOUR}, {asked} + 60000, \
             {asked} + {two_days} FROM {numbers} WHERE i % 10 = 0 ORDER BY 1; \
             INSERT INTO links ({columns}) \
             SELECT {hash}, 'undo_change_email', {EMAIL}, {of}, NULL, NULL, {asked}, {asked} + {a_week}, NULL, \
             {asked} + {two_weeks} FROM {numbers} WHERE i % 50 = 5 ORDER BY 1",
            two_days = 2 * DAY,
            a_week = 7 * DAY,
            two_weeks = 14 * DAY,
            numbers = self.numbers(),
        )
    }

    fn limits(&self) -> String {
        format!(
            "INSERT INTO limits (name, subject, count, ends_at) \
             SELECT 'mail_per_address_daily', 'sign_in anyone ' || {EMAIL}, 1, {now} + {HOUR} + {drawn} % {DAY} \
             FROM {numbers} WHERE i % 10 < 3 ORDER BY 2",
            now = self.now,
            drawn = drawn("i"),
            numbers = self.numbers(),
        )
    }

    fn outbox(&self) -> String {
        let (id, ago) = (self.id("i"), self.ago("i", 13));
        format!(
            "INSERT INTO outbox (id, letter, email, state, queued_at, useful_until, tries, settled_at, sealed_by) \
             SELECT {id}, 'sign_in', {EMAIL}, 'sent', {ago}, {ago}, 1, {ago}, 'a key' \
             FROM {numbers} WHERE i % 2 = 0 ORDER BY 1",
            numbers = self.numbers(),
        )
    }

    fn announced(&self) -> String {
        let (what, subject, of) = (self.hash("1"), self.hash("2"), self.id("i"));
        format!(
            "INSERT INTO announced (announcement, user_id, posted_at, subject) \
             SELECT {what}, {of}, {then}, {subject} FROM {numbers} ORDER BY 2",
            then = self.now - 40 * DAY,
            numbers = self.numbers(),
        )
    }

    fn mail_bounces(&self) -> String {
        let (of, ago) = (self.id("i"), self.ago("i", 29));
        format!(
            "INSERT INTO mail_bounces (user_id, email, reported_at, posted_at, days, no_mailbox, status) \
             SELECT {of}, {EMAIL}, {ago}, {ago}, 1, i % 40 = 0, '5.1.1' FROM {numbers} WHERE i % 20 = 0 ORDER BY 1",
            numbers = self.numbers(),
        )
    }

    /// So many rows that are over, of every kind that strangers and accounts leave behind.
    pub fn expired(&self, rows: u64) -> Vec<Filling> {
        let (id, hash) = (self.id_of_the_dead("i"), self.hash_of_the_dead("i"));
        let of = self.id(&format!("i % {}", self.accounts));
        let [an_hour, three_days, two_weeks, a_month, a_year] =
            [HOUR, 3 * DAY, 15 * DAY, 31 * DAY, 366 * DAY].map(|ago| self.now - ago);
        let from = |tenths: u64| self.numbers_below((rows * tenths / 10).max(1));
        let email = "'stranger' || i || '@example.org'";
        let links = format!(
            "INSERT INTO links (token_hash, purpose, email, ask_id, code_mac, asked_at, expires_at, keep_until) \
             SELECT {hash}, 'sign_in', {email}, {id}, {hash}, {three_days}, 0, {an_hour} FROM {}",
            from(2)
        );
        let limits = format!(
            "INSERT INTO limits (name, subject, count, ends_at) \
             SELECT 'mail_per_address', 'sign_in anyone ' || {email}, 1, {an_hour} FROM {}",
            from(3)
        );
        let sessions = format!(
            "INSERT INTO sessions (token_hash, id, user_id, auth_method, shared, created_at, last_seen_at, ip, browser, \
             for_program) \
             SELECT {hash}, {id}, {of}, 'email_link', FALSE, {a_month}, {a_month}, '', '', i % 2 = 0 FROM {}",
            from(1)
        );
        let refresh_tokens = format!(
            "INSERT INTO refresh_tokens (token_hash, session_id, issued_at, expires_at) \
             SELECT {hash}, {id}, {a_month}, {a_month} + {DAY} FROM {}",
            from(1)
        );
        let events = format!(
            "INSERT INTO events (id, user_id, at, name, ip, browser, request_id) \
             SELECT {id}, {of}, {a_year}, 'signed_in', '', '', '' FROM {}",
            from(2)
        );
        let outbox = format!(
            "INSERT INTO outbox (id, letter, email, state, queued_at, useful_until, tries, settled_at) \
             SELECT {id}, 'sign_in', {email}, 'sent', {two_weeks}, {two_weeks}, 1, {two_weeks} FROM {}",
            from(1)
        );
        vec![
            ("links", links),
            ("limits", limits),
            ("sessions", sessions),
            ("refresh_tokens", refresh_tokens),
            ("events", events),
            ("outbox", outbox),
        ]
    }

    /// Events and mail that come to be over one after another, so many of each in so many seconds: as long as as many
    /// are written, there are always the same. None has the id of one of another `series`.
    pub fn coming_due(
        &self,
        [events, letters]: [u64; 2],
        seconds: u64,
        series: u64,
    ) -> Vec<Filling> {
        let id = self.id_of_the_dead(&format!("i + {series} * 100000000"));
        let of = self.id(&format!("i % {}", self.accounts));
        let due =
            |rows: u64, kept: i64| format!("{} - {kept} + i * {seconds} * 1000 / {rows}", self.now);
        let email = "'stranger' || i || '@example.org'";
        let (at, settled_at) = (due(events.max(1), 365 * DAY), due(letters.max(1), 14 * DAY));
        let events = format!(
            "INSERT INTO events (id, user_id, at, name, ip, browser, request_id) \
             SELECT {id}, {of}, {at}, 'signed_in', '192.0.2.7', 'Firefox on Linux', {id} FROM {}",
            self.numbers_below(events.max(1))
        );
        let letters = format!(
            "INSERT INTO outbox (id, letter, email, state, queued_at, useful_until, tries, settled_at, sealed_by) \
             SELECT {id}, 'sign_in', {email}, 'sent', {settled_at}, {settled_at}, 1, {settled_at}, 'a key' FROM {}",
            self.numbers_below(letters.max(1))
        );
        vec![("events", events), ("outbox", letters)]
    }

    /// A number for each account.
    fn numbers(&self) -> String {
        self.numbers_below(self.accounts)
    }

    fn numbers_below(&self, end: u64) -> String {
        match self.dialect {
            Dialect::Sqlite => format!(
                "(WITH RECURSIVE numbers(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM numbers WHERE i + 1 < {end}) \
                 SELECT i FROM numbers) AS numbers"
            ),
            Dialect::Postgres => format!("generate_series(0::bigint, {end} - 1) AS numbers(i)"),
        }
    }

    /// An id as the program draws them.
    fn id(&self, of: &str) -> String {
        format!("({} || '0000000000000A')", self.hex(of))
    }

    /// One that nothing alive has.
    fn id_of_the_dead(&self, of: &str) -> String {
        format!("({} || '000000000000dA')", self.hex(of))
    }

    /// A hash, of 32 bytes.
    fn hash(&self, of: &str) -> String {
        self.bytes(&format!("{} || '{:0>24}'", self.hex(of), ""))
    }

    fn hash_of_the_dead(&self, of: &str) -> String {
        self.bytes(&format!("{} || '{:0>24}'", self.hex(of), "d"))
    }

    fn bytes(&self, text: &str) -> String {
        match self.dialect {
            Dialect::Sqlite => format!("CAST({text} AS BLOB)"),
            Dialect::Postgres => format!("CAST({text} AS BYTEA)"),
        }
    }

    fn hex(&self, of: &str) -> String {
        let drawn = drawn(of);
        match self.dialect {
            Dialect::Sqlite => format!("printf('%08x', {drawn})"),
            Dialect::Postgres => format!("lpad(to_hex({drawn}), 8, '0')"),
        }
    }

    /// Some moment of the last so many days.
    fn ago(&self, of: &str, days: i64) -> String {
        let (now, drawn) = (self.now, drawn(of));
        format!("({now} - {drawn} % {days} * {DAY} - {drawn} % {DAY})")
    }

    /// When an account's program last refreshed.
    fn refreshed(&self) -> String {
        self.ago("i", 28)
    }
}

/// The address of an account.
const EMAIL: &str = "'reader' || i || '@example.org'";

/// The number of a session: an account has three at the most.
const SESSION: &str = "i * 3 + k";

/// A number that looks drawn, and is another for each (up to four thousand millions).
fn drawn(of: &str) -> String {
    format!("(({of}) * 2654435761 % 4294967296)")
}

/// Numbers from 0, for what an account has several of.
fn several(how_many: u32) -> String {
    let rest = (1..how_many).map(|k| format!(" UNION ALL SELECT {k}"));
    format!("(SELECT 0 AS k{}) AS several", rest.collect::<String>())
}
