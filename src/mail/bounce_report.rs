//! What a mail server reports of a letter that it could not deliver (RFC 3464, RFC 6522).
//!
//! Anybody can write such a report, and mail servers write it as they like: OpenSMTPD as `multipart/mixed`, old Exims
//! as plain text under an `X-Failed-Recipients`. So it is read as what it is, a stranger's: bounded in size, in depth
//! and in the number of its parts, whatever its bytes are. What is taken from it is a code of three numbers, one line
//! of harmless text, and the number of the letter; whether that is believed is decided elsewhere
//! ([`bounce_address`](crate::mail::bounce_address), [`note_bounce`](crate::actions::note_bounce)).
//!
//! Heads are read by mail-parser. What lies between them is cut here: that crate follows a letter in a letter in a
//! letter down to the end of the stack.

use std::borrow::Cow;

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::{Message, MessageParser, MimeHeaders};

use crate::mail::smtp::for_log;
use crate::random;

/// What is read of a message, in bytes: reports come first, and then what was returned.
pub const LARGEST: u64 = 4 * 1024 * 1024;

/// More than a head has that is worth reading, in bytes.
const LARGEST_HEAD: usize = 64 * 1024;

/// More than a field has that is worth reading, in characters.
const LONGEST_FIELD: usize = 1000;

/// A report within a message that some list or gateway has wrapped once or twice.
const DEEPEST: usize = 4;

/// Parts of a message, and recipients of a report, that are looked at.
const MOST: usize = 32;

/// A report about one letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub fate: Fate,
    pub status: Option<Status>,
    /// The number of the letter, as what was returned of it says, or else the report.
    pub letter: Option<String>,
    /// Whom it could not be delivered to.
    pub recipient: Option<String>,
    /// The lines of its head that say where the report was sent.
    pub sent_to: Vec<String>,
    /// Code and words of the mail server: one line of ASCII, without anybody's address.
    pub reason: String,
}

/// What became of the letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// The mail server goes on trying.
    Delayed,
    /// It has given up.
    Failed,
}

/// The enhanced status code of something that failed (RFC 3463).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    class: u8,
    subject: u16,
    detail: u16,
}

/// What a failure says of the mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// There is none.
    NoMailbox,
    /// It could not be reached, or takes nothing.
    NotReached,
    /// Nothing: the letter was not liked, or its sender.
    Nothing,
}

impl Report {
    /// Reads a message. `None`: it is no report about a letter (an answer, a holiday note, a receipt, spam), or it says
    /// that all is well.
    pub fn read(message: &[u8]) -> Option<Self> {
        let mut parts = Vec::new();
        take_apart(without_envelope_line(message), 0, &mut parts);
        let head = parts.first()?.head.as_ref()?;
        let sent_to = fields(
            head,
            &["To", "Delivered-To", "X-Original-To", "Envelope-To"],
        );
        let returned = parts.iter().find_map(Part::returned_letter);
        let told = match parts.iter().find(|part| part.is_status()) {
            Some(status) => {
                let for_people = parts.iter().find(|part| part.kind == "text/plain");
                let for_people = for_people.map(Part::body).unwrap_or_default();
                Told::by_status(&status.body(), &for_people)?
            }
            None => {
                fields(head, &["X-Failed-Recipients"]).first()?;
                Told::by_text(&parts.first()?.body())
            }
        };
        Some(Self {
            fate: told.fate,
            status: told.status,
            letter: returned.or(told.letter),
            recipient: told.recipient,
            sent_to,
            reason: told.reason,
        })
    }

    /// What it says of the mailbox of this address. Where another one is named, somebody passed the letter on, maybe to
    /// several; what of that failed is not this mailbox.
    pub fn says_of(&self, address: &str) -> Says {
        let is_its_own = |named: &String| named.eq_ignore_ascii_case(address);
        match self.status.map(Status::says) {
            Some(Says::NoMailbox) if self.recipient.as_ref().is_none_or(is_its_own) => {
                Says::NoMailbox
            }
            Some(Says::Nothing) => Says::Nothing,
            _ => Says::NotReached,
        }
    }
}

impl Status {
    /// The first one in a text, as in `550-5.1.1 no such user`.
    fn find(text: &str) -> Option<Self> {
        text.split(|c: char| !c.is_ascii_digit() && c != '.')
            .find_map(Self::parse)
    }

    fn parse(word: &str) -> Option<Self> {
        let mut numbers = word.trim_end_matches('.').split('.');
        let mut next = |longest: usize| {
            let number = numbers.next().filter(|it| it.len() <= longest);
            number.and_then(|it| it.parse::<u16>().ok())
        };
        let (class, subject, detail) = (next(1)?, next(3)?, next(3)?);
        let class = u8::try_from(class).ok().filter(|it| [4, 5].contains(it))?;
        let status = Self {
            class,
            subject,
            detail,
        };
        numbers.next().is_none().then_some(status)
    }

    fn says_something(self) -> bool {
        (self.subject, self.detail) != (0, 0)
    }

    fn says(self) -> Says {
        match (self.class, self.subject, self.detail) {
            // RFC 3463; RFC 7505 (5.1.10); RFC 7372 and 3463 (5.1.7, 5.1.8: the sender).
            (5, 1, 1 | 3 | 6 | 10) | (5, 2, 1) => Says::NoMailbox,
            (_, 1, 7 | 8) | (_, 2, 3) | (_, 3, 4) | (_, 6 | 7, _) => Says::Nothing,
            _ => Says::NotReached,
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

// --- what is told ---

/// What a report tells in its own words, without what was returned.
struct Told {
    fate: Fate,
    status: Option<Status>,
    letter: Option<String>,
    recipient: Option<String>,
    reason: String,
}

impl Told {
    /// A `message/delivery-status`: a group of fields about the message, and one about each recipient. Of several
    /// recipients the worst off counts: our letters have one.
    fn by_status(text: &[u8], for_people: &[u8]) -> Option<Self> {
        let groups = groups(text);
        let envelope = groups
            .iter()
            .find_map(|group| field(group, "Original-Envelope-Id"));
        let recipients = groups
            .iter()
            .filter_map(|group| Self::of_recipient(group, for_people));
        let worst = recipients.max_by_key(|told| told.fate)?;
        Some(Self {
            letter: envelope.filter(|id| random::is_id(id)),
            ..worst
        })
    }

    fn of_recipient(group: &Message<'_>, for_people: &[u8]) -> Option<Self> {
        let named = ["Final-Recipient", "Original-Recipient"].map(|it| field(group, it));
        let recipient = named.into_iter().flatten().next();
        let recipient = recipient.map(|it| without_type(&it));
        let words = match (field(group, "Diagnostic-Code"), &recipient) {
            (Some(words), _) => without_type(&words),
            (None, Some(recipient)) => said_of(recipient, for_people),
            (None, None) => String::new(),
        };
        let stated = field(group, "Status").and_then(|it| Status::find(&it));
        // Exim and OpenSMTPD say 5.0.0 of everything, and pass on what the next server said.
        let exact = stated.filter(|it| it.says_something());
        let status = exact.or_else(|| Status::find(&words)).or(stated);
        let action = field(group, "Action").unwrap_or_default();
        let has_given_up = status.is_some_and(|it| it.class == 5);
        let fate = match &*action.to_ascii_lowercase() {
            "failed" => Fate::Failed,
            "delayed" | "" if has_given_up => Fate::Failed,
            "delayed" => Fate::Delayed,
            _ => return None,
        };
        Some(Self {
            fate,
            status,
            letter: None,
            recipient,
            reason: reason(status, &words),
        })
    }

    /// What an Exim of old says: words, and below them the whole letter.
    fn by_text(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let mut words = String::new();
        let mut letter = None;
        for line in text.lines() {
            let (name, value) = line.split_once(':').unwrap_or_default();
            if name.eq_ignore_ascii_case("Message-ID") {
                letter = id_in(value);
                break;
            }
            if words.len() < LONGEST_FIELD {
                words += line.trim();
                words.push(' ');
            }
        }
        let status = Status::find(&words);
        let reason = match status {
            Some(status) => status.to_string(),
            None => reason(None, ""),
        };
        Self {
            fate: Fate::Failed,
            status,
            letter,
            recipient: None,
            reason,
        }
    }
}

fn reason(status: Option<Status>, words: &str) -> String {
    let said = Status::find(words);
    for_log(&match (status, words) {
        (None, "") => "no reason is given".to_owned(),
        (Some(status), "") => status.to_string(),
        (Some(status), words) if said != Some(status) => format!("{status} {words}"),
        (_, words) => words.to_owned(),
    })
}

/// What is said of a recipient in the part for people: OpenSMTPD says it there alone.
fn said_of(recipient: &str, for_people: &[u8]) -> String {
    let text = String::from_utf8_lossy(for_people);
    let said = text.lines().find_map(|line| {
        let (named, said) = line.trim().split_once(": ")?;
        (named == recipient).then_some(said)
    });
    said.unwrap_or_default()
        .chars()
        .take(LONGEST_FIELD)
        .collect()
}

/// Without the `smtp;` or `rfc822;` in front.
fn without_type(field: &str) -> String {
    let (_, value) = field.split_once(';').unwrap_or(("", field));
    value.trim().to_owned()
}

/// The number in a Message-ID of ours.
fn id_in(message_id: &str) -> Option<String> {
    let (id, _) = message_id.trim().trim_start_matches('<').split_once('@')?;
    random::is_id(id).then(|| id.to_owned())
}

// --- taking a message apart ---

/// A part of a message, or the message itself.
struct Part<'a> {
    head: Option<Message<'a>>,
    /// As its `Content-Type` says, in small letters.
    kind: String,
    encoded: &'a [u8],
}

impl Part<'_> {
    fn is_status(&self) -> bool {
        ["message/delivery-status", "message/global-delivery-status"].contains(&&*self.kind)
    }

    /// The number of the letter that is returned in this part, whole or its head alone.
    fn returned_letter(&self) -> Option<String> {
        let kinds = [
            "message/rfc822",
            "message/rfc822-headers",
            "text/rfc822-headers",
            "message/global",
            "message/global-headers",
        ];
        if !kinds.contains(&&*self.kind) {
            return None;
        }
        let body = self.body();
        let (head, _) = split_head(without_envelope_line(body.trim_ascii_start()));
        let head = MessageParser::default().parse_headers(head)?;
        field(&head, "Message-ID").and_then(|it| id_in(&it))
    }

    /// Its bytes as they were before they were encoded for the way.
    fn body(&self) -> Cow<'_, [u8]> {
        let encoding = self
            .head
            .as_ref()
            .and_then(|head| field(head, "Content-Transfer-Encoding"));
        let decoded = match &*encoding.unwrap_or_default().to_ascii_lowercase() {
            "base64" => base64_decode(self.encoded),
            "quoted-printable" => quoted_printable_decode(self.encoded),
            _ => None,
        };
        decoded.map_or(Cow::Borrowed(self.encoded), Cow::Owned)
    }
}

/// Collects the message and all parts of it, each before those within it.
fn take_apart<'a>(bytes: &'a [u8], depth: usize, parts: &mut Vec<Part<'a>>) {
    if parts.len() >= MOST {
        return;
    }
    let (head, body) = split_head(bytes);
    let head = MessageParser::default().parse_headers(head);
    let content_type = head.as_ref().and_then(MimeHeaders::content_type);
    let kind = content_type.map_or_else(String::new, |it| {
        format!("{}/{}", it.ctype(), it.subtype().unwrap_or_default())
    });
    let boundary = content_type.and_then(|it| it.attribute("boundary"));
    let within = match boundary {
        Some(boundary) if depth < DEEPEST && kind.starts_with("multipart/") => {
            pieces(body, boundary)
        }
        _ => Vec::new(),
    };
    parts.push(Part {
        head,
        kind: kind.to_ascii_lowercase(),
        encoded: body,
    });
    for piece in within {
        take_apart(piece, depth + 1, parts);
    }
}

/// What lies between the lines with the boundary (RFC 2046, 5.1.1). What was cut off at the end is a piece, too.
fn pieces<'a>(body: &'a [u8], boundary: &str) -> Vec<&'a [u8]> {
    let delimiter = ["--", boundary].concat();
    let (mut pieces, mut begun, mut at) = (Vec::new(), None, 0);
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let behind = line
            .strip_prefix(delimiter.as_bytes())
            .map(<[u8]>::trim_ascii);
        if let Some(behind @ (b"" | b"--")) = behind {
            pieces.extend(begun.map(|begun| &body[begun..at]));
            begun = behind.is_empty().then_some(at + line.len());
        }
        if pieces.len() >= MOST {
            return pieces;
        }
        at += line.len();
    }
    pieces.extend(begun.map(|begun| &body[begun..]));
    pieces
}

/// A head with the empty line behind it, and the rest.
fn split_head(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    let is_last = |line: &[u8]| line.trim_ascii().is_empty();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        at += line.len();
        if is_last(line) {
            break;
        }
    }
    let (head, body) = bytes.split_at(at);
    (&head[..head.len().min(LARGEST_HEAD)], body)
}

/// The line that mbox files have before a message, and some deliver with it.
fn without_envelope_line(message: &[u8]) -> &[u8] {
    match message.strip_prefix(b"From ") {
        Some(line) => {
            let ends = line.iter().position(|byte| *byte == b'\n');
            ends.map_or(&[], |at| &line[at + 1..])
        }
        None => message,
    }
}

/// Groups of fields with an empty line between them.
fn groups(mut text: &[u8]) -> Vec<Message<'_>> {
    let mut groups = Vec::new();
    while !text.is_empty() && groups.len() < MOST {
        let (group, rest) = split_head(text);
        groups.extend(MessageParser::default().parse_headers(group));
        text = rest;
    }
    groups
}

/// The first field of this name, in one line.
fn field(head: &Message<'_>, name: &str) -> Option<String> {
    fields(head, &[name]).into_iter().next()
}

/// All fields of these names, each in one line.
fn fields(head: &Message<'_>, names: &[&str]) -> Vec<String> {
    let is_one = |name: &str| names.iter().any(|it| it.eq_ignore_ascii_case(name));
    let wanted = head.headers().iter().filter(|it| is_one(it.name()));
    let raw = wanted.take(MOST).filter_map(|it| {
        let bytes = it.offset_start() as usize..it.offset_end() as usize;
        head.raw_message.get(bytes)
    });
    raw.map(|value| {
        let value = String::from_utf8_lossy(value);
        let words: Vec<&str> = value.split_whitespace().collect();
        words.join(" ").chars().take(LONGEST_FIELD).collect()
    })
    .collect()
}
