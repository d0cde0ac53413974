//! What a visitor asked of an app, by the word of the proxy that asks us whether they may.
//!
//! Proxies say it in different ways, and understand different answers:
//!
//! | proxy | says it by | takes for an answer |
//! |---|---|---|
//! | Caddy, Traefik, HAProxy (by our Lua) | `X-Forwarded-Host`, `-Uri`, `-Method` | anything, and hands it on |
//! | nginx (`auth_request`) | `X-Original-URL`, `-Method` | 2xx, 401 or 403; anything else is an error of 500 |
//! | Envoy (`ext_authz`) | its own request: our prefix and the path, `Host`, the method | 200, or anything, and hands it on |
//!
//! Only a proxy that `TRUSTED_PROXIES` names is believed. Whoever is not says nothing; that leads nowhere, and back to
//! nowhere. One that says it in two ways hands on the word of its visitor in one of them, and nobody passes.

use std::borrow::Cow;

use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::http::header::{ACCEPT, HOST, HeaderMap, REFERER, SEC_WEBSOCKET_VERSION, UPGRADE};
use percent_encoding::{CONTROLS, percent_encode};
use url::Url;

use crate::config::{Config, PublicUrl};
use crate::web::forwarded_for;
use crate::web::headers::{only, only_value};
use crate::web::next::Next;
use crate::web::rejection::Rejection;

/// What of Envoy's path was asked for, in a route.
pub const ENVOY: &str = "original";

/// What the proxy makes of our answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// Whoever does not pass gets it as it is.
    Redirect,
    /// It only looks at the status.
    #[default]
    Status,
    /// The same as `Redirect`, but that whoever passes is a 200.
    Envoy,
}

/// What a visitor asked an app for.
#[derive(Clone, Debug)]
pub struct OriginalRequest {
    pub style: Style,
    /// Of which app, by its host (and its port, where that does not go without saying) in lower case, and which page; `None`
    /// where no proxy says so.
    pub page: Option<AppPage>,
    method: Method,
    is_by_script: bool,
    referrer: Option<String>,
}

/// A page of an app, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppPage {
    pub host: String,
    /// Path and query.
    pub uri: String,
}

impl OriginalRequest {
    /// What the proxy says that makes this request.
    pub fn by(req: &HttpRequest, config: &Config) -> Result<Self, Rejection> {
        let headers = req.headers();
        let said = match forwarded_for::is_proxied(req, &config.proxies.trusted) {
            true => Said::by(req)?,
            false => Said::default(),
        };
        let method = said.method.and_then(|name| name.parse().ok());
        Ok(Self {
            style: said.style,
            page: said
                .host
                .zip(said.uri)
                .and_then(|(host, uri)| AppPage::parse(&host, &uri, &config.server.public_url)),
            method: method.unwrap_or(Method::GET),
            is_by_script: is_by_script(headers),
            referrer: only(headers, REFERER.as_str()).map(str::to_owned),
        })
    }

    /// Whether nobody looks at a page that it could be answered by: a script, a program.
    pub fn is_for_nobody_to_see(&self) -> bool {
        let shows = [Method::GET, Method::HEAD, Method::POST].contains(&self.method);
        self.is_by_script || !shows
    }

    /// The page to come back to: the one that was asked for or, of a form, the one that it stood on. One that cannot be
    /// named leads to the app's first page.
    pub fn way_back(&self, config: &Config) -> Option<Next> {
        let page = self.page.as_ref()?;
        let wanted = match self.method == Method::POST {
            true => self.page_of_form(page),
            false => Some(page.clone()),
        };
        let first = || AppPage {
            uri: "/".to_owned(),
            ..page.clone()
        };
        wanted
            .and_then(|page| page.next(config))
            .or_else(|| first().next(config))
    }

    fn page_of_form(&self, page: &AppPage) -> Option<AppPage> {
        let referrer = Url::parse(self.referrer.as_deref()?).ok()?;
        let stood_on = AppPage {
            host: referrer.authority().to_owned(),
            uri: referrer[url::Position::BeforePath..url::Position::AfterQuery].to_owned(),
        };
        (stood_on.host == page.host).then_some(stood_on)
    }
}

impl AppPage {
    /// A host is known by one spelling alone: by another, its port's say, it would be another one to the rules.
    fn parse(host: &str, uri: &str, site: &PublicUrl) -> Option<Self> {
        let host = host.to_ascii_lowercase();
        let default_port = if site.is_https() { ":443" } else { ":80" };
        let page = Self {
            host: host.strip_suffix(default_port).unwrap_or(&host).to_owned(),
            uri: uri.to_owned(),
        };
        let url = Url::parse(&page.origin(site)).ok()?;
        let is_host = url.authority() == page.host && !page.host.contains('@');
        (is_host && uri.starts_with('/')).then_some(page)
    }

    /// Where the app is. Apps are on https if this site is: by whichever scheme one was asked for.
    pub fn origin(&self, site: &PublicUrl) -> String {
        let scheme = if site.is_https() { "https" } else { "http" };
        format!("{scheme}://{}", self.host)
    }

    /// The way there, if visitors may be sent there.
    fn next(&self, config: &Config) -> Option<Next> {
        let site = &config.server.public_url;
        let origin = self.origin(site);
        match origin == site.as_str() {
            true => Next::here(&self.uri),
            false => Next::parse(&format!("{origin}{}", self.uri), config),
        }
    }
}

/// The proxy's words.
#[derive(Default)]
struct Said<'a> {
    style: Style,
    method: Option<&'a str>,
    host: Option<Cow<'a, str>>,
    uri: Option<Cow<'a, str>>,
}

impl<'a> Said<'a> {
    fn by(req: &'a HttpRequest) -> Result<Self, Rejection> {
        let says = |name: &str| only(req.headers(), name);
        if let Some(uri) = by_envoy(req) {
            return Ok(Self {
                style: Style::Envoy,
                method: Some(req.method().as_str()),
                host: says(HOST.as_str()).map(Cow::from),
                uri: Some(uri.into()),
            });
        }
        let comes = |name: &str| req.headers().contains_key(name);
        if comes("x-forwarded-uri") && comes("x-original-url") {
            tracing::warn!(
                event = "original_request_said_twice",
                "a proxy says in two ways what was asked for, in one of them by its visitor's word: nobody passes"
            );
            return Err(Rejection::Unreadable);
        }
        if comes("x-forwarded-uri") {
            return Ok(Self {
                style: Style::Redirect,
                method: says("x-forwarded-method"),
                host: says("x-forwarded-host").map(Cow::from),
                uri: address(req.headers(), "x-forwarded-uri"),
            });
        }
        let url = address(req.headers(), "x-original-url");
        let original = url.as_deref().and_then(|url| url.split_once("://"));
        let original =
            original.map(|(_, rest)| rest.split_at(rest.find('/').unwrap_or(rest.len())));
        Ok(Self {
            style: Style::Status,
            method: says("x-original-method"),
            host: original.map(|(host, _)| host.to_owned().into()),
            uri: original.map(|(_, uri)| uri.to_owned().into()),
        })
    }
}

/// An address that a header brings exactly once, with its letters escaped as browsers escape them: curl sends them as they were
/// typed, and most proxies hand them on so.
fn address<'a>(headers: &'a HeaderMap, name: &str) -> Option<Cow<'a, str>> {
    let value = only_value(headers, name)?;
    Some(percent_encode(value.as_bytes(), CONTROLS).into())
}

/// The path that was asked for, with its query, of a question by Envoy: what follows its own.
fn by_envoy(req: &HttpRequest) -> Option<&str> {
    let path = req.uri().path_and_query()?.as_str();
    let (_, question) = path.split_once("/envoy/")?;
    let is_by_envoy = req.match_info().get(ENVOY).is_some();
    is_by_envoy.then(|| &path[path.len() - question.len() - 1..])
}

/// By what browsers and libraries say; of a WebSocket some proxies keep back that it is an `Upgrade`, and browsers how it was
/// fetched. Who says nothing may be a person.
fn is_by_script(headers: &HeaderMap) -> bool {
    let says = |name: &str| only(headers, name).unwrap_or_default();
    let navigates = match says("sec-fetch-mode") {
        "" => !asks_for_data(says(ACCEPT.as_str())),
        mode => mode == "navigate",
    };
    !navigates
        || headers.contains_key(UPGRADE)
        || headers.contains_key(SEC_WEBSOCKET_VERSION)
        || says("x-requested-with").eq_ignore_ascii_case("XMLHttpRequest")
}

fn asks_for_data(accept: &str) -> bool {
    accept.contains("json") && !accept.contains("html")
}
