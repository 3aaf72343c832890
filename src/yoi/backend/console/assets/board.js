// The work items: columns by state, and the thread of the one that is chosen.

import { command, el, fill, keyed, mark, name, say, withheld } from "./dom.js";
import { long } from "./entries.js";
import { count, many, printable, shellWord, when } from "./text.js";
import { BoardView, LIMITS } from "./view.js";

/** A page keeps more than a snapshot brings: what came while somebody watches stays readable. */
const PAGE = Object.freeze({
  ...LIMITS,
  snapshot_bytes: 4 * LIMITS.snapshot_bytes,
  board_entries: 2000,
  board_thread_entries: 100,
});
const STATES = ["planning", "ready", "queued", "inprogress", "done", "closed"];
const TITLES = { inprogress: "in progress" };
const OTHER = "other states";
const DAMAGED = "damaged";
const HIDDEN = "withheld";
const MOST_CARDS = 100;

/** What the page about the work items shows below its head. `facts` stands in the head. */
export class BoardContent {
  constructor() {
    this._view = new BoardView(PAGE);
    this._begun = false;
    this._chosen = null;
    this._rewritten = new Set();
    this.facts = el("div", { class: "facts" });
    this.status = el("span");
    this._columns = el("div", { class: "board" });
    this._none = el("p", { class: "hint gone" }, "There are no work items: ", command("yoi ticket new"));
    this._thread = el("section", { class: "thread gone", "aria-label": "Thread" });
    this._loading = el("p", { class: "hint empty" }, "Waiting for the first picture…");
    this._pane = el(
      "div",
      { class: "pane", tabindex: "0", role: "region", "aria-label": "The work items" },
      el("div", { class: "column board-page" }, this._loading, this._none, this._columns, this._thread),
    );
    this.frame = el("div", { class: "pane-frame" }, this._pane);
    this.node = el("div", { class: "content" }, this.frame);
    this._makeThread();
  }

  /** Takes in one payload; returns whether it could be read. */
  apply(payload) {
    const read = this._view.apply(payload);
    if (read && payload.event === "board_snapshot") this._begun = true;
    if (read && payload.event === "thread_rewritten") this._rewritten.add(payload.data.id);
    return read;
  }

  /** Learns which actions to offer; this page offers none. */
  allow() {}

  /** Shows what is known now. */
  render() {
    if (!this._begun) return;
    const items = [...this._view.items.values()];
    mark(this._loading, "gone", true);
    mark(this._none, "gone", items.length);
    const { leftOut } = this._view;
    const words = many(items.length, "item");
    say(this.facts, leftOut ? `${words}, ${count(leftOut)} older not shown` : words);
    const fresh = (one) => this._fillColumn(columnNode(one), one);
    keyed(this._columns, columns(items), (one) => one.state, fresh, (node, one) =>
      this._fillColumn(node, one),
    );
    this._showThread();
  }

  /** Lets go of everything. */
  close() {}

  _fillColumn(node, column) {
    const [head, list, more] = node.children;
    say(head, `${TITLES[column.state] ?? column.state} ${count(column.items.length)}`);
    const shown = column.items.slice(0, MOST_CARDS);
    keyed(list, shown, (item) => item.id, (item) => this._card(item), (card, item) =>
      this._fillCard(card, item),
    );
    const left = column.items.length - shown.length;
    mark(more, "gone", !left);
    say(more, left ? `${count(left)} older` : "");
    return node;
  }

  _card(item) {
    const made = el("li", {}, el("button", { type: "button", class: "ticket" }));
    made.firstChild.addEventListener("click", () => this._choose(made.yoiItem.id));
    return this._fillCard(made, item);
  }

  _fillCard(card, item) {
    card.yoiItem = item;
    const button = card.firstChild;
    const key = JSON.stringify([item, this._rewritten.has(item.id)]);
    button.setAttribute("aria-pressed", String(item.id === this._chosen));
    if (key === card.yoiShown) return card;
    card.yoiShown = key;
    fill(
      button,
      el("strong", {}, item.redacted ? withheld("title") : name(item.title || item.id, 200)),
      el("span", { class: "faint" }, name(item.id, 64)),
      item.assignee ? el("span", { class: "chip" }, name(item.assignee, 64)) : null,
      item.undecided ? el("span", { class: "chip ask" }, "not in force") : null,
      !STATES.includes(item.state) && item.state ? el("span", { class: "chip" }, name(item.state, 32)) : null,
      this._rewritten.has(item.id) ? el("span", { class: "chip bad" }, "thread rewritten") : null,
      trouble(item),
    );
    return card;
  }

  _choose(id) {
    this._chosen = id === this._chosen ? null : id;
    this.render();
    if (this._chosen !== null) this._thread.scrollIntoView({ block: "nearest" });
  }

  _makeThread() {
    this._title = el("h2");
    this._about = el("div", { class: "facts" });
    this._older = el("p", { class: "older" });
    this._entries = el("ol", { class: "log", "aria-label": "Events of the thread, newest last" });
    this._silent = el("p", { class: "hint gone" }, "Nothing of its thread is held here.");
    fill(this._thread, this._title, this._about, this._older, this._entries, this._silent);
  }

  _showThread() {
    const item = this._view.items.get(this._chosen);
    mark(this._thread, "gone", !item);
    if (!item) return;
    const entries = this._view.thread(item.id);
    const rewritten = this._rewritten.has(item.id);
    const key = JSON.stringify([item, entries.length, rewritten]);
    if (key !== this._aboutShown) {
      this._aboutShown = key;
      fill(this._title, item.redacted ? withheld("title") : name(item.title || item.id, 200));
      fill(
        this._about,
        el("span", { class: "mono" }, name(item.id, 64)),
        el("span", {}, item.state ? name(item.state, 32) : DAMAGED),
        item.updated_at ? el("span", {}, "updated ", when(item.updated_at) || name(item.updated_at, 64)) : null,
        item.undecided
          ? el("span", {}, "queued by its file alone; read it, then decide: ", next("show", item.id))
          : null,
        rewritten
          ? el("span", { class: "bad" }, "What stood in this thread was changed or taken out while you watched.")
          : null,
        trouble(item),
      );
      const older = Math.max(0, item.events - entries.length);
      fill(this._older, older ? [`${many(older, "older event")}: `, next("show", item.id)] : null);
      mark(this._older, "gone", !older);
    }
    mark(this._silent, "gone", entries.length);
    keyed(this._entries, entries, (one) => one.number, entryNode, (node, one, before) =>
      one === before ? node : entryNode(one),
    );
  }
}

const next = (what, id) => (shellWord(id) ? command(`yoi ticket ${what} ${shellWord(id)}`) : "yoi ticket doctor");

/** Returns the columns, each with its items, the newest first. */
function columns(items) {
  const made = new Map(STATES.map((state) => [state, []]));
  for (const item of items) {
    let state = STATES.includes(item.state) ? item.state : OTHER;
    if (!item.state) state = item.redacted ? HIDDEN : DAMAGED;
    if (!made.has(state)) made.set(state, []);
    made.get(state).push(item);
  }
  for (const each of made.values()) each.sort((one, other) => (one.id < other.id ? 1 : -1));
  return [...made].map(([state, each]) => ({ state, items: each }));
}

function columnNode(column) {
  return el(
    "section",
    { class: "board-column", "data-state": column.state },
    el("h3"),
    el("ul", { "aria-label": column.state }),
    el("p", { class: "older gone" }),
  );
}

function trouble(item) {
  const words = item.damage || item.thread_damage;
  return words ? el("span", { class: "bad" }, name(printable(words, 200), 200)) : null;
}

function entryNode(entry) {
  const at = when(entry.at);
  return el(
    "li",
    { class: "entry" },
    el(
      "div",
      { class: "entry-head" },
      el(
        "span",
        { class: "label" },
        name(entry.author || "?", 64),
        " ",
        el("span", { class: "faint" }, name(entry.kind, 64), " ", name(entry.step, 64)),
      ),
      at ? el("time", {}, at) : el("span", { class: "faint" }, name(entry.at, 64)),
    ),
    entry.redacted ? withheld("text") : long(entry.text),
    entry.cut ? el("p", { class: "older" }, "More of it: ", next("show", entry.ticket)) : null,
  );
}
