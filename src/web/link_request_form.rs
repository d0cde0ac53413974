//! The form that asks for mail: one address, and the same answer whatever is known of it.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use serde::Deserialize;

use crate::accounts::email_address::{self, EmailAddress};
use crate::accounts::signed_links::Purpose;
use crate::actions::request_link::{self, AskedBy, LinkKind, LinkRequest, Outcome};
use crate::db::Tx;
use crate::random;
use crate::web::field_error::FieldError;
use crate::web::page::{Frame, page_with, see_other};
use crate::web::rejection::Rejection;
use crate::web::return_url::ReturnUrl;
use crate::web::sealed_cookies::{CodeTaken, LookedAt, PendingRequest};
use crate::web::visitor::Visitor;

/// What the form sends.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct LinkRequestForm {
    email: String,
    next: String,
    /// "yes" on a shared computer.
    shared: String,
}

/// What the form shows.
#[derive(Default)]
pub struct LinkRequestView {
    pub email: String,
    pub next: Option<String>,
    pub shared: bool,
    pub error: Option<FieldError>,
}

impl LinkRequestView {
    /// An empty form that will lead on to the page named in the query, if a visitor may be sent there.
    pub fn empty(visitor: &Visitor) -> Result<Self, Rejection> {
        Ok(Self {
            next: visitor.next_in_query()?,
            ..Self::default()
        })
    }

    /// The app that this is on the way to, by its host.
    pub fn app(&self) -> Option<String> {
        ReturnUrl::app_behind(self.next.as_deref()?)
    }

    /// The same with the address filled in, for whoever just followed a link in ordinary mail to a browser that
    /// its account does not know. Nobody learns it by that: it is written in the mail.
    pub async fn for_reader(visitor: &Visitor) -> Result<Self, Rejection> {
        let form = Self::empty(visitor)?;
        let looked_at = LookedAt::of(&visitor.req, &visitor.app);
        let Some(token) = looked_at.notification(&visitor.app) else {
            return Ok(form);
        };
        let links = visitor.app.signed_links.clone();
        let reading = move |tx: &mut Tx| links.reader(tx, Purpose::Notification, &token);
        let reader = visitor.app.read(reading).await?;
        let email = reader.map_or_else(String::new, |reader| email_address::shown(&reader.email));
        Ok(Self { email, ..form })
    }
}

/// Takes the form that was sent to `route` and goes on to the page that waits for the inbox. With a mistake
/// in it, the form is shown again, as `page` lays it out.
pub async fn submit<P: Template>(
    visitor: &Visitor,
    form: LinkRequestForm,
    route: &'static str,
    kind: LinkKind,
    page: impl FnOnce(Frame, LinkRequestView) -> P,
) -> Result<HttpResponse, Rejection> {
    let next = visitor.next(&form.next);
    let shared = form.shared == "yes";
    let email = match EmailAddress::parse(&form.email) {
        Ok(email) => email,
        Err(why) => {
            let again = LinkRequestView {
                error: Some(FieldError::Address(why)),
                email: form.email,
                next,
                shared,
            };
            let page = page(visitor.frame(), again);
            return Ok(page_with(StatusCode::UNPROCESSABLE_ENTITY, &page)?);
        }
    };
    visitor.app.outbox.check_room()?;
    let made = PendingRequest {
        next,
        shared,
        ..PendingRequest::new(
            random::id(),
            email.as_str().to_owned(),
            route,
            visitor.now(),
        )
    };
    request(visitor, kind, email, made).await
}

async fn request(
    visitor: &Visitor,
    kind: LinkKind,
    email: EmailAddress,
    made: PendingRequest,
) -> Result<HttpResponse, Rejection> {
    let pending = visitor.pending_requests();
    let request = LinkRequest {
        id: made.id.clone(),
        kind,
        email,
        client: visitor.client(),
        asked_by: AskedBy::Browser {
            known: visitor.known().accounts().to_vec(),
            earlier: pending.ids(),
        },
    };
    let requested = visitor.act(move |tx, app| request_link::request(tx, app, &request));
    let made = match requested.await?? {
        Outcome::Sent { again_at } => PendingRequest { again_at, ..made },
        Outcome::SentBefore {
            again_at,
            link_request_id,
            takes_code,
        } => PendingRequest {
            at: pending
                .find(&link_request_id)
                .map_or(made.at, |earlier| earlier.at),
            id: link_request_id,
            code: match takes_code {
                true => CodeTaken::Here,
                false => CodeTaken::Nowhere,
            },
            again_at,
            ..made
        },
        Outcome::SentElsewhere { again_at } => PendingRequest {
            again_at,
            code: CodeTaken::Elsewhere,
            ..made
        },
    };
    let cookie = pending.with(made, &visitor.app)?;
    Ok(see_other("/sign-in/sent").cookie(cookie).finish())
}
