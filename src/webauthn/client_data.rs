//! What the browser writes down of a ceremony, for the authenticator to sign: its kind, the challenge, and the page.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::Refusal;

/// `CollectedClientData` (5.8.1), as far as it is judged. Browsers may add to it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClientData {
    r#type: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: Option<bool>,
    /// The page around the frame, where there is one.
    #[serde(default)]
    top_origin: Option<String>,
}

/// What an authenticator was asked to do.
#[derive(Clone, Copy)]
pub(super) enum Ceremony {
    Create,
    Get,
}

impl Ceremony {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "webauthn.create",
            Self::Get => "webauthn.get",
        }
    }
}

impl ClientData {
    /// `None` for what is no JSON, not UTF-8, or says something twice.
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    /// The challenge that was answered.
    pub(super) fn challenge(&self) -> Option<Vec<u8>> {
        URL_SAFE_NO_PAD.decode(&self.challenge).ok()
    }

    /// What 7.1 and 7.2 ask of it alike: the kind of the ceremony, the challenge, the page.
    pub(super) fn check(
        &self,
        ceremony: Ceremony,
        challenge: &[u8],
        origin: &str,
    ) -> Result<(), Refusal> {
        if self.r#type != ceremony.name() {
            return Err(Refusal::WrongCeremony);
        }
        if self.challenge().as_deref() != Some(challenge) {
            return Err(Refusal::WrongChallenge);
        }
        // None of our pages stands in a frame, on whatever site.
        let framed = self.cross_origin == Some(true) || self.top_origin.is_some();
        match self.origin == origin && !framed {
            true => Ok(()),
            false => Err(Refusal::WrongOrigin),
        }
    }
}
