// Passkeys, where a page has a place for them:
//
//   data-passkey="get"               to sign with one; "create" to make one
//   data-at="/where/it/is/taken"     what the authenticator is asked for is at …/options
//   data-with="next shared"          fields of the page that are sent along, by their names
//   data-autofill                    the browser may offer passkeys where the address is typed, too
//
//   data-offer-passkey               shown where the device itself can keep one
//   data-passkey-by-itself="/where"  the browser may make one, and asks nobody
//   data-accepted-passkeys="{…}"     those that are still taken, for what keeps them
//   data-without-passkeys            goes where there are passkeys
//
// Where a page has these it has them in a script of type text/html, which no browser shows, a text browser neither: they
// come out of it once it is known that this one has passkeys. What goes wrong is said there, and all other ways on the
// page are as good as before.
const WORN_OUT = "the challenge is about to be worn out";

// What the server says why not, in words for the visitor.
class Refusal extends Error {}

// One request at a time is all that a browser takes: whatever waits gives way to the next one.
let running = new AbortController();

function takeTurn() {
  running.abort();
  return (running = new AbortController());
}

if (window.PublicKeyCredential?.parseRequestOptionsFromJSON) {
  document.querySelectorAll("script[type='text/html']:not([data-offer-passkey])").forEach(show);
  const places = [...document.querySelectorAll("[data-passkey]")];
  for (const place of places) {
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

  document.querySelectorAll("[data-without-passkeys]").forEach((words) => words.remove());
  document.querySelectorAll("[data-offer-passkey]").forEach(offerToMake);
  document.querySelectorAll("[data-passkey-by-itself]").forEach(makeByItself);
  document.querySelectorAll("[data-accepted-passkeys]").forEach(tellOfAccepted);
}

// What is written in it takes its place.
function show(script) {
  script.replaceWith(document.createRange().createContextualFragment(script.textContent));
}

async function onPress(place) {
  say(place, "");
  try {
    await go(place, takeTurn());
  } catch (error) {
    tell(place, error);
    // It was called off: what gave way to it waits again.
    if (error.name === "NotAllowedError" && "autofill" in place.dataset) offer(place);
  }
}

// Waits beside the form until somebody chooses a passkey there; without a word, if nobody does.
async function offer(place) {
  const turn = takeTurn();
  if (!(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
  try {
    await go(place, turn, "conditional");
  } catch (error) {
    if (error === WORN_OUT) offer(place);
    else if (error instanceof Refusal) tell(place, error);
  }
}

async function go(place, turn, mediation) {
  const { signal } = turn;
  const options = await send(place, "/options", {}, signal);
  const renewal = mediation && setTimeout(() => turn.abort(WORN_OUT), options.timeout);
  const credential = await ask(place.dataset.passkey, options, { mediation, signal });
  clearTimeout(renewal);
  const { next } = await bring(place, options, credential);
  location.assign(next);
}

// Only a device that makes sure of its owner by itself: nobody is sent to look for a telephone.
async function offerToMake(offer) {
  if (await PublicKeyCredential.isUserVerifyingPlatformAuthenticatorAvailable?.()) show(offer);
}

// Right after a password some browsers make a passkey beside it, if their owner let them. Whatever comes of it, nobody
// waits for it or hears of it here; the mailbox does.
async function makeByItself(where) {
  const { signal } = takeTurn();
  try {
    const { conditionalCreate } = await PublicKeyCredential.getClientCapabilities();
    if (!conditionalCreate) return;
    const place = { dataset: { at: where.dataset.passkeyByItself } };
    const by_itself = true;
    const options = await send(place, "/options", { by_itself }, signal);
    const credential = await ask("create", options, { mediation: "conditional", signal });
    await send(place, "", { by_itself, credential: credential.toJSON() });
  } catch {
    // Then there is none.
  }
}

// What keeps passkeys offers those no more that are gone, and shows the address that the account has now.
function tellOfAccepted(told) {
  const { rpId, userId, allAcceptedCredentialIds, name, displayName } = JSON.parse(told.dataset.acceptedPasskeys);
  PublicKeyCredential.signalAllAcceptedCredentials?.({ rpId, userId, allAcceptedCredentialIds }).catch(() => {});
  PublicKeyCredential.signalCurrentUserDetails?.({ rpId, userId, name, displayName }).catch(() => {});
}

// A passkey that nobody has here: what keeps it may forget it.
async function bring(place, options, credential) {
  try {
    return await send(place, "", { credential: credential.toJSON() });
  } catch (error) {
    const isUnknown = error.type?.endsWith(":unknown_passkey");
    const unknown = { rpId: options.rpId, credentialId: credential.id };
    if (isUnknown) PublicKeyCredential.signalUnknownCredential?.(unknown).catch(() => {});
    throw error;
  }
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
  throw Object.assign(new Refusal(said.detail ?? "The server is away for a moment. Try again."), said);
}

function fields(place) {
  const named = (place.dataset.with ?? "").split(" ").map((name) => [name, document.getElementsByName(name)[0]]);
  const found = named.filter(([, field]) => field);
  return Object.fromEntries(found.map(([name, field]) => [name, field.type === "checkbox" ? field.checked : field.value]));
}

// Where something else comes first, it leads there; and then back here.
function tell(place, error) {
  if (error.page) location.assign(`${error.page}?next=${encodeURIComponent(location.pathname + location.search)}`);
  else say(place, words(error));
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
