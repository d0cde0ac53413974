//! Somebody's program: no cookies, no pages, a pair of tokens once it has one.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Page, Visitor};

const TOKENS: &str = "/api/v1/tokens";

/// A program, with the tokens it holds.
#[derive(Clone)]
pub struct Program {
    http: Visitor,
    pub access: String,
    pub refresh: String,
}

impl Program {
    pub fn new(http: &Visitor) -> Self {
        Self {
            http: http.refusing_cookies(),
            access: String::new(),
            refresh: String::new(),
        }
    }

    /// The same program at another node.
    pub fn moved_to(&self, url: &str) -> Self {
        Self {
            http: self.http.moved_to(url),
            ..self.clone()
        }
    }

    /// With the tokens of this answer, if it has some.
    pub fn with(mut self, page: &Page) -> Self {
        let tokens: Value = serde_json::from_str(&page.body).unwrap_or_default();
        if let (Some(access), Some(refresh)) = (
            tokens["access_token"].as_str(),
            tokens["refresh_token"].as_str(),
        ) {
            (self.access, self.refresh) = (access.to_owned(), refresh.to_owned());
        }
        self
    }

    pub async fn sign_in(&self, address: &str, password: &str) -> Page {
        let body = json!({"grant_type": "password", "email": address, "password": password});
        self.post(TOKENS, &body).await
    }

    pub async fn type_code(&self, sign_in_id: &str, code: &str) -> Page {
        let body = json!({"grant_type": "email_code", "sign_in_id": sign_in_id, "code": code});
        self.post(TOKENS, &body).await
    }

    pub async fn refresh(&self) -> Page {
        let body = json!({"grant_type": "refresh_token", "refresh_token": self.refresh});
        self.post(TOKENS, &body).await
    }

    pub async fn revoke(&self) -> Page {
        self.post("/api/v1/tokens/revoke", &json!({"token": self.refresh}))
            .await
    }

    pub async fn ask_for_code(&self, address: &str) -> Page {
        self.post("/api/v1/sign-in-codes", &json!({"email": address}))
            .await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Page {
        let request = self
            .request(Method::POST, path)
            .header("content-type", "application/json")
            .body(body.to_string());
        self.http.send(request).await
    }

    pub async fn get(&self, path: &str) -> Page {
        self.http.send(self.request(Method::GET, path)).await
    }

    pub async fn delete(&self, path: &str) -> Page {
        self.http.send(self.request(Method::DELETE, path)).await
    }

    /// The address it is signed in as, if its access token is good.
    pub async fn signed_in_as(&self) -> Option<String> {
        let page = self.get("/api/v1/me").await;
        match page.status {
            StatusCode::OK => {
                let me: Value = serde_json::from_str(&page.body).unwrap();
                me["email"].as_str().map(str::to_owned)
            }
            StatusCode::UNAUTHORIZED => None,
            other => panic!("/api/v1/me answered {other}: {}", page.body),
        }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, path);
        match self.access.is_empty() {
            true => request,
            false => request.header("authorization", format!("Bearer {}", self.access)),
        }
    }
}
