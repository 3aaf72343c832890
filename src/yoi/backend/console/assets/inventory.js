// What runs where: asked for every few seconds, less often while there is no answer. No DOM here.

import { readMoves } from "./moves.js";
import { Unauthorized } from "./session.js";

const EVERY_MS = 3000;
const LONGEST_MS = 30000;

/** `hooks.changed()` hears of every look; `hooks.expired()` that the session is over. */
export class Inventory {
  constructor(session, hooks) {
    this._session = session;
    this._hooks = hooks;
    this._failures = 0;
    this._timer = null;
    this._running = false;
    /** The last answer, null before the first; when it came; and why there is none newer. */
    this.runtimes = null;
    this.at = 0;
    this.problem = "";
  }

  /** Looks now, and again and again. */
  start() {
    this._running = true;
    return this.look();
  }

  /** Looks no more. */
  stop() {
    this._running = false;
    clearTimeout(this._timer);
  }

  /** Looks now. */
  async look() {
    clearTimeout(this._timer);
    let after = EVERY_MS;
    try {
      const runtimes = await this._session.get("/api/runtimes");
      this.runtimes = Array.isArray(runtimes) ? runtimes.map(readRuntime) : [];
      this.at = Date.now();
      this.problem = "";
      this._failures = 0;
    } catch (error) {
      if (error instanceof Unauthorized) {
        if (this._running) this._hooks.expired();
        return;
      }
      this._failures += 1;
      this.problem = error.message;
      after = Math.min(LONGEST_MS, EVERY_MS * 2 ** (this._failures - 1));
      after = error.retryAfter ?? after * (0.75 + Math.random() / 2);
    }
    if (!this._running) return;
    clearTimeout(this._timer);
    this._timer = setTimeout(() => this.look(), after);
    this._hooks.changed();
  }

  /** Returns the runtime of that id, or undefined. */
  runtime(id) {
    return this.runtimes?.find((one) => one.id === id);
  }

  /** Returns what is said of one subject, or undefined. */
  subject({ kind, runtime, name }) {
    return this.runtime(runtime)?.[`${kind}s`]?.find((one) => one.id === name);
  }
}

const word = (value) => (typeof value === "string" ? value : "");
const number = (value) => {
  if (Array.isArray(value)) return value.length;
  return Number.isInteger(value) ? value : 0;
};
const rows = (value) => (Array.isArray(value) ? value.filter((one) => word(one?.id)) : []);

function readRuntime(raw) {
  return {
    id: word(raw?.runtime_id),
    state: word(raw?.state) || "unknown",
    since: raw?.since ?? null,
    workers: rows(raw?.workers).map((one) => ({
      id: one.id,
      machine: word(one.machine),
      moves: readMoves(one.moves),
      moved: number(one.moved),
      status: word(one.status) || "unknown",
      engine: word(one.engine),
      waiting: number(one.waiting),
      approvals: number(one.approvals),
      approvalSince: one.approval_since ?? null,
      lastErrorAt: one.last_error_at ?? null,
      lastError: word(one.last_error),
    })),
    services: rows(raw?.services).map((one) => ({
      id: one.id,
      machine: word(one.machine),
      moves: readMoves(one.moves),
      moved: number(one.moved),
      lifecycle: word(one.lifecycle) || "unknown",
      health: word(one.health) || word(one.lifecycle) || "unknown",
      reference: word(one.reference),
      connections: number(one.connections),
      open: number(one.open),
      downSince: one.down_since ?? null,
      nextDialAt: one.next_dial_at ?? null,
      framesIn: number(one.frames_in),
      framesOut: number(one.frames_out),
      lastFrameAt: one.last_frame_at ?? null,
      queueDepth: number(one.queue_depth),
      deadLetters: number(one.dead_letters),
      lastError: word(one.last_error),
    })),
    boards: rows(raw?.boards).map((one) => ({
      id: one.id,
      machine: word(one.machine),
      items: number(one.items),
      queued: number(one.queued),
      inProgress: number(one.inprogress),
      undecided: number(one.undecided),
      damaged: number(one.damaged),
    })),
  };
}
