#!/usr/bin/env bash
#
# oauth2 5.0.0 (crates.io) with its `ureq` feature: a refusal of the token endpoint is no refusal, but trouble with the
# request, and OAuth's `error` is lost.
#
#   findings/oauth2-crate-ureq-refusal.sh        needs Rust, Python 3 and a C compiler; builds for some minutes
#
# A token endpoint refuses with 400 and `{"error": "invalid_grant", …}` (RFC 6749, 5.2). The crate has
# `RequestTokenError::ServerResponse` for that, which a program matches on to tell "sign in again" from "try again later".
# With `ureq` as the HTTP client the answer never gets that far: ureq 2 makes an error of every status from 400 on, and the crate hands it on
# as `RequestTokenError::Request(HttpClientError::Reqwest(…))`, the variant for a connection that failed, named after another
# client:
#
#     Request(Reqwest(Status(400, Response[status: 400, …])))
#
# Ends with 0 if that is still so, with 1 if something has changed. Everything is in a temporary folder, on loopback.

set -euo pipefail
folder=$(mktemp --directory)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
mkdir src

cat >Cargo.toml <<'TOML'
[package]
name = "refusal"
version = "0.0.0"
edition = "2021"

[dependencies]
oauth2 = { version = "=5.0.0", default-features = false, features = ["ureq"] }
ureq = "=2.12.1"
TOML

cat >src/main.rs <<'RUST'
use oauth2::basic::BasicClient;
use oauth2::{AuthType, AuthUrl, ClientId, RequestTokenError, ResourceOwnerPassword, ResourceOwnerUsername, TokenUrl};

fn main() {
    let site = std::env::args().nth(1).unwrap();
    let client = BasicClient::new(ClientId::new("anything".to_owned()))
        .set_auth_type(AuthType::RequestBody)
        .set_auth_uri(AuthUrl::new(site.clone()).unwrap())
        .set_token_uri(TokenUrl::new(site).unwrap());
    let name = ResourceOwnerUsername::new("ada".to_owned());
    let password = ResourceOwnerPassword::new("wrong".to_owned());
    match client.exchange_password(&name, &password).request(&ureq::agent()) {
        Err(RequestTokenError::ServerResponse(refused)) => println!("ServerResponse({refused})"),
        Err(RequestTokenError::Request(trouble)) => println!("Request({trouble:?})"),
        other => println!("{other:?}"),
    }
}
RUST

cat >server.py <<'PYTHON'
import http.server

class TokenEndpoint(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"error": "invalid_grant", "error_description": "The password is wrong."}'
        self.send_response(400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

server = http.server.HTTPServer(("127.0.0.1", 0), TokenEndpoint)
print(server.server_port, flush=True)
server.serve_forever()
PYTHON

cargo build --quiet --target-dir target
python3 server.py >port &
server=$!
until [[ -s port ]]; do sleep 0.1; done
said=$(target/debug/refusal "http://127.0.0.1:$(<port)/token")
printf '%s\n' "$said"
[[ $said == "Request(Reqwest(Status(400,"* ]]
