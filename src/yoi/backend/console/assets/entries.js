// One entry of a worker's history, and what is in flight, as nodes.

import { append, button, el, fill, mark, name, untrusted, withheld } from "./dom.js";
import { count, laidOut, many, moment, printable, when } from "./text.js";

const MOST_SHOWN = 16000;
const RESULTS = {
  finished: "Run finished",
  paused: "Run paused",
  limit_reached: "Run ended at a limit",
  rolled_back: "Run rolled back",
  cancelled: "Run cancelled",
  failed: "Run failed",
};

/** Returns untrusted text of any length as a block; a very long one opens on request. */
export function long(text, attributes = {}) {
  const made = el("div", { dir: "auto", ...attributes, class: `said ${attributes.class ?? ""}` });
  if (text.length <= MOST_SHOWN * 1.25) return fill(made, untrusted(text));
  const rest = button(
    `Show the other ${count(text.length - MOST_SHOWN)} characters`,
    () => fill(made, untrusted(text)),
    { class: "quiet" },
  );
  return fill(made, untrusted(text.slice(0, MOST_SHOWN)), "… ", rest);
}

function time(at) {
  const words = when(at);
  const stamp = moment(at);
  return words ? el("time", { datetime: new Date(stamp).toISOString() }, words) : null;
}

function card(kind, head, at, ...body) {
  return el("li", { class: `entry ${kind}` }, el("div", { class: "entry-head" }, head, time(at)), body);
}

/** Returns one entry as a list item. */
export function entryNode(entry) {
  const known = MAKERS[entry.type];
  return known ? known(entry) : unknown(entry);
}

const MAKERS = {
  user_input: (entry) =>
    card("user", el("span", { class: "label" }, "Person"), entry.at_ms, long(text(entry.text))),
  system_item: (entry) =>
    card("system", origin(entry.provenance), entry.at_ms, body(entry, "text", "message")),
  assistant: (entry) =>
    card("assistant", assistantHead(entry), entry.at_ms, list(entry.parts).map(partNode)),
  tool_result: result,
  run_end: (entry) =>
    rule(entry.result === "failed" ? "bad" : "", RESULTS[entry.result] ?? "Run ended", entry.at_ms),
  compaction: (entry) =>
    el(
      "li",
      { class: "entry compaction" },
      el(
        "details",
        {},
        el("summary", {}, "Older history summed up", time(entry.at_ms)),
        body(entry, "summary", "summary"),
      ),
    ),
};

const text = (value) => (typeof value === "string" ? value : "");
const list = (value) => (Array.isArray(value) ? value.filter((one) => one && typeof one === "object") : []);
const body = (entry, field, what) => (entry.redacted ? withheld(what) : long(text(entry[field])));

function rule(kind, words, at) {
  return el("li", { class: `entry rule ${kind}` }, el("span", {}, words, time(at)));
}

function unknown(entry) {
  const { seq, type, at_ms: at, ...rest } = entry;
  return card(
    "system",
    el("span", { class: "label" }, name(String(type), 64)),
    at,
    entry.redacted ? withheld("entry") : long(laidOut(JSON.stringify(rest)), { class: "mono" }),
  );
}

/** Returns the badge that says where a system item came from. */
function origin(from) {
  if (!from || typeof from !== "object") return el("span", { class: "label" }, "System");
  const digest = text(from.digest);
  const short = printable(digest.slice(digest.indexOf(":") + 1).slice(0, 12), 16);
  const about = `event ${printable(text(from.event_id), 80)}, command ${printable(text(from.command_id), 80)}`;
  return el(
    "span",
    { class: "badge", title: `${printable(digest, 100)}\n${about}` },
    el("span", { class: "badge-kind" }, "plugin"),
    name(text(from.plugin), 64, { class: "badge-name" }),
    el("span", {}, "via ", name(text(from.ingress), 64)),
    from.sender ? el("span", {}, "from ", name(text(from.sender), 64)) : null,
    el("span", { class: "mono" }, name(short)),
  );
}

function assistantHead(entry) {
  const odd = entry.finish && entry.finish !== "complete";
  return el(
    "span",
    { class: "label" },
    "Model ",
    el("span", { class: "faint" }, name(text(entry.model), 64)),
    Number.isInteger(entry.llm_call) ? el("span", { class: "faint" }, ` call ${entry.llm_call}`) : null,
    odd ? el("span", { class: "chip" }, name(text(entry.finish), 32)) : null,
  );
}

function partNode(part) {
  if (part.kind === "thinking") return thinking(part);
  if (part.kind === "call") return call(part);
  if (part.kind === "text") return body(part, "text", "text");
  return part.redacted ? withheld("part") : long(laidOut(JSON.stringify(part)), { class: "mono" });
}

function thinking(part) {
  if (part.redacted) return el("div", { class: "thinking" }, withheld("thinking"));
  const words = text(part.text);
  const length = many(Array.from(words).length, "character");
  return el(
    "details",
    { class: "thinking" },
    el("summary", {}, "Thinking", el("span", { class: "faint" }, ` ${length}`)),
    long(words),
  );
}

function call(part) {
  return el(
    "div",
    { class: "call" },
    el("div", { class: "call-head" }, el("span", { class: "faint" }, "calls "), toolName(part.name)),
    args(part),
  );
}

/** Returns a tool's name. */
export function toolName(value) {
  return name(text(value) || "?", 128, { class: "tool" });
}

/** Returns a call's arguments as they were written, on several lines where they are JSON. */
export function args(part) {
  if (part.redacted) return withheld("arguments");
  return long(laidOut(text(part.arguments)), { class: "mono args" });
}

function result(entry) {
  const failed = entry.is_error === true;
  const head = el(
    "span",
    { class: "label" },
    failed ? "Tool error " : "Tool result ",
    entry.name ? toolName(entry.name) : null,
  );
  const output = text(entry.output);
  return card(
    failed ? "result bad" : "result",
    head,
    entry.at_ms,
    body(entry, "summary", "output"),
    output && !entry.redacted
      ? el(
          "details",
          {},
          el("summary", {}, "All of it", el("span", { class: "faint" }, ` ${many(output.length, "character")}`)),
          long(output, { class: "mono" }),
        )
      : null,
  );
}

const TAIL = 24000;

/** One block in flight: grows by the text that came, without touching what is there. */
export class Growing {
  constructor(block) {
    this.block = block;
    this._shown = "";
    this._text = el("div", { class: "said", dir: "auto" });
    this._words = el("span");
    this._caret = el("span", { class: "caret", "aria-hidden": "true" });
    this._chip = withheld(WHAT[block.kind] ?? "text");
    this._text.append(this._words, this._caret);
    this._name = el("span", { class: "tool" });
    this.node = this._frame();
  }

  /** Shows the block as it is now; the caret stands in the one that may still grow. */
  render(last) {
    const { block } = this;
    if (block.kind === "tool_call") fill(this._name, toolName(block.name));
    mark(this._chip, "gone", !block.redacted);
    mark(this._caret, "gone", block.done || !last);
    mark(this._text, "gone", block.redacted && !block.text);
    if (block.text === this._shown) return;
    // A surrogate pair is never split between events, so what was shown stands.
    const grown = block.text.startsWith(this._shown) && block.text.length < TAIL * 2;
    if (grown) {
      append(this._words, block.text.slice(this._shown.length));
      this._shown = block.text;
    } else {
      this._showTail(block.text);
    }
  }

  _showTail(all) {
    const cut = Math.max(0, all.length - TAIL);
    fill(
      this._words,
      cut ? el("span", { class: "faint" }, `(${count(cut)} characters before) … `) : null,
      untrusted(all.slice(cut)),
    );
    this._shown = all;
  }

  _frame() {
    const { kind } = this.block;
    if (kind === "thinking") {
      const head = el("summary", {}, "Thinking");
      return el("details", { class: "thinking", open: true }, head, this._chip, this._text);
    }
    if (kind === "tool_call") {
      this._text.classList.add("mono", "args");
      const head = el("div", { class: "call-head" }, el("span", { class: "faint" }, "calls "), this._name);
      return el("div", { class: "call" }, head, this._chip, this._text);
    }
    return el("div", {}, this._chip, this._text);
  }
}

const WHAT = { thinking: "thinking", tool_call: "arguments" };
