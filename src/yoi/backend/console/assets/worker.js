// A worker: its history, what is in flight, what waits for a person, alerts and usage.

import { Activity } from "./activity.js";
import { approval } from "./approval.js";
import { button, command, el, fill, keyed, mark, name, say, untrusted, withheld } from "./dom.js";
import { Growing, entryNode, toolName } from "./entries.js";
import { Follow } from "./scroll.js";
import { stateWord } from "./sidebar.js";
import { count, many, printable, shellWord, when } from "./text.js";
import { LIMITS, WorkerView } from "./view.js";

/** A page keeps more than a snapshot brings: what came while somebody watches stays readable. */
export const MOST_ENTRIES = 500;
const PAGE = Object.freeze({
  ...LIMITS,
  snapshot_entries: MOST_ENTRIES,
  snapshot_bytes: 4 * LIMITS.snapshot_bytes,
});

/** What a page about a worker shows below its head. `facts` stands in the head. */
export class WorkerContent {
  constructor(subject) {
    this._name = subject.name;
    this._view = new WorkerView(PAGE);
    this._activity = new Activity();
    this._begun = false;
    this._growing = [];
    this._fresh = 0;
    this.facts = el("div", { class: "facts" });
    this._status = el("span");
    this.status = this._status;
    this._alerts = el("div", { class: "alerts gone" });
    this._older = el("p", { class: "older gone" });
    this._empty = el("div", { class: "empty" });
    this._log = el("ol", { class: "log", "aria-label": "History" });
    this._flight = el("div", { class: "entry assistant flight gone" });
    this._column = el("div", { class: "column" }, this._older, this._empty, this._log, this._flight);
    this._pane = el(
      "div",
      { class: "pane", tabindex: "0", role: "region", "aria-label": "What the worker says" },
      this._column,
    );
    this._jump = button("Jump to live", () => this._follow.toEnd(), { class: "jump gone" });
    this.frame = el("div", { class: "pane-frame" }, this._pane, this._jump);
    this._waiting = el("section", { class: "waiting gone", "aria-label": "Waiting for a person" });
    this._now = el("p", { class: "now" });
    this.node = el(
      "div",
      { class: "content" },
      this._alerts,
      this.frame,
      this._waiting,
      this._now,
    );
    this._follow = new Follow(this._pane, this._log, () => this._showJump());
    fill(this._empty, el("p", { class: "hint" }, "Waiting for the first picture…"));
  }

  /** Takes in one payload; returns whether it could be read. */
  apply(payload) {
    const read = this._view.apply(payload);
    this._activity.apply(payload);
    if (payload?.event === "snapshot") this._begun = true;
    else if (!this._follow.following) this._fresh += 1;
    return read;
  }

  /** Shows what is known now. `listed` is what the list says of this worker. */
  render(listed) {
    if (!this._begun) return;
    this._follow.around(() => {
      this._showFacts();
      this._showAlerts(listed);
      this._showLog();
      this._showFlight();
      this._showWaiting();
      this._showNow();
    });
    this._showJump();
  }

  /** Lets go of everything. */
  close() {
    this._follow.close();
  }

  _showFacts() {
    const { greeting, status, usage } = this._view;
    const key = JSON.stringify([greeting, status, usage]);
    if (key === this._factsShown) return;
    this._factsShown = key;
    fill(this._status, stateWord(status));
    const window = greeting.context_window;
    fill(
      this.facts,
      el("span", {}, ...model(greeting)),
      el("span", {}, `${count(usage.input_tokens)} tokens in, ${count(usage.output_tokens)} out`),
      window && greeting.context_tokens ? el("span", {}, `context ${count(greeting.context_tokens)} of ${count(window)}`) : null,
      tools(greeting.tools),
    );
  }

  _showAlerts(listed) {
    const { alerts } = this._view;
    const failure = listed?.lastError && !this._activity.error ? listed.lastError : "";
    const key = JSON.stringify([alerts, failure, this._activity.error]);
    if (key === this._alertsShown) return;
    this._alertsShown = key;
    const open = this._alerts.querySelector("details")?.open ?? false;
    const rows = alerts.map(alertRow);
    const { error } = this._activity;
    if (error) rows.push(alertLine("error", "run", error, null));
    else if (failure) rows.push(alertLine("error", "last error", { message: failure }, null));
    mark(this._alerts, "gone", !rows.length);
    const last = rows.pop();
    const earlier = rows.length
      ? el("details", { open }, el("summary", {}, many(rows.length, "earlier alert")), rows)
      : null;
    fill(this._alerts, last, earlier);
  }

  _showLog() {
    const { entries, leftOut } = this._view;
    mark(this._older, "gone", !leftOut);
    if (leftOut !== this._olderShown) {
      this._olderShown = leftOut;
      const word = shellWord(this._name);
      fill(
        this._older,
        `Older history, up to item ${count(leftOut)}, is not shown here. `,
        word ? command(`yoi worker history ${word}`) : null,
      );
    }
    const nothing = !entries.length && !this._view.inFlight.blocks.length;
    mark(this._empty, "gone", !nothing);
    if (nothing && this._emptyShown !== true) {
      this._emptyShown = true;
      const word = shellWord(this._name);
      fill(
        this._empty,
        el("p", {}, "Nothing has been said yet."),
        word ? el("p", { class: "hint" }, command(`yoi worker send ${word} "hello"`)) : null,
      );
    }
    const places = new Map();
    keyed(
      this._log,
      entries,
      ({ seq, type }) => {
        // Items without a place of their own are told apart by their order.
        const key = `${seq} ${type}`;
        const nth = (places.get(key) ?? 0) + 1;
        places.set(key, nth);
        return nth === 1 ? key : `${key} ${nth}`;
      },
      entryNode,
      (node, entry, before) => {
        if (entry === before || JSON.stringify(entry) === JSON.stringify(before)) return node;
        return entryNode(entry);
      },
    );
  }

  _showFlight() {
    const { blocks } = this._view.inFlight;
    mark(this._flight, "gone", !blocks.length);
    const same = this._growing.every((one, at) => one.block === blocks[at]);
    if (!same || !this._growing.length) {
      this._growing = [];
      fill(this._flight, blocks.length ? flightHead() : null);
    }
    for (const block of blocks.slice(this._growing.length)) {
      const growing = new Growing(block);
      this._growing.push(growing);
      this._flight.append(growing.node);
    }
    const last = this._growing.at(-1);
    for (const growing of this._growing) growing.render(growing === last);
  }

  _showWaiting() {
    const calls = [...this._view.waiting.values()];
    const decide = this._actions.includes("approve") ? this._decide : null;
    const key = JSON.stringify([calls, this._actions]);
    if (key === this._waitingShown) return;
    this._waitingShown = key;
    mark(this._waiting, "gone", !calls.length);
    fill(
      this._waiting,
      el("h2", { role: "status" }, `Waiting for a person: ${many(calls.length, "tool call")}`),
      calls.map((call) => approval(this._name, call, decide)),
    );
  }

  _actions = [];

  /** Learns which actions to offer, and how a decision is sent. */
  allow(actions, decide) {
    this._actions = actions;
    this._decide = decide;
  }

  _showNow() {
    const { now, retry } = this._activity;
    const words = retry
      ? `The model failed (attempt ${retry.failed_attempt} of ${retry.max_attempts}) and is asked again in ` +
        `${(retry.wait_ms / 1000).toFixed(1)} s: ${retry.redacted ? "reason withheld" : retry.error}`
      : (this._view.waiting.size && "Waiting for a person.") || now || { idle: "Idle.", paused: "Paused.", running: "Running." }[this._view.status];
    say(this._now, printable(words, 300));
    mark(this._now, "warn", retry);
  }

  _showJump() {
    const { following } = this._follow;
    if (following) this._fresh = 0;
    mark(this._jump, "gone", following);
    say(this._jump, this._fresh ? `Jump to live (${many(this._fresh, "new event")})` : "Jump to live");
  }
}

function flightHead() {
  return el(
    "div",
    { class: "entry-head" },
    el("span", { class: "label" }, "Model ", el("span", { class: "faint" }, "in flight")),
  );
}

/** Returns the provider and the model; the offline engine is its own model. */
function model({ provider, model: called }) {
  const one = name(called, 64);
  return provider === called ? [one] : [name(provider, 64), " / ", one];
}

function tools(names) {
  if (!names.length) return el("span", {}, "no tools");
  return el(
    "details",
    { class: "tools" },
    el("summary", {}, many(names.length, "tool")),
    el("ul", {}, names.map((one) => el("li", {}, toolName(one)))),
  );
}

function alertRow(alert) {
  return alertLine(alert.level, alert.source, alert, alert.timestamp_ms);
}

function alertLine(level, source, { message, redacted }, at) {
  return el(
    "div",
    { class: "alert", "data-level": level },
    el("span", { class: "alert-level" }, level),
    at ? el("time", {}, when(at)) : null,
    el("span", { class: "faint" }, name(source, 64)),
    redacted ? withheld("message") : el("bdi", { class: "alert-text" }, untrusted(message)),
  );
}

