//! The oauth2 crate signs in and refreshes by itself: `main SITE EMAIL PASSWORD`. It gives back over https alone.

use oauth2::basic::BasicClient;
use oauth2::{
    AuthType, AuthUrl, ClientId, ConfigurationError, ResourceOwnerPassword, ResourceOwnerUsername,
    RevocationUrl, StandardRevocableToken, TokenResponse, TokenUrl,
};

fn who(site: &str, token: &str) -> String {
    let asked =
        ureq::get(&format!("{site}/api/v1/me")).set("Authorization", &format!("Bearer {token}"));
    asked.call().unwrap().into_string().unwrap()
}

fn main() {
    let [site, email, password] = [1, 2, 3].map(|at| std::env::args().nth(at).unwrap());
    let http = ureq::agent();
    let client = BasicClient::new(ClientId::new("anything".to_owned()))
        .set_auth_type(AuthType::RequestBody)
        .set_auth_uri(AuthUrl::new(format!("{site}/nowhere")).unwrap())
        .set_token_uri(TokenUrl::new(format!("{site}/api/v1/tokens")).unwrap())
        .set_revocation_url(RevocationUrl::new(format!("{site}/api/v1/tokens/revoke")).unwrap());

    let name = ResourceOwnerUsername::new(email.clone());
    let wrong = ResourceOwnerPassword::new("wrong".to_owned());
    // With ureq a refusal is trouble with the request, whose words it does not read.
    assert!(
        client
            .exchange_password(&name, &wrong)
            .request(&http)
            .is_err()
    );

    let right = ResourceOwnerPassword::new(password);
    let first = client
        .exchange_password(&name, &right)
        .request(&http)
        .unwrap();
    assert!(who(&site, first.access_token().secret()).contains(&email));
    let refresh_token = first.refresh_token().unwrap();
    let second = client
        .exchange_refresh_token(refresh_token)
        .request(&http)
        .unwrap();
    assert!(who(&site, second.access_token().secret()).contains(&email));
    assert_ne!(
        second.refresh_token().unwrap().secret(),
        refresh_token.secret()
    );

    let token = StandardRevocableToken::from(second.refresh_token().unwrap());
    let over_http = client.revoke_token(token).err();
    assert!(
        matches!(over_http, Some(ConfigurationError::InsecureUrl(_))),
        "{over_http:?}"
    );
    println!("oauth2 (Rust): signed in, refreshed; gives back over https alone");
}
