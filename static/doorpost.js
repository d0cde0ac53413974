// What works without this script, a little smoother with it:
//
// - a page that waits for a sign-in elsewhere moves on by itself      [data-waiting="/its/address"]
// - a list that grows elsewhere shows what is new                     [data-refresh="/its/address"]
// - a form sent by a double click is sent once
//
// It never sends a form, reads what was typed or keeps anything.
(() => {
  "use strict";

  const PAUSE = 2_000; // between two looks
  const PATIENCE = 15 * 60_000; // how long to look while nobody comes back to the page
  const DOUBLE = 5_000; // a second sending within this time is a slip of the finger

  const waiting = document.querySelector("[data-waiting]");
  if (waiting) keepLooking(() => moveOn(waiting.dataset.waiting));

  const list = document.querySelector("[data-refresh]");
  if (list) keepLooking(() => renew(list.dataset.refresh));

  sendOnce();

  // A redirect where a page was means that this browser is signed in. Where it leads is for the
  // server to say, so ask for the page itself; `replace`, lest Back return to the waiting.
  async function moveOn(page) {
    const answer = await fetch(page, { redirect: "manual", cache: "no-store" });
    if (answer.type === "opaqueredirect") location.replace(page);
  }

  async function renew(page) {
    const answer = await fetch(page, { cache: "no-store" });
    if (!answer.ok) return;
    const there = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-refresh]");
    const here = document.querySelector("[data-refresh]");
    if (!there || there.innerHTML === here.innerHTML) return;

    const focused = here.contains(document.activeElement) && document.activeElement.getAttribute("href");
    here.replaceChildren(...there.childNodes);
    if (focused) here.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }

  // Looks now and then, until nobody has turned to the page for long; a return starts it again.
  function keepLooking(look) {
    let until = Date.now() + PATIENCE;
    let asleep = false;

    const round = async () => {
      if (Date.now() > until) {
        asleep = true;
        return;
      }
      try {
        await look();
      } catch {
        // The server or the network is away for a moment. The next look tells.
      }
      setTimeout(round, PAUSE);
    };

    const wake = () => {
      if (document.hidden) return;
      until = Date.now() + PATIENCE;
      if (asleep) {
        asleep = false;
        round();
      }
    };

    document.addEventListener("visibilitychange", wake);
    addEventListener("focus", wake);
    setTimeout(round, PAUSE);
  }

  function sendOnce() {
    let sent = new WeakMap();

    document.addEventListener("submit", (event) => {
      const now = Date.now();
      if (now - (sent.get(event.target) ?? 0) < DOUBLE) event.preventDefault();
      else sent.set(event.target, now);
    });

    // Back brings the page as it was left; its forms may be sent again.
    addEventListener("pageshow", () => {
      sent = new WeakMap();
    });
  }
})();
