//! The pages that are not about signing in: the home page, and one for members. Yours start here.
//!
//! A handler that takes [`Visitor`] is for everybody and knows who they are; one that takes [`SignedIn`] is for
//! members, and sends a stranger to sign in and back. A page of your own is a handler like [`members`], a
//! template like `templates/pages/members.html` and a line in [`configure`]; nothing else has to change. Or they are
//! in a crate of your own, and come in as these do: by [`Server::pages`](crate::server::Server::pages).

use actix_web::web::{self, ServiceConfig};
use askama::Template;

use crate::accounts::sessions::Session;
use crate::flows::Answer;
use crate::web::page::{Frame, page};
use crate::web::visitor::{SignedIn, Visitor};

/// The URLs of these pages.
pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/").get(home))
        .service(web::resource("/members").get(members));
}

async fn home(visitor: Visitor) -> Answer {
    let frame = visitor.frame();
    Ok(page(&HomePage { frame })?)
}

async fn members(SignedIn { visitor, session }: SignedIn) -> Answer {
    let frame = visitor.frame();
    Ok(page(&MembersPage { frame, session })?)
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    frame: Frame,
}

#[derive(Template)]
#[template(path = "pages/members.html")]
struct MembersPage {
    frame: Frame,
    session: Session,
}
