//! The problems that a route may answer with, for the description of the API.
//!
//! Each guard that handlers ask for says here, once, what it refuses. A route that takes [`Sensitive`] names it among
//! its responses, beside those of its own, and is thereby described as it behaves; what a route says itself of a
//! status takes the place of what a guard says. Three things hold for every route, and are added to all: a body that it
//! takes has to be there, whatever is refused is a [`Problem`], and anything may have to be tried again.

use std::collections::BTreeMap;

use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::{Content, OpenApi as Document, Ref, RefOr, Required, Response};
use utoipa::{IntoResponses, Modify, ToSchema};

use crate::api::caller::{Caller, OAuthRequest, Open, Sensitive, SteppedUp};
use crate::api::error::Problem;
use crate::web::{form, rejection};

type Answers = BTreeMap<String, RefOr<Response>>;

impl IntoResponses for Caller {
    fn responses() -> Answers {
        answers([(401, "No token that is good now")])
    }
}

impl IntoResponses for SteppedUp {
    fn responses() -> Answers {
        let mut answers = answers([(
            401,
            "No token that is good now, or no password entered lately",
        )]);
        answers.extend(CrossOrigin::responses());
        answers
    }
}

impl<T> IntoResponses for Open<T> {
    fn responses() -> Answers {
        answers([
            (400, "The body could not be read"),
            (413, "More than 16 KiB"),
            (415, "Not JSON"),
        ])
    }
}

impl<T> IntoResponses for OAuthRequest<T> {
    fn responses() -> Answers {
        let mut answers = CrossOrigin::responses();
        answers.extend(self::answers([
            (400, "The body could not be read"),
            (413, "More than 16 KiB"),
            (415, "Neither JSON nor a form"),
        ]));
        answers
    }
}

impl<T> IntoResponses for Sensitive<T> {
    fn responses() -> Answers {
        let mut answers = SteppedUp::responses();
        answers.extend(Open::<T>::responses());
        answers
    }
}

/// For whatever changes something and takes a token from a cookie.
pub struct CrossOrigin;

impl IntoResponses for CrossOrigin {
    fn responses() -> Answers {
        answers([(403, "A cookie, from a page of another site")])
    }
}

fn answers<const N: usize>(listed: [(u16, &str); N]) -> Answers {
    let listed = listed.map(|(status, words)| (status.to_string(), Response::new(words).into()));
    listed.into()
}

/// Adds what holds for every route.
pub struct Problems;

impl Modify for Problems {
    fn modify(&self, document: &mut Document) {
        for operation in document.paths.paths.values_mut().flat_map(operations) {
            if let Some(RefOr::T(body)) = &mut operation.request_body {
                body.required = Some(Required::True);
            }
            let kinds = kinds_of_problems(operation);
            let answers = &mut operation.responses.responses;
            answers.extend(self::answers([(503, "Not now: try again")]));
            for (status, answer) in answers {
                if let RefOr::T(answer) = answer
                    && status.as_str() >= "400"
                {
                    let content = Content::new(Some(Ref::from_schema_name(Problem::name())));
                    let content = kinds
                        .iter()
                        .map(|kind| ((*kind).to_owned(), content.clone().into()));
                    answer.content.extend(content);
                }
            }
        }
    }
}

/// Where a form is taken, whoever sends one reads plain JSON.
fn kinds_of_problems(operation: &Operation) -> &'static [&'static str] {
    let takes_forms = match &operation.request_body {
        Some(RefOr::T(body)) => body.content.contains_key(form::MEDIA_TYPE),
        _ => false,
    };
    match takes_forms {
        true => &[rejection::CONTENT_TYPE, "application/json"],
        false => &[rejection::CONTENT_TYPE],
    }
}

/// What can be asked there.
pub fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem {
        get, post, delete, ..
    } = item;
    [get, post, delete].into_iter().flatten()
}
