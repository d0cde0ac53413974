// Passkeys, where a page has a place for them:
//
//   data-passkey="get"               to sign with one; "create" to make one
//   data-at="/where/it/is/taken"     what the authenticator is asked for is at …/options
//   data-with="next shared"          fields of the page that are sent along, by their names
//   data-autofill                    the browser may offer passkeys where the address is typed, too
//
// A place is hidden until it is known that the browser has passkeys. What goes wrong is said in it, and all other ways
// on the page are as good as before.
const places = [...document.querySelectorAll("[data-passkey]")];
const WORN_OUT = "the challenge is about to be worn out";

// What the server says why not, in words for the visitor.
class Refusal extends Error {}

// One request at a time is all that a browser takes.
let running = new AbortController();

if (window.PublicKeyCredential?.parseRequestOptionsFromJSON) {
  for (const place of places) {
    place.hidden = false;
    place.querySelector("button").addEventListener("click", () => onPress(place));
  }
  const quiet = places.find((place) => "autofill" in place.dataset);
  if (quiet) {
    offer(quiet);
    // Back brings the page as it was left.
    addEventListener("pageshow", (event) => event.persisted && offer(quiet));
  }
  // Whoever takes another way is not to be asked any more.
  document.addEventListener("submit", () => running.abort());
}

async function onPress(place) {
  say(place, "");
  try {
    await go(place);
  } catch (error) {
    say(place, words(error));
    // It was called off: what gave way to it waits again.
    if (error.name === "NotAllowedError" && "autofill" in place.dataset) offer(place);
  }
}

// Waits beside the form until somebody chooses a passkey there; without a word, if nobody does.
async function offer(place) {
  if (!(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
  try {
    await go(place, "conditional");
  } catch (error) {
    if (error === WORN_OUT) offer(place);
    else if (error instanceof Refusal) say(place, words(error));
  }
}

async function go(place, mediation) {
  running.abort();
  const mine = (running = new AbortController());
  const { signal } = mine;
  const options = await send(place, "/options", {}, signal);
  const renewal = mediation && setTimeout(() => mine.abort(WORN_OUT), options.timeout);
  const credential = await ask(place.dataset.passkey, options, { mediation, signal });
  clearTimeout(renewal);
  const { next } = await send(place, "", { credential: credential.toJSON() });
  location.assign(next);
}

function ask(kind, options, how) {
  if (kind === "create") {
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
    return navigator.credentials.create({ publicKey, ...how });
  }
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  return navigator.credentials.get({ publicKey, ...how });
}

async function send(place, step, more, signal) {
  const answer = await fetch(place.dataset.at + step, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json" },
    body: JSON.stringify({ ...fields(place), ...more }),
    cache: "no-store",
    signal,
  });
  const said = await answer.json().catch(() => ({}));
  if (answer.ok) return said;
  // Something else comes first; then back here.
  if (said.page) location.assign(`${said.page}?next=${encodeURIComponent(location.pathname + location.search)}`);
  throw new Refusal(said.page ? "" : (said.detail ?? "The server is away for a moment. Try again."));
}

function fields(place) {
  const named = (place.dataset.with ?? "").split(" ").map((name) => [name, document.getElementsByName(name)[0]]);
  const found = named.filter(([, field]) => field);
  return Object.fromEntries(found.map(([name, field]) => [name, field.type === "checkbox" ? field.checked : field.value]));
}

function words(error) {
  if (error instanceof Refusal) return error.message;
  switch (error.name) {
    case "AbortError":
      return "";
    case "InvalidStateError":
      return "There is a passkey for this account on that device already.";
    case "NotAllowedError":
      return "No passkey was used: it was called off, took too long, or there is none here.";
    case "TypeError":
      return "The server cannot be reached. Try again.";
    default:
      return "This browser cannot do that with a passkey.";
  }
}

function say(place, words) {
  place.querySelector("[role=alert]").textContent = words;
}
