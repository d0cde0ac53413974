//! The static files, built into the program: there is no folder to traverse and nothing to list.
//!
//! Each is served under a name that carries a fingerprint of its bytes, so that a browser may keep it for
//! good; a name without it, or with another one, is a 404.

use std::io::Read;
use std::sync::LazyLock;

use actix_web::http::header::{
    AcceptEncoding, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, Encoding, Header, VARY,
};
use actix_web::{HttpRequest, HttpResponse, web};
use flate2::Compression;
use flate2::read::GzEncoder;
use sha2::{Digest, Sha256};

use crate::app::App;

/// The one stylesheet.
pub static STYLESHEET: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "doorpost.css",
        "text/css; charset=utf-8",
        include_bytes!("../../static/doorpost.css"),
    )
});

/// The script of every page; it only improves what works without it.
pub static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "doorpost.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../static/doorpost.js"),
    )
});

/// What pages with a place for a passkey add to it.
pub static PASSKEYS: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "passkeys.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../static/passkeys.js"),
    )
});

/// The mark.
pub static ICON: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "icon.svg",
        "image/svg+xml; charset=utf-8",
        include_bytes!("../../static/icon.svg"),
    )
});

/// A file that is part of the program.
pub struct Asset {
    url: String,
    content_type: &'static str,
    bytes: &'static [u8],
    /// The same in fewer bytes.
    gzipped: web::Bytes,
}

impl Asset {
    fn new(name: &str, content_type: &'static str, bytes: &'static [u8]) -> Self {
        let fingerprint: String = Sha256::digest(bytes)
            .iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            url: format!("/static/{fingerprint}/{name}"),
            content_type,
            bytes,
            gzipped: gzip(bytes).into(),
        }
    }

    /// Where it is to be had.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn answer(&self, req: &HttpRequest) -> HttpResponse {
        let mut answer = HttpResponse::Ok();
        if is_shown_beside(req) {
            answer.insert_header(("cross-origin-resource-policy", "same-site"));
        }
        answer
            .insert_header((CONTENT_TYPE, self.content_type))
            .insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"))
            .insert_header((VARY, "accept-encoding"));
        if takes_gzip(req) {
            answer.insert_header((CONTENT_ENCODING, "gzip"));
            return answer.body(self.gzipped.clone());
        }
        answer.body(self.bytes)
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzipped = Vec::new();
    // Reading from memory cannot fail.
    let _ = GzEncoder::new(bytes, Compression::best()).read_to_end(&mut gzipped);
    gzipped
}

/// Whether apps at sibling hosts show a page of ours, with its stylesheet: the one for who may not pass.
fn is_shown_beside(req: &HttpRequest) -> bool {
    let app = req.app_data::<web::Data<App>>();
    app.is_some_and(|app| !app.config.gateway.return_hosts.is_empty())
}

fn takes_gzip(req: &HttpRequest) -> bool {
    let offered = [Encoding::gzip(), Encoding::identity()];
    AcceptEncoding::parse(req)
        .ok()
        .and_then(|accepted| accepted.negotiate(offered.iter()))
        .is_some_and(|chosen| chosen == Encoding::gzip())
}

/// Serves each asset at its one address.
pub fn configure(cfg: &mut web::ServiceConfig) {
    for asset in [&STYLESHEET, &SCRIPT, &PASSKEYS, &ICON] {
        cfg.service(
            web::resource(asset.url())
                .route(web::get().to(move |req: HttpRequest| async move { asset.answer(&req) })),
        );
    }
}
