// What works without this script, a little smoother with it:
//
// - a page that waits for a sign-in elsewhere moves on by itself      [data-waiting="/its/address"]
// - a list that grows elsewhere shows what is new                     [data-refresh="/its/address"]
// - sections below one another become tabs                            [data-tabs] around the links to them
// - what is to be typed elsewhere can be copied                       [data-copy="Words on the button"]
// - a password can be looked at while it is typed
// - a form sent by a double click is sent once
//
// It never sends a form, reads what was typed or keeps anything.
(() => {
  "use strict";

  const PAUSE = 2_000; // between two looks
  const PATIENCE = 15 * 60_000; // how long to look while nobody comes back to the page
  const DOUBLE = 5_000; // a second sending within this time is a slip of the finger
  const BREATH = 100; // before the next word is said

  const waiting = document.querySelector("[data-waiting]");
  if (waiting) keepLooking(() => moveOn(waiting.dataset.waiting));

  const list = document.querySelector("[data-refresh]");
  if (list) keepLooking(renewal(list));

  const tabs = document.querySelector("[data-tabs]");
  if (tabs) makeTabs(tabs);

  if (navigator.clipboard) document.querySelectorAll("[data-copy]").forEach(offerToCopy);
  document.querySelectorAll('input[type="password"]').forEach(offerToShow);
  sendOnce();

  // A redirect where a page was means that this browser is signed in. Where it leads is for the
  // server to say, so ask for the page itself; `replace`, lest Back return to the waiting.
  async function moveOn(page) {
    const answer = await fetch(page, { redirect: "manual", cache: "no-store" });
    if (answer.type === "opaqueredirect") location.replace(page);
  }

  // Only what has changed is touched, so that whoever selects or reads is not disturbed.
  function renewal(here) {
    const say = voice("unseen");
    document.body.append(say.status);
    const rows = (list) => [...list.querySelectorAll("li a")];
    const names = (list) => rows(list).map((row) => row.getAttribute("href"));

    return async () => {
      const answer = await fetch(here.dataset.refresh, { cache: "no-store" });
      if (!answer.ok) return;
      const there = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-refresh]");
      if (!there) return;

      const known = names(here);
      if (known.join() === names(there).join()) {
        const times = there.querySelectorAll("time");
        here.querySelectorAll("time").forEach((time, at) => (time.textContent = times[at].textContent));
        return;
      }
      const news = rows(there).filter((row) => !known.includes(row.getAttribute("href")));
      const focused = here.contains(document.activeElement) && document.activeElement;
      const same = focused && (focused.href ? `[href="${CSS.escape(focused.getAttribute("href"))}"]` : "button");
      here.replaceChildren(...there.childNodes);
      if (same) here.querySelector(same)?.focus({ preventScroll: true });
      if (news.length) say(`New: ${news[0].querySelector("strong").textContent}`);
    };
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

  // Links to sections of this page become tabs (WAI-ARIA, "Tabs with automatic activation"). The chosen one
  // stands in the address, for a reload.
  function makeTabs(list) {
    const tabs = [...list.querySelectorAll("a")];
    const panel = (tab) => document.querySelector(tab.hash);
    const named = () => tabs.find((tab) => tab.hash === location.hash);

    const choose = (chosen) => {
      for (const tab of tabs) {
        const isChosen = tab === chosen;
        tab.setAttribute("aria-selected", isChosen);
        tab.tabIndex = isChosen ? 0 : -1;
        panel(tab).hidden = !isChosen;
      }
    };
    const turnTo = (tab) => {
      choose(tab);
      tab.focus();
      history.replaceState(null, "", tab.hash);
    };

    list.setAttribute("role", "tablist");
    for (const tab of tabs) {
      tab.id = `tab-${tab.hash.slice(1)}`;
      tab.setAttribute("role", "tab");
      tab.setAttribute("aria-controls", panel(tab).id);
      panel(tab).setAttribute("role", "tabpanel");
      panel(tab).setAttribute("aria-labelledby", tab.id);
      panel(tab).querySelector("h2").hidden = true;
    }
    choose(named() ?? tabs[0]);

    // Not sooner: the browser goes to what the address names, and would put a ring around it.
    const reach = () => tabs.forEach((tab) => (panel(tab).tabIndex = 0));
    list.addEventListener("focusin", reach, { once: true });
    list.addEventListener("click", (event) => {
      const tab = event.target.closest("a");
      if (!tab || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      turnTo(tab);
    });
    list.addEventListener("keydown", (event) => {
      const at = tabs.indexOf(event.target);
      const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: -1 }[event.key];
      if (at < 0 || to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      turnTo(tabs.at(to % tabs.length));
    });
    addEventListener("hashchange", () => named() && choose(named()));
  }

  function offerToCopy(shown) {
    const say = voice("soft");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button second";
    button.textContent = shown.dataset.copy;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(shown.textContent);
        say("Copied");
      } catch {
        say("This browser does not let it be copied");
      }
    });
    shown.after(button, say.status);
  }

  // Name and autocomplete stay as they are, and so password managers find the field.
  function offerToShow(field) {
    const say = voice("unseen");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button plain reveal";
    button.setAttribute("aria-controls", field.id);

    const show = (shown) => {
      const { selectionStart, selectionEnd } = field;
      field.type = shown ? "text" : "password";
      button.textContent = shown ? "Hide password" : "Show password";
      // Some browsers lose the caret over it.
      if (field === document.activeElement) field.setSelectionRange(selectionStart, selectionEnd);
    };

    // Pressed by mouse or finger it takes no focus: the caret stays, and the keyboard on a phone.
    button.addEventListener("mousedown", (event) => event.preventDefault());
    button.addEventListener("click", () => {
      const shown = field.type === "password";
      show(shown);
      say(shown ? "The password is shown" : "The password is hidden");
    });
    // What is sent as plain text, browsers remember.
    field.form.addEventListener("submit", () => show(false));
    show(false);
    field.after(button, say.status);
  }

  // Says something to those who listen to the page. What did not change they do not hear: so each word
  // comes after a silence.
  function voice(className) {
    const status = document.createElement("span");
    status.className = className;
    status.setAttribute("role", "status");
    const say = (words) => {
      status.textContent = "";
      setTimeout(() => (status.textContent = words), BREATH);
    };
    return Object.assign(say, { status });
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
