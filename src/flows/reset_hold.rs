//! What waits after a reset by mail: the page that says so, and the question to the owner.
//!
//! Whoever wants what is held, and has used no passkey in this session, is sent here: to read until when it waits, or to use
//! one, which opens the gate and frees the session. Whoever has used one is asked whether the reset was theirs; whoever has
//! none, whether those that were added lately are. What the answers do is in [`reset_hold`](crate::actions::reset_hold).

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use askama::Template;
use serde::Deserialize;

use crate::accounts::client::Client;
use crate::accounts::passkeys;
use crate::actions::change_password::ThisSession;
use crate::actions::reset_hold::{self, Answered, Said};
use crate::flows::Answer;
use crate::web::next::Next;
use crate::web::page::{Frame, ShownHold, page_with, see_other};
use crate::web::rejection::Rejection;
use crate::web::step_up::{BehindGate, Reauthenticated, Sensitive};
use crate::web::visitor::{SignedIn, Visitor};

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/account/reset-hold").get(open).post(answer));
}

async fn open(SignedIn { visitor, .. }: SignedIn) -> Answer {
    let next = visitor
        .next_in_query()?
        .filter(|next| next != AnswerForm::PAGE);
    show(&visitor, StatusCode::OK, next).await
}

/// Where nothing is held, nothing is asked.
async fn show(visitor: &Visitor, status: StatusCode, next: Option<String>) -> Answer {
    let Some((session, hold)) = visitor.session.clone().zip(visitor.hold()) else {
        return Ok(see_other(&onward(next)).finish());
    };
    let list = visitor
        .app
        .read(move |tx| passkeys::list(tx, &session.user_id));
    let list = list.await?;
    let young = list
        .iter()
        .filter(|passkey| passkey.is_young(hold.began_at));
    let page = HoldPage {
        frame: visitor.frame(),
        young: young.map(|passkey| passkey.name.clone()).collect(),
        hold,
        next,
    };
    Ok(page_with(status, &page)?)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AnswerForm {
    answer: String,
    next: String,
}

impl BehindGate for AnswerForm {
    const PAGE: &'static str = ShownHold::PAGE;

    fn typed(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}

async fn answer(Sensitive { gate, form }: Sensitive<AnswerForm>) -> Answer {
    let visitor = &gate.visitor;
    let next = visitor.next(&form.next);
    let (client, here) = (
        visitor.client(),
        ThisSession {
            id: gate.session.id.clone(),
            token: gate.token().clone(),
        },
    );
    let (gone, answered) = match form.answer.as_str() {
        "mine" => (
            "",
            answer_for_reset(&gate, &form, Said::Mine, here, client).await?,
        ),
        "not-mine" => (
            "That password is gone, and everybody else is signed out. Change the password of your mailbox now.",
            answer_for_reset(&gate, &form, Said::NotMine, here, client).await?,
        ),
        "young-not-mine" => (
            "They are gone, and everybody else is signed out.",
            gate.act(move |tx, app, owner| {
                reset_hold::disown_young(tx, app, owner, &here, &client)
            })
            .await?,
        ),
        _ => return show(visitor, StatusCode::UNPROCESSABLE_ENTITY, next).await,
    };
    match answered {
        Answered::Lifted => visitor.done("Nothing waits for a passkey any more.", &onward(next)),
        Answered::Disowned(token) => {
            if let Some(token) = token {
                visitor.hand_over(&token, &gate.session)?;
            }
            visitor.done(gone, Next::DEFAULT)
        }
        Answered::TooLate => Ok(see_other(&onward(next)).finish()),
    }
}

async fn answer_for_reset(
    gate: &Reauthenticated,
    form: &AnswerForm,
    said: Said,
    here: ThisSession,
    client: Client,
) -> Result<Answered, Rejection> {
    gate.act_settled(form, move |tx, app, owner| {
        reset_hold::answer(tx, app, owner, said, &here, &client)
    })
    .await
}

fn onward(next: Option<String>) -> String {
    next.unwrap_or_else(|| Next::DEFAULT.to_owned())
}

#[derive(Template)]
#[template(path = "account/reset_hold.html")]
struct HoldPage {
    frame: Frame,
    hold: ShownHold,
    /// What those passkeys are called that were added shortly before the reset, or since.
    young: Vec<String>,
    next: Option<String>,
}
