//! What judges a page by rules that others wrote: axe-core, whether everybody can use it, and the Nu Html
//! Checker, whether it is HTML.
//!
//! Nothing is let pass in silence: what may stay is in `JUDGED`, one by one, and why.

use std::sync::LazyLock;

use serde_json::Value;

/// A finding that may stay.
struct Judged {
    /// How the pages are called that it may stay on: their names begin like this.
    on: &'static [&'static str],
    /// A part of the finding that no other has.
    finding: &'static str,
    #[expect(dead_code, reason = "for the reader")]
    why: &'static str,
}

const LETTERS: &[&str] = &["letter-", "mail-"];

const JUDGED: &[Judged] = &[
    Judged {
        on: &["sent-without-scripts"],
        finding: "violation of meta-refresh: meta[http-equiv=\"refresh\"]",
        why: "Only without scripts; the page says so, and a link in it holds it still (WCAG 2.2, 2.2.1).",
    },
    Judged {
        on: &["inbox-mail"],
        finding: "incomplete for frame-tested: iframe",
        why: "The letter in the frame is a page of its own, and audited as such.",
    },
    Judged {
        on: &["inbox-mail"],
        finding: "incomplete for hidden-content: #",
        why: "The tabs that are not chosen, and their headings, which the tabs name: each is audited when it is chosen.",
    },
    Judged {
        on: &["passkeys-without-scripts"],
        finding: "incomplete for hidden-content: .passkey:",
        why: "The button that the script shows, where it runs: audited there.",
    },
    Judged {
        on: &["home"],
        finding: "incomplete for hidden-content: svg:",
        why: "A drawing that says nothing, where there is no room for it.",
    },
    Judged {
        on: &["app-"],
        finding: "incomplete for css-orientation-lock: html: CSS Orientation lock cannot be determined",
        why: "At an app's host our style sheet is another's, which a script may not read; on our own pages it is read.",
    },
    Judged {
        on: LETTERS,
        finding: "violation of landmark-one-main: html",
        why: "A letter is shown within a page that has landmarks, and that has the one <main>.",
    },
    Judged {
        on: LETTERS,
        finding: "violation of region: table[bgcolor=\"#f6f6f3\"]",
        why: "Likewise.",
    },
    Judged {
        on: LETTERS,
        finding: "incomplete for css-orientation-lock: html: CSS Orientation lock cannot be determined",
        why: "Without any style sheet, as in some mail readers, there is none that could lock it.",
    },
    Judged {
        on: LETTERS,
        finding: "info: The “bgcolor” attribute on the “table” element is obsolete.",
        why: "Outlook and old webmail know the colour from here alone.",
    },
    Judged {
        on: LETTERS,
        finding: "info: The “bgcolor” attribute on the “td” element is obsolete.",
        why: "Likewise.",
    },
    Judged {
        on: LETTERS,
        finding: "info: The “align” attribute on the “td” element is obsolete.",
        why: "Outlook centres no table by style.",
    },
    Judged {
        on: LETTERS,
        finding: "info: The “width” attribute on the “table” element is obsolete.",
        why: "Outlook takes the width of a table from here.",
    },
    Judged {
        on: LETTERS,
        finding: "info: The “border” attribute on the “table” element is obsolete.",
        why: "Readers that drop styles draw lines around the tables that only arrange, or leave gaps between them.",
    },
    Judged {
        on: LETTERS,
        finding: "info: The “cellpadding” attribute on the “table” element is obsolete.",
        why: "Likewise.",
    },
    Judged {
        on: LETTERS,
        finding: "info: The “cellspacing” attribute on the “table” element is obsolete.",
        why: "Likewise.",
    },
    Judged {
        on: LETTERS,
        finding: "error: CSS: “mso-padding-alt”: Property “mso-padding-alt” doesn't exist.",
        why: "In Outlook it does, and gives the button its size.",
    },
    Judged {
        on: LETTERS,
        finding: "error: CSS: “supported-color-schemes”: Property “supported-color-schemes” doesn't exist.",
        why: "Older Apple Mail knows color-scheme by this name.",
    },
];

/// There is nothing among the findings but what was judged.
#[track_caller]
pub fn nothing_is_wrong(page: &str, mut findings: Vec<String>) {
    let is_on = |judged: &Judged| judged.on.iter().any(|name| page.starts_with(name));
    findings.retain(|finding| {
        let mut judged = JUDGED.iter().filter(|judged| is_on(judged));
        !judged.any(|judged| finding.starts_with(judged.finding))
    });
    assert!(findings.is_empty(), "{page}: {findings:#?}");
}

/// This, as it was sent, is HTML in every detail.
pub async fn is_html(page: &str, html: String) {
    let validator = started("DOORPOST_TEST_VALIDATOR");
    let request = reqwest::Client::new()
        .post(format!("{validator}/?out=json"))
        .header("content-type", "text/html; charset=utf-8")
        .header("user-agent", "doorpost") // It serves nobody without a name.
        .body(html);
    let said = request.send().await.unwrap().text().await.unwrap();
    let said: Value = serde_json::from_str(&said).unwrap();
    let messages = said["messages"].as_array().unwrap().iter();
    let part = |message: &Value, name| message[name].as_str().unwrap_or_default().to_owned();
    let findings = messages.map(|message| {
        let [kind, words, place] = ["type", "message", "extract"].map(|name| part(message, name));
        format!("{kind}: {words} at: {place}")
    });
    nothing_is_wrong(page, findings.collect());
}

/// Runs axe-core in a page and returns what it found: every rule it has, but for those of level AAA. It needs
/// timers, which a page that may run no scripts does not get: so here, what waits for its turn gets it at once,
/// and a time that would run out does not.
pub static AXE: LazyLock<String> = LazyLock::new(|| {
    let axe = std::fs::read_to_string(in_packages("axe-core/axe.min.js")).unwrap();
    format!("{AXE_TIMERS}{axe}{AXE_RUN}")
});

const AXE_TIMERS: &str = r"
    const setTimeout = (then, wait = 0, ...given) => {
        if (wait < 1000) Promise.resolve().then(() => then(...given));
    };
";

const AXE_RUN: &str = r"
    const rules = axe.getRules().map(rule => [rule.ruleId, { enabled: !rule.tags.includes('wcag2aaa') }]);
    // What the policy of a page forbids to load, its rules need not be asked for.
    const isReadable = sheet => { try { return !!sheet.cssRules; } catch { return false; } };
    const preload = [...document.styleSheets].every(isReadable);
    return axe.run(document, { iframes: false, preload, rules: Object.fromEntries(rules) }).then(found => {
        const told = (kind, rules) => rules.flatMap(rule => rule.nodes.map(node => {
            const why = [...node.any, ...node.all, ...node.none].map(check => check.message).join('; ');
            return `${kind} ${rule.id}: ${node.target}: ${why} at: ${node.html}`;
        }));
        return [...told('violation of', found.violations), ...told('incomplete for', found.incomplete)];
    });
";

/// A file of a package that npm brought.
pub fn in_packages(file: &str) -> String {
    format!("{}/{file}", started("DOORPOST_TEST_PACKAGES"))
}

/// A program that pip brought.
pub fn client(name: &str) -> String {
    format!("{}/{name}", started("DOORPOST_TEST_CLIENTS"))
}

#[expect(clippy::disallowed_methods, reason = "what tests/run brought")]
fn started(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is set by tests/run"))
}
