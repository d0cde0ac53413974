//! A life in letters: what may happen to accounts, from an invitation to the end, so that every letter there
//! is gets sent.

use std::process::ExitCode;
use std::time::Duration;

use doorpost::accounts::email_address::EmailAddress;
use doorpost::accounts::users::{self, Named};
use doorpost::mail::own_letter::OwnLetter;
use doorpost::operator::announce::{self, Arguments};
use doorpost::operator::out::Out;
use doorpost::operator::users::{self as users_command, Command, How, Who};

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{Authenticator, House, Mail, PASSWORD, Visitor, eventually};

/// Every letter, by the subject it has.
const LETTERS: [(&str, &str); 28] = [
    ("confirm_email", "Confirm your email address for SITE"),
    ("sign_in", "Sign in to SITE"),
    ("reset_password", "Set your password for SITE"),
    ("change_email", "Confirm your new email address for SITE"),
    (
        "undo_change_email",
        "Your email address at SITE was changed",
    ),
    ("invitation", "You are invited to SITE"),
    ("password_set", "Your password for SITE was set"),
    (
        "password_set_and_held",
        "Your password for SITE was set by mail",
    ),
    ("reset_disowned", "Your password for SITE was taken away"),
    ("password_changed", "Your password for SITE was changed"),
    ("passkey_added", "A passkey for SITE was added"),
    ("passkey_set", "Your first passkey for SITE was made"),
    ("passkey_removed", "A passkey for SITE was removed"),
    (
        "password_guessed",
        "Wrong passwords for your account at SITE",
    ),
    ("password_paused", "A hundred wrong passwords at SITE"),
    ("passkey_copied", "A copied passkey at SITE"),
    ("new_browser", "New sign-in to SITE"),
    (
        "device_not_proven",
        "A copy of your session at SITE was refused",
    ),
    (
        "email_change_asked",
        "Your email address at SITE may change",
    ),
    ("email_changed", "This is your email address at SITE now"),
    ("email_taken", "Somebody wanted to use your address at SITE"),
    ("account_locked", "Your account at SITE is locked"),
    (
        "email_set_by_operator",
        "Your account at SITE has this address",
    ),
    (
        "email_taken_by_operator",
        "Your account at SITE has another address",
    ),
    ("account_deleted", "Your account at SITE is deleted"),
    (
        "account_deleted_by_operator",
        "Your account at SITE was deleted",
    ),
    ("announcement", "News from SITE"),
    ("own", "Your notes at SITE are erased"),
];

/// An announcement with everything that may be in one.
const NEWS: &str = r#"# News from SITE

**Two things** are _new_ & easy to find: your [sessions](/account/sessions?from=news#list).

There is <SITE-URL/members> as well.

## What else there is

1. Read <https://elsewhere.example/?a=1&b=2>, or [all about it](https://elsewhere.example/).
2. Then
   - write to <door@example.org>,
   - or run `doorpost --help`.

> Whoever asks a lot\
> is told a lot.

### For those who like it exact

    if a < b { "sign in" }

---

That is all.
"#;

/// What an operator sends by hand.
const BY_HAND: (&str, &str) = ("test", "A test message from SITE");

/// Addresses that mean something else in HTML, if nobody escapes them.
const ADA: &str = "ada&copy@example.org";
const BEN: &str = "ben&lt@example.org";
const BENS_NEXT: &str = "ben&lt@example.net";
const CAROL: &str = "carol@example.org";
const DAN: &str = "dan@example.org";
const EVE: &str = "eve&lt@example.org";
const FAY: &str = "fay@example.org";
const GIL: &str = "gil&gt@example.org";

/// A browser that tries to get words of its own into a letter.
const BROWSER: &str = "Mozilla/5.0 (X11; Linux <b>evil.test</b>) Firefox/140.0 https://evil.test/";

/// What a letter with this subject is called, and that there is no letter without a name.
#[track_caller]
pub fn name_of_letter(subject: &str, site: &str) -> &'static str {
    let is_it = |known: &str| known.replace("SITE", site) == subject;
    let mut letters = LETTERS.iter().chain([&BY_HAND]);
    let found = letters.find(|(_, known)| is_it(known));
    let (name, _) = found.unwrap_or_else(|| panic!("no letter is known by {subject:?}"));
    name
}

/// Makes this house send every letter, and waits until it did. The mailbox says what came to an address.
pub async fn every_letter_is_sent(house: &House, mailbox: impl AsyncFn(&str) -> Vec<Mail>) {
    let newest = async |address: &str, route: &str| {
        let is_it = |mail: &Mail| !mail.is_news() && mail.route() == route;
        let there = async || mailbox(address).await.iter().any(is_it);
        eventually(&format!("{route} for {address}"), there).await;
        mailbox(address).await.into_iter().find(is_it).unwrap()
    };
    let site = house.app.config.server.public_url.host();

    // Accounts begin, and one of them ends.
    let invited = Command::Invite {
        address: EmailAddress::parse(CAROL).unwrap(),
        print: false,
        withdraw: false,
        dry_run: false,
    };
    operated(house, invited).await;
    // Fay never had a password, and makes a passkey by mail.
    let fay = house.visitor();
    fay.ask("/register", FAY).await.sees_inbox_page();
    fay.confirm(newest(FAY, "/confirm-email").await.path())
        .await;
    fay.ask("/forgot-password", FAY).await.sees_inbox_page();
    let token = json!({ "token": newest(FAY, "/reset-password").await.token() });
    make_passkey(house, &fay, "/reset-password/passkey", token).await;
    let [dan, ada] = [house.visitor(), house.visitor()].map(|it| it.calling_itself(BROWSER));
    let [ben, eve, gil] = [(); 3].map(|()| house.visitor());
    for (visitor, address) in [
        (&ben, BEN),
        (&eve, EVE),
        (&gil, GIL),
        (&dan, DAN),
        (&ada, ADA),
    ] {
        visitor.ask("/register", address).await.sees_inbox_page();
        let mail = newest(address, "/confirm-email").await;
        let fields = [("token", mail.token()), ("password", PASSWORD)];
        let begun = visitor.post("/confirm-email", &fields).await;
        begun.goes_on_to("/account");
    }
    dan.reauthenticate().await;
    let gone = dan.post("/account/delete", &[("email", DAN)]).await;
    gone.goes_on_to("/");

    // Ben's session is bound to his device, and somebody has a copy of its cookie.
    house
        .execute("UPDATE sessions SET bound_at = 1 WHERE user_id IN (SELECT id FROM users WHERE email LIKE 'ben%')")
        .await;
    let copied = ben.calling_itself(BROWSER);
    let copied = copied.get_plainly("/account").await;
    copied.goes_on_to("/sign-in?next=%2Faccount");

    // Somebody who reads Gil's mail sets his password, and he says that it was not he.
    house.advance(Duration::from_secs(61)); // past the gap
    let mut passkey = Authenticator::of(house, GIL).await;
    gil.ask("/forgot-password", GIL).await.sees_inbox_page();
    let mail = newest(GIL, "/reset-password").await;
    let fields = [("token", mail.token()), ("password", PASSWORD)];
    let set = gil.post("/reset-password", &fields).await;
    set.goes_on_to("/sign-in/password");
    gil.enter(GIL, PASSWORD).await.goes_on_to("/account");
    passkey.opens_gate(&gil).await;
    let said = gil
        .post("/account/reset-hold", &[("answer", "not-mine")])
        .await;
    said.goes_on_to("/account");

    // Ada forgets her password, sets another, and signs in by mail.
    ada.ask("/forgot-password", ADA).await.sees_inbox_page();
    let mail = newest(ADA, "/reset-password").await;
    let fields = [("token", mail.token()), ("password", PASSWORD)];
    let set = ada.post("/reset-password", &fields).await;
    set.goes_on_to("/sign-in/password");
    ada.ask("/sign-in", ADA).await.sees_inbox_page();
    let mail = newest(ADA, "/sign-in/link").await;
    ada.click(mail.path()).await.goes_on_to("/account");

    // Somebody guesses it, in vain, and very often; she changes it, and then her address, not to one that is taken.
    let wrong = [("email", ADA), ("password", "a horse that eats grass")];
    for _ in 0..5 {
        let guessed = house.visitor().post("/sign-in/password", &wrong).await;
        guessed.says_mistake("");
    }
    house
        .execute("UPDATE limits SET count = 99 WHERE name = 'passwords_in_a_row'")
        .await;
    house
        .execute("DELETE FROM limits WHERE name = 'password_per_account'")
        .await;
    let guessed = house.visitor().post("/sign-in/password", &wrong).await;
    guessed.says_mistake("");
    let (password, address) = ("quite another horse altogether", "countess@example.net");
    ada.reauthenticate().await;
    let changed = ada
        .post("/account/password", &[("password", password)])
        .await;
    changed.goes_on_to("/account");
    ada.reauthenticate_with(password).await;
    her_passkey_is_copied(house, &ada).await;
    passkey_comes_and_goes(house, &ada).await;
    for wanted in [BEN, address] {
        let asked = ada.post("/account/email", &[("email", wanted)]).await;
        asked.goes_on_to("/account/email");
    }
    let mail = newest(address, "/account/email/confirm").await;
    ada.use_link(&mail, address).await.goes_on_to("/account");

    // The operator has something to say, and so has an app that is built on this.
    announced(house, &news(house), address).await;
    told_by_an_app(house, address).await;

    // Ben is locked out and gets another address; Eve loses her account.
    let how = || How {
        dry_run: false,
        yes: true,
    };
    let lock = Command::Lock {
        who: who(BEN),
        dry_run: false,
    };
    operated(house, lock).await;
    house.advance(Duration::from_secs(61)); // past the gap
    house.visitor().ask("/sign-in", BEN).await.sees_inbox_page();
    let set_email = Command::SetEmail {
        who: who(BEN),
        new_address: EmailAddress::parse(BENS_NEXT).unwrap(),
        how: how(),
    };
    operated(house, set_email).await;
    let delete = Command::Delete {
        who: who(EVE),
        how: how(),
    };
    operated(house, delete).await;

    let everybody = [ADA, BEN, BENS_NEXT, CAROL, DAN, EVE, FAY, GIL, address];
    let all_sent = async || {
        let mut names = Vec::new();
        for address in everybody {
            let mails = mailbox(address).await;
            names.extend(mails.iter().map(|mail| name_of_letter(&mail.subject, site)));
        }
        LETTERS.iter().all(|(name, _)| names.contains(name))
    };
    eventually("every letter", all_sent).await;
}

/// The copy has counted to no more than the original.
async fn her_passkey_is_copied(house: &House, ada: &Visitor) {
    let mut passkey = Authenticator::at(house);
    let added = passkey.make_at(ada, "/account/passkeys/add").await;
    assert_eq!(added.status, StatusCode::OK, "{}", added.body);
    passkey.counts = false;
    let refused = passkey.sign_at(ada, "/reauthenticate/passkey").await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
}

/// Makes a passkey, as a script of the page with these fields does.
async fn make_passkey(house: &House, by: &Visitor, at: &str, mut fields: Value) {
    let mut authenticator = Authenticator::at(house);
    let options = by.script(&format!("{at}/options"), &fields).await.json();
    fields["credential"] = authenticator.make(&options);
    let made = by.script(at, &fields).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.body);
}

/// Adds one and removes it again.
async fn passkey_comes_and_goes(house: &House, owner: &Visitor) {
    make_passkey(house, owner, "/account/passkeys/add", json!({})).await;
    let list = owner.get("/account/passkeys").await;
    let id = list
        .between("href=\"/account/passkeys/", "/rename")
        .unwrap();
    let remove = format!("/account/passkeys/{id}/remove");
    let removed = owner.post(&remove, &[("sure", "yes")]).await;
    removed.goes_on_to("/account/passkeys");
}

/// The operator does this.
async fn operated(house: &House, command: Command) {
    let out = Out::default();
    let ended = users_command::run(command, house.app.clone(), &out);
    assert_eq!(ended.await.unwrap(), ExitCode::SUCCESS);
}

fn who(address: &str) -> Who {
    let who = Named::parse(address).unwrap();
    Who { who }
}

fn news(house: &House) -> String {
    let url = &house.app.config.server.public_url;
    NEWS.replace("SITE-URL", url.as_str())
        .replace("SITE", url.host())
}

/// Posts a letter such as an app of one's own sends.
async fn told_by_an_app(house: &House, to: &'static str) {
    let app = house.app.clone();
    let posted = house.app.transaction(move |tx| {
        let reader = users::of_address(tx, to)?.expect("somebody has this address");
        let subject = format!(
            "Your notes at {} are erased",
            app.config.server.public_url.host()
        );
        let letter = OwnLetter {
            name: "own",
            subject: &subject,
            paragraphs: &[
                "Every one of them is gone, \"a <b & c\" too.",
                "Begin anew:",
            ],
            link: Some((
                "Open your notes",
                &app.signed_links.to_page(tx, &reader, "/notes"),
            )),
        };
        app.outbox.post(tx, &letter.to(&app.config, &reader)?)
    });
    posted.await.unwrap();
}

/// Announces this, as the command does.
pub async fn announced(house: &House, text: &str, to: &str) -> ExitCode {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("news.md");
    std::fs::write(&file, text).unwrap();
    let arguments = Arguments {
        file,
        to: to.into(),
        dry_run: false,
        again: false,
        json: false,
    };
    let (config, clock) = ((*house.app.config).clone(), house.clock.clone());
    announce::run(arguments, config, clock, &Out::default())
        .await
        .unwrap()
}
