//! What can be seen of an account from outside: by asking for its page with every cookie and token there is or
//! was, by looking at every link that was mailed, and by trying every password.

use std::collections::BTreeMap;

use reqwest::StatusCode;

use super::actions::Got;
use super::world::{
    FIRST_IS_KNOWN, KNOWN_BROWSER, NOTIFICATION_LINK, OTHER, OWNER, PASSKEY, PASSWORD_BEFORE,
    PASSWORDS, PROGRAM, REFRESH_TOKEN, SECOND_IS_KNOWN, World, nobodys,
};
use crate::support::{Mail, PASSWORD, Visitor};

/// What opens nothing.
pub const NOTHING: &str = "nothing";

/// What the page of a stranger says who asked for the address, beside that of one who asked for nobody's.
pub const STRANGER: &str = "a stranger's page";
/// It is no other.
pub const THE_SAME: &str = "as of an address that nobody has";

/// What was seen, by name.
pub type Outcome = BTreeMap<String, String>;

impl World {
    /// Everything that can be seen once both have been answered.
    pub async fn outcome(&self, got: [&Got; 2]) -> Outcome {
        let mut seen = Outcome::new();
        self.count_rows(&mut seen).await;
        self.try_browsers(&mut seen, got).await;
        self.try_programs(&mut seen, got).await;
        self.try_links(&mut seen).await;
        self.try_known_browsers(&mut seen, got).await;
        self.try_passkeys(&mut seen, got).await;
        self.try_passwords(&mut seen).await;
        self.try_strangers(&mut seen).await;
        seen
    }

    async fn try_strangers(&self, seen: &mut Outcome) {
        let what = match compare_strangers(&self.strangers, &self.address).await {
            None => THE_SAME.to_owned(),
            Some(how) => how,
        };
        seen.insert(STRANGER.to_owned(), what);
    }

    async fn count_rows(&self, seen: &mut Outcome) {
        let (id, address, next) = (&self.id, &self.address, &self.next);
        let counted = [
            ("accounts", format!("SELECT replace(email, '{address}', 'address') FROM users WHERE id = '{id}'
                UNION ALL SELECT 'a new account' FROM users WHERE email = '{next}' AND id <> '{id}' ORDER BY 1")),
            ("sessions", format!("SELECT auth_method FROM sessions WHERE user_id = '{id}' ORDER BY 1")),
            ("refresh tokens", format!("SELECT CASE WHEN used_at IS NULL THEN 'unused' ELSE 'used' END
                FROM refresh_tokens JOIN sessions ON sessions.id = session_id WHERE user_id = '{id}' ORDER BY 1")),
            ("passkeys", format!("SELECT '\"' || name || '\"' FROM passkeys WHERE user_id = '{id}' ORDER BY 1")),
            ("held", format!("SELECT 'until a passkey is used' FROM users WHERE id = '{id}' AND reset_hold_since IS NOT NULL")),
        ];
        for (what, query) in counted {
            let rows = self.stage.query(&query).await;
            let rows: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            let rows = rows
                .join(" ")
                .replace(next, "next")
                .replace(&self.former, "former")
                .replace(&self.third, "third");
            seen.insert(what.to_owned(), rows);
        }
        if !self.refused_letter.is_empty() {
            let refused = format!(
                "SELECT state FROM outbox WHERE id = '{}'",
                self.refused_letter
            );
            let stands = self.stage.query(&refused).await;
            let stands = stands.first().map_or(NOTHING, |row| row.get(0));
            seen.insert("the refused letter".to_owned(), stands.to_owned());
        }
        let letters = self.new_letters().await;
        let mut posted: Vec<String> = letters
            .iter()
            .map(|letter| format!("{} to {}", letter.name, self.role(Some(&letter.to))))
            .collect();
        posted.sort();
        seen.insert("mail".to_owned(), posted.join(", "));
    }

    /// Where a session wants a new token, whoever comes first gets it: whoever acted.
    async fn try_browsers(&self, seen: &mut Outcome, got: [&Got; 2]) {
        let [first, second] = got.map(|got| got.browser.as_ref());
        let browsers = [
            ("the first one's browser", first),
            ("the second one's browser", second),
            (OWNER, Some(&self.owner)),
            (OTHER, Some(&self.other)),
        ];
        for (name, browser) in browsers {
            let Some(browser) = browser else { continue };
            let browser = browser.at(&self.stage.house);
            let who = browser.signed_in_as().await;
            let mut what = self.role(who.as_deref());
            let gate = browser.get("/account/password").await;
            if gate.status == StatusCode::OK {
                what.push_str(", for what is sensitive");
            }
            seen.insert(name.to_owned(), what);
        }
    }

    async fn try_programs(&self, seen: &mut Outcome, got: [&Got; 2]) {
        let [first, second] = got.map(|got| got.program.as_ref());
        let programs = [
            (PROGRAM, REFRESH_TOKEN, Some(&self.program)),
            (
                "the first one's program",
                "the first one's refresh token",
                first,
            ),
            (
                "the second one's program",
                "the second one's refresh token",
                second,
            ),
        ];
        let here = &self.stage.house.url;
        for (name, _, program) in programs {
            let Some(program) = program else { continue };
            let who = program.moved_to(here).signed_in_as().await;
            seen.insert(name.to_owned(), self.role(who.as_deref()));
        }
        // The newest first: an older one that was used ends the session.
        for (_, name, program) in programs.iter().rev() {
            let Some(program) = program else { continue };
            let refreshed = program.moved_to(here).refresh().await;
            let what = match refreshed.status {
                StatusCode::OK => "new tokens",
                _ => NOTHING,
            };
            seen.insert((*name).to_owned(), what.to_owned());
        }
    }

    /// A look at a link uses nothing up.
    async fn try_links(&self, seen: &mut Outcome) {
        for (name, mail) in &self.mails {
            let what = self.look_at(mail).await;
            seen.insert((*name).to_owned(), what.to_owned());
        }
        let mut new = BTreeMap::<String, Vec<&str>>::new();
        for letter in self.new_letters().await {
            if letter.name != "announcement" && !letter.mail.is_news() {
                let to = self.role(Some(&letter.to));
                let name = format!("the {} link that was mailed to {to}", letter.name);
                new.entry(name)
                    .or_default()
                    .push(self.look_at(&letter.mail).await);
            }
        }
        for (name, mut what) in new {
            what.sort_unstable();
            seen.insert(name, what.join(", "));
        }
    }

    async fn look_at(&self, mail: &Mail) -> &'static str {
        let page = self.browser().get(mail.path()).await;
        match page.status {
            StatusCode::SEE_OTHER => "a page",
            StatusCode::GONE => NOTHING,
            other => panic!("a link answered {other}"),
        }
    }

    /// In a browser that the account knows a notification link signs in, once the session there has ended.
    async fn try_known_browsers(&self, seen: &mut Outcome, got: [&Got; 2]) {
        let new_link = self.notification_link().await;
        let [first, second] = got.map(|got| got.browser.as_ref());
        let browsers = [
            (NOTIFICATION_LINK, Some(&self.away), &self.notification_link),
            (KNOWN_BROWSER, Some(&self.away), &new_link),
            (FIRST_IS_KNOWN, first, &new_link),
            (SECOND_IS_KNOWN, second, &new_link),
        ];
        for (name, browser, link) in browsers {
            let Some(browser) = browser else { continue };
            let browser = browser.with_copied_jar().moved_to(&self.stage.house.url);
            browser.forget_cookie("doorpost");
            if !link.is_empty() {
                browser.click(link).await;
            }
            let who = browser.signed_in_as().await;
            seen.insert(name.to_owned(), self.role(who.as_deref()));
        }
    }

    async fn try_passkeys(&self, seen: &mut Outcome, got: [&Got; 2]) {
        let [first, second] = got.map(|got| got.passkey.as_ref());
        let passkeys = [
            (PASSKEY, self.passkey.as_ref()),
            ("the first one's passkey", first),
            ("the second one's passkey", second),
        ];
        for (name, passkey) in passkeys {
            let Some(passkey) = passkey else { continue };
            let (browser, mut passkey) = (self.browser(), passkey.clone());
            let signed = passkey.sign_at(&browser, "/passkeys/sign-in").await;
            let what = match signed.status {
                StatusCode::OK => "a session",
                _ => NOTHING,
            };
            seen.insert(name.to_owned(), what.to_owned());
        }
    }

    /// By the address that the account has now.
    async fn try_passwords(&self, seen: &mut Outcome) {
        let found = format!("SELECT email FROM users WHERE id = '{}'", self.id);
        let found = self.stage.query(&found).await;
        let address = found.first().map_or(self.address.clone(), |row| row.get(0));
        let passwords = [
            (PASSWORD_BEFORE, PASSWORD),
            ("the first one's password", PASSWORDS[0]),
            ("the second one's password", PASSWORDS[1]),
        ];
        for (name, password) in passwords {
            let entered = self.browser().enter(&address, password).await;
            let what = if entered.status == StatusCode::SEE_OTHER {
                "a session"
            } else {
                NOTHING
            };
            seen.insert(name.to_owned(), what.to_owned());
        }
    }

    /// An address by the part it plays, the same in every world.
    fn role(&self, address: Option<&str>) -> String {
        match address {
            None => NOTHING.to_owned(),
            Some(address) if address == self.address => "the address".to_owned(),
            Some(address) if address == self.next => "the next address".to_owned(),
            Some(address) if address == self.former => "the former address".to_owned(),
            Some(address) if address == self.third => "the third address".to_owned(),
            Some(_) => "SOMEBODY ELSE".to_owned(),
        }
    }
}

/// Types a wrong code where somebody asked for this address, and where somebody asked for nobody's; in what the answers
/// differ, if they do.
pub async fn compare_strangers(strangers: &[Visitor; 2], address: &str) -> Option<String> {
    const WRONG: &str = "2345-6789";
    let [asked, of_nobody] = strangers;
    let page = asked.type_code(WRONG).await.looks();
    let other = of_nobody.type_code(WRONG).await.looks();
    let other = other.replace(&nobodys(address), address);
    let mut lines = page.lines().zip(other.lines());
    let differ = lines.find(|(one, other)| one != other);
    differ.map(|(one, other)| format!("{} instead of {}", one.trim(), other.trim()))
}
