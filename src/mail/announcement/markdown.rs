//! Reads Markdown (CommonMark) into what a letter can show, and refuses the rest.

use std::fmt;
use std::ops::Range;

use pulldown_cmark::{Event, HeadingLevel, LinkType, OffsetIter, Options, Parser, Tag};
use url::Url;

use crate::config::PublicUrl;

/// Why a text cannot be announced.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// Where, from 1.
    pub line: usize,
    pub why: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

/// What stands one below the other.
pub(super) enum Block {
    /// A heading below the subject.
    Heading(HeadingLevel, Vec<Inline>),
    Paragraph(Vec<Inline>),
    List {
        /// The first number, of a list that is numbered.
        first: Option<u64>,
        /// Its items are paragraphs, and not only words.
        is_loose: bool,
        items: Vec<Vec<Block>>,
    },
    Quote(Vec<Block>),
    Code(String),
    Rule,
}

/// What stands one beside the other.
pub(super) enum Inline {
    Text(String),
    Code(String),
    Emphasis(Vec<Inline>),
    Strong(Vec<Inline>),
    Link(Link, Vec<Inline>),
    LineBreak,
}

/// Where a link leads.
pub(super) enum Link {
    /// To a page of ours: its absolute URL, and as it was written.
    Page { url: String, written: String },
    /// Anywhere else, as it was written.
    Elsewhere { url: String },
}

impl Link {
    /// Whether these words are nothing but the link itself.
    pub(super) fn is_said_by(&self, words: &str) -> bool {
        match self {
            Self::Page { url, written } => words == url || words == written,
            Self::Elsewhere { url } => url.strip_prefix("mailto:").unwrap_or(url) == words,
        }
    }
}

/// Some mail programs show no more of a subject.
const LONGEST_SUBJECT: usize = 150;

/// Lists in quotes in lists: nobody means more than that.
const DEEPEST: usize = 8;

type Read<T> = Result<T, Refused>;

/// The subject of an announcement and what follows it.
pub(super) fn parse(text: &[u8], home: &PublicUrl) -> Read<(String, Vec<Block>)> {
    let text = std::str::from_utf8(text).map_err(|error| Refused {
        line: line_of(text, error.valid_up_to()),
        why: "this is not UTF-8".into(),
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader {
        text,
        home,
        events: Parser::new_ext(text, Options::empty()).into_offset_iter(),
        at: 0,
        depth: 0,
    };
    let subject = reader.subject()?;
    let body = reader.blocks()?.blocks;
    if body.is_empty() {
        return Err(reader.refuse("below the heading there is nothing to say"));
    }
    Ok((subject, body))
}

fn line_of(text: &[u8], at: usize) -> usize {
    let before = &text[..at.min(text.len())];
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Goes through a text from its beginning to its end.
struct Reader<'a> {
    text: &'a str,
    home: &'a PublicUrl,
    events: OffsetIter<'a>,
    /// Where it is.
    at: usize,
    depth: usize,
}

/// The blocks up to the end of what they are in.
struct Blocks {
    blocks: Vec<Block>,
    /// Whether one of them was marked as a paragraph; the words of a dense list are not.
    has_paragraph: bool,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<Event<'a>> {
        let (event, Range { start, .. }) = self.events.next()?;
        if !matches!(event, Event::End(_)) {
            self.at = start;
        }
        Some(event)
    }

    fn refuse(&self, why: impl Into<String>) -> Refused {
        Refused {
            line: line_of(self.text.as_bytes(), self.at),
            why: why.into(),
        }
    }

    fn subject(&mut self) -> Read<String> {
        let begins = self.next();
        let is_heading = matches!(
            &begins,
            Some(Event::Start(Tag::Heading {
                level: HeadingLevel::H1,
                ..
            }))
        );
        if !is_heading {
            return Err(self.refuse("an announcement begins with its subject: # What it is about"));
        }
        let mut subject = String::new();
        for part in self.inlines()? {
            match part {
                Inline::Text(words) => subject.push_str(&words),
                _ => return Err(self.refuse("the subject is plain words")),
            }
        }
        let length = subject.chars().count();
        match length {
            0 => Err(self.refuse("the subject is empty")),
            1..=LONGEST_SUBJECT => Ok(subject),
            _ => Err(self.refuse(format!(
                "the subject has {length} characters; take {LONGEST_SUBJECT} at the most"
            ))),
        }
    }

    /// What there is up to the end of the block under way, or of the text.
    fn blocks(&mut self) -> Read<Blocks> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.refuse("this is nested too deeply"));
        }
        let (mut blocks, mut loose) = (Vec::new(), Vec::new());
        let mut has_paragraph = false;
        while let Some(event) = self.next() {
            let block = match event {
                Event::End(_) => break,
                Event::Start(Tag::Paragraph) => {
                    has_paragraph = true;
                    Block::Paragraph(self.inlines()?)
                }
                Event::Start(Tag::Heading { level, .. }) => self.heading(level)?,
                Event::Start(Tag::BlockQuote(_)) => Block::Quote(self.blocks()?.blocks),
                Event::Start(Tag::CodeBlock(_)) => Block::Code(self.code()?),
                Event::Start(Tag::List(first)) => self.list(first)?,
                Event::Rule => Block::Rule,
                // The words of a dense list stand in its items as they are.
                other => {
                    loose.push(self.inline(other)?);
                    continue;
                }
            };
            end_words(&mut loose, &mut blocks);
            blocks.push(block);
        }
        end_words(&mut loose, &mut blocks);
        self.depth -= 1;
        Ok(Blocks {
            blocks,
            has_paragraph,
        })
    }

    fn heading(&mut self, level: HeadingLevel) -> Read<Block> {
        match level {
            HeadingLevel::H2 | HeadingLevel::H3 => Ok(Block::Heading(level, self.inlines()?)),
            HeadingLevel::H1 => {
                Err(self.refuse("there is one subject; headings below it begin with ##"))
            }
            _ => Err(self.refuse("headings go no deeper than ###")),
        }
    }

    fn list(&mut self, first: Option<u64>) -> Read<Block> {
        let (mut items, mut is_loose) = (Vec::new(), false);
        while let Some(Event::Start(Tag::Item)) = self.next() {
            let item = self.blocks()?;
            is_loose |= item.has_paragraph;
            items.push(item.blocks);
        }
        Ok(Block::List {
            first,
            is_loose,
            items,
        })
    }

    fn code(&mut self) -> Read<String> {
        let mut code = String::new();
        while let Some(Event::Text(line)) = self.next() {
            code.push_str(&self.printable(&line)?);
        }
        Ok(code.trim_end_matches('\n').to_owned())
    }

    fn inlines(&mut self) -> Read<Vec<Inline>> {
        self.depth += 1;
        if self.depth > 2 * DEEPEST {
            return Err(self.refuse("this is nested too deeply"));
        }
        let mut inlines = Vec::new();
        while let Some(event) = self.next() {
            if matches!(event, Event::End(_)) {
                break;
            }
            inlines.push(self.inline(event)?);
        }
        self.depth -= 1;
        Ok(inlines)
    }

    fn inline(&mut self, event: Event<'a>) -> Read<Inline> {
        Ok(match event {
            Event::Text(words) => Inline::Text(self.printable(&words)?),
            Event::Code(code) => Inline::Code(self.printable(&code)?),
            Event::SoftBreak => Inline::Text(" ".into()),
            Event::HardBreak => Inline::LineBreak,
            Event::Start(Tag::Emphasis) => Inline::Emphasis(self.inlines()?),
            Event::Start(Tag::Strong) => Inline::Strong(self.inlines()?),
            Event::Start(Tag::Link {
                link_type,
                dest_url,
                ..
            }) => {
                let link = match link_type {
                    LinkType::Email => self.link(&format!("mailto:{dest_url}"))?,
                    _ => self.link(&dest_url)?,
                };
                let words = self.inlines()?;
                if words.is_empty() {
                    return Err(self.refuse("this link has no words to press"));
                }
                Inline::Link(link, words)
            }
            Event::Start(Tag::Image { .. }) => {
                return Err(self.refuse("a letter loads nothing: no images"));
            }
            Event::Html(_) | Event::InlineHtml(_) | Event::Start(Tag::HtmlBlock) => {
                return Err(self.refuse(r"no HTML; to show a < write \<"));
            }
            _ => return Err(self.refuse("this kind of Markdown is not known here")),
        })
    }

    /// What is written as `&#7;` is as bad as what is there in earnest.
    fn printable(&self, words: &str) -> Read<String> {
        let is_bad = |c: char| c.is_control() && !['\n', '\t'].contains(&c);
        match words.chars().find(|c| is_bad(*c)) {
            Some(bad) => Err(self.refuse(format!(
                "there is a control character: U+{:04X}",
                u32::from(bad)
            ))),
            None => Ok(words.to_owned()),
        }
    }

    fn link(&self, written: &str) -> Read<Link> {
        let form = "write https://…, mailto:… or, for a page of this site, /…";
        let no_link = |what: &str| self.refuse(format!("{written:?} {what}; {form}"));
        if written.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(no_link("has a space in it"));
        }
        let home = Url::parse(self.home.as_str()).map_err(|_| no_link("leads nowhere"))?;
        let is_path = written.starts_with('/') && !written.starts_with("//");
        let url = match is_path {
            true => home.join(written),
            false => Url::parse(written),
        };
        let url = url.map_err(|_| no_link("is no link"))?;
        match url.scheme() {
            "http" | "https" if url.origin() == home.origin() => Ok(Link::Page {
                url: url.into(),
                written: written.to_owned(),
            }),
            "http" | "https" | "mailto" if !is_path => Ok(Link::Elsewhere {
                url: written.to_owned(),
            }),
            _ => Err(no_link("leads where no letter should")),
        }
    }
}

fn end_words(loose: &mut Vec<Inline>, blocks: &mut Vec<Block>) {
    if !loose.is_empty() {
        blocks.push(Block::Paragraph(std::mem::take(loose)));
    }
}
