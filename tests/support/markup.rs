//! A page as a browser's parser cuts it up: tags with their attributes, and nothing of the text between them.

use std::collections::BTreeMap;

/// An opening tag.
#[derive(Debug)]
pub struct Tag {
    pub name: String,
    pub attributes: BTreeMap<String, String>,
}

impl Tag {
    /// The value of an attribute, as it stands in the page; one without a value has an empty one.
    pub fn get(&self, attribute: &str) -> Option<&str> {
        self.attributes.get(attribute).map(String::as_str)
    }
}

/// Every opening tag of a page, in order. Comments are tags of their own name: a page of ours has none.
pub fn tags(page: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let begins = rest.chars().next().unwrap_or(' ');
        // In text, a `<` before anything else is a `<`.
        if begins.is_ascii_alphabetic() || begins == '!' || begins == '?' {
            let (tag, after) = opened(rest);
            tags.push(tag);
            rest = after;
        }
    }
    tags
}

/// The tag that begins here, and what comes after it.
fn opened(text: &str) -> (Tag, &str) {
    let end_of_name = text.find([' ', '\t', '\n', '\r', '/', '>']);
    let (name, mut rest) = text.split_at(end_of_name.unwrap_or(text.len()));
    let mut attributes = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\n', '\r', '/']);
        if rest.is_empty() || rest.starts_with('>') {
            break;
        }
        let end = rest.find([' ', '\t', '\n', '\r', '/', '>', '=']);
        let (attribute, after) = rest.split_at(end.unwrap_or(rest.len()).max(1));
        let (value, after) = match after.strip_prefix('=') {
            Some(after) => value(after),
            None => ("", after),
        };
        attributes.insert(attribute.to_ascii_lowercase(), value.to_owned());
        rest = after;
    }
    let name = name.to_ascii_lowercase();
    (Tag { name, attributes }, rest)
}

/// Quoted or bare.
fn value(text: &str) -> (&str, &str) {
    for quote in ['"', '\''] {
        if let Some(quoted) = text.strip_prefix(quote) {
            return quoted.split_once(quote).unwrap_or((quoted, ""));
        }
    }
    let end = text.find([' ', '\t', '\n', '\r', '>']);
    text.split_at(end.unwrap_or(text.len()))
}

#[test]
fn a_page_is_cut_up_as_a_browser_does_it() {
    let page = "<p class='a' hidden>1 < 2 &lt;b&gt; <IMG src=x onerror=alert(1)><a href=\"/?a='>'\" title=x>";
    let found: Vec<String> = tags(page)
        .iter()
        .map(|tag| format!("{} {:?}", tag.name, tag.attributes))
        .collect();
    assert_eq!(
        found,
        [
            r#"p {"class": "a", "hidden": ""}"#,
            r#"img {"onerror": "alert(1)", "src": "x"}"#,
            r#"a {"href": "/?a='>'", "title": "x"}"#,
        ]
    );
}
