// One subject being watched: its head, the strip, and its content, kept up to date.

import { BoardContent } from "./board.js";
import { el, fill, name } from "./dom.js";
import { path } from "./route.js";
import { ServiceContent } from "./service.js";
import { Unauthorized } from "./session.js";
import { Strip } from "./strip.js";
import { printable } from "./text.js";
import { State, Watch } from "./watch.js";
import { WorkerContent } from "./worker.js";

const CONTENTS = { worker: WorkerContent, service: ServiceContent, board: BoardContent };
const SESSION_EXPIRED = 4505;

/** A page. `expired()` is called when the server takes the session no more. */
export class Page {
  constructor(subject, session, inventory, expired) {
    this.subject = subject;
    this._session = session;
    this._inventory = inventory;
    this._expired = expired;
    this._asked = false;
    this._content = new CONTENTS[subject.kind](subject);
    this._watch = new Watch({ event: (payload) => this._event(payload), changed: () => this._changed() }, this._env());
    this._strip = new Strip(this._watch);
    this._offers = el("span", { class: "offers" });
    this.node = el(
      "main",
      { class: "subject", "data-kind": subject.kind },
      el(
        "header",
        { class: "subject-head" },
        el("a", { class: "back", href: "#/", "aria-label": "Back to the list" }, "‹ All"),
        el(
          "div",
          { class: "title" },
          el("h1", { tabindex: "-1" }, name(subject.name, 128)),
          this._content.status,
          el("span", { class: "faint" }, `${subject.kind} of `, name(subject.runtime, 64)),
          this._offers,
        ),
        this._content.facts,
      ),
      this._strip.node,
      this._content.node,
    );
    this._content.frame.append(this._strip.notes);
  }

  /** Begins to watch. */
  start() {
    this._watch.start();
    this._showStrip();
    this._askOffers();
  }

  /** Watches no more. */
  close() {
    this._closed = true;
    this._watch.stop();
    this._content.close();
    cancelAnimationFrame(this._frame);
  }

  /** Does not wait for the next attempt: there is reason to hope. */
  hurry() {
    this._watch.reconnectNow();
  }

  /** Lets what counts seconds count. */
  tick() {
    this._showStrip();
  }

  /** Shows what is known now, with the next frame of the screen. */
  refresh() {
    if (this._frame || this._closed) return;
    this._frame = requestAnimationFrame(() => {
      this._frame = 0;
      this._showStrip();
      this._content.render(this._inventory.subject(this.subject));
    });
  }

  _showStrip() {
    this._strip.render();
    // What is not live must not look as if it were.
    this.node.dataset.level = this._strip.level;
  }

  _event(payload) {
    const read = this._content.apply(payload);
    this.refresh();
    return read;
  }

  _changed() {
    const { state, code } = this._watch.standing;
    if (state === State.WAITING && this._state === State.LIVE) this._inventory.look();
    this._state = state;
    if (state === State.CLOSED && code === SESSION_EXPIRED) this._expired();
    else this.refresh();
  }

  async _askOffers() {
    let actions;
    try {
      ({ actions } = await this._session.get(`${path(this.subject)}/affordances`));
    } catch (error) {
      if (error instanceof Unauthorized) this._expired();
      return;
    }
    const offered = Array.isArray(actions) ? actions.filter((one) => typeof one === "string") : [];
    if (!offered.length) return;
    this._content.allow(offered, (decision) => this._decide(decision));
    fill(this._offers, "your session may: ", offered.map((one) => [name(one, 32), " "]));
    this.refresh();
  }

  /** Sends a decision about a call that waits; resolves to why it was not taken, or "". */
  async _decide(decision) {
    try {
      return await this._session.send(`${path(this.subject)}/commands`, {
        command: "approve",
        arguments: decision,
      });
    } catch (error) {
      if (!(error instanceof Unauthorized)) return error.message;
      this._expired();
      return "the session is over";
    }
  }

  _env() {
    return {
      WebSocket,
      setTimeout: (act, ms) => setTimeout(act, ms),
      clearTimeout: (timer) => clearTimeout(timer),
      now: () => Date.now(),
      random: Math.random,
      protocols: () => this._session.protocols(),
      probe: () => this._session.probe(),
      url: (cursor) => {
        const scheme = location.protocol === "https:" ? "wss:" : "ws:";
        const place = cursor ? `?cursor=${encodeURIComponent(cursor)}` : "";
        return `${scheme}//${location.host}${path(this.subject)}/events/ws${place}`;
      },
    };
  }
}
