// Follows one stream over a WebSocket: resumes, de-duplicates, waits, and says how it stands.
// No DOM here. Source: docs/design/observation.md.

import { Malformed } from "./view.js";

/** How a watch stands. */
export const State = Object.freeze({
  CONNECTING: "connecting",
  REPLAYING: "replaying",
  LIVE: "live",
  WAITING: "waiting",
  CLOSED: "closed",
});

const { CONNECTING, REPLAYING, LIVE, WAITING, CLOSED } = State;
const NEXT = {
  [CONNECTING]: [REPLAYING, LIVE, WAITING, CLOSED],
  [REPLAYING]: [LIVE, WAITING, CLOSED],
  [LIVE]: [WAITING, CLOSED],
  [WAITING]: [CONNECTING, CLOSED],
  [CLOSED]: [],
};

/** Bounds of a watch, in milliseconds where nothing else is said. */
export const PACE = Object.freeze({
  silence: 36000, // three idle bookmarks
  opening: 15000,
  first: 500,
  longest: 20000,
  settled: 5000, // a connection that held this long was a good one
  remembered: 8192, // event ids: twice what a server replays
});

const FIRST_FINAL = 4500;
const SESSION_EXPIRED = 4505;
const RESYNC_WORDS = {
  cursor_key_unknown: "the server has new keys",
  cursor_foreign: "the place belonged to another stream",
  cursor_epoch_changed: "the stream began anew",
  cursor_future: "the server is behind what was seen here",
  cursor_expired: "what happened in between is no longer held",
  upstream_resync: "the runtime began the stream anew",
};

/**
 * `hooks.event(payload)` takes in one payload, returns whether it could be read and may throw
 * Malformed; `hooks.changed()` hears that
 * `standing` is another. `env` has `url(cursor)`, `protocols()`, `probe()`, and the browser's
 * `WebSocket`, `setTimeout`, `clearTimeout`, `now()` and `random()`.
 */
export class Watch {
  constructor(hooks, env) {
    this._hooks = hooks;
    this._env = env;
    this._socket = null;
    this._timer = null;
    this._cursor = null;
    this._seen = new Set();
    this._liveAt = 0;
    this._heardAt = 0;
    this._last = null;
    this._starting = true;
    /** What a person may want to know; read it, do not change it. */
    this.standing = {
      state: CONNECTING,
      attempt: 0,
      retryAt: 0,
      why: "",
      code: 0,
      lastFrameAt: 0,
      upstreamLostAt: 0,
      notes: [],
    };
  }

  /** Connects for the first time. */
  start() {
    this._connect();
  }

  /** Ends the watch without a word; nothing follows. */
  stop() {
    if (this.standing.state !== CLOSED) this._transition(CLOSED);
    this._drop();
  }

  /** Does not wait any longer before the next attempt. */
  reconnectNow() {
    if (this.standing.state === WAITING) this._again();
  }

  /** Removes what has been read. */
  forgetNotes() {
    this.standing.notes = [];
    this._hooks.changed();
  }

  _transition(state) {
    if (!NEXT[this.standing.state].includes(state)) {
      throw new Error(`a watch does not go from ${this.standing.state} to ${state}`);
    }
    this.standing.state = state;
  }

  _again() {
    this._transition(CONNECTING);
    this._connect();
    this._hooks.changed();
  }

  _connect() {
    this._drop();
    this._last = null;
    this._heardAt = 0;
    let opened = false;
    const socket = new this._env.WebSocket(this._env.url(this._cursor), this._env.protocols());
    this._socket = socket;
    const mine = (act) => (event) => {
      if (this._socket === socket) act(event);
    };
    socket.onopen = mine(() => {
      opened = true;
      this._heard();
    });
    socket.onmessage = mine((event) => this._message(event.data));
    socket.onclose = mine((event) => {
      this._drop();
      if (opened) this._ended(event.code, event.reason);
      else this._refused();
    });
    this._arm(PACE.opening, "no answer");
  }

  /** Lets go of the socket and the timer. */
  _drop() {
    this._env.clearTimeout(this._timer);
    const socket = this._socket;
    this._socket = null;
    if (socket) socket.close();
  }

  _arm(ms, why) {
    this._env.clearTimeout(this._timer);
    this._timer = this._env.setTimeout(() => {
      const quiet = this._env.now() - this._heardAt;
      if (this._heardAt && quiet < PACE.silence) return this._arm(PACE.silence - quiet, why);
      this._drop();
      return this._wait(why);
    }, ms);
  }

  _heard() {
    const first = !this._heardAt;
    this._heardAt = this._env.now();
    if (first) this._arm(PACE.silence, "nothing was heard for 36 s");
  }

  _message(data) {
    this._heard();
    this.standing.lastFrameAt = this._heardAt;
    try {
      if (typeof data !== "string") throw new Malformed("not text");
      this._frame(JSON.parse(data));
    } catch (error) {
      if (![Malformed, SyntaxError, RangeError].some((kind) => error instanceof kind)) throw error;
      // What came cannot be held: begin afresh rather than show something wrong.
      this._cursor = null;
      this._starting = true;
      this._drop();
      this._wait("the server sent what this page cannot read");
    }
  }

  _frame(frame) {
    if (typeof frame !== "object" || frame === null) throw new Malformed("not a frame");
    if (frame.kind === "event") this._event(frame.envelope);
    else if (frame.kind === "diagnostic") this._diagnostic(frame.diagnostic);
    else if (frame.kind === "resumed") this._resumed(frame);
    else if (frame.kind === "bookmark") this._bookmark(frame);
  }

  _event(envelope) {
    const { cursor, event_id: id, payload } = envelope ?? {};
    if (typeof id !== "string" || typeof cursor !== "string" || typeof payload !== "object") {
      throw new Malformed("not an envelope");
    }
    const fresh = id.endsWith(".s");
    if (this._starting && !fresh) throw new Malformed("no snapshot came first");
    if (!fresh && this._seen.has(id)) return;
    if (!this._hooks.event(payload) && fresh) throw new Malformed("not a snapshot");
    this._cursor = cursor;
    if (fresh) {
      this._starting = false;
      this._seen.clear();
      if (this.standing.state !== LIVE) this._live();
      else this._hooks.changed();
      return;
    }
    this._seen.add(id);
    if (this._seen.size > PACE.remembered) {
      const [oldest] = this._seen;
      this._seen.delete(oldest);
    }
  }

  _resumed({ cursor }) {
    if (typeof cursor === "string") this._cursor = cursor;
    if (this.standing.state === CONNECTING) {
      this._transition(REPLAYING);
      this._hooks.changed();
    }
  }

  _bookmark({ cursor }) {
    if (typeof cursor === "string") this._cursor = cursor;
    if (this.standing.state === REPLAYING) this._live();
  }

  _live() {
    this._transition(LIVE);
    this._liveAt = this._env.now();
    this.standing.why = "";
    this._hooks.changed();
  }

  _diagnostic(told) {
    if (typeof told?.code !== "string") throw new Malformed("not a diagnostic");
    this._last = told;
    const name = told.code.slice(told.code.indexOf(".") + 1);
    const at = this._env.now();
    if (name === "upstream_disconnect" || name === "malformed_frame") {
      this.standing.upstreamLostAt ||= at;
    } else if (name === "upstream_restored" || name === "upstream_resync") {
      this.standing.upstreamLostAt = 0;
    }
    if (told.action === "resync") {
      const dropped = Number.isInteger(told.dropped) ? told.dropped : null;
      const why = RESYNC_WORDS[name] ?? String(told.message ?? name);
      this._note({ kind: name === "lagged" ? "lagged" : "resynced", dropped, why, at });
    } else if (told.action === "continue" && !name.startsWith("upstream_")) {
      this._note({ kind: "told", dropped: null, why: String(told.message ?? name), at });
    }
    this._hooks.changed();
  }

  _note(note) {
    this.standing.notes = [...this.standing.notes.slice(-19), note];
  }

  async _refused() {
    const { state } = this.standing;
    if (state === CLOSED) return;
    this._wait("the server cannot be reached");
    const attempt = this.standing.attempt;
    // A browser does not tell why an upgrade was refused; an expired session is one reason.
    if ((await this._env.probe()) === "expired" && this.standing.attempt === attempt) {
      if (this.standing.state !== WAITING) return;
      this._close(SESSION_EXPIRED, "the session has expired or was revoked");
    }
  }

  _ended(code, reason) {
    const told = this._last;
    const words = String(told?.message ?? (reason || `the connection broke (${code})`));
    if (code >= FIRST_FINAL && code < 5000) this._close(code, words);
    else this._wait(words, told?.close_code === code ? told.retry_after_ms : undefined);
  }

  _close(code, why) {
    this._drop();
    this._transition(CLOSED);
    Object.assign(this.standing, { code, why, retryAt: 0 });
    this._hooks.changed();
  }

  _wait(why, after) {
    const now = this._env.now();
    const held = this.standing.state === LIVE && now - this._liveAt >= PACE.settled;
    this._transition(WAITING);
    this.standing.attempt = held ? 1 : this.standing.attempt + 1;
    this.standing.upstreamLostAt = 0;
    const longest = Math.min(PACE.longest, PACE.first * 2 ** (this.standing.attempt - 1));
    const jitter = 0.5 + this._env.random() / 2;
    // Told to wait: not before that, and not all at once.
    const told = Number.isFinite(after) ? Math.min(Math.max(after, 0), 600000) : null;
    const delay = told === null ? longest * jitter : told + longest * this._env.random();
    Object.assign(this.standing, { why, retryAt: now + delay });
    this._timer = this._env.setTimeout(() => this._again(), delay);
    this._hooks.changed();
  }
}
