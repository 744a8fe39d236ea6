import { ask, describe, dot, element, tile, title } from "./items.js";
import { draw, smooth } from "./charts.js";

const $ = (id) => document.getElementById(id);
const listShown = 12, shelfShown = 8, rowsShown = 24, usersShown = 6;
const page = {
  user: localStorage.getItem("user") || "", list: null, source: null, retry: 0, lost: false, paused: false,
  clicked: new Map(), // item → time of the click, until a new list arrives
  people: [], shelf: [], turn: 0,
};

// Error banner and connection state.
function trouble(text) {
  $("trouble").hidden = !text;
  $("trouble").textContent = text;
}
function connection(state, text) {
  $("connection").dataset.state = state;
  if ($("connection").textContent !== text) $("connection").textContent = text;
}

// Server-sent events, with automatic reconnection.
function connect() {
  page.source?.close();
  clearTimeout(page.retry);
  const source = new EventSource(`/playground/stream?${new URLSearchParams({ user: page.user })}`);
  page.source = source;
  const on = (kind, use) => source.addEventListener(kind, (message) => use(JSON.parse(message.data)));
  on("hello", (hello) => guard(async () => {
    connection("on", page.lost ? "reconnected" : "live");
    if (page.lost) setTimeout(() => connection("on", "live"), 4000);
    page.lost = false;
    trouble("");
    if (!page.people.length) page.people = hello.people.filter(notGuest); // keep the buttons in place, so that nobody clicks the wrong one
    page.shelf = hello.shelf;
    $("rows").replaceChildren(element("li", { class: "empty" }, "No events yet."));
    showUsers();
    showFigures(hello.figures);
    showTraining(hello.training);
    $("status").textContent = hello.status;
    await describe([...hello.shelf, ...hello.rows.flatMap((r) => r.items)]);
    hello.rows.forEach(addRow);
    showShelf();
    await load();
  }));
  on("row", (row) => guard(() => handleRow(row)));
  on("figures", showFigures);
  on("training", showTraining);
  on("status", (text) => { $("status").textContent = text; });
  source.onerror = () => {
    if (source !== page.source) return;
    source.close();
    page.lost = true;
    connection("off", "disconnected");
    trouble("The server is not responding. Retrying every second; your events so far are safe.");
    page.retry = setTimeout(connect, 1000);
  };
}

async function guard(work) {
  try {
    await work();
  } catch (error) {
    if (!page.lost) trouble(error.message);
  }
}

// The current user.
function switchUser(user) {
  page.user = user;
  page.list = null;
  page.clicked.clear();
  localStorage.setItem("user", user);
  $("news").textContent = "";
  $("list").replaceChildren();
  showUsers();
  connect();
}

function showUsers() {
  $("me").textContent = page.user || "none";
  $("people").replaceChildren(...page.people.slice(0, usersShown).map((user) => {
    const button = element("button", { type: "button", "aria-pressed": user === page.user }, user);
    button.addEventListener("click", () => switchUser(user));
    return button;
  }));
}

const guest = "guest-";
const newName = () => guest + random(4);
const notGuest = (user) => !user.startsWith(guest);
const random = (bytes) => [...crypto.getRandomValues(new Uint8Array(bytes))].map((b) => b.toString(16).padStart(2, "0")).join("");

// Recommendations.
async function load(row) {
  if (!page.user) {
    $("list").replaceChildren(element("li", { class: "empty" }, `${page.people.length ? "Select a user or create a new one" : "Create a new user"} first.`));
    return;
  }
  const user = page.user, turn = ++page.turn, path = encodeURIComponent(user);
  const [list, events] = await Promise.all([ask(`/v1/users/${path}/recommendations?n=${listShown}`), ask(`/playground/users/${path}`)]);
  await describe([...list.items.map((i) => i.item_id), ...events.history.map((d) => d.item)]);
  if (user !== page.user || turn !== page.turn) return;
  showHistory(events.history);
  showList(list, row);
}

function showList(list, row) {
  const before = page.list?.user_id === list.user_id ? page.list.items.map((i) => i.item_id) : null;
  const same = before && before.join("\n") === list.items.map((i) => i.item_id).join("\n");
  page.list = list;
  const note = { model: `by ${list.model_version}`, context: "similar to your recent items", popular: "popular items, until your first event" }[list.source];
  $("list-note").textContent = note || "";
  let fresh = 0;
  const tiles = list.items.map(({ item_id: id }, at) => {
    const was = before ? before.indexOf(id) : at;
    if (was < 0) fresh++;
    return tile(id, was < 0 ? "new" : was > at ? String(was - at) : "", was < 0);
  });
  if (!tiles.length) tiles.push(element("li", { class: "empty" }, "No recommendations yet: train a model first."));
  if (!same || !$("list").children.length) keepFocus($("list"), () => $("list").replaceChildren(...tiles));
  if (row) showLatency(row, fresh);
}

// keepFocus keeps the keyboard focus at the same position across a change of children.
function keepFocus(parent, change) {
  const at = [...parent.children].findIndex((child) => child.contains(document.activeElement));
  change();
  if (at >= 0) parent.children[Math.min(at, parent.children.length - 1)]?.querySelector("button")?.focus({ preventScroll: true });
}

function showLatency(row, fresh) {
  const item = row.items.findLast((id) => page.clicked.has(id));
  if (!item) return;
  const ms = Math.round(performance.now() - page.clicked.get(item));
  for (const id of row.items) page.clicked.delete(id);
  const changes = fresh ? `${fresh} new` : "reordered";
  $("news").textContent = `Updated: ${changes}, on your screen ${ms} ms after your click.`;
  document.body.dataset.answered = Number(document.body.dataset.answered || 0) + 1;
  document.body.dataset.took = ms;
}

function showHistory(history) {
  $("history-count").textContent = history.length ? `(${history.length})` : "(none)";
  $("history").replaceChildren(...history.map((d) => element("li", {}, dot(d.item), element("span", {}, title(d.item)))));
}

// click sends an event for an item.
async function click(item) {
  if (!page.user) switchUser(newName());
  const user = page.user, list = page.list;
  page.clicked.set(item, performance.now());
  const event = { event_id: `page-${random(16)}`, user_id: user, item_id: item, type: "click", timestamp: Date.now() };
  if (list?.source === "model" && list.items.some((i) => i.item_id === item)) event.rec_id = list.rec_id;
  try {
    await ask("/v1/events", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(event) });
    if (!page.lost) trouble("");
  } catch (error) {
    page.clicked.delete(item);
    trouble(`Your click on ${title(item)} was not recorded: ${error.message}`);
  }
}

// Live events.
async function handleRow(row) {
  await describe(row.items);
  if (!page.paused && row.items.length) addRow(row);
  for (const item of row.items) page.shelf = [item, ...page.shelf.filter((other) => other !== item)].slice(0, 48);
  if (notGuest(row.user) && !page.people.includes(row.user) && page.people.length < usersShown) {
    page.people.push(row.user);
    showUsers();
  }
  if ($("shelf").children.length < shelfShown) showShelf();
  if (row.user === page.user) await load(row);
}

function addRow(row) {
  const newest = row.items.at(-1);
  const who = element("span", { class: "who" }, row.user === page.user ? `${row.user} (you)` : row.user);
  const line = element("li", row.user === page.user ? { class: "mine" } : {},
    dot(newest), element("span", { class: "what" }, title(newest)), element("span", { class: "took" }, `${Math.round(row.took_ms)} ms`), who);
  if (row.hits) line.append(element("b", { class: "hit" }, "hit"));
  $("rows").querySelector(".empty")?.remove();
  $("rows").prepend(line);
  while ($("rows").children.length > rowsShown) $("rows").lastChild.remove();
}

function showShelf() {
  if (!page.shelf.length) {
    $("shelf").replaceChildren(element("li", { class: "empty" }, "No events yet: click any item below."));
    return;
  }
  guard(async () => {
    const some = page.shelf.slice(0, shelfShown);
    await describe(some);
    keepFocus($("shelf"), () => $("shelf").replaceChildren(...some.map((id) => tile(id))));
  });
}

// Key figures.
const percent = (part, whole) => (whole ? `${(100 * part / whole).toFixed(1)} %` : "–");
function showFigures(f) {
  $("fresh").textContent = f.fresh_p50_ms ? `${Math.round(f.fresh_p50_ms)} ms` : "–";
  $("fresh95").textContent = f.fresh_p95_ms ? `(p95: ${Math.round(f.fresh_p95_ms)} ms)` : "";
  $("version").textContent = f.version || "none yet";
  $("rate").textContent = f.per_second;
  $("events").textContent = `(${f.events.toLocaleString("en")} so far)`;
  $("lift").textContent = percent(f.hits, f.rated);
  $("liftnote").textContent = f.rated ? `(popular items: ${percent(f.popular_hits, f.rated)})` : "";
  const most = Math.max(f.hits, f.popular_hits, 1);
  for (const [id, part] of [["hits", f.hits], ["popular", f.popular_hits]]) {
    $(id).firstElementChild.style.width = `${100 * part / most}%`;
    $(id).setAttribute("aria-valuenow", f.rated ? Math.round(100 * part / f.rated) : 0);
    $(`${id}-text`).textContent = percent(part, f.rated);
  }
  $("rates").toggleAttribute("hidden", !f.rates.length);
  draw($("rates"), [f.rates, f.popular_rates], { zero: true });
  const top = Math.max(...[...f.rates, ...f.popular_rates].map((p) => p.y), 0);
  $("rates-note").textContent = f.rated ? `${f.rated.toLocaleString("en")} events; chart range 0 to ${percent(top, 1)}.` : "No events of users with a list yet.";
}

// Training.
function showTraining(t) {
  $("train").hidden = !t.can_train;
  $("train").disabled = t.running;
  $("train-progress").hidden = !t.running;
  $("train-progress").value = t.steps ? t.done / t.steps : 0;
  $("train-step").textContent = t.running ? `${t.steps ? `${Math.floor(100 * t.done / t.steps)} % of this stage, ` : ""}${Math.round(t.seconds)} s elapsed` : "";
  if (t.running) note("train-note", `Training: ${t.stage}`);
  else if (t.outcome) note("train-note", t.outcome);
  const lines = t.losses.filter((l) => l.points.length);
  $("losses").toggleAttribute("hidden", !lines.length);
  const curves = lines.map((l) => ({ stage: l.stage, points: smooth(l.points) })), shown = curves.at(-1)?.points ?? [];
  draw($("losses"), shown.length ? [shown] : []);
  const losses = shown.map((p) => p.y), loss = (y) => y.toFixed(2);
  const range = shown.length ? `; chart range ${loss(Math.min(...losses))} to ${loss(Math.max(...losses))}` : "";
  $("loss-note").textContent = curves.map((c) => `${c.stage}: loss ${loss(c.points.at(-1).y)}`).join(", ") + range;
}
function note(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

// Event handlers.
$("new-user").addEventListener("click", () => switchUser(newName()));
$("more").addEventListener("click", () => {
  page.shelf = [...page.shelf.slice(shelfShown), ...page.shelf.slice(0, shelfShown)];
  showShelf();
});
for (const id of ["list", "shelf"]) {
  $(id).addEventListener("click", (event) => {
    const button = event.target.closest("[data-item]");
    if (button) click(button.dataset.item);
  });
}
for (const [form, input, use] of [["user-form", "user-id", switchUser], ["item-form", "item-id", click]]) {
  $(form).addEventListener("submit", (event) => {
    event.preventDefault();
    const value = $(input).value.trim();
    if (!value) return $(input).focus();
    $(input).value = "";
    use(value);
  });
}
$("train").addEventListener("click", () => guard(() => ask("/playground/training", { method: "POST" })));
$("pause").addEventListener("click", () => {
  page.paused = !page.paused;
  $("pause").textContent = page.paused ? "Resume" : "Pause";
});
showUsers();
connect();
