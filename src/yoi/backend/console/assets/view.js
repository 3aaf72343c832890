// What a person who watches sees, folded from events. No DOM here.
// The twin of core/observation/worker_view.py, service_view.py and board_view.py: the same events give the same
// snapshot there and here (tests/backend/test_console_fold.py).

import { readBoardEvent, readServiceEvent, readWorkerEvent } from "./events.js";
import { InFlight } from "./inflight.js";

/**
 * The bounds of limits.py that the fold needs. What a stream may hold beyond them is the server's
 * business: it has refused what is too large, so that is only looked at where it fills this page.
 */
export const LIMITS = Object.freeze({
  snapshot_entries: 200,
  snapshot_bytes: 1048576,
  snapshot_alerts: 16,
  snapshot_diagnostics: 64,
  board_entries: 400,
  board_thread_entries: 20,
  observed_inflight_bytes: 4194304,
});

/** The server sent what cannot be held or followed. */
export class Malformed extends Error {}

const encoder = new TextEncoder();
const MOST = Number.MAX_SAFE_INTEGER;

/** The newest entries within bounds. `dropped(entry)` hears of each that makes room. */
class Newest {
  constructor(most, mostBytes, dropped) {
    this.entries = [];
    this._most = most;
    this._mostBytes = mostBytes;
    this._dropped = dropped;
    this._sizes = [];
    this._bytes = 0;
  }

  add(entry) {
    const size = encoder.encode(JSON.stringify(entry)).length;
    this.entries.push(entry);
    this._sizes.push(size);
    this._bytes += size;
    while (
      this.entries.length &&
      (this.entries.length > this._most || this._bytes > this._mostBytes)
    ) {
      this._bytes -= this._sizes.shift();
      this._dropped(this.entries.shift());
    }
  }
}

const BROKEN_OFF = ["interrupted", "failed"];
const NOBODY = Object.freeze({
  worker_name: "",
  provider: "",
  model: "",
  tools: [],
  cwd: "",
  scope_summary: "",
  context_window: 0,
  context_tokens: 0,
});

/** A worker's fold. Begins with a snapshot; then `apply` every payload that follows. */
export class WorkerView {
  constructor(limits = LIMITS) {
    this._limits = limits;
    this._begin(NOBODY);
  }

  /** Takes in the next payload; false, and nothing changed, if unreadable. Throws Malformed. */
  apply(payload) {
    const read = readWorkerEvent(payload);
    if (read) this._apply(read);
    return read !== null;
  }

  _apply(read) {
    const { event, data } = read;
    switch (event) {
      case "user_message":
        return this._add(data, "user_input", { text: data.segments.map((s) => s.text).join("") });
      case "system_item":
        return this._add(data.item, "system_item", said(data.item));
      case "llm_call_start":
      case "compact_failed":
        return this.inFlight.clear();
      case "llm_call_end":
        return this._answered(data);
      case "tool_result":
        return this._result(data);
      case "approval_request":
        this.waiting.set(data.id, data);
        return undefined;
      case "approval_done":
        this.waiting.delete(data.id);
        return undefined;
      case "usage":
        this.usage.input_tokens = Math.min(this.usage.input_tokens + data.input_tokens, MOST);
        this.usage.output_tokens = Math.min(this.usage.output_tokens + data.output_tokens, MOST);
        return undefined;
      case "run_end":
        if (data.result === "paused") return undefined; // what waits and what was said stay
        this.inFlight.clear();
        this.waiting.clear();
        return this._add(data, "run_end", { result: data.result });
      case "compact_done":
        this.inFlight.clear();
        return this._add(data, "compaction", { summary: data.summary });
      case "shutdown":
        this.inFlight.clear();
        this.status = "idle"; // the protocol has no word for stopped
        return undefined;
      case "status":
        this.status = data.status;
        return undefined;
      case "alert":
        return this._alert(data);
      case "configured":
        this.greeting = { ...this.greeting, tools: data.tools };
        return undefined;
      case "snapshot":
        return this._show(data);
      default:
        this.inFlight.add(read);
        return this._check();
    }
  }

  /** Returns the oldest entry first. They are shared: nobody changes one. */
  get entries() {
    return this._window.entries;
  }

  /** Returns the view as the event that would begin it. */
  snapshot() {
    const data = {
      entries: this.entries,
      greeting: this.greeting,
      status: this.status,
      usage: { ...this.usage },
    };
    const inFlight = this.inFlight.snapshot();
    if (inFlight) data.in_flight = inFlight;
    if (this.waiting.size) data.waiting = [...this.waiting.values()].map(asked);
    if (this.alerts.length) data.alerts = this.alerts.map(withoutDefaults);
    if (this.leftOut) data.left_out = this.leftOut;
    return { event: "snapshot", data };
  }

  _begin(greeting) {
    this.greeting = greeting;
    this.status = "idle";
    this.inFlight = new InFlight();
    this.waiting = new Map();
    this.alerts = [];
    this.usage = { input_tokens: 0, output_tokens: 0 };
    // The newest place in the history that is in here: what stands there comes once.
    this._place = 0;
    /** The place in the history up to which entries are not shown; 0 when all are. */
    this.leftOut = 0;
    const { snapshot_entries, snapshot_bytes } = this._limits;
    this._window = new Newest(snapshot_entries, snapshot_bytes, ({ seq }) => {
      this.leftOut = Math.max(this.leftOut, seq);
    });
  }

  _show(data) {
    for (const entry of data.entries) {
      if (!Number.isSafeInteger(entry.seq) || entry.seq < 0 || typeof entry.type !== "string") {
        throw new Malformed("an entry without seq or type");
      }
    }
    this._begin(data.greeting);
    for (const entry of data.entries) this._enter(entry);
    this.leftOut = Math.max(this.leftOut, data.left_out);
    this._place = Math.max(this._place, data.left_out);
    this.status = data.status;
    if (data.in_flight) this.inFlight = InFlight.of(data.in_flight.blocks);
    for (const call of data.waiting) this.waiting.set(call.id, call);
    for (const alert of data.alerts) this._alert(alert);
    if (data.usage) {
      this.usage.input_tokens = data.usage.input_tokens;
      this.usage.output_tokens = data.usage.output_tokens;
    }
    this._check();
  }

  _alert(data) {
    this.alerts.push(data);
    if (this.alerts.length > this._limits.snapshot_alerts) this.alerts.shift();
  }

  _answered({ seq, at_ms, llm_call, model, finish }) {
    if (seq !== null) {
      // The calls of an answer that broke off are never carried out.
      const whole = !BROKEN_OFF.includes(finish);
      const parts = this.inFlight.blocks.map(part).filter(({ kind }) => whole || kind !== "call");
      this._add({ seq, at_ms }, "assistant", { llm_call, model, finish, parts });
    }
    this.inFlight.clear();
  }

  _result({ id, summary, is_error, output, seq, at_ms, name, redacted }) {
    this.waiting.delete(id);
    const rest = { id, summary, is_error };
    if (output !== null) rest.output = output;
    if (name) rest.name = name;
    if (redacted) rest.redacted = true;
    this._add({ seq, at_ms }, "tool_result", rest);
  }

  _add({ seq, at_ms }, type, rest) {
    if (seq !== null && seq <= this._place) return;
    this._enter({ seq: seq ?? 0, type, at_ms: at_ms ?? 0, ...rest });
  }

  _enter(entry) {
    this._window.add(entry);
    this._place = Math.max(this._place, entry.seq);
  }

  _check() {
    if (this.inFlight.size > this._limits.observed_inflight_bytes) {
      throw new Malformed("work in flight is over its bound");
    }
  }
}

function said({ text, provenance }) {
  if (!provenance) return { text };
  const { sender, ...from } = provenance;
  return { text, provenance: sender ? { ...from, sender } : from };
}

/** Returns a call that waits without what stands in for what was not sent. */
function asked({ item, after_outside, times, ...call }) {
  const made = withoutDefaults(call);
  if (item) made.item = item;
  if (after_outside) made.after_outside = after_outside;
  if (times !== 1) made.times = times;
  return made;
}

function part(block) {
  const made =
    block.kind === "tool_call"
      ? { kind: "call", id: block.id, name: block.name, arguments: block.text }
      : { kind: block.kind, text: block.text };
  if (block.redacted) made.redacted = true;
  return made;
}

function withoutDefaults({ redacted, ...rest }) {
  return redacted ? { ...rest, redacted } : rest;
}

/** A service's fold: its latest status and its recent diagnostics. */
export class ServiceView {
  constructor(limits = LIMITS) {
    this._limits = limits;
    this._begin({}, false, 0);
  }

  /** Takes in the next payload; returns false, and nothing changed, where it is unreadable. */
  apply(payload) {
    const read = readServiceEvent(payload);
    if (!read) return false;
    const { event, data } = read;
    if (event === "service_status") {
      this.status = data.status;
      this.redacted = data.redacted;
    } else if (event === "diagnostic") {
      this._window.add(data);
    } else if (event === "service_snapshot") {
      this._begin(data.status, data.redacted, data.left_out);
      for (const entry of data.diagnostics) this._window.add(entry);
    }
    return true;
  }

  /** Returns the view as the event that would begin it. */
  snapshot() {
    const data = { status: this.status, diagnostics: this.diagnostics };
    if (this.leftOut) data.left_out = this.leftOut;
    if (this.redacted) data.redacted = true;
    return { event: "service_snapshot", data };
  }

  /** Returns the newest diagnostics, oldest first. They are shared: nobody changes one. */
  get diagnostics() {
    return this._window.entries;
  }

  _begin(status, redacted, leftOut) {
    this.status = status;
    this.redacted = redacted;
    this.leftOut = leftOut;
    const { snapshot_diagnostics, snapshot_bytes } = this._limits;
    this._window = new Newest(snapshot_diagnostics, snapshot_bytes, () => {
      this.leftOut = Math.min(this.leftOut + 1, MOST);
    });
  }
}

/** A board's fold: the work items and the end of each thread. */
export class BoardView {
  constructor(limits = LIMITS) {
    this._limits = limits;
    this._begin(0);
  }

  /** Takes in the next payload; returns false, and nothing changed, where it is unreadable. */
  apply(payload) {
    const read = readBoardEvent(payload);
    if (!read) return false;
    const { event, data } = read;
    if (event === "ticket_changed") this.items.set(data.id, data);
    else if (event === "thread_added") this._add(data);
    else if (event === "thread_rewritten") this._forget(data.id);
    else if (event === "board_counted") this.leftOut = data.left_out;
    else if (event === "ticket_gone") {
      this.items.delete(data.id);
      this._forget(data.id);
    } else {
      this._begin(data.left_out);
      for (const item of data.items) this.items.set(item.id, item);
      for (const entry of data.entries) this._add(entry);
    }
    return true;
  }

  /** Returns the view as the event that would begin it. */
  snapshot() {
    const data = {
      items: [...this.items.values()].map(sent),
      entries: [...this._entries.values()].map(({ entry }) => sent(entry)),
    };
    if (this.leftOut) data.left_out = this.leftOut;
    return { event: "board_snapshot", data };
  }

  /** Returns what is known of an item's thread, oldest first. Nobody changes one. */
  thread(id) {
    return [...this._entries.values()]
      .map(({ entry }) => entry)
      .filter((entry) => entry.ticket === id)
      .sort((one, other) => one.number - other.number);
  }

  _begin(leftOut) {
    /** The items by id. They are shared: nobody changes one. */
    this.items = new Map();
    this.leftOut = leftOut;
    this._entries = new Map();
    this._bytes = 0;
    this._perTicket = new Map();
  }

  _add(entry) {
    const key = JSON.stringify([entry.ticket, entry.number]);
    const size = encoder.encode(JSON.stringify(sent(entry))).length;
    const before = this._entries.get(key);
    if (!before) this._perTicket.set(entry.ticket, (this._perTicket.get(entry.ticket) ?? 0) + 1);
    this._entries.set(key, { entry, size });
    this._bytes += size - (before?.size ?? 0);
    if (this._perTicket.get(entry.ticket) > this._limits.board_thread_entries) {
      this._drop(this._keys(entry.ticket).next().value);
    }
    while (
      this._entries.size > this._limits.board_entries ||
      this._bytes > this._limits.snapshot_bytes
    ) {
      this._drop(this._entries.keys().next().value);
    }
  }

  *_keys(id) {
    for (const [key, { entry }] of this._entries) if (entry.ticket === id) yield key;
  }

  _forget(id) {
    for (const key of [...this._keys(id)]) this._drop(key);
  }

  _drop(key) {
    const { entry, size } = this._entries.get(key);
    this._entries.delete(key);
    this._bytes -= size;
    this._perTicket.set(entry.ticket, this._perTicket.get(entry.ticket) - 1);
  }
}

/** Returns an item or an entry as it is sent: without what is empty. */
function sent(one) {
  const needed = ["id", "ticket", "number", "kind"];
  return Object.fromEntries(
    Object.entries(one).filter(([name, value]) => value || needed.includes(name)),
  );
}
