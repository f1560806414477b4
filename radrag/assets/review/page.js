"use strict";
// Text of notes and labels reaches the page as text nodes only; nothing here makes markup of it.

const byId = (id) => document.getElementById(id);
const MOST_FOUND = 40;
let token = "";
let state = null;
let labels = new Map();
let shown = null;
let options = [];
let working = null;
let asked = 0;

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function takeToken() {
  // The fragment is taken out of the address, so that it is in no screenshot or bookmark; a reload still works.
  if (location.hash.length > 20) {
    sessionStorage.setItem("review-token", location.hash.slice(1));
    history.replaceState(null, "", location.pathname);
  }
  token = sessionStorage.getItem("review-token") || "";
}

async function call(path, body) {
  const request = { headers: { "X-Review-Token": token }, cache: "no-store" };
  if (body !== undefined) {
    request.method = "POST";
    request.headers["Content-Type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, request);
  } catch {
    throw new Error("The server does not answer; nothing was saved. Start radrag label review again and open its new address.");
  }
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({ error: answer.statusText }));
    throw new Error(told.error);
  }
  return answer;
}

function say(text) {
  byId("said").textContent = text;
  byId("failed").hidden = true;
}

function tell(error) {
  byId("failed").textContent = error.message;
  byId("failed").hidden = false;
}

function guarded(work) {
  // A decision made while the last one is saved would be about a note not yet seen: it is not taken.
  if (working) return working;
  document.body.setAttribute("aria-busy", "true");
  working = work().catch(tell).finally(() => {
    working = null;
    document.body.removeAttribute("aria-busy");
  });
  return working;
}

function nameOf(id) {
  return (labels.get(id) || {}).name || id;
}

function showProgress() {
  byId("progress").max = state.total;
  byId("progress").value = state.done;
  byId("progress-text").textContent = `${state.done} of ${state.total} done`;
}

async function open(id, focus = true) {
  const mine = ++asked;
  const note = await (await call(`/api/note?id=${encodeURIComponent(id)}`)).json();
  if (mine !== asked) return;
  shown = note;
  byId("finished").hidden = true;
  byId("main").hidden = false;
  const place = state.order.findIndex((one) => one.id === id);
  byId("note-title").textContent = `Note ${place + 1} of ${state.total}`;
  byId("note-title").title = id;
  byId("previous").disabled = place === 0;
  byId("next").disabled = place === state.total - 1;
  showNote();
  showDecision();
  showGuideline();
  showOptions();
  byId("search").value = "";
  closeFound();
  byId("reason").value = shown.decision ? shown.decision.reason : "";
  byId("reason").maxLength = state.longest_reason;
  if (focus) {
    byId("note").scrollTop = 0;
    byId("note-title").focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

function showNote() {
  byId("note").replaceChildren(
    ...shown.pieces.map((piece) => (piece.mark ? element("mark", "", piece.text) : document.createTextNode(piece.text))),
  );
  byId("legend").hidden = !shown.pieces.some((piece) => piece.mark);
  byId("why").hidden = !shown.reasons.length;
  byId("reasons").replaceChildren(...shown.reasons.map((why) => element("li", "", why)));
}

function showDecision() {
  const made = shown.decision;
  const told = { accept: "You accepted", correct: "You chose", unsure: "You were unsure", skip: "You skipped it" };
  byId("decided").hidden = !made;
  if (made) byId("decided").textContent = made.right ? `${told[made.action]}: ${nameOf(made.right)}` : told[made.action];
}

function showGuideline() {
  const found = shown.guideline;
  byId("guideline").hidden = !found.quote;
  if (!found.quote) return;
  byId("guideline-title").textContent = `Guideline for ${nameOf(found.label)}`;
  byId("quote").textContent = `“${found.quote}”`;
  byId("source").textContent = [found.title || found.document, found.heading, found.url].filter(Boolean).join(" · ");
}

function showOptions() {
  const probability = new Map(shown.rivals);
  const ids = [shown.suggested, shown.given, ...shown.rivals.map(([id]) => id)];
  options = [...new Set(ids.filter(Boolean))].slice(0, 9);
  const chosen = shown.decision && shown.decision.right;
  byId("options").replaceChildren(...options.map((id, place) => optionOf(id, place, probability.get(id), id === chosen)));
  byId("uncalibrated").hidden = shown.calibrated;
  byId("keep").disabled = !shown.given || !labels.has(shown.given);
}

function optionOf(id, place, share, chosen) {
  const button = element("button", chosen ? "option chosen" : "option");
  button.type = "button";
  button.dataset.label = id;
  button.disabled = !labels.has(id);
  button.setAttribute("aria-pressed", String(Boolean(chosen)));
  const name = element("span", "name", `${nameOf(id)} `);
  if (id === shown.suggested) name.append(element("span", "badge suggested", "suggested"), " ");
  if (id === shown.given) name.append(element("span", "badge", "given"));
  const known = share !== undefined;
  button.append(element("kbd", "", String(place + 1)), name);
  button.append(element("span", "share", known ? `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %` : "–"));
  const label = labels.get(id);
  const more = label ? label.definition || id : `${id}: not in the label set`;
  button.append(element("span", "more", more));
  if (known) {
    const meter = element("meter");
    meter.value = share;
    meter.setAttribute("aria-hidden", "true");
    button.append(meter);
  }
  button.addEventListener("click", () => choose(id));
  const item = element("li");
  item.append(button);
  return item;
}

function choose(id) {
  return decide(id === shown.suggested ? "accept" : "correct", id);
}

function decide(action, right) {
  return guarded(async () => {
    const body = { note_id: shown.note_id, action, right: right || "", reason: byId("reason").value };
    const progress = await (await call("/api/decide", body)).json();
    Object.assign(state, progress);
    showProgress();
    const told = { accept: "accepted", correct: "label chosen", unsure: "unsure", skip: "skipped" }[action];
    say(`Saved: ${told}${right ? `, ${nameOf(right)}` : ""}. ${state.done} of ${state.total} done.`);
    await goOn(body.note_id, action === "skip");
  });
}

async function goOn(from, skipped) {
  // To the next one that waits, in the order of the queue; what was skipped comes again when nothing else waits.
  const fresh = state.order.filter((one) => !one.state).map((one) => one.id);
  const place = state.order.findIndex((one) => one.id === from);
  const after = state.order.slice(place + 1).map((one) => one.id);
  const later = after.find((id) => fresh.includes(id)) || fresh[0];
  if (later) return open(later);
  const again = state.waiting;
  if (!again.length) return finish();
  const turn = skipped ? again.indexOf(from) + 1 : 0;
  return open(again[turn % again.length]);
}

function finish() {
  shown = null;
  byId("main").hidden = true;
  byId("finished").hidden = false;
  byId("file").textContent = state.file;
  byId("finished-title").focus();
}

function undo() {
  return guarded(async () => {
    const progress = await (await call("/api/undo", {})).json();
    Object.assign(state, progress);
    showProgress();
    if (progress.undone === null) return say("There is nothing to undo.");
    say(`Undone. ${state.done} of ${state.total} done.`);
    await open(progress.undone);
  });
}

function step(by) {
  return guarded(async () => {
    if (!shown) return;
    const place = state.order.findIndex((one) => one.id === shown.note_id) + by;
    if (state.order[place]) await open(state.order[place].id);
  });
}

async function exported() {
  while (working) await working; // what is being saved belongs in the file
  return guarded(async () => {
    const blob = await (await call("/api/export")).blob();
    const link = element("a");
    link.href = URL.createObjectURL(blob);
    link.download = `decisions-${state.reviewer.replace(/[^\p{L}\p{N}]+/gu, "-")}.jsonl`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    say("Exported the decisions that stand.");
  });
}

// Search over all labels: every word must be in the id, the name, a synonym or the definition; names count most.
function found(query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return [];
  const scored = [];
  for (const label of labels.values()) {
    const title = `${label.id} ${label.name}`.toLowerCase();
    const names = `${title} ${label.synonyms.join(" ")}`.toLowerCase();
    const all = `${names} ${label.definition}`.toLowerCase();
    if (words.every((word) => all.includes(word))) {
      const score = words.reduce((sum, word) => sum + (title.includes(word) ? 3 : names.includes(word) ? 2 : 1), 0);
      scored.push([score, label]);
    }
  }
  scored.sort((one, other) => other[0] - one[0] || (one[1].id < other[1].id ? -1 : 1));
  return scored.slice(0, MOST_FOUND).map(([, label]) => label);
}

function showFound() {
  const list = byId("found");
  const hits = found(byId("search").value);
  list.replaceChildren(...hits.map((label, place) => {
    const item = element("li");
    item.id = `found-${place}`;
    item.setAttribute("role", "option");
    item.setAttribute("aria-selected", String(place === 0));
    item.dataset.label = label.id;
    item.append(document.createTextNode(label.name || label.id), " ", element("span", "id", label.id));
    item.addEventListener("mousedown", (event) => { event.preventDefault(); choose(label.id); });
    return item;
  }));
  if (!hits.length && byId("search").value.trim()) list.append(element("li", "quiet", "No label has these words."));
  list.hidden = !list.children.length;
  byId("search").setAttribute("aria-expanded", String(!list.hidden));
  mark(hits.length ? 0 : -1);
}

function mark(place) {
  const items = [...document.querySelectorAll("#found [role=option]")];
  items.forEach((item, each) => item.setAttribute("aria-selected", String(each === place)));
  if (items[place]) {
    byId("search").setAttribute("aria-activedescendant", items[place].id);
    items[place].scrollIntoView({ block: "nearest" });
  } else {
    byId("search").removeAttribute("aria-activedescendant");
  }
}

function closeFound() {
  byId("found").hidden = true;
  byId("found").replaceChildren();
  byId("search").setAttribute("aria-expanded", "false");
  byId("search").removeAttribute("aria-activedescendant");
}

function searchKey(event) {
  const items = [...document.querySelectorAll("#found [role=option]")];
  const place = items.findIndex((item) => item.getAttribute("aria-selected") === "true");
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    if (items.length) mark((place + (event.key === "ArrowDown" ? 1 : -1) + items.length) % items.length);
  } else if (event.key === "Enter" && !event.isComposing) {
    event.preventDefault();
    if (place >= 0) choose(items[place].dataset.label);
  } else if (event.key === "Escape") {
    byId("search").value = "";
    closeFound();
    byId("note-title").focus();
  }
}

const keys = {
  a: () => decide("accept", shown.suggested),
  k: () => byId("keep").disabled || choose(shown.given),
  u: () => decide("unsure"),
  s: () => decide("skip"),
  r: () => byId("reason").focus(),
  "/": () => byId("search").focus(),
  ArrowLeft: () => step(-1),
  ArrowRight: () => step(1),
};

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || byId("keys").open) return;
  if (event.target.matches("input, textarea")) {
    if (event.key === "Escape" && event.target.id === "reason") byId("note-title").focus();
    return;
  }
  if (!byId("keys-on").checked) return;
  const pressed = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (pressed === "?") byId("keys").showModal();
  else if (pressed === "z") undo();
  else if (shown && keys[pressed]) keys[pressed]();
  else if (shown && /^[1-9]$/.test(pressed) && options[pressed - 1]) {
    if (labels.has(options[pressed - 1])) choose(options[pressed - 1]);
  } else return;
  event.preventDefault();
}

function listen() {
  const clicks = {
    accept: keys.a, keep: keys.k, unsure: keys.u, skip: keys.s, undo, previous: keys.ArrowLeft, next: keys.ArrowRight,
    export: exported, "undo-last": undo, "keys-open": () => byId("keys").showModal(),
    back: () => guarded(() => open(state.order[0].id)),
  };
  for (const [id, work] of Object.entries(clicks)) byId(id).addEventListener("click", () => work());
  byId("search").addEventListener("input", showFound);
  byId("search").addEventListener("keydown", searchKey);
  byId("search").addEventListener("blur", closeFound);
  byId("search").addEventListener("focus", () => byId("search").value && showFound());
  document.addEventListener("keydown", key);
}

guarded(async () => {
  takeToken();
  state = await (await call("/api/state")).json();
  labels = new Map(state.labels.map((label) => [label.id, label]));
  byId("reviewer").textContent = state.reviewer;
  showProgress();
  listen();
  if (state.done) say(`Resumed: ${state.done} of ${state.total} done.`);
  if (state.waiting.length) await open(state.waiting[0]);
  else finish();
});
