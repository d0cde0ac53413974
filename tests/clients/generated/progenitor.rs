//! The client that progenitor makes: signs in and asks who it is.

use doorpost_client::{Client, types};

#[tokio::main]
async fn main() {
    let [site, email, password] = ["SITE", "EMAIL", "PASSWORD"].map(|name| std::env::var(name).unwrap());
    let anybody = Client::new(&site);
    let ask = anybody.get_tokens().body_map(|body| {
        body.grant_type(types::GrantType::Password).email(email.clone()).password(password)
    });
    let tokens = ask.send().await.unwrap().into_inner();
    let bearer = format!("Bearer {}", tokens.access_token.unwrap());
    let headers = [(reqwest::header::AUTHORIZATION, bearer.parse().unwrap())].into_iter().collect();
    let http = reqwest::Client::builder().default_headers(headers).build().unwrap();
    let me = Client::new_with_client(&site, http);
    let me = me.me().send().await.unwrap();
    assert_eq!(me.email, email);
    println!("signed in as {}", me.email);
}
