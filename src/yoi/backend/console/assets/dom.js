// Builds the page. Text becomes text nodes and nothing else: no markup is ever parsed.

import { pieces } from "./text.js";

/** Returns an element. `children` are nodes or texts; absent ones (null, false) are left out. */
export function el(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (key.startsWith("on") || key === "style") throw new TypeError(key);
    if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
  }
  add(node, ...children);
  return node;
}

/** Appends `children` to `node`. */
export function add(node, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
  return node;
}

/** Replaces what `node` holds. */
export function fill(node, ...children) {
  node.replaceChildren();
  return add(node, ...children);
}

/** Sets a text the page itself says, and leaves the node alone when it says so already. */
export function say(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

/** Sets or removes a class or an attribute-less state. */
export function mark(node, name, on) {
  node.classList.toggle(name, Boolean(on));
}

/** Returns a button that calls `act`. */
export function button(words, act, attributes = {}) {
  const made = el("button", { type: "button", ...attributes }, words);
  made.addEventListener("click", act);
  return made;
}

/** Returns untrusted text as nodes; what was escaped looks escaped. */
export function untrusted(text) {
  const made = document.createDocumentFragment();
  for (const [words, escaped] of pieces(text)) {
    made.append(escaped ? el("span", { class: "escaped" }, words) : words);
  }
  return made;
}

/** Appends untrusted text; ordinary text joins the text node that is last already. */
export function append(node, text) {
  const made = untrusted(text);
  const [last, first] = [node.lastChild, made.firstChild];
  if (last instanceof Text && first instanceof Text) {
    last.appendData(first.data);
    first.remove();
  }
  node.append(made);
}

/** Returns untrusted text of one line and at most `most` units, isolated from its surroundings. */
export function name(text, most = 256, attributes = {}) {
  const line = String(text ?? "").replace(/[\n\t]+/g, " ");
  const cut = line.length > most;
  return el("bdi", attributes, untrusted(cut ? line.slice(0, most) : line), cut ? "…" : null);
}

/** Returns the placeholder of what policy keeps from this observer. */
export function withheld(what) {
  return el(
    "span",
    { class: "chip withheld", title: "The operator's policy keeps this from your session." },
    `${what} withheld`,
  );
}

/** Returns a command to run, with a button that copies it. */
export function command(words) {
  const copy = button("Copy", () => copied(copy, words), { class: "quiet copy" });
  copy.setAttribute("aria-label", `Copy: ${words}`);
  return el("span", { class: "command" }, el("code", {}, untrusted(words)), copy);
}

async function copied(copy, words) {
  try {
    await navigator.clipboard.writeText(words);
    copy.textContent = "Copied";
  } catch {
    copy.textContent = "Select it";
  }
  setTimeout(() => {
    copy.textContent = "Copy";
  }, 2000);
}

/**
 * Makes the children of `parent` one node per item, in order; nodes are kept by key.
 * `make(item)` returns a node, `update(node, item, before)` brings a kept one up to date and
 * returns it or its replacement.
 */
export function keyed(parent, items, keyOf, make, update) {
  const before = parent.yoiRows ?? new Map();
  const rows = new Map();
  let at = parent.firstChild;
  for (const item of items) {
    const key = keyOf(item);
    const kept = rows.has(key) ? undefined : before.get(key);
    const node = kept ? update(kept.node, item, kept.item) : make(item);
    if (kept && node !== kept.node) {
      if (at === kept.node) at = kept.node.nextSibling;
      kept.node.remove();
    }
    if (node === at) at = at.nextSibling;
    else parent.insertBefore(node, at);
    rows.set(rows.has(key) ? Symbol("same key") : key, { node, item });
  }
  const kept = new Set([...rows.values()].map((row) => row.node));
  for (const { node } of before.values()) if (!kept.has(node)) node.remove();
  parent.yoiRows = rows;
}
