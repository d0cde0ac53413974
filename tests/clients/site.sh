# Sourced by `run` and `generate`, with the program to call as its argument or nothing: builds it then. Starts it on
# loopback in a temporary folder, $work, which goes when the caller ends, and registers $email with $password at $site.

work=$(mktemp --directory)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$work"' EXIT

program=${1:-}
[[ -n $program ]] || {
    cargo build --quiet --locked
    program=${CARGO_TARGET_DIR:-target}/debug/doorpost
}
program=$(realpath "$program")

port=$((20000 + RANDOM % 10000))
site=http://localhost:$port
mkdir "$work/site"
(cd "$work/site" && BIND_ADDRESS=127.0.0.1:$port PUBLIC_URL=$site LIMIT_PASSWORD_PER_NETWORK=off exec "$program") >"$work/log" 2>&1 &
server=$!
for _ in {1..100}; do curl --silent --fail --output "$work/ready" "$site/readyz" && break || sleep 0.1; done

email=ada@example.org
password='a horse that eats staples'
ours=(--silent --show-error --fail --header "Origin: $site" --cookie "$work/jar" --cookie-jar "$work/jar")
curl "${ours[@]}" --output "$work/asked" --data-urlencode "email=$email" "$site/register"
for _ in {1..100}; do
    mail=$(curl --silent "$site/dev/inbox" | grep --only-matching --max-count=1 'href="/dev/inbox/[^"]*"' | cut --delimiter='"' --fields=2) && break || sleep 0.1
done
token=$(curl --silent "$site$mail" | grep --only-matching --max-count=1 'confirm-email?token=[A-Za-z0-9_-]*' | head --lines=1 | cut --delimiter='=' --fields=2)
curl "${ours[@]}" --output "$work/confirmed" --data-urlencode "token=$token" --data-urlencode "password=$password" "$site/confirm-email"
