// Each item is shown with a color derived from its category or id, a pattern derived from its id,
// and its title, if the server has metadata for it.
const known = new Map(); // item id → metadata, newest last
const maxKnown = 2000, perRequest = 100;

function hash(text) {
  let h = 2166136261;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 16777619);
  h = Math.imul(h ^ (h >>> 15), 2246822507);
  return (h ^ (h >>> 13)) >>> 0;
}

// describe fetches the metadata of items that are not known yet.
export async function describe(ids) {
  const missing = [...new Set(ids)].filter((id) => !known.has(id));
  for (let i = 0; i < missing.length; i += perRequest) {
    const some = missing.slice(i, i + perRequest);
    const about = await ask(`/playground/items?${new URLSearchParams(some.map((id) => ["id", id]))}`);
    for (const id of some) known.set(id, Object.hasOwn(about, id) ? about[id] : {});
  }
  for (const id of known.keys()) {
    if (known.size <= maxKnown) break;
    known.delete(id);
  }
}

// ask returns the JSON of a response; an error response throws an Error with the server's message.
export async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The server is not responding.");
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.detail || `The server returned status ${response.status}.`);
  return body;
}

export const title = (id) => known.get(id)?.title || id;
const kind = (id) => known.get(id)?.categories?.[0] || (known.get(id)?.title ? id : "");
export const hue = (id) => hash(kind(id) || id) % 360;

export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "hue") node.style.setProperty("--hue", value);
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

export const dot = (id) => element("span", { class: "dot", hue: hue(id), "aria-hidden": "true" });

// mark draws a mirror-symmetric 3×3 pattern derived from the id.
function mark(id) {
  const svg = shape("svg", { class: "mark", viewBox: "0 0 36 36", "aria-hidden": "true" });
  const bits = hash(id), round = (bits >>> 9) & 1;
  for (let row = 0; row < 3; row++) {
    for (let column = 0; column < 3; column++) {
      const n = row * 2 + (column === 1 ? 1 : 0);
      const strength = (bits >>> (10 + 2 * n)) & 3;
      if (strength === 0) continue;
      const at = { opacity: [0, .3, .6, 1][strength] };
      if (round) Object.assign(at, { cx: 6 + 12 * column, cy: 6 + 12 * row, r: 5.4 });
      else Object.assign(at, { x: 1 + 12 * column, y: 1 + 12 * row, width: 10.5, height: 10.5, rx: 2.5 });
      svg.append(shape(round ? "circle" : "rect", at));
    }
  }
  return svg;
}

export function shape(name, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

export function tile(id, move = "", fresh = false) {
  const button = element("button", { type: "button", class: fresh ? "tile fresh" : "tile", hue: hue(id), "data-item": id },
    mark(id), element("span", { class: "name" }, title(id)));
  if (kind(id)) button.append(element("span", { class: "kind" }, kind(id)));
  if (move) button.append(element("span", move === "new" ? { class: "move" } : { class: "move up", "aria-label": `up by ${move}` }, move));
  return element("li", {}, button);
}
