//! What programs look for at the same place on every site.

use reqwest::StatusCode;

use crate::routes;
use crate::support::{Database, House};

on_both! {
    /// A password manager leads there; who is not signed in, or not lately by password, does that first.
    async fn the_way_to_another_password_is_where_password_managers_look(db: Database) {
        let house = House::new(db).await;
        let owner = house.owner("ada@example.org").await;
        for visitor in [house.visitor(), owner.clone()] {
            visitor.get("/.well-known/change-password").await.goes_on_to("/account/password");
        }
        let page = owner.get("/.well-known/change-password").await;
        assert_eq!(owner.follow(page).await.status, StatusCode::OK);
        // Else no answer of ours would tell whether there is such a thing.
        let none = "/.well-known/resource-that-should-not-exist-whose-status-code-should-not-be-200";
        assert_eq!(owner.get(none).await.status, StatusCode::NOT_FOUND);
    }

    /// RFC 9116
    async fn whoever_finds_a_hole_is_told_whom_to_tell_if_the_operator_said_so(db: Database) {
        let path = "/.well-known/security.txt";
        let house = House::new(db).await;
        assert_eq!(house.visitor().get(path).await.status, StatusCode::NOT_FOUND);
        let contacts = "mailto:security@example.org, https://example.org/security";
        let settings = [("SECURITY_CONTACT", contacts), ("SECURITY_CONTACT_EXPIRES", "2027-06-30")];
        let house = House::with(db, &settings).await;
        let page = house.visitor().get(path).await;
        assert_eq!(page.status, StatusCode::OK);
        assert_eq!(page.header("content-type"), Some("text/plain; charset=utf-8"));
        let expected = format!(
            "Contact: mailto:security@example.org\nContact: https://example.org/security\n\
             Expires: 2027-06-30T23:59:59Z\nCanonical: {}{path}\n",
            house.url
        );
        assert_eq!(page.body, expected);
    }

    /// Whatever a stranger cannot see, and whatever is reached from a letter, by a program or by the operator.
    async fn search_engines_are_told_what_is_of_no_use_to_them(db: Database) {
        let house = House::new(db).await;
        let page = house.visitor().get("/robots.txt").await;
        assert_eq!(page.header("content-type"), Some("text/plain; charset=utf-8"));
        let mut lines = page.body.lines();
        assert_eq!(lines.next(), Some("User-agent: *"));
        let barred: Vec<&str> = lines.map(|line| line.strip_prefix("Disallow: ").unwrap()).collect();
        let is_barred = |path: &str| barred.iter().any(|begins| path.starts_with(begins));
        for open in ["/", "/register", "/sign-in", "/forgot-password", "/api"] {
            assert!(!is_barred(open), "{open}");
        }
        // A page of one's own sees to itself.
        for (path, answer) in routes::for_strangers().filter(|(path, _)| *path != "/members") {
            let is_for_strangers = answer == "200" || path.starts_with("/.well-known/");
            assert!(is_for_strangers || is_barred(path), "{path}");
        }
        for (path, _) in routes::for_strangers() {
            let is_for_programs = ["/dev/", "/api/", "/healthz", "/readyz"].iter().any(|begins| path.starts_with(begins));
            assert!(!is_for_programs || is_barred(path), "{path}");
        }
        assert!(barred.contains(&"/*?"), "a link that somebody was mailed");
    }
}
