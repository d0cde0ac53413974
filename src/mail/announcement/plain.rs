//! Writes the text part. A paragraph is one line, however long, as in every letter of ours.

use super::markdown::{Block, Inline, Link};

/// The blocks, an empty line between two.
pub(super) fn written(blocks: &[Block], url: &dyn Fn(&Link) -> String) -> String {
    let blocks = blocks.iter().map(|block| of_block(block, url));
    blocks.collect::<Vec<_>>().join("\n\n")
}

fn of_block(block: &Block, url: &dyn Fn(&Link) -> String) -> String {
    match block {
        Block::Heading(_, words) => {
            let words = of_words(words, url);
            let line = "-".repeat(words.chars().count());
            format!("{words}\n{line}")
        }
        Block::Paragraph(words) => of_words(words, url),
        Block::List {
            first,
            is_loose,
            items,
        } => {
            let between = if *is_loose { "\n\n" } else { "\n" };
            let items = items.iter().zip(0..).map(|(item, n)| {
                let mark = match first {
                    Some(first) => format!("{}. ", first.saturating_add(n)),
                    None => "- ".to_owned(),
                };
                let blocks = item.iter().map(|block| of_block(block, url));
                let words = blocks.collect::<Vec<_>>().join(between);
                let rest = " ".repeat(mark.len());
                indented(&words, &mark, &rest)
            });
            items.collect::<Vec<_>>().join(between)
        }
        Block::Quote(blocks) => indented(&written(blocks, url), "> ", "> "),
        Block::Code(code) => indented(code, "    ", "    "),
        Block::Rule => "* * *".to_owned(),
    }
}

/// With this before the first line, and that before each of the others.
fn indented(text: &str, first: &str, others: &str) -> String {
    let mut before = first;
    let lines = text.split('\n').map(|line| {
        let indented = format!("{before}{line}");
        before = others;
        indented.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn of_words(inlines: &[Inline], url: &dyn Fn(&Link) -> String) -> String {
    let words = inlines.iter().map(|inline| match inline {
        Inline::Text(words) | Inline::Code(words) => words.clone(),
        Inline::Emphasis(words) => format!("_{}_", of_words(words, url)),
        Inline::Strong(words) => format!("*{}*", of_words(words, url)),
        Inline::Link(link, words) => {
            let words = of_words(words, url);
            match (link.is_said_by(&words), link) {
                (true, Link::Elsewhere { .. }) => words,
                (true, Link::Page { .. }) => url(link),
                (false, Link::Elsewhere { url }) if url.starts_with("mailto:") => {
                    format!("{words} ({})", &url["mailto:".len()..])
                }
                (false, _) => format!("{words} ({})", url(link)),
            }
        }
        Inline::LineBreak => "\n".to_owned(),
    });
    words.collect()
}
