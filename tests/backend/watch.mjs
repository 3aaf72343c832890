// Drives the console's watch.js, given as the first argument, through scenarios on standard input.
// A scenario is a list of steps; after each step the answer has what the watch did and how it
// stands. Sockets and time are made here; the jitter is always in the middle.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const { Watch } = await import(pathToFileURL(process.argv[2]).href);

class World {
  constructor() {
    this.time = 1_000_000;
    this.timers = new Map();
    this.next = 1;
    this.sockets = [];
    this.heard = [];
    this.probed = "unreachable";
    const world = this;
    this.env = {
      WebSocket: class {
        constructor(url, protocols) {
          Object.assign(this, { url, protocols, closed: false });
          world.sockets.push(this);
        }
        close() {
          this.closed = true;
        }
      },
      setTimeout: (act, ms) => {
        this.timers.set(this.next, { at: this.time + ms, act });
        return this.next++;
      },
      clearTimeout: (timer) => this.timers.delete(timer),
      now: () => this.time,
      random: () => 0.5,
      protocols: () => ["yoi.observe.v1", "yoi.token.t"],
      probe: async () => this.probed,
      url: (cursor) => `/ws?${cursor ?? ""}`,
    };
    const event = (payload) => {
      this.heard.push(payload.text ?? payload.event);
      return payload.event !== "unreadable";
    };
    this.watch = new Watch({ event, changed: () => {} }, this.env);
    this.watch.start();
  }

  async step([what, ...rest]) {
    const socket = this.sockets.at(-1);
    if (what === "open") socket.onopen();
    else if (what === "say") socket.onmessage({ data: JSON.stringify(rest[0]) });
    else if (what === "raw") socket.onmessage({ data: rest[0] });
    else if (what === "close") socket.onclose({ code: rest[0], reason: rest[1] ?? "" });
    else if (what === "old") this.sockets[0].onmessage({ data: JSON.stringify(rest[0]) });
    else if (what === "probe") this.probed = rest[0];
    else if (what === "now") this.watch.reconnectNow();
    else if (what === "stop") this.watch.stop();
    else if (what === "pass") this.pass(rest[0]);
    else throw new Error(what);
    await new Promise((resolve) => setImmediate(resolve));
    const { state, attempt, retryAt, why, code, upstreamLostAt, notes } = this.watch.standing;
    return {
      state,
      attempt,
      wait: retryAt ? Math.round(retryAt - this.time) : 0,
      why,
      code,
      lost: upstreamLostAt > 0,
      notes: notes.map(({ kind, dropped, why: reason }) => [kind, dropped, reason]),
      heard: [...this.heard],
      urls: this.sockets.map((one) => one.url),
      closed: this.sockets.map((one) => one.closed),
    };
  }

  pass(ms) {
    const until = this.time + ms;
    for (;;) {
      const due = [...this.timers].filter(([, one]) => one.at <= until);
      if (!due.length) break;
      const [id, { at, act }] = due.reduce((a, b) => (b[1].at < a[1].at ? b : a));
      this.timers.delete(id);
      this.time = at;
      act();
    }
    this.time = until;
  }
}

const answers = [];
for (const steps of JSON.parse(readFileSync(0, "utf8"))) {
  const world = new World();
  const answer = [];
  for (const step of steps) answer.push(await world.step(step));
  answers.push(answer);
}
console.log(JSON.stringify(answers));
