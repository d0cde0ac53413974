//! What went wrong, and what is to be done about it.

use std::error::Error as StdError;
use std::fmt::{self, Display};

use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::response::Response;

use super::stage::Stage;

/// Why a letter did not leave, by what is to be done about it. The text is for the operator's log: one
/// line of ASCII, at most 200 characters, without secrets or whole addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// No way to the server, or it will not have us: connecting, TLS, log-in, the sender. It would be
    /// the same with any mail, and costs none a try.
    Unreachable(String),
    /// Not now, and the one whom the server will not have is us: it named this recipient and blamed the
    /// sender, or would not relay for us. Other recipients may fare better.
    Unwelcome(String),
    /// Not now: a 4xx about this mail, or a hang-up or deadline once the recipient was named. The latter
    /// is the mail's own failure, too, lest one that chokes the server holds up all the others.
    Later(String),
    /// Not ever: a 5xx about this recipient or letter, or one that cannot be sent safely.
    Never(String),
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Unreachable(text)
        | Self::Unwelcome(text)
        | Self::Later(text)
        | Self::Never(text)) = self;
        f.write_str(text)
    }
}

impl StdError for Failure {}

/// A stage that did not go well, not yet judged.
pub(super) struct Trouble {
    stage: Stage,
    /// The code of a refusal; none where there was no usable answer, and the connection is lost.
    pub(super) code: Option<u16>,
    words: String,
}

impl Trouble {
    pub(super) fn lost(stage: Stage, words: impl Into<String>) -> Self {
        Self {
            stage,
            code: None,
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
            words: format!("{code} {said}"),
        }
    }

    /// Whether the refusal is of us: of the sender, or of relaying for us. Postfix holds the former back
    /// until the recipient (`smtpd_delay_reject`). Codes: RFC 4954, 6, and RFC 3463, 3.2 and 3.8: who may
    /// not send to whom is said by `X.7`, when a recipient was named (later on, that is what spam is
    /// refused by). Without a code the word decides.
    fn blames_us(&self) -> bool {
        let said = self.words.split_once(' ').map_or("", |(_, said)| said);
        let at_recipient = self.stage == Stage::Rcpt;
        match enhanced_code(said) {
            _ if self.code == Some(530) => true,
            Some(code) if code.ends_with(".1.7") || code.ends_with(".1.8") => true,
            Some(code) => at_recipient && code.contains(".7."),
            None => at_recipient && said.to_ascii_lowercase().contains("relay"),
        }
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        let text = for_log(&format!("{}: {}", trouble.stage, trouble.words));
        match trouble.code {
            _ if trouble.stage < Stage::Rcpt => Self::Unreachable(text),
            Some(_) if trouble.blames_us() => Self::Unwelcome(text),
            Some(500..) => Self::Never(text),
            _ => Self::Later(text),
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
pub(super) fn for_log(text: &str) -> String {
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
