//! The API, described: an OpenAPI document for programs (3.1, and 3.0 for older ones), and a page of the same for people.
//!
//! Both are made from the handlers and their types, so that neither tells of anything that is not there.

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::web::{self, Data, ServiceConfig};
use askama::Template;
use serde_json::{Value, json};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContactBuilder, OpenApi as Document, RefOr, Server};
use utoipa::{Modify, OpenApi};

use crate::api::answers::{self, Problems};
use crate::api::error::Problem;
use crate::api::{Answer, codes, jwks, me, metadata, tokens};
use crate::app::App;
use crate::web::page::{Frame, page};
use crate::web::rejection::Rejection;
use crate::web::visitor::Visitor;

/// The document, for programs.
pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/api/openapi.json").get(describe))
        .service(web::resource("/api/openapi-3.0.json").get(describe_as_before));
}

/// The page, for people: among the other pages.
pub fn configure_page(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/api").get(show));
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Doorpost",
        version = "1",
        description = "Sign in by a mailed code or with the password, and act on the account. Errors are application/problem+json; go by their type.",
        license(name = "MIT", identifier = "MIT"),
    ),
    paths(
        codes::ask,
        tokens::grant,
        tokens::revoke,
        me::show,
        me::list_sessions,
        me::end_session,
        me::change_password,
        me::change_email,
        me::delete,
        jwks::show,
        metadata::show,
    ),
    components(schemas(Problem)),
    tags(
        (name = "tokens", description = "Codes by mail, and tokens: got, kept fresh, given back"),
        (name = "me", description = "The account of whoever calls"),
        (name = "keys", description = "What other services and OAuth clients look for"),
    ),
    modifiers(&Bearer, &Problems),
)]
struct Described;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut Document) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
        // Said where it is open, too: what says nothing is taken for an oversight.
        for item in document.paths.paths.values_mut() {
            for asked in answers::operations(item) {
                asked.security.get_or_insert_default();
            }
        }
    }
}

static DOCUMENT: LazyLock<Document> = LazyLock::new(Described::openapi);

async fn describe(app: Data<App>) -> Answer {
    Ok(HttpResponse::Ok().json(document(&app)))
}

/// For generators that know no newer version than 3.0. The document uses nothing that is new in 3.1 but the short name
/// of its licence, and words beside references.
async fn describe_as_before(app: Data<App>) -> Answer {
    let mut document = document(&app);
    document.info.license = None;
    let mut document = json!(document);
    document["openapi"] = json!("3.0.3");
    leave_references_alone(&mut document);
    Ok(HttpResponse::Ok().json(document))
}

/// In 3.0 nothing may stand beside a reference.
fn leave_references_alone(value: &mut Value) {
    match value {
        Value::Object(fields) if fields.contains_key("$ref") => {
            fields.retain(|name, _| name == "$ref");
        }
        Value::Object(fields) => fields.values_mut().for_each(leave_references_alone),
        Value::Array(values) => values.iter_mut().for_each(leave_references_alone),
        _ => {}
    }
}

fn document(app: &App) -> Document {
    let mut document = DOCUMENT.clone();
    let site = app.config.server.public_url.as_str();
    document.servers = Some(vec![Server::new(site)]);
    let contact = ContactBuilder::new().name(Some(app.name)).url(Some(site));
    document.info.contact = Some(contact.build());
    document
}

async fn show(visitor: Visitor) -> Result<HttpResponse, Rejection> {
    Ok(page(&ApiPage {
        frame: visitor.frame(),
        operations: operations(),
    })?)
}

/// One thing that can be asked.
struct Shown {
    method: &'static str,
    path: String,
    summary: String,
    description: String,
    wants_token: bool,
    fields: Vec<Field>,
    answers: Vec<(String, String)>,
}

/// A field of a body.
struct Field {
    name: String,
    words: String,
    is_required: bool,
}

/// Everything in the order in which a program comes to it: the tokens, the account, the keys.
fn operations() -> Vec<Shown> {
    let paths = DOCUMENT.paths.paths.iter();
    let mut operations: Vec<Shown> = paths
        .flat_map(|(path, item)| methods(item).map(move |(method, asked)| (path, method, asked)))
        .map(|(path, method, asked)| Shown {
            method,
            path: path.clone(),
            summary: asked.summary.clone().unwrap_or_default(),
            description: asked.description.clone().unwrap_or_default(),
            wants_token: asked.security.as_ref().is_some_and(|by| !by.is_empty()),
            fields: fields(asked),
            answers: answers(asked),
        })
        .collect();
    let is_below = |asked: &Shown, path: &str| asked.path.starts_with(path);
    operations.sort_by_key(|asked| {
        (
            is_below(asked, "/.well-known/"),
            is_below(asked, "/api/v1/me"),
        )
    });
    operations
}

/// What the body is made of, by the schema that it names.
fn fields(asked: &Operation) -> Vec<Field> {
    let (body, components) = (json!(asked.request_body), json!(DOCUMENT.components));
    let schema = &body["content"]["application/json"]["schema"]["$ref"];
    let name = schema.as_str().and_then(|path| path.rsplit('/').next());
    let schema = &components["schemas"][name.unwrap_or_default()];
    let required = schema["required"].as_array();
    let properties = schema["properties"].as_object().into_iter().flatten();
    properties
        .map(|(name, property)| Field {
            name: name.clone(),
            words: property["description"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            is_required: required.is_some_and(|names| names.contains(&json!(name))),
        })
        .collect()
}

fn methods(item: &PathItem) -> impl Iterator<Item = (&'static str, &Operation)> {
    [
        ("GET", &item.get),
        ("POST", &item.post),
        ("DELETE", &item.delete),
    ]
    .into_iter()
    .filter_map(|(method, asked)| Some((method, asked.as_ref()?)))
}

fn answers(asked: &Operation) -> Vec<(String, String)> {
    let responses = asked.responses.responses.iter();
    responses
        .filter_map(|(status, response)| match response {
            RefOr::T(response) => Some((status.clone(), response.description.clone())),
            RefOr::Ref(_) => None,
        })
        .collect()
}

#[derive(Template)]
#[template(path = "api/description.html")]
struct ApiPage {
    frame: Frame,
    operations: Vec<Shown>,
}
