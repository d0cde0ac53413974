//! What went wrong, and what is to be done about it.

use std::error::Error as StdError;
use std::fmt::{self, Display};

use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::response::Response;

use super::stage::Stage;

/// Why a letter did not leave, by what is to be done about it. The words are for the operator's log: one
/// line of ASCII, at most 200 characters, without secrets or whole addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// No way to the server, or it will not have us: connecting, TLS, log-in, the sender. It would be
    /// the same with any mail, and costs none a try.
    Unreachable(String),
    /// Not now: a 4xx about this mail; a refusal of us or of relaying for us, which the operator can put right;
    /// or a hang-up or deadline once the recipient was named. The latter is the mail's own failure, lest one
    /// that chokes the server holds up all the others.
    Later(Refusal),
    /// Not ever: a 5xx about this recipient or letter, or one that cannot be sent safely.
    Never(Refusal),
}

/// What a letter was refused with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub words: String,
    pub blames: Blames,
}

/// Whom the server will not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blames {
    /// Us: our sender, or that we have not logged in. Every letter would fare the same.
    Us,
    /// This recipient, or this letter alone.
    Recipient,
    /// It does not say: what it will not take, or not now, may be this letter or all of them.
    Nobody,
}

impl Failure {
    /// One that is found before the server hears of the letter.
    pub(super) fn unfit(why: &str) -> Self {
        Self::Never(Refusal {
            words: why.to_owned(),
            blames: Blames::Recipient,
        })
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable(words) => words,
            Self::Later(refusal) | Self::Never(refusal) => &refusal.words,
        })
    }
}

impl StdError for Failure {}

/// A stage that did not go well, not yet judged.
pub(super) struct Trouble {
    stage: Stage,
    /// The code of a refusal; none where there was no usable answer, and the connection is lost.
    pub(super) code: Option<u16>,
    /// Whether the server said anything at all, a 421 too: then it is there.
    pub(super) is_answer: bool,
    words: String,
}

impl Trouble {
    pub(super) fn lost(stage: Stage, words: impl Into<String>) -> Self {
        Self {
            stage,
            code: None,
            is_answer: false,
            words: words.into(),
        }
    }

    pub(super) fn new(stage: Stage, error: &(dyn StdError + 'static)) -> Self {
        let Some(smtp) = error.downcast_ref::<SmtpError>() else {
            return Self::lost(stage, root(error).to_string());
        };
        match smtp.status() {
            Some(code) => Self::refused(stage, code.into(), &root(error).to_string()),
            None if smtp.is_response() => Self::lost(stage, "hung up, or did not speak SMTP"),
            None => Self::lost(stage, root(error).to_string()),
        }
    }

    fn refused(stage: Stage, code: u16, said: &str) -> Self {
        let said = match stage {
            // Once the server has seen a secret (a filter names the link that it dislikes), its
            // words may repeat it. Its codes do not.
            Stage::LogIn | Stage::Letter => enhanced_code(said).unwrap_or_default(),
            _ => said,
        };
        Self {
            stage,
            // 421 is hanging up, with manners: a server may say it to any command (RFC 5321, 3.8).
            code: (code != 421).then_some(code),
            is_answer: true,
            words: format!("{code} {said}"),
        }
    }

    /// What the server said behind its code.
    fn said(&self) -> &str {
        self.words.split_once(' ').map_or("", |(_, said)| said)
    }

    /// Who may not send to whom is said by `X.7` (RFC 3463, 3.8) when a recipient was named; later on, that is
    /// what spam is refused by. Without such a code the word decides.
    fn is_about_relaying(&self) -> bool {
        self.stage == Stage::Rcpt
            && match enhanced_code(self.said()) {
                Some(code) => code.contains(".7."),
                None => self.said().to_ascii_lowercase().contains("relay"),
            }
    }

    /// Codes: RFC 4954, 6; RFC 3463, 3.2 and 3.3; and RFC 5321, 4.2.3, where there is none of those.
    fn blames(&self) -> Blames {
        let code = enhanced_code(self.said());
        let is_code = |ending: &[&str]| {
            code.is_some_and(|code| ending.iter().any(|ending| code.ends_with(ending)))
        };
        let is_class = |class: &[&str]| {
            code.is_some_and(|code| class.iter().any(|class| code.contains(class)))
        };
        if self.code == Some(530) || is_code(&[".1.7", ".1.8"]) || self.names_our_sender() {
            return Blames::Us;
        }
        let is_mailbox = matches!(self.code, Some(450 | 550..=553)) && self.stage == Stage::Rcpt;
        if is_class(&[".1.", ".2."]) || code.is_none() && is_mailbox && !self.is_about_relaying() {
            return Blames::Recipient;
        }
        Blames::Nobody
    }

    /// Whether it is the sender whom the server would not have, once it knew the recipient: so long Postfix holds
    /// such a refusal back (`smtpd_delay_reject`). An address or a domain that says "sender" does not count.
    fn names_our_sender(&self) -> bool {
        let of_word = |word: &str| {
            let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
            word.eq_ignore_ascii_case("sender")
        };
        let code = enhanced_code(self.said());
        self.stage == Stage::Rcpt
            && code.is_none_or(|code| code.contains(".7."))
            && self.said().split(' ').any(of_word)
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        let words = for_log(&format!("{}: {}", trouble.stage, trouble.words));
        if trouble.stage < Stage::Rcpt {
            return Self::Unreachable(words);
        }
        let blames = trouble.blames();
        let refusal = Refusal { words, blames };
        let is_ours = blames == Blames::Us || trouble.is_about_relaying();
        match trouble.code {
            Some(500..) if !is_ours => Self::Never(refusal),
            _ => Self::Later(refusal),
        }
    }
}

/// An answer must be one to our command. Were a stray line taken for the go-ahead to DATA, the letter
/// would be read as commands; were one taken for the answer to the letter, it would be lost.
pub(super) fn in_step(stage: Stage, answer: &Response) -> Result<(), Trouble> {
    let code = u16::from(answer.code());
    let expected = match stage {
        Stage::Data => code == 354,
        _ => (200..300).contains(&code),
    };
    if expected {
        return Ok(());
    }
    Err(Trouble::lost(
        stage,
        format!("out of step, answered {code}"),
    ))
}

/// The innermost cause: the outer ones only say "connection error".
fn root<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause
}

/// The code that an answer may begin with, as in `5.1.1 no such user` (RFC 2034).
fn enhanced_code(said: &str) -> Option<&str> {
    let word = said.split(' ').next()?;
    let of_digits = |part: &str| matches!(part.len(), 1..=3) && part.parse::<u16>().is_ok();
    (word.split('.').count() == 3 && word.split('.').all(of_digits)).then_some(word)
}

/// Makes a text fit for the log: one line of ASCII (no forged lines, no colours), of bounded length, in
/// which an address keeps only its domain.
pub(in crate::mail) fn for_log(text: &str) -> String {
    const MAX: usize = 200;
    let mut fit = String::new();
    for character in text.chars() {
        match character {
            '@' => {
                let local = fit.rfind([' ', '<', '(', '[', ',', ';', ':', '"']);
                fit.truncate(local.map_or(0, |before| before + 1));
                fit.push_str("*@");
            }
            ' '..='~' => fit.push(character),
            _ => fit.push('?'),
        }
    }
    fit.truncate(MAX);
    fit.trim_end().to_owned()
}
