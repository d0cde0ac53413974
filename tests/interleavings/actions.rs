//! What can be done to an account, one row each: what it needs, what is shown for it, what it ends.
//!
//! A new action is one row, and is tried against all others from then on.

use std::pin::Pin;
use std::sync::Arc;

use doorpost::accounts::email_address::EmailAddress;
use doorpost::accounts::users::{Named, Operator};
use doorpost::actions::announce::{self, Fate};
use doorpost::actions::invite::{self, Invited, Told};
use doorpost::actions::lock_account::{self, Outcome as LockOutcome};
use doorpost::actions::make_sign_in_link::{self, Outcome as LinkOutcome};
use doorpost::actions::set_email::{self, Outcome as EmailOutcome};
use doorpost::actions::{delete_account, end_sessions};
use doorpost::app::App;
use doorpost::db::Tx;
use doorpost::error::Error;
use doorpost::mail::announcement::Announcement;
use doorpost::mail::outbox::kept::{self, Retried};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::json;

use super::program::Program;
use super::world::{
    CHANGE_LINK, CONFIRM_LINK, EVERY_SESSION, KNOWN_BROWSER, NOTIFICATION_LINK, OTHER, OWNER,
    PASSKEY, PASSWORD_BEFORE, PASSWORDS, PROGRAM, PROGRAM_CODE, REFRESH_TOKEN, RESET_LINK,
    SIGN_IN_LINK, UNDO_LINK, World,
};
use crate::support::{Authenticator, Mail, PASSWORD, Page, Visitor};

/// What has to be there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    SignIn,
    ProgramCode,
    Reset,
    Change,
    Undo,
    Confirm,
    UsedRefreshToken,
    Invitation,
    RefusedLetter,
    Lock,
    Passkey,
    /// Somebody has set the password by mail, and the owner has used the passkey since.
    ResetHold,
}

/// One row.
pub struct Action {
    pub name: &'static str,
    pub needs: &'static [Need],
    /// By what somebody does it.
    pub shows: &'static str,
    /// What opens nothing any more once it is done.
    pub ends: &'static [&'static str],
    /// The answers that say it is done. Whoever signs out twice is out.
    pub done: &'static [&'static str],
    act: fn(Turn) -> Pin<Box<dyn Future<Output = Got> + Send>>,
}

impl Action {
    /// Whether it is there to end a right or to change the account.
    pub fn ends_a_right(&self) -> bool {
        self.ends
            .iter()
            .any(|what| [OTHER, PROGRAM, NOTIFICATION_LINK, CHANGE_LINK].contains(what))
    }

    /// What an answer to it says, in short: done, no, or what no answer may say.
    pub fn said(&self, got: &Got) -> String {
        let Some(page) = &got.answer else {
            return String::new();
        };
        let answer = in_short(page);
        let refusals = [
            "303 /sign-in",
            "303 /reauthenticate",
            "303 /account/reset-hold",
        ];
        match page.status.as_u16() {
            _ if self.done.contains(&&*answer) => DONE.to_owned(),
            400..500 => NO.to_owned(),
            503 => NOT_DONE.to_owned(),
            _ if refusals.contains(&&*answer) => NO.to_owned(),
            _ => answer,
        }
    }

    /// Does it, at this node, as the first or the second of two.
    pub fn act(
        &self,
        world: &Arc<World>,
        node: &str,
        side: usize,
    ) -> Pin<Box<dyn Future<Output = Got> + Send>> {
        (self.act)(Turn {
            world: world.clone(),
            node: node.to_owned(),
            side,
        })
    }
}

/// It was done.
pub const DONE: &str = "done";
/// It was not, and somebody may not do it.
pub const NO: &str = "no";
/// It was not, and may be tried again.
pub const NOT_DONE: &str = "not done";

/// The answer: its status, and where it leads.
fn in_short(page: &Page) -> String {
    let leads_to = match page.status {
        StatusCode::SEE_OTHER => page.location().split('?').next().unwrap_or_default(),
        _ => "",
    };
    format!("{} {leads_to}", page.status.as_u16())
        .trim_end()
        .to_owned()
}

/// What came of it.
#[derive(Default)]
pub struct Got {
    pub answer: Option<Page>,
    /// The browser that did it.
    pub browser: Option<Visitor>,
    /// The program that did it.
    pub program: Option<Program>,
    /// What it was given.
    pub passkey: Option<Authenticator>,
}

impl Got {
    fn browser(browser: Visitor, answer: Page) -> Self {
        Self {
            browser: Some(browser),
            ..Self::answer(answer)
        }
    }

    fn program(program: Program, answer: Page) -> Self {
        Self {
            program: Some(program.with(&answer)),
            ..Self::answer(answer)
        }
    }

    /// A command shows no page: this is as if it did.
    fn command(done: Result<bool, Error>) -> Self {
        let status = match done {
            Ok(true) => StatusCode::OK,
            Ok(false) => StatusCode::CONFLICT,
            Err(Error::Unavailable(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Err(Error::Misconfigured(_) | Error::Internal(_)) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::answer(Page {
            status,
            headers: HeaderMap::new(),
            body: String::new(),
        })
    }

    fn answer(answer: Page) -> Self {
        Self {
            answer: Some(answer),
            ..Self::default()
        }
    }
}

/// Somebody is about to act.
struct Turn {
    world: Arc<World>,
    node: String,
    side: usize,
}

impl Turn {
    /// A browser of before. Each of two has a jar of its own: a thief's, say.
    fn with(&self, browser: &Visitor) -> Visitor {
        browser.with_copied_jar().moved_to(&self.node)
    }

    fn new_browser(&self) -> Visitor {
        self.with(&self.world.browser())
    }

    fn new_program(&self) -> Program {
        Program::new(&self.new_browser())
    }

    fn program(&self) -> Program {
        self.world.program.moved_to(&self.node)
    }

    fn mail(&self, name: &str) -> &Mail {
        &self.world.mails[name]
    }

    fn address(&self) -> &str {
        &self.world.address
    }

    fn new_password(&self) -> &'static str {
        PASSWORDS[self.side]
    }

    async fn posts(&self, browser: &Visitor, path: &str, fields: &[(&str, &str)]) -> Got {
        let browser = self.with(browser);
        let answer = browser.post(path, fields).await;
        Got::browser(browser, answer)
    }

    /// What the operator does at this node.
    async fn operates(
        &self,
        does: impl FnOnce(&mut Tx, &App) -> Result<bool, Error> + Send + 'static,
    ) -> Got {
        let app = self.world.stage.app(&self.node).clone();
        let acting = app.clone();
        Got::command(app.transaction(move |tx| does(tx, &acting)).await)
    }

    /// The same, to the account.
    async fn operates_on_it(
        &self,
        does: impl FnOnce(&mut Tx, &App, Operator, &Named) -> Result<bool, Error> + Send + 'static,
    ) -> Got {
        let named = Named::Id(self.world.id.clone());
        let operator = Operator::at_the_command_line();
        self.operates(move |tx, app| does(tx, app, operator, &named))
            .await
    }

    /// The passkey of before, in this browser.
    async fn signs(&self, browser: Visitor, ceremony: &str) -> Got {
        let mut passkey = self.world.passkey.clone().unwrap();
        let answer = passkey.sign_at(&browser, ceremony).await;
        Got::browser(browser, answer)
    }

    fn page_of_passkey(&self, does: &str) -> String {
        format!("/account/passkeys/{}/{does}", self.world.passkey_id)
    }

    async fn uses(&self, name: &str, address: &str) -> Got {
        let browser = self.new_browser();
        let answer = browser.use_link(self.mail(name), address).await;
        Got::browser(browser, answer)
    }
}

macro_rules! act {
    (|$turn:ident| $body:expr) => {
        |$turn| Box::pin(async move { $body })
    };
}

/// What a change of rights ends: everything that was open, and every link but the undo link.
const ALL_BUT_THE_ONE_THAT_ACTS: &[&str] = &[
    OWNER,
    OTHER,
    PROGRAM,
    REFRESH_TOKEN,
    PASSWORD_BEFORE,
    SIGN_IN_LINK,
    PROGRAM_CODE,
    RESET_LINK,
    CHANGE_LINK,
    NOTIFICATION_LINK,
    EVERY_SESSION,
];
const ALL: &[&str] = &[
    OWNER,
    OTHER,
    PROGRAM,
    REFRESH_TOKEN,
    PASSWORD_BEFORE,
    SIGN_IN_LINK,
    PROGRAM_CODE,
    RESET_LINK,
    CHANGE_LINK,
    NOTIFICATION_LINK,
    KNOWN_BROWSER,
    EVERY_SESSION,
];
/// Not even a passkey opens an account that is locked or gone.
const ALL_AND_PASSKEYS: &[&str] = &[
    OWNER,
    OTHER,
    PROGRAM,
    REFRESH_TOKEN,
    PASSWORD_BEFORE,
    PASSKEY,
    SIGN_IN_LINK,
    PROGRAM_CODE,
    RESET_LINK,
    CHANGE_LINK,
    NOTIFICATION_LINK,
    KNOWN_BROWSER,
    EVERY_SESSION,
];
/// What is left of nothing once the operator has another mailbox for the owner.
const ALL_AND_THE_WAY_BACK: &[&str] = &[
    OWNER,
    OTHER,
    PROGRAM,
    REFRESH_TOKEN,
    PASSWORD_BEFORE,
    SIGN_IN_LINK,
    PROGRAM_CODE,
    RESET_LINK,
    CHANGE_LINK,
    UNDO_LINK,
    NOTIFICATION_LINK,
    KNOWN_BROWSER,
    EVERY_SESSION,
];
/// What ends with a passkey: the password stays.
const ALL_BUT_THE_PASSWORD: &[&str] = &[
    OWNER,
    OTHER,
    PROGRAM,
    REFRESH_TOKEN,
    PASSKEY,
    SIGN_IN_LINK,
    PROGRAM_CODE,
    RESET_LINK,
    CHANGE_LINK,
    NOTIFICATION_LINK,
    EVERY_SESSION,
];
const LINKS: &[&str] = &[
    SIGN_IN_LINK,
    PROGRAM_CODE,
    RESET_LINK,
    CHANGE_LINK,
    NOTIFICATION_LINK,
];
/// What any sign-in ends.
const SIGN_IN_LINKS: &[&str] = &[SIGN_IN_LINK, PROGRAM_CODE];

pub const ACTIONS: &[Action] = &[
    Action {
        name: "reset the password",
        needs: &[Need::Reset],
        shows: RESET_LINK,
        ends: ALL,
        done: &["303 /sign-in/password"],
        act: act!(|turn| {
            let browser = turn.new_browser();
            let fields = [
                ("token", turn.mail(RESET_LINK).token()),
                ("email", turn.address()),
                ("password", turn.new_password()),
            ];
            let answer = browser.post("/reset-password", &fields).await;
            Got::browser(browser, answer)
        }),
    },
    Action {
        name: "change the password",
        needs: &[],
        shows: OWNER,
        ends: ALL_BUT_THE_ONE_THAT_ACTS,
        done: &["303 /account"],
        act: act!(|turn| {
            let fields = [("password", turn.new_password())];
            turn.posts(&turn.world.owner, "/account/password", &fields)
                .await
        }),
    },
    Action {
        name: "change the password by program",
        needs: &[],
        shows: PROGRAM,
        ends: ALL_BUT_THE_ONE_THAT_ACTS,
        done: &["200"],
        act: act!(|turn| {
            let (program, new) = (turn.program(), json!({"password": turn.new_password()}));
            let answer = program.post("/api/v1/me/password", &new).await;
            Got::program(program, answer)
        }),
    },
    Action {
        name: "undo a change of address",
        needs: &[Need::Undo],
        shows: UNDO_LINK,
        ends: ALL,
        done: &["303 /sign-in/sent"],
        act: act!(|turn| turn.uses(UNDO_LINK, &turn.world.former).await),
    },
    Action {
        name: "confirm a new address",
        needs: &[Need::Change],
        shows: CHANGE_LINK,
        ends: &[
            OTHER,
            PROGRAM,
            REFRESH_TOKEN,
            SIGN_IN_LINK,
            PROGRAM_CODE,
            RESET_LINK,
            CHANGE_LINK,
            NOTIFICATION_LINK,
        ],
        done: &["303 /account"],
        act: act!(|turn| turn.uses(CHANGE_LINK, &turn.world.next).await),
    },
    Action {
        name: "delete the account",
        needs: &[],
        shows: OWNER,
        ends: ALL_AND_PASSKEYS,
        done: &["303 /"],
        act: act!(|turn| {
            let fields = [("email", turn.address())];
            turn.posts(&turn.world.owner, "/account/delete", &fields)
                .await
        }),
    },
    Action {
        name: "delete the account by program",
        needs: &[],
        shows: PROGRAM,
        ends: ALL_AND_PASSKEYS,
        done: &["204"],
        act: act!(|turn| {
            let program = turn.program();
            let answer = program.delete("/api/v1/me").await;
            Got::program(program, answer)
        }),
    },
    Action {
        name: "delete the account by command",
        needs: &[],
        shows: "",
        ends: ALL_AND_PASSKEYS,
        done: &["200"],
        act: act!(|turn| turn
            .operates_on_it(|tx, app, operator, it| {
                Ok(delete_account::by_operator(tx, app, operator, it)?.is_some())
            })
            .await),
    },
    Action {
        name: "lock the account by command",
        needs: &[],
        shows: "",
        ends: ALL_AND_PASSKEYS,
        done: &["200"],
        act: act!(|turn| turn
            .operates_on_it(|tx, _, operator, it| {
                let locked = lock_account::lock(tx, operator, it)?;
                Ok(matches!(locked, LockOutcome::Done(_)))
            })
            .await),
    },
    Action {
        name: "set another address by command",
        needs: &[],
        shows: "",
        ends: ALL_AND_THE_WAY_BACK,
        done: &["200"],
        act: act!(|turn| {
            let third = EmailAddress::parse(&turn.world.third).unwrap();
            turn.operates_on_it(move |tx, app, operator, it| {
                let set = set_email::set(tx, app, operator, it, &third)?;
                Ok(matches!(set, EmailOutcome::Done { .. }))
            })
            .await
        }),
    },
    Action {
        name: "end all sessions by command",
        needs: &[],
        shows: "",
        ends: &[OWNER, OTHER, PROGRAM, REFRESH_TOKEN, KNOWN_BROWSER],
        done: &["200"],
        act: act!(|turn| turn
            .operates_on_it(|tx, _, operator, it| {
                Ok(end_sessions::end_all(tx, operator, it)?.is_some())
            })
            .await),
    },
    Action {
        name: "end all other sessions",
        needs: &[],
        shows: OWNER,
        ends: &[OTHER, PROGRAM, REFRESH_TOKEN],
        done: &["303 /account/sessions"],
        act: act!(|turn| turn
            .posts(&turn.world.owner, "/account/sessions/end-others", &[])
            .await),
    },
    Action {
        name: "end one session",
        needs: &[],
        shows: OWNER,
        ends: &[OTHER],
        done: &["303 /account/sessions"],
        act: act!(|turn| {
            let path = format!("/account/sessions/{}/end", turn.world.other_id);
            turn.posts(&turn.world.owner, &path, &[]).await
        }),
    },
    Action {
        name: "end one session by program",
        needs: &[],
        shows: PROGRAM,
        ends: &[OTHER],
        done: &["204"],
        act: act!(|turn| {
            let program = turn.program();
            let path = format!("/api/v1/me/sessions/{}", turn.world.other_id);
            let answer = program.delete(&path).await;
            Got::program(program, answer)
        }),
    },
    Action {
        name: "end all links",
        needs: &[],
        shows: OWNER,
        ends: LINKS,
        done: &["303 /account"],
        act: act!(|turn| turn
            .posts(&turn.world.owner, "/account/links/end", &[])
            .await),
    },
    Action {
        name: "turn notification links off",
        needs: &[],
        shows: OWNER,
        ends: &[NOTIFICATION_LINK, KNOWN_BROWSER],
        done: &["303 /account"],
        act: act!(|turn| turn
            .posts(&turn.world.owner, "/account/notification-links", &[])
            .await),
    },
    Action {
        name: "cancel a change of address",
        needs: &[Need::Change],
        shows: OWNER,
        ends: &[CHANGE_LINK],
        done: &["303 /account"],
        act: act!(|turn| turn
            .posts(&turn.world.owner, "/account/email/cancel", &[])
            .await),
    },
    Action {
        name: "sign out",
        needs: &[],
        shows: OTHER,
        ends: &[OTHER],
        done: &["303 /", "303 /sign-in"],
        act: act!(|turn| turn.posts(&turn.world.other, "/sign-out", &[]).await),
    },
    Action {
        name: "revoke a token",
        needs: &[],
        shows: REFRESH_TOKEN,
        ends: &[PROGRAM, REFRESH_TOKEN],
        done: &["200"],
        act: act!(|turn| Got::answer(turn.program().revoke().await)),
    },
    Action {
        name: "use a refresh token twice",
        needs: &[Need::UsedRefreshToken],
        shows: REFRESH_TOKEN,
        ends: &[PROGRAM, REFRESH_TOKEN],
        done: &["400"],
        act: act!(|turn| {
            let robbed = turn.world.robbed.as_ref().unwrap();
            Got::answer(robbed.moved_to(&turn.node).refresh().await)
        }),
    },
    Action {
        name: "sign in with the password",
        needs: &[],
        shows: PASSWORD_BEFORE,
        ends: SIGN_IN_LINKS,
        done: &["303 /account"],
        act: act!(|turn| {
            let browser = turn.new_browser();
            let answer = browser.enter(turn.address(), PASSWORD).await;
            Got::browser(browser, answer)
        }),
    },
    Action {
        name: "sign in with the password in a known browser",
        needs: &[],
        shows: PASSWORD_BEFORE,
        ends: SIGN_IN_LINKS,
        done: &["303 /account"],
        act: act!(|turn| {
            let browser = turn.with(&turn.world.away);
            let answer = browser.enter(turn.address(), PASSWORD).await;
            Got::browser(browser, answer)
        }),
    },
    Action {
        name: "sign in with the password by program",
        needs: &[],
        shows: PASSWORD_BEFORE,
        ends: SIGN_IN_LINKS,
        done: &["200"],
        act: act!(|turn| {
            let program = turn.new_program();
            let answer = program.sign_in(turn.address(), PASSWORD).await;
            Got::program(program, answer)
        }),
    },
    Action {
        name: "click a sign-in link",
        needs: &[Need::SignIn],
        shows: SIGN_IN_LINK,
        ends: SIGN_IN_LINKS,
        done: &["303 /account"],
        act: act!(|turn| {
            let browser = turn.with(&turn.world.asker);
            let answer = browser.click(turn.mail(SIGN_IN_LINK).path()).await;
            Got::browser(browser, answer)
        }),
    },
    Action {
        name: "use a sign-in link elsewhere",
        needs: &[Need::SignIn],
        shows: SIGN_IN_LINK,
        ends: SIGN_IN_LINKS,
        done: &["303 /account"],
        act: act!(|turn| turn.uses(SIGN_IN_LINK, turn.address()).await),
    },
    Action {
        name: "type a code",
        needs: &[Need::SignIn],
        shows: SIGN_IN_LINK,
        ends: SIGN_IN_LINKS,
        done: &["303 /account"],
        act: act!(|turn| {
            let browser = turn.with(&turn.world.asker);
            let answer = browser.type_code(turn.mail(SIGN_IN_LINK).code()).await;
            Got::browser(browser, answer)
        }),
    },
    Action {
        name: "type a code by program",
        needs: &[Need::ProgramCode],
        shows: PROGRAM_CODE,
        ends: SIGN_IN_LINKS,
        done: &["200"],
        act: act!(|turn| {
            let (program, code) = (turn.new_program(), turn.mail(PROGRAM_CODE).code());
            let answer = program.type_code(&turn.world.sign_in_id, code).await;
            Got::program(program, answer)
        }),
    },
    Action {
        name: "click a notification link",
        needs: &[],
        shows: NOTIFICATION_LINK,
        ends: &[],
        done: &["303 /account"],
        act: act!(|turn| {
            let browser = turn.with(&turn.world.away);
            let link = &turn.world.notification_link;
            let path = &link[turn.world.stage.house.url.len()..];
            let answer = browser.click(path).await;
            Got::browser(browser, answer)
        }),
    },
    Action {
        name: "confirm an email address",
        needs: &[Need::Confirm],
        shows: CONFIRM_LINK,
        ends: &[CONFIRM_LINK],
        done: &["303 /account"],
        act: act!(|turn| turn.uses(CONFIRM_LINK, &turn.world.next).await),
    },
    Action {
        name: "refresh a token",
        needs: &[],
        shows: REFRESH_TOKEN,
        ends: &[],
        done: &["200"],
        act: act!(|turn| {
            let program = turn.program();
            let answer = program.refresh().await;
            Got::program(program, answer)
        }),
    },
    Action {
        name: "reauthenticate",
        needs: &[],
        shows: PASSWORD_BEFORE,
        ends: &[OTHER],
        done: &["303 /account"],
        act: act!(|turn| {
            let fields = [("password", PASSWORD), ("next", "/account")];
            turn.posts(&turn.world.other, "/reauthenticate", &fields)
                .await
        }),
    },
    Action {
        name: "ask for a sign-in link",
        needs: &[],
        shows: "",
        ends: SIGN_IN_LINKS,
        done: &["303 /sign-in/sent"],
        act: act!(|turn| Got::answer(turn.new_browser().ask("/sign-in", turn.address()).await)),
    },
    Action {
        name: "ask for a sign-in link in a known browser",
        needs: &[],
        shows: "",
        ends: SIGN_IN_LINKS,
        done: &["303 /sign-in/sent"],
        act: act!(|turn| {
            Got::answer(
                turn.with(&turn.world.away)
                    .ask("/sign-in", turn.address())
                    .await,
            )
        }),
    },
    Action {
        name: "ask for a code by program",
        needs: &[],
        shows: "",
        ends: SIGN_IN_LINKS,
        done: &["202"],
        act: act!(|turn| Got::answer(turn.new_program().ask_for_code(turn.address()).await)),
    },
    Action {
        name: "ask for a reset link",
        needs: &[],
        shows: "",
        ends: &[RESET_LINK],
        done: &["303 /sign-in/sent"],
        act: act!(|turn| Got::answer(
            turn.new_browser()
                .ask("/forgot-password", turn.address())
                .await
        )),
    },
    Action {
        name: "ask for another address",
        needs: &[],
        shows: OWNER,
        ends: &[CHANGE_LINK],
        done: &["303 /account/email"],
        act: act!(|turn| {
            let fields = [("email", &*turn.world.third)];
            turn.posts(&turn.world.owner, "/account/email", &fields)
                .await
        }),
    },
    Action {
        name: "ask for another address by program",
        needs: &[],
        shows: PROGRAM,
        ends: &[CHANGE_LINK],
        done: &["202"],
        act: act!(|turn| {
            let (program, new) = (turn.program(), json!({"email": turn.world.third}));
            let answer = program.post("/api/v1/me/email", &new).await;
            Got::program(program, answer)
        }),
    },
    Action {
        name: "invite somebody",
        needs: &[],
        shows: "",
        ends: &[CONFIRM_LINK],
        done: &["200"],
        act: act!(|turn| {
            let next = EmailAddress::parse(&turn.world.next).unwrap();
            turn.operates(move |tx, app| {
                let invited = invite::invite(tx, app, &next, Told::ByMail)?;
                Ok(matches!(invited, Invited::Mailed))
            })
            .await
        }),
    },
    Action {
        name: "invite whoever has the former address",
        needs: &[Need::Undo],
        shows: "",
        ends: &[],
        done: &["200"],
        act: act!(|turn| {
            let former = EmailAddress::parse(&turn.world.former).unwrap();
            turn.operates(move |tx, app| {
                let invited = invite::invite(tx, app, &former, Told::ByMail)?;
                Ok(matches!(invited, Invited::Mailed))
            })
            .await
        }),
    },
    Action {
        name: "withdraw an invitation",
        needs: &[Need::Invitation],
        shows: "",
        ends: &[CONFIRM_LINK],
        done: &["200"],
        act: act!(|turn| {
            let next = EmailAddress::parse(&turn.world.next).unwrap();
            turn.operates(move |tx, _| invite::withdraw(tx, &next))
                .await
        }),
    },
    Action {
        name: "unlock the account by command",
        needs: &[Need::Lock],
        shows: "",
        ends: &[],
        done: &["200"],
        act: act!(|turn| turn
            .operates_on_it(|tx, _, operator, it| {
                let unlocked = lock_account::unlock(tx, operator, it)?;
                Ok(matches!(unlocked, LockOutcome::Done(_)))
            })
            .await),
    },
    Action {
        name: "make a sign-in link by command",
        needs: &[],
        shows: "",
        ends: SIGN_IN_LINKS,
        done: &["200"],
        act: act!(|turn| turn
            .operates_on_it(|tx, app, operator, it| {
                let made = make_sign_in_link::make(tx, app, operator, it)?;
                Ok(matches!(made, LinkOutcome::Made(_)))
            })
            .await),
    },
    Action {
        name: "try a refused letter again",
        needs: &[Need::RefusedLetter],
        shows: "",
        ends: &[],
        done: &["200"],
        act: act!(|turn| {
            let refused = turn.world.refused_letter.clone();
            turn.operates(move |tx, _| Ok(kept::retry(tx, &refused)? == Retried::Now))
                .await
        }),
    },
    Action {
        name: "announce something",
        needs: &[],
        shows: "",
        ends: &[],
        done: &["200"],
        act: act!(|turn| {
            let id = turn.world.id.clone();
            turn.operates(move |tx, app| {
                let home = &app.config.server.public_url;
                let announcement = Announcement::parse(b"# News\n\nThere are some.\n", home);
                let announcement = announcement.map_err(|_| Error::internal("a bad text"))?;
                Ok(announce::announce_to(tx, app, &announcement, &id)? == Fate::Told)
            })
            .await
        }),
    },
    Action {
        name: "sign in with a passkey",
        needs: &[Need::Passkey],
        shows: PASSKEY,
        ends: SIGN_IN_LINKS,
        done: &["200"],
        act: act!(|turn| turn.signs(turn.new_browser(), "/passkeys/sign-in").await),
    },
    Action {
        name: "open the gate with a passkey",
        needs: &[Need::Passkey],
        shows: PASSKEY,
        ends: &[OTHER],
        done: &["200"],
        act: act!(|turn| {
            let browser = turn.with(&turn.world.other);
            turn.signs(browser, "/reauthenticate/passkey").await
        }),
    },
    Action {
        name: "add a passkey",
        needs: &[],
        shows: OWNER,
        ends: &[],
        done: &["200"],
        act: act!(|turn| {
            let browser = turn.with(&turn.world.owner);
            let mut passkey = Authenticator::at(&turn.world.stage.house);
            passkey.counts = false;
            let answer = passkey.make_at(&browser, "/account/passkeys/add").await;
            Got {
                passkey: Some(passkey),
                ..Got::browser(browser, answer)
            }
        }),
    },
    Action {
        name: "remove a passkey",
        needs: &[Need::Passkey],
        shows: OWNER,
        ends: ALL_BUT_THE_PASSWORD,
        done: &["303 /account/passkeys"],
        act: act!(|turn| {
            let page = turn.page_of_passkey("remove");
            turn.posts(&turn.world.owner, &page, &[]).await
        }),
    },
    Action {
        name: "rename a passkey",
        needs: &[Need::Passkey],
        shows: OWNER,
        ends: &[],
        done: &["303 /account/passkeys"],
        act: act!(|turn| {
            let page = turn.page_of_passkey("rename");
            let name = ["The first one's", "The second one's"][turn.side];
            turn.posts(&turn.world.owner, &page, &[("name", name)])
                .await
        }),
    },
    Action {
        name: "say of a reset that it was mine",
        needs: &[Need::Passkey, Need::ResetHold],
        shows: OWNER,
        ends: &[],
        done: &["303 /account"],
        act: act!(|turn| {
            let said = [("answer", "mine")];
            turn.posts(&turn.world.owner, "/account/reset-hold", &said)
                .await
        }),
    },
    Action {
        name: "say of a reset that it was not mine",
        needs: &[Need::Passkey, Need::ResetHold],
        shows: OWNER,
        ends: ALL,
        done: &["303 /account"],
        act: act!(|turn| {
            // There whoever comes too late is sent on to.
            let said = [("answer", "not-mine"), ("next", "/account/reset-hold")];
            turn.posts(&turn.world.owner, "/account/reset-hold", &said)
                .await
        }),
    },
];
