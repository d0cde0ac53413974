//! What a visitor typed, shown again: whatever it is, it is text. The page has the tags and attributes that it
//! has for a harmless word, and what stands in a field is what was typed, to the letter.

use reqwest::StatusCode;

use crate::support::markup::{self, Tag};
use crate::support::{Database, House, Page, Visitor};

const ADA: &str = "ada@example.org";

/// What breaks out of where it is shown, if nobody escapes it.
const ATTACKS: &[&str] = &[
    "<script>alert(1)</script>",
    "\"><script>alert(1)</script>",
    "'><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "--><script>alert(1)</script>",
    "]]><script>alert(1)</script>",
    "<scr<script>ipt>alert(1)</script>",
    "<SCRIPT SRC=//e.test/x.js></SCRIPT>",
    "<script/src=data:,alert(1)>",
    "<img src=x onerror=alert(1)>",
    "\"><img src=x onerror=alert(1)>",
    "<img src=`x` onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<svg/onload=alert(1)//",
    "<svg><script>alert(1)</script></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x>",
    "<math><mtext><script>alert(1)</script>",
    "<body onload=alert(1)>",
    "<iframe src=javascript:alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<object data=javascript:alert(1)>",
    "<embed src=javascript:alert(1)>",
    "<a href=javascript:alert(1)>a</a>",
    "<a href='jav&#x09;ascript:alert(1)'>a</a>",
    "<form action=//e.test><input name=password>",
    "</form><form action=//e.test>",
    "\" formaction=//e.test \"",
    "<button formaction=//e.test>",
    "<base href=//e.test>",
    "<meta http-equiv=refresh content=0;//e.test>",
    "<link rel=stylesheet href=//e.test/x.css>",
    "<style>@import'//e.test'</style>",
    "<details open ontoggle=alert(1)>",
    "<video><source onerror=alert(1)>",
    "<marquee onstart=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "\" autofocus onfocus=alert(1) x=\"",
    "' autofocus onfocus=alert(1) x='",
    "\" onmouseover=alert(1) \"",
    "` onmouseover=alert(1) `",
    "\" style=\"position:fixed;inset:0\" \"",
    "<template><script>alert(1)</script></template>",
    "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
    "<!--><img src=x onerror=alert(1)>-->",
    "<![CDATA[<img src=x onerror=alert(1)>]]>",
    "<?xml version='1.0'?><x onload=alert(1)>",
    "<x\tonclick=alert(1)>",
    "<x/onclick=alert(1)>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "\\u003cscript\\u003ealert(1)",
    "\\x3cscript\\x3ealert(1)",
    "+ADw-script+AD4-alert(1)",
    "{{7*7}}",
    "${7*7}",
    "<%= 7*7 %>",
    "#{7*7}",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "&amp;&quot;&apos;&#x27;",
    "\u{ff1c}script\u{ff1e}alert(1)\u{ff1c}/script\u{ff1e}",
    "\u{2039}script\u{203a}",
];

/// What turns the words around it, joins them or hides itself.
const SIGNS: &[&str] = &[
    "\u{202e}gro.elpmaxe",
    "\u{202d}example\u{202c}",
    "\u{2066}example\u{2069}",
    "\u{200f}example\u{200e}",
    "שלום עולם",
    "مرحبا بالعالم",
    "👩\u{200d}👩\u{200d}👧\u{200d}👦",
    "🏳\u{fe0f}\u{200d}🌈",
    "e\u{301}\u{301}\u{301}\u{301}\u{301}",
    "a\u{200b}b\u{200c}c\u{200d}d\u{2060}e\u{feff}f",
    "\u{ad}soft\u{ad}hyphen",
    "ａｄａ＠ｅｘａｍｐｌｅ",
    "\u{1f1e6}\u{1f1f9}",
    "\u{e0001}\u{e0041}tagged",
    "\u{fffd}\u{fffe}\u{ffff}",
];

/// About two hundred, each attack also as part of what is nearly an address and after a sign that turns it round.
fn typed() -> Vec<String> {
    let mut typed = Vec::new();
    for attack in ATTACKS {
        typed.extend([
            (*attack).to_owned(),
            format!("ada{attack}@@example.org"),
            format!("\u{202e}{attack}"),
        ]);
    }
    typed.extend(SIGNS.iter().map(|sign| (*sign).to_owned()));
    assert!(typed.len() >= 200, "{}", typed.len());
    typed
}

/// A route, its field that is shown again, and what else goes with it.
type Form = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

/// Where something typed is shown again.
const FORMS: &[Form] = &[
    ("/register", "email", &[]),
    ("/sign-in", "email", &[]),
    ("/confirm-email/send", "email", &[]),
    ("/forgot-password", "email", &[]),
    ("/sign-in/password", "email", &[("password", "x")]),
    ("/sign-in/code", "code", &[]),
    ("/account/email", "email", &[]),
    ("/account/delete", "email", &[]),
    ("/sign-in", "next", &[("email", "nothing like one")]),
];

async fn shown(visitor: &Visitor, form: &Form, typed: &str) -> Page {
    let (route, field, beside) = form;
    if *field == "code" {
        // A code is asked for but a few times.
        visitor.ask("/sign-in", ADA).await.sees_inbox_page();
    }
    let fields = [&[(*field, typed)], *beside].concat();
    visitor.post(route, &fields).await
}

/// Every tag with the names of its attributes: what scripts and style sheets see of a page.
fn shape(page: &Page) -> Vec<(String, Vec<String>)> {
    let tags = markup::tags(&page.body).into_iter();
    tags.map(|Tag { name, attributes }| (name, attributes.into_keys().collect()))
        .collect()
}

fn unescaped(value: &str) -> String {
    let mut text = value.to_owned();
    for (escaped, plain) in [
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#38;", "&"),
    ] {
        text = text.replace(escaped, plain);
    }
    text
}

on_both! {
    /// HTTP-12
    async fn whatever_is_typed_is_shown_as_text(db: Database) {
        let off = [
            "LIMIT_TOKEN_PER_NETWORK", "LIMIT_PASSWORD_PER_NETWORK", "LIMIT_MAIL_GAP",
            "LIMIT_MAIL_PER_ADDRESS", "LIMIT_MAIL_PER_ADDRESS_DAILY",
        ].map(|name| (name, "off"));
        let house = House::with(db, &off).await;
        let ada = house.owner(ADA).await;
        for form in FORMS {
            let harmless = shape(&shown(&ada, form, "harmless").await);
            for typed in typed() {
                let page = shown(&ada, form, &typed).await;
                let what = format!("{} with {typed:?} as its {}", form.0, form.1);
                assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{what}");
                if form.1 != "next" {
                    assert_eq!(shape(&page), harmless, "{what}: {}", page.body);
                }
                is_shown_to_the_letter(&page, form.1, &typed, &what);
            }
        }
    }

    /// HTTP-12: paths, queries and headers are shown nowhere, and change no page.
    async fn what_comes_beside_a_form_is_not_shown_at_all(db: Database) {
        let house = House::new(db).await;
        let ada = house.visitor();
        let harmless = shape(&ada.get("/nothing").await);
        for attack in ATTACKS {
            let path: String = url::form_urlencoded::byte_serialize(attack.as_bytes()).collect();
            for path in [format!("/{path}"), format!("/nothing?{path}={path}")] {
                let request = ada.request(reqwest::Method::GET, &path);
                let dressed = ["referer", "accept-language", "x-request-id"]
                    .into_iter()
                    .filter(|_| attack.is_ascii())
                    .fold(request, |request, header| request.header(header, *attack));
                let page = ada.send(dressed).await;
                assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
                assert_eq!(shape(&page), harmless, "{path}: {}", page.body);
                assert!(!page.body.contains(attack) && !page.body.contains("alert(1)"), "{path}");
            }
        }
    }
}

/// In its field; and wherever else it is, no tag begins in it.
#[track_caller]
fn is_shown_to_the_letter(page: &Page, field: &str, typed: &str, what: &str) {
    let tags = markup::tags(&page.body);
    let its_own = tags
        .iter()
        .find(|tag| tag.name == "input" && tag.get("name") == Some(field));
    match its_own.and_then(|tag| tag.get("value")) {
        Some(value) => assert_eq!(unescaped(value), typed.trim(), "{what}"),
        // What leads elsewhere is left out; an address on a page about another one is not repeated.
        None => assert!(!page.body.contains("alert(1)<"), "{what}"),
    }
}

/// Where a password is typed, and where the address beside it tells a password manager whose it is.
const WITH_PASSWORD: &[(&str, &str)] = &[
    ("/sign-in/password", "current-password"),
    ("/reauthenticate", "current-password"),
    ("/account/password", "new-password"),
    ("/confirm-email", "new-password"),
    ("/reset-password", "new-password"),
];

on_both! {
    /// PWD-06
    async fn a_password_manager_finds_its_way_in_every_form(db: Database) {
        let house = House::new(db).await;
        let (new, confirm) = house.asked("/register", "bob@example.org").await;
        let ada = house.owner(ADA).await;
        let (forgetful, reset) = house.asked("/forgot-password", ADA).await;
        for (path, autocomplete) in WITH_PASSWORD {
            let page = match *path {
                "/confirm-email" => new.open(&confirm.link).await,
                "/reset-password" => forgetful.open(&reset.link).await,
                "/sign-in/password" => house.visitor().get(path).await,
                _ => ada.get(path).await,
            };
            assert_eq!(page.status, StatusCode::OK, "{path}");
            let inputs = inputs(&page);
            let password = field(&inputs, "password", path);
            assert_eq!(password.get("type"), Some("password"), "{path}");
            assert_eq!(password.get("autocomplete"), Some(*autocomplete), "{path}");
            assert_eq!(password.get("value"), None, "{path}: no password is in a page");
            let of_whom = inputs.iter().filter(|tag| tag.get("autocomplete").is_some_and(|tag| tag.starts_with("username")));
            // Before an account begins there is nobody yet whose password it would be.
            let expected = usize::from(*path != "/confirm-email");
            assert_eq!(of_whom.count(), expected, "{path}: {}", page.body);
            nothing_is_in_the_way(&inputs, path);
        }
    }

    /// PWD-06
    async fn a_code_is_filled_in_from_the_mail_where_a_browser_can(db: Database) {
        let house = House::new(db).await;
        let (ada, _) = house.asked("/sign-in", ADA).await;
        let page = ada.get("/sign-in/sent").await;
        let inputs = inputs(&page);
        let code = field(&inputs, "code", "/sign-in/sent");
        assert_eq!(code.get("autocomplete"), Some("one-time-code"));
        nothing_is_in_the_way(&inputs, "/sign-in/sent");
        for path in ["/register", "/sign-in", "/forgot-password"] {
            let page = house.visitor().get(path).await;
            let found = crate::shown::inputs(&page);
            let autocomplete = field(&found, "email", path).get("autocomplete");
            assert!(autocomplete.is_some_and(|tag| tag == "email" || tag == "email webauthn"), "{path}");
            nothing_is_in_the_way(&found, path);
        }
    }
}

fn inputs(page: &Page) -> Vec<Tag> {
    let mut tags = markup::tags(&page.body);
    tags.retain(|tag| tag.name == "input");
    tags
}

#[track_caller]
fn field<'a>(inputs: &'a [Tag], name: &str, path: &str) -> &'a Tag {
    let mut named = inputs.iter().filter(|tag| tag.get("name") == Some(name));
    let found = named
        .next()
        .unwrap_or_else(|| panic!("{path} has no {name}"));
    assert!(named.next().is_none(), "{path} has two of {name}");
    found
}

/// Nothing keeps anybody from pasting, or cuts what is pasted.
#[track_caller]
fn nothing_is_in_the_way(inputs: &[Tag], path: &str) {
    for input in inputs {
        for hurdle in [
            "maxlength",
            "minlength",
            "pattern",
            "onpaste",
            "oncopy",
            "oninput",
        ] {
            assert_eq!(input.get(hurdle), None, "{path}: {input:?}");
        }
        assert_ne!(input.get("autocomplete"), Some("off"), "{path}: {input:?}");
    }
}
