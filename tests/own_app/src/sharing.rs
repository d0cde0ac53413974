//! A member shares a note: the page that makes a link, the list of those that are out, and what whoever has one sees.
//!
//! Loading a page opens nothing: mail scanners and the previews of chats load it before anybody reads it. One button
//! does, and is counted. Nobody is signed in by it, and every link that does not work is answered with one page.

use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use askama::Template;
use doorpost::actions::follow_link;
use doorpost::flows::Answer;
use doorpost::humanize;
use doorpost::random::Token;
use doorpost::web::form::{Form, NoFields};
use doorpost::web::page::{confidential, page, page_with};
use doorpost::web::path_id::PathId;
use doorpost::web::rejection::Rejection;
use doorpost::web::visitor::{SignedIn, Visitor};
use serde::Deserialize;

use crate::notes::{self, Note};
use crate::share_links::{self, MOST_DAYS, MOST_TIMES, SHARE_NOTE, ShareLink, Terms};

pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/notes/{id}/share").get(ask).post(make))
        .service(web::resource("/share-links").get(list))
        .service(web::resource("/share-links/{id}/end").post(end))
        .service(web::resource(SHARE_NOTE.route()).get(look).post(open));
}

async fn ask(signed_in: SignedIn, PathId(id): PathId) -> Answer {
    let usual = TermsForm {
        times: "10".to_owned(),
        days: "7".to_owned(),
    };
    show_form(&signed_in, id, StatusCode::OK, usual).await
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TermsForm {
    times: String,
    days: String,
}

impl TermsForm {
    /// `None`: something is missing, or no number that a link can have.
    fn read(&self) -> Option<Terms> {
        let number = |typed: &str, most: u32| {
            let number: u32 = typed.trim().parse().ok()?;
            (1..=most).contains(&number).then_some(number)
        };
        Some(Terms {
            times: number(&self.times, MOST_TIMES)?,
            days: number(&self.days, MOST_DAYS)?,
        })
    }
}

/// The link stands in the answer itself: nobody keeps it, so that no other page could show it.
async fn make(signed_in: SignedIn, PathId(id): PathId, Form(form): Form<TermsForm>) -> Answer {
    let Some(terms) = form.read() else {
        return show_form(&signed_in, id, StatusCode::UNPROCESSABLE_ENTITY, form).await;
    };
    let made = signed_in.act(move |tx, app, by| share_links::make(tx, app, by, &id, &terms));
    let url = made.await?.ok_or(Rejection::NotFound)?;
    let frame = signed_in.visitor.frame();
    let made = frame.around("Your link", MadePage { url });
    Ok(confidential(page(&made)?))
}

async fn show_form(
    signed_in: &SignedIn,
    note_id: String,
    status: StatusCode,
    form: TermsForm,
) -> Answer {
    let SignedIn { visitor, session } = signed_in;
    let user_id = session.user_id.clone();
    let found = visitor
        .app
        .read(move |tx| notes::find(tx, &user_id, &note_id));
    let content = SharePage {
        note: found.await?.ok_or(Rejection::NotFound)?,
        is_mistyped: status != StatusCode::OK,
        form,
    };
    let frame = visitor.frame();
    Ok(page_with(
        status,
        &frame.around("Share this note", content),
    )?)
}

async fn list(SignedIn { visitor, session }: SignedIn) -> Answer {
    let listed = visitor
        .app
        .read(move |tx| share_links::list(tx, &session.user_id));
    let dated = |(link, ends_at)| (link, humanize::moment(ends_at));
    let content = ListPage {
        links: listed.await?.into_iter().map(dated).collect(),
    };
    Ok(page(&visitor.frame().around("Links you made", content))?)
}

async fn end(signed_in: SignedIn, PathId(id): PathId, _: Form<NoFields>) -> Answer {
    let ended = signed_in.act(move |tx, _, by| share_links::end(tx, by, &id));
    if !ended.await? {
        return Err(Rejection::NotFound);
    }
    signed_in.visitor.done("The link is ended.", "/share-links")
}

/// Anybody, with a link.
async fn look(visitor: Visitor) -> Answer {
    let query = visitor.query()?;
    let Some(token) = query.get("token").and_then(|text| Token::parse(text)) else {
        return gone(&visitor).await;
    };
    let looked_at = token.clone();
    let left = visitor
        .app
        .read(move |tx| share_links::left(tx, &looked_at));
    let Some(left) = left.await? else {
        return gone(&visitor).await;
    };
    let content = LookPage {
        token: token.reveal().to_owned(),
        left: humanize::times(left.unsigned_abs()),
    };
    let frame = visitor.frame();
    Ok(confidential(page(
        &frame.around("A note for you", content),
    )?))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OpenForm {
    token: String,
}

async fn open(visitor: Visitor, Form(form): Form<OpenForm>) -> Answer {
    let Some(token) = Token::parse(&form.token) else {
        return gone(&visitor).await;
    };
    let opened = visitor.act(move |tx, _| share_links::open(tx, &token));
    let Some(text) = opened.await? else {
        return gone(&visitor).await;
    };
    let frame = visitor.frame();
    let content = OpenPage { text };
    Ok(confidential(page(
        &frame.around("A note for you", content),
    )?))
}

/// Used up, over, ended, or made up: nobody is told which. Whoever brings many such is guessing, and waits.
async fn gone(visitor: &Visitor) -> Answer {
    let client = visitor.client();
    visitor
        .act(move |tx, app| follow_link::count_dead(tx, app, SHARE_NOTE, &client))
        .await??;
    let frame = visitor.frame_of_dead_end();
    let content = frame.around("This link does not work", GonePage {});
    Ok(confidential(page_with(StatusCode::GONE, &content)?))
}

#[derive(Template)]
#[template(path = "sharing/share.html")]
struct SharePage {
    note: Note,
    is_mistyped: bool,
    form: TermsForm,
}

#[derive(Template)]
#[template(path = "sharing/made.html")]
struct MadePage {
    url: String,
}

#[derive(Template)]
#[template(path = "sharing/list.html")]
struct ListPage {
    /// And when it ends.
    links: Vec<(ShareLink, String)>,
}

#[derive(Template)]
#[template(path = "sharing/look.html")]
struct LookPage {
    token: String,
    /// How many times it can still be opened.
    left: String,
}

#[derive(Template)]
#[template(path = "sharing/open.html")]
struct OpenPage {
    text: String,
}

#[derive(Template)]
#[template(path = "sharing/gone.html")]
struct GonePage {}
