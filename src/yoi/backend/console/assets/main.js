// Starts the console: the session first, then the list and what is chosen in it.

import { el, fill } from "./dom.js";
import { Inventory } from "./inventory.js";
import { Overview } from "./overview.js";
import { Page } from "./page.js";
import { subjectOf } from "./route.js";
import { Session, Unauthorized, takeCode } from "./session.js";
import { Sidebar } from "./sidebar.js";
import { signIn } from "./signin.js";
import { printable } from "./text.js";

const EXPIRED = "Your session has expired or was revoked.";
const USED = "That link was used already, or is too old.";

class Console {
  constructor(root) {
    this._root = root;
    this._session = new Session();
    this._inventory = null;
    this._page = null;
    this._overview = null;
    window.addEventListener("hashchange", () => this._addressed());
    window.addEventListener("online", () => this._hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this._hurry());
    setInterval(() => this._tick(), 1000);
  }

  /** Enters with the code in the address, or with the session of this tab. */
  async begin() {
    const code = takeCode();
    let why = "";
    if (code === "") why = USED;
    if (code) {
      try {
        await this._session.exchange(code);
      } catch (error) {
        why = error instanceof Unauthorized ? USED : `The link could not be tried: ${error.message}.`;
      }
    }
    if (!this._session.held) return this._signIn(why);
    const probe = await this._session.probe();
    return probe === "expired" ? this._expired() : this._enter();
  }

  _signIn(why) {
    this._leave();
    fill(this._root, signIn(this._session, why, () => this._enter()));
    this._root.dataset.view = "signin";
    document.getElementById("entry").focus();
  }

  _expired() {
    this._session.forget();
    this._signIn(EXPIRED);
  }

  _forget() {
    this._session.forget();
    this._signIn("The session of this tab is forgotten.");
  }

  _enter() {
    this._leave();
    this._inventory = new Inventory(this._session, {
      changed: () => this._listed(),
      expired: () => this._expired(),
    });
    this._sidebar = new Sidebar(this._session, this._inventory, () => this._forget());
    this._stage = el("div", { class: "stage" });
    fill(this._root, this._sidebar.node, this._stage);
    this._sidebar.render();
    this._inventory.start();
    this._show();
  }

  _leave() {
    this._inventory?.stop();
    this._inventory = null;
    this._page?.close();
    this._page = null;
  }

  _addressed() {
    if (location.hash.startsWith("#code=")) this.begin();
    else if (this._inventory) this._show();
  }

  _show() {
    const subject = subjectOf(location.hash);
    this._page?.close();
    this._page = null;
    this._root.dataset.view = subject ? "subject" : "list";
    this._sidebar.choose(subject);
    document.title = subject ? `${printable(subject.name, 64)} · Yoi console` : "Yoi console";
    this._overview = null;
    if (!subject) {
      this._overview = new Overview(this._inventory);
      return fill(this._stage, this._overview.node);
    }
    this._page = new Page(subject, this._session, this._inventory, () => this._expired());
    fill(this._stage, this._page.node);
    return this._page.start();
  }

  _listed() {
    this._sidebar.render();
    this._page?.refresh();
    this._overview?.render();
  }

  _hurry() {
    this._page?.hurry();
    this._inventory?.look();
  }

  _tick() {
    if (!this._inventory) return;
    this._sidebar.tick();
    this._page?.tick();
    this._overview?.tick();
  }
}

new Console(document.getElementById("app")).begin();
