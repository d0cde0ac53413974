//! The client that progenitor makes: signs in and asks who it is.

use doorpost_client::{Client, types};

#[tokio::main]
async fn main() {
    let [site, email, password] = ["SITE", "EMAIL", "PASSWORD"].map(|name| std::env::var(name).unwrap());
    let asked = types::TokenRequest::builder()
        .grant_type(types::GrantType::Password)
        .email(email.clone())
        .password(password);
    let asked: types::TokenRequest = asked.try_into().unwrap();
    let tokens = Client::new(&site).get_tokens(&asked).await.unwrap();
    let bearer = format!("Bearer {}", tokens.access_token);
    let headers = [(reqwest::header::AUTHORIZATION, bearer.parse().unwrap())].into_iter().collect();
    let http = reqwest::Client::builder().default_headers(headers).build().unwrap();
    let me = Client::new_with_client(&site, http).me().await.unwrap();
    assert_eq!(me.email, email);
    println!("signed in as {}", me.email);
}
