"use strict";
// Keeps the page live: the server sends the parts that changed, as HTML it made itself.
(() => {
  const state = document.getElementById("state");
  const pause = document.getElementById("pause");
  const said = document.getElementById("said");
  const STATES = { live: "live", paused: "paused", lost: "connection lost, trying again" };
  const AGAIN_MS = 3000;
  const SAID_MS = 10000;
  // Where the page listens; a page without a state is not live.
  const stream = state && (document.getElementById("main").dataset.events || "/events");
  let source = null;
  let paused = false;

  function is(name) {
    state.dataset.is = name;
    state.textContent = STATES[name];
  }

  // A part that somebody is using stays as it is until he leaves it.
  function inUse(part) {
    const focus = document.activeElement;
    const selection = document.getSelection();
    const typed = [...part.querySelectorAll("input")].some((input) => input.value !== input.defaultValue);
    return typed || (focus && focus !== document.body && part.contains(focus) && focus.matches(":focus-visible"))
      || (selection && !selection.isCollapsed && part.contains(selection.anchorNode));
  }

  function show(parts) {
    for (const [name, html] of Object.entries(parts)) {
      const part = document.querySelector(`[data-part="${name}"]`);
      if (part && !inUse(part)) part.innerHTML = html;
    }
  }

  // The stream ends for good when the session does: then the page asks for a login.
  async function lost() {
    is("lost");
    if (source.readyState !== EventSource.CLOSED) return;
    source = null;
    const answer = await fetch(location.pathname, { method: "HEAD" }).catch(() => null);
    if (answer && (answer.status === 401 || answer.status === 403)) location.reload();
    else setTimeout(open, AGAIN_MS);
  }

  function open() {
    if (paused || source || !stream) return;
    source = new EventSource(stream);
    source.onopen = () => is("live");
    source.onmessage = (message) => show(JSON.parse(message.data));
    source.onerror = lost;
  }

  function close() {
    if (source) source.close();
    source = null;
  }

  if (pause) pause.hidden = false;
  if (pause) pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Go on" : "Pause";
    if (paused) {
      close();
      is("paused");
    } else {
      open();
    }
  });

  // Buttons that change something: where to, with what, and what to say when it is done.
  function key() {
    return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  async function post(button) {
    button.disabled = true;
    said.textContent = "";
    try {
      const answer = await fetch(button.dataset.post, {
        method: "POST",
        headers: { "content-type": "application/json", "idempotency-key": key() },
        body: button.dataset.body,
      });
      const body = await answer.json().catch(() => ({}));
      said.textContent = answer.ok ? button.dataset.done : `${body.title || answer.status}: ${body.detail || ""}`;
    } catch {
      said.textContent = "The bank did not answer.";
    }
    setTimeout(() => { said.textContent = ""; }, SAID_MS);
    button.disabled = false;
    button.blur();
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-post]");
    if (button) post(button);
  });

  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
})();
