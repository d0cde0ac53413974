//! Every `Set-Cookie` line, as it leaves. Whoever made the cookie, its line is finished here.
//!
//! * `SameSite` stands last: lynx takes what follows it for another cookie's, and would send ours to nobody.
//! * All cookies of ours together stay below [`BUDGET`]. A proxy gives a head so much room and no more (nginx 4 KiB,
//!   unless told otherwise), and answers 502 to a browser that outgrew it, again and again. What a visitor misses
//!   least goes first: the oldest request for mail.
//! * The session of a shared computer ends with the browser, so its cookie has no age.

use actix_web::cookie::Cookie;
use actix_web::http::header::{HeaderMap, HeaderValue, SET_COOKIE};
use actix_web::{HttpMessage, HttpRequest};

use crate::app::App;
use crate::web::cookie_header::CookieHeader;
use crate::web::gate_cookie;
use crate::web::sealed_cookies;

/// What the cookies of ours weigh together at most, in bytes, as a browser sends them.
pub const BUDGET: usize = 3 * 1024;

/// Marks an answer whose session ends with the browser.
pub struct EndsWithBrowser;

/// Finishes the lines of an answer to this request.
pub fn finish(req: &HttpRequest, headers: &mut HeaderMap, app: &App) {
    let lines = headers.remove(SET_COOKIE);
    let mut lines: Vec<Line> = lines.filter_map(|line| Line::parse(&line)).collect();
    lines.extend(gate_cookie::lines(req).iter().filter_map(Line::of));
    if lines.is_empty() {
        return;
    }
    if req.extensions().contains::<EndsWithBrowser>() {
        let session = sealed_cookies::name(&app.config, "");
        let sessions = lines.iter_mut().filter(|line| line.name == session);
        sessions.for_each(Line::end_with_browser);
    }
    keep_within_budget(req, &mut lines, app);
    for line in lines {
        if let Ok(line) = HeaderValue::try_from(line.to_text()) {
            headers.append(SET_COOKIE, line);
        }
    }
}

/// What the browser carries from here on: what it brought, and what this answer makes of it.
fn keep_within_budget(req: &HttpRequest, lines: &mut Vec<Line>, app: &App) {
    let ours = sealed_cookies::name(&app.config, "");
    let mut carried = CookieHeader::sift(req.headers());
    for line in lines.iter() {
        line.put_into(&mut carried);
    }
    while carried.weight_of(&ours) + carried.weight_of(gate_cookie::NAME) > BUDGET {
        let Some(lighter) = sealed_cookies::lighten(&carried, app) else {
            return;
        };
        let Some(lighter) = Line::of(&lighter) else {
            return;
        };
        lighter.put_into(&mut carried);
        lines.retain(|line| line.name != lighter.name);
        lines.push(lighter);
    }
}

/// One cookie, as the line says it.
struct Line {
    name: String,
    value: String,
    attributes: Vec<String>,
}

impl Line {
    fn parse(line: &HeaderValue) -> Option<Self> {
        let mut parts = line.to_str().ok()?.split(';').map(str::trim);
        let (name, value) = parts.next()?.split_once('=')?;
        Some(Self {
            name: name.to_owned(),
            value: value.to_owned(),
            attributes: parts.map(str::to_owned).collect(),
        })
    }

    fn of(cookie: &Cookie<'_>) -> Option<Self> {
        let line = HeaderValue::try_from(cookie.encoded().to_string());
        line.ok().and_then(|line| Self::parse(&line))
    }

    fn put_into(&self, carried: &mut CookieHeader<'_>) {
        match self.attributes.iter().any(|part| part == "Max-Age=0") {
            true => carried.remove(&self.name),
            false => carried.set(&self.name, &self.value),
        }
    }

    fn end_with_browser(&mut self) {
        let is_age = |part: &str| part.starts_with("Max-Age=") || part.starts_with("Expires=");
        self.attributes.retain(|part| !is_age(part));
    }

    fn to_text(&self) -> String {
        let is_same_site = |part: &&String| part.starts_with("SameSite=");
        let (last, first): (Vec<_>, Vec<_>) = self.attributes.iter().partition(is_same_site);
        let pair = format!("{}={}", self.name, self.value);
        let parts = std::iter::once(pair.as_str());
        let parts = parts.chain(first.into_iter().chain(last).map(String::as_str));
        parts.collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_site_stands_last_and_nothing_else_moves() {
        let text = |line: &'static str| {
            Line::parse(&HeaderValue::from_static(line))
                .unwrap()
                .to_text()
        };
        assert_eq!(
            text("a=b=c; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=60"),
            "a=b=c; HttpOnly; Secure; Path=/; Max-Age=60; SameSite=Lax"
        );
        assert_eq!(text("a=; Path=/"), "a=; Path=/");
    }
}
