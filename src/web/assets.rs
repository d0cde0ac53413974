//! The static files, built into the program: there is no folder to traverse and nothing to list.
//!
//! Each is served under a name that carries a fingerprint of its bytes, so that a browser may keep it for
//! good; a name without it, or with another one, is a 404.

use std::sync::LazyLock;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::{HttpResponse, web};
use sha2::{Digest, Sha256};

/// The one stylesheet.
pub static STYLESHEET: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "doorpost.css",
        "text/css; charset=utf-8",
        include_bytes!("../../static/doorpost.css"),
    )
});

/// The one script; it only improves what works without it.
pub static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "doorpost.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../static/doorpost.js"),
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
        }
    }

    /// Where it is to be had.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn answer(&self) -> HttpResponse {
        HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, self.content_type))
            .insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"))
            .body(self.bytes)
    }
}

/// Serves each asset at its one address.
pub fn configure(cfg: &mut web::ServiceConfig) {
    for asset in [&STYLESHEET, &SCRIPT, &ICON] {
        cfg.service(
            web::resource(asset.url()).route(web::get().to(move || async { asset.answer() })),
        );
    }
}
