// @ts-check
// Keeps a page up to date. An experiment's page follows its events and asks the server to draw
// the rows that changed; other pages with something running are fetched again from time to time.
// The server draws everything: this file only moves elements into place.

const main = /** @type {HTMLElement} */ (document.getElementById("main"));
const pulse = /** @type {HTMLElement} */ (document.getElementById("pulse"));
const parser = new DOMParser();

/** Rows that the server draws in one request. */
const BATCH = 200;
/** Milliseconds between two requests for rows. */
const PACE = 500;

/** @param {"live" | "lost" | ""} state @param {string} text */
function say(state, text) {
  pulse.className = "pulse " + state;
  pulse.textContent = text;
  pulse.hidden = text === "";
}

/** @param {string} url @returns {Promise<Document>} */
async function draw(url) {
  const answer = await fetch(url, { headers: { Accept: "text/html" } });
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  return parser.parseFromString(await answer.text(), "text/html");
}

/** Puts fresh in place of the element with its id and keeps the focus. @param {Element | null} fresh */
function replace(fresh) {
  if (!fresh) return;
  const old = document.getElementById(fresh.id);
  if (!old) return;
  const focused = old.contains(document.activeElement);
  old.replaceWith(document.adoptNode(fresh));
  if (focused) /** @type {HTMLElement | null} */ (fresh.querySelector("a"))?.focus();
}

/** @param {string} experiment @param {string} after */
function follow(experiment, after) {
  const base = `/e/${encodeURIComponent(experiment)}/rows?`;
  /** @type {Set<string>} */
  const changed = new Set();
  let busy = false;
  let stale = false;

  async function flush() {
    if (busy || (changed.size === 0 && !stale) || document.hidden) return;
    busy = true;
    stale = false;
    const ids = [...changed].slice(0, BATCH);
    for (const id of ids) changed.delete(id);
    try {
      const fresh = await draw(base + ids.map((id) => "trial=" + encodeURIComponent(id)).join("&"));
      for (const row of fresh.querySelectorAll("tr[data-trial]")) replace(row);
      replace(fresh.getElementById("summary"));
    } catch {
      for (const id of ids) changed.add(id);
      stale = true;
    }
    setTimeout(() => { busy = false; flush(); }, PACE);
  }

  const events = new EventSource(`/experiments/${encodeURIComponent(experiment)}/events?after=${after}`);
  events.onopen = () => say("live", "live");
  events.onerror = () => say("lost", "reconnecting");
  events.onmessage = (message) => {
    const event = JSON.parse(message.data);
    stale = true;
    if (document.getElementById("r-" + event.trial_id)) changed.add(event.trial_id);
    else if (event.kind === "queued") /** @type {HTMLElement} */ (document.getElementById("news")).hidden = false;
    flush();
  };
  document.addEventListener("visibilitychange", flush);
}

/** @param {number} seconds */
function refresh(seconds) {
  say("live", "live");
  const timer = setInterval(async () => {
    if (document.hidden || !getSelection()?.isCollapsed) return;
    try {
      const fresh = (await draw(location.href)).getElementById("main");
      if (!fresh) return;
      /** @type {Map<string | undefined, HTMLDetailsElement>} */
      const folds = new Map();
      for (const fold of /** @type {NodeListOf<HTMLDetailsElement>} */ (main.querySelectorAll("details"))) folds.set(fold.dataset.log, fold);
      for (const fold of /** @type {NodeListOf<HTMLDetailsElement>} */ (fresh.querySelectorAll("details"))) {
        const old = folds.get(fold.dataset.log);
        if (old) fold.open = old.open;
      }
      // The element stays, its content changes; a link that had the focus gets it back.
      const focus = document.activeElement instanceof HTMLAnchorElement ? document.activeElement.getAttribute("href") : null;
      const scrolled = new Map([...main.querySelectorAll("details pre")].map((pre) => [pre.parentElement?.dataset.log, place(pre)]));
      main.replaceChildren(...[...fresh.childNodes].map((node) => document.adoptNode(node)));
      for (const pre of main.querySelectorAll("details pre")) restore(pre, scrolled.get(pre.parentElement?.dataset.log));
      if (focus) /** @type {HTMLElement | null} */ (main.querySelector(`a[href="${CSS.escape(focus)}"]`))?.focus();
      say("live", "live");
      if (!fresh.dataset.refresh) {
        clearInterval(timer);
        say("", "");
      }
    } catch {
      say("lost", "reconnecting");
    }
  }, seconds * 1000);
}

/** Where a log is scrolled to; null: at its end. @param {Element} pre */
function place(pre) {
  return pre.scrollTop + pre.clientHeight >= pre.scrollHeight - 5 ? null : pre.scrollTop;
}

/** @param {Element} pre @param {number | null | undefined} at */
function restore(pre, at) {
  if (at === undefined) return;
  pre.scrollTop = at === null ? pre.scrollHeight : at;
}

/** @param {number} seconds */
function span(seconds) {
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m ${two(s % 60)}s`;
  return `${Math.floor(s / 3600)}h ${two(Math.floor(s / 60) % 60)}m`;
}

function tick() {
  if (document.hidden) return;
  for (const cell of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-since]"))) {
    cell.textContent = span((Date.now() - Date.parse(cell.dataset.since ?? "")) / 1000);
  }
}

if (main.dataset.experiment) follow(main.dataset.experiment, main.dataset.after ?? "0");
else if (main.dataset.refresh) refresh(Number(main.dataset.refresh));
setInterval(tick, 1000);
