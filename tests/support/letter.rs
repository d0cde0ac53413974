//! A letter, read as strictly as a mail reader may: whoever reads more loosely reads the same.

use doorpost::mail::letters::Content;

use super::Mail;

/// A letter as it came over the wire.
#[derive(Clone, Debug)]
pub struct Handed {
    /// The sender in the envelope.
    pub from: String,
    /// The recipients in the envelope.
    pub to: Vec<String>,
    pub raw: String,
    /// Over which connection it came, by its number.
    pub connection: usize,
    /// Whether the server took it.
    pub taken: bool,
}

impl Handed {
    /// The number that Doorpost knows it by.
    #[track_caller]
    pub fn number(&self) -> String {
        let id = self.header("Message-ID");
        let (number, _) = id.trim_start_matches('<').split_once('@').unwrap();
        number.to_owned()
    }

    /// A header that is there once, unfolded.
    #[track_caller]
    pub fn header(&self, name: &str) -> String {
        Entity::parse(&self.raw).header(name).to_owned()
    }

    /// The names of all headers, in lower case.
    #[track_caller]
    pub fn header_names(&self) -> Vec<String> {
        let headers = Entity::parse(&self.raw).headers;
        headers
            .iter()
            .map(|(name, _)| name.to_ascii_lowercase())
            .collect()
    }

    /// As its reader has it: two alternatives, plain and HTML, and nothing else.
    #[track_caller]
    pub fn mail(&self) -> Mail {
        let whole = Entity::parse(&self.raw);
        let boundary = whole
            .header("content-type")
            .strip_prefix("multipart/alternative;")
            .and_then(|rest| rest.trim().strip_prefix("boundary=\""))
            .and_then(|rest| rest.strip_suffix('"'))
            .expect("two alternatives");
        let (start, between) = (format!("--{boundary}\r\n"), format!("\r\n--{boundary}"));
        let mut parts = whole.body.split(&between);
        let first = parts.next().and_then(|part| part.strip_prefix(&start));
        let second = parts.next().and_then(|part| part.strip_prefix("\r\n"));
        assert_eq!(parts.next(), Some("--\r\n"), "the end of the parts");
        assert_eq!(parts.next(), None, "more than two parts");
        Mail::from(Content {
            subject: whole.header("subject").to_owned(),
            text: Entity::parse(first.unwrap()).content("text/plain; charset=utf-8"),
            html: Entity::parse(second.unwrap()).content("text/html; charset=utf-8"),
            unsubscribe: None,
        })
    }
}

/// Headers and a body (RFC 5322, 2.1; RFC 2045).
struct Entity {
    headers: Vec<(String, String)>,
    body: String,
}

impl Entity {
    #[track_caller]
    fn parse(text: &str) -> Self {
        assert!(
            text.is_ascii() && !text.contains('\0'),
            "more than text on the wire"
        );
        let bare = text.replace("\r\n", "");
        assert!(!bare.contains(['\r', '\n']), "half of a line end");
        let (head, body) = text
            .split_once("\r\n\r\n")
            .expect("an empty line after the head");
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in head.split("\r\n") {
            assert!(line.len() <= 998, "a line of {}", line.len());
            if let Some(more) = line.strip_prefix([' ', '\t']) {
                let (_, value) = headers.last_mut().expect("a header to continue");
                value.push(' ');
                value.push_str(more.trim_start());
                continue;
            }
            let (name, value) = line.split_once(": ").expect("name: value");
            let is_token = |byte: u8| byte.is_ascii_graphic() && byte != b':';
            assert!(!name.is_empty() && name.bytes().all(is_token), "{line:?}");
            headers.push((name.to_owned(), value.to_owned()));
        }
        for line in body.split("\r\n") {
            assert!(line.len() <= 998, "a line of {}", line.len());
        }
        Self {
            headers,
            body: body.to_owned(),
        }
    }

    #[track_caller]
    fn header(&self, name: &str) -> &str {
        let mut found = self
            .headers
            .iter()
            .filter(|(header, _)| header.eq_ignore_ascii_case(name));
        let (_, value) = found.next().unwrap_or_else(|| panic!("no {name}"));
        assert!(found.next().is_none(), "{name} is there twice");
        value
    }

    /// The body, which must be of this type, and stand as it is (text alone) or be quoted-printable (RFC 2045,
    /// 6.7). No line of it looks to a mailbox file as if another letter began there.
    #[track_caller]
    fn content(&self, content_type: &str) -> String {
        assert_eq!(self.header("content-type"), content_type);
        let forged = self.body.lines().find(|line| line.starts_with("From "));
        assert_eq!(forged, None, "a mailbox would write >From");
        match self.header("content-transfer-encoding") {
            "7bit" if content_type.starts_with("text/plain") => self.body.replace("\r\n", "\n"),
            encoding => {
                assert_eq!(encoding, "quoted-printable");
                self.unquoted()
            }
        }
    }

    #[track_caller]
    fn unquoted(&self) -> String {
        let mut bytes = Vec::new();
        for line in self.body.split_inclusive("\r\n") {
            assert!(line.len() <= 78, "a quoted-printable line of {line:?}");
            match line.strip_suffix("=\r\n") {
                Some(broken) => unquote(broken, &mut bytes),
                None => unquote(line, &mut bytes),
            }
        }
        String::from_utf8(bytes).unwrap().replace("\r\n", "\n")
    }
}

#[track_caller]
fn unquote(line: &str, into: &mut Vec<u8>) {
    let mut rest = line;
    while let Some((plain, quoted)) = rest.split_once('=') {
        into.extend(plain.bytes());
        let (byte, after) = quoted.split_at(2);
        into.push(u8::from_str_radix(byte, 16).unwrap());
        rest = after;
    }
    into.extend(rest.bytes());
}
