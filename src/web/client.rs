//! Who makes a request: from which network, with what browser or program.

use actix_web::HttpRequest;
use actix_web::http::header::USER_AGENT;

use crate::accounts::client::{Client, Label};
use crate::accounts::limits::Network;
use crate::config::Config;
use crate::web::forwarded_for;
use crate::web::marks::request_id;

/// Who makes this request of a page.
pub fn of(req: &HttpRequest, config: &Config) -> Client {
    let agent = req.headers().get(USER_AGENT);
    let agent = agent
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    Client {
        network: Network::of(forwarded_for::address(req, &config.proxies.trusted)),
        product: product(agent),
        is_program: first_in(agent, PROGRAMS).is_some(),
        label: Label::default(),
        request_id: request_id(req).unwrap_or_default(),
    }
}

/// Who makes this request of the API: a program, whatever it calls itself.
pub fn of_program(req: &HttpRequest, config: &Config, label: Label) -> Client {
    Client {
        is_program: true,
        label,
        ..of(req, config)
    }
}

/// A browser or a program in our own coarse words; nothing the visitor wrote gets into a page or letter.
fn product(agent: &str) -> Option<String> {
    let name = first_in(agent, PROGRAMS).or_else(|| first_in(agent, BROWSERS));
    let system = first_in(agent, SYSTEMS);
    match (name, system) {
        (Some(name), Some(system)) => Some(format!("{name} on {system}")),
        (name, system) => name.or(system).map(str::to_owned),
    }
}

/// By what it calls itself: the mark, and our name for it.
type Names = &'static [(&'static str, &'static str)];

/// What makes requests for programs: tools, and libraries by their language. Some claim to be browsers besides.
const PROGRAMS: Names = &[
    ("curl/", "curl"),
    ("Wget/", "Wget"),
    ("HTTPie/", "HTTPie"),
    ("PostmanRuntime/", "Postman"),
    ("insomnia/", "Insomnia"),
    ("PowerShell/", "PowerShell"),
    ("python", "Python"),
    ("Python", "Python"),
    ("aiohttp/", "Python"),
    ("okhttp/", "OkHttp"),
    ("Apache-HttpClient/", "Java"),
    ("Java-http-client/", "Java"),
    ("Java/", "Java"),
    ("Dalvik/", "an app"),
    ("CFNetwork/", "an app"),
    ("Dart/", "Dart"),
    ("Go-http-client/", "Go"),
    ("axios/", "Node.js"),
    ("node", "Node.js"),
    ("undici", "Node.js"),
    ("Deno/", "Deno"),
    ("Bun/", "Bun"),
    ("reqwest/", "Rust"),
    ("ureq/", "Rust"),
    ("GuzzleHttp/", "PHP"),
    ("PHP", "PHP"),
    ("Faraday", "Ruby"),
    ("Ruby", "Ruby"),
    ("libwww-perl/", "Perl"),
    ("RestSharp/", ".NET"),
];

/// The order matters: every browser claims to be those that came before it.
const BROWSERS: Names = &[
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Vivaldi/", "Vivaldi"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("Lynx/", "Lynx"),
    ("w3m/", "w3m"),
    ("ELinks", "ELinks"),
    ("Links (", "Links"),
    ("NetSurf/", "NetSurf"),
    ("Dillo/", "Dillo"),
];

const SYSTEMS: Names = &[
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "Mac"),
    ("Darwin/", "an Apple device"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
    ("linux", "Linux"),
];

fn first_in(agent: &str, names: Names) -> Option<&'static str> {
    names
        .iter()
        .find(|(mark, _)| agent.contains(mark))
        .map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn browsers_and_programs_are_named_in_our_own_words() {
        let kind = |agent: &'static str| {
            let req = TestRequest::default()
                .peer_addr("192.0.2.1:80".parse().unwrap())
                .insert_header((USER_AGENT, agent))
                .to_http_request();
            let config = Config::from_environment([("SECRET_KEY", "")]).unwrap();
            let by_api = of_program(&req, &config, Label::default());
            (of(&req, &config).kind(), by_api.kind())
        };
        for (agent, browser, program) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
                "Firefox on Windows",
                "a program (Firefox on Windows)",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 Version/18.0 Mobile/15E148 Safari/604.1",
                "Safari on iPhone",
                "a program (Safari on iPhone)",
            ),
            (
                "Lynx/2.9.0dev.12 libwww-FM/2.14 SSL-MM/1.4.1",
                "Lynx",
                "a program (Lynx)",
            ),
            ("curl/8.14.1", "a program (curl)", "a program (curl)"),
            (
                "python-requests/2.32.5",
                "a program (Python)",
                "a program (Python)",
            ),
            (
                "Python-urllib/3.13",
                "a program (Python)",
                "a program (Python)",
            ),
            ("okhttp/5.0.0", "a program (OkHttp)", "a program (OkHttp)"),
            (
                "MyApp/7 CFNetwork/3826.400.120 Darwin/24.3.0",
                "a program (an app on an Apple device)",
                "a program (an app on an Apple device)",
            ),
            (
                "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.26100.1",
                "a program (PowerShell on Windows)",
                "a program (PowerShell on Windows)",
            ),
            (
                "<a href=//e.test>",
                "an unknown browser",
                "an unknown program",
            ),
            ("", "an unknown browser", "an unknown program"),
        ] {
            assert_eq!(
                kind(agent),
                (browser.to_owned(), program.to_owned()),
                "{agent}"
            );
        }
    }
}
