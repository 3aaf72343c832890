// The line that says how the connection stands. It never claims more than is known.

import { button, el, fill, mark, say } from "./dom.js";
import { count, lasting, printable, when } from "./text.js";
import { State } from "./watch.js";

/** Returns `{level, words, live}` for a standing: what the strip shows. Words change rarely. */
export function described(standing) {
  const { state, attempt, why, code, lastFrameAt, upstreamLostAt } = standing;
  const asOf = lastFrameAt ? ` As of ${when(lastFrameAt)}.` : "";
  switch (state) {
    case State.CONNECTING:
      return attempt
        ? { level: "wait", words: `Reconnecting (attempt ${attempt}).${asOf}` }
        : { level: "wait", words: "Connecting…" };
    case State.REPLAYING:
      return { level: "wait", words: "Connected; replaying what was missed…" };
    case State.LIVE:
      return upstreamLostAt
        ? {
            level: "warn",
            words:
              "The backend lost the runtime and is reconnecting. " +
              `This may be stale since ${when(upstreamLostAt)}.`,
          }
        : { level: "live", words: "Live" };
    case State.WAITING:
      return { level: "warn", words: `Disconnected: ${printable(why, 200)}.${asOf}` };
    default:
      return { level: "end", words: `Closed: ${printable(why, 200)}${code ? ` (${code})` : ""}.` };
  }
}

/** Returns what a note says. */
export function noted({ kind, dropped, why, at }) {
  const time = when(at);
  if (kind === "lagged") {
    return `${time} lagged: ${dropped === null ? "some" : count(dropped)} events skipped, picture refreshed`;
  }
  return kind === "told" ? `${time} ${printable(why, 200)}` : `${time} resynced because ${printable(why, 200)}`;
}

/** The strip of one watch. */
export class Strip {
  constructor(watch) {
    this._watch = watch;
    this._words = el("span", { class: "strip-words", role: "status", "aria-live": "polite" });
    this._count = el("span", { class: "strip-count", "aria-hidden": "true" });
    this._now = button("Reconnect now", () => watch.reconnectNow(), { class: "quiet" });
    /** What has happened to the connection, for a person to read and dismiss. */
    this.notes = el("div", { class: "notes gone", role: "status", "aria-live": "polite" });
    this.node = el(
      "div",
      { class: "strip" },
      el("span", { class: "dot", "aria-hidden": "true" }),
      this._words,
      this._count,
      this._now,
    );
    this._shown = null;
  }

  /** Shows how the watch stands now. */
  render() {
    const { standing } = this._watch;
    const { level, words } = described(standing);
    this.node.dataset.level = level;
    this.level = level;
    say(this._words, words);
    const waiting = standing.state === State.WAITING;
    const left = standing.retryAt - Date.now();
    say(
      this._count,
      waiting ? `Reconnecting in ${lasting(Math.max(0, left))} (attempt ${standing.attempt})` : "",
    );
    mark(this._now, "gone", !waiting);
    if (this._shown !== standing.notes) {
      this._shown = standing.notes;
      this._showNotes(standing.notes);
    }
  }

  _showNotes(notes) {
    const last = notes.at(-1);
    mark(this.notes, "gone", !last);
    if (!last) return fill(this.notes);
    const earlier = notes.length - 1;
    const more = earlier ? ` (and ${earlier} more before)` : "";
    const dismiss = button("Dismiss", () => this._watch.forgetNotes(), { class: "quiet" });
    return fill(this.notes, el("span", {}, noted(last) + more), dismiss);
  }
}
