//! Writes the HTML part, as mail readers take it: every style inline, every word escaped. The colours are those of
//! `templates/mail/paper.html`, whose classes turn them dark.

use askama::filters::{Escaper, Html};
use pulldown_cmark::HeadingLevel;

use super::markdown::{Block, Inline, Link};

/// The blocks, one after the other.
pub(super) fn written(blocks: &[Block], url: &dyn Fn(&Link) -> String) -> String {
    let blocks = blocks.iter().map(|block| of_block(block, url));
    blocks.collect::<Vec<_>>().join("\n")
}

fn of_block(block: &Block, url: &dyn Fn(&Link) -> String) -> String {
    match block {
        Block::Heading(HeadingLevel::H2, words) => {
            format!("<h2{H2}>{}</h2>", of_words(words, url))
        }
        Block::Heading(_, words) => format!("<h3{H3}>{}</h3>", of_words(words, url)),
        Block::Paragraph(words) => format!("<p{PARAGRAPH}>{}</p>", of_words(words, url)),
        Block::List {
            first,
            is_loose,
            items,
        } => {
            let items = items.iter().map(|item| of_item(item, *is_loose, url));
            let items = items.collect::<Vec<_>>().join("\n");
            match first {
                None => format!("<ul{LIST}>\n{items}\n</ul>"),
                Some(1) => format!("<ol{LIST}>\n{items}\n</ol>"),
                Some(first) => format!("<ol start=\"{first}\"{LIST}>\n{items}\n</ol>"),
            }
        }
        Block::Quote(blocks) => {
            format!(
                "<blockquote class=\"soft rule\"{QUOTE}>\n{}\n</blockquote>",
                written(blocks, url)
            )
        }
        Block::Code(code) => format!("<pre class=\"code\"{PRE}>{}</pre>", escaped(code)),
        Block::Rule => format!("<hr class=\"rule\"{RULE}>"),
    }
}

fn of_item(blocks: &[Block], is_loose: bool, url: &dyn Fn(&Link) -> String) -> String {
    let blocks = blocks.iter().map(|block| match block {
        Block::Paragraph(words) if !is_loose => of_words(words, url),
        block => of_block(block, url),
    });
    let words = blocks.collect::<Vec<_>>().join("\n");
    format!("<li{ITEM}>{words}</li>")
}

fn of_words(inlines: &[Inline], url: &dyn Fn(&Link) -> String) -> String {
    let words = inlines.iter().map(|inline| match inline {
        Inline::Text(words) => escaped(words),
        Inline::Code(code) => format!("<code class=\"code\"{CODE}>{}</code>", escaped(code)),
        Inline::Emphasis(words) => format!("<em>{}</em>", of_words(words, url)),
        Inline::Strong(words) => format!("<strong>{}</strong>", of_words(words, url)),
        Inline::Link(link, words) => format!(
            "<a class=\"link\" href=\"{}\"{LINK}>{}</a>",
            escaped(&url(link)),
            of_words(words, url)
        ),
        Inline::LineBreak => "<br>\n".to_owned(),
    });
    words.collect()
}

fn escaped(words: &str) -> String {
    let mut escaped = String::with_capacity(words.len());
    // Writing to a string cannot fail.
    let _ = Html.write_escaped_str(&mut escaped, words);
    escaped
}

const PARAGRAPH: &str = r#" style="margin: 20px 0;""#;
const H2: &str =
    r#" style="margin: 28px 0 0; font-size: 18px; line-height: 1.3; font-weight: 600;""#;
const H3: &str =
    r#" style="margin: 24px 0 0; font-size: 16px; line-height: 1.4; font-weight: 600;""#;
const LIST: &str = r#" style="margin: 20px 0; padding: 0 0 0 24px;""#;
const ITEM: &str = r#" style="margin: 8px 0;""#;
const QUOTE: &str = r#" style="margin: 20px 0; padding: 0 0 0 16px; border-left: 3px solid #dfe2dd; color: #545d59;""#;
const PRE: &str = r#" style="margin: 20px 0; padding: 12px; background-color: #edf4f1; border-radius: 8px; color: #1b1f1e; font: 14px/1.5 Menlo, Consolas, monospace; white-space: pre-wrap;""#;
const CODE: &str = r#" style="padding: 2px 4px; background-color: #edf4f1; border-radius: 4px; color: #1b1f1e; font-family: Menlo, Consolas, monospace; font-size: 14px;""#;
const RULE: &str = r#" style="margin: 20px 0; border: 0; border-top: 1px solid #dfe2dd;""#;
const LINK: &str =
    r#" target="_blank" rel="noopener" style="color: #0c6350; word-break: break-word;""#;
