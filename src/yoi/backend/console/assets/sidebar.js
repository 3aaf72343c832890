// The list of runtimes with their workers and services.

import { button, command, el, fill, keyed, mark, name, say } from "./dom.js";
import { count, lasting, many, printable, when } from "./text.js";
import { address } from "./route.js";

const FILTER_FROM = 12;
const NONE = {
  worker: "none: see [[workers]] in .yoi/yoi.toml",
  service: "none: yoi plugin enable",
  board: "none: yoi ticket new",
};
const LEVELS = {
  available: "live",
  running: "live",
  ready: "wait",
  starting: "wait",
  connecting: "wait",
  stopping: "wait",
  paused: "warn",
  degraded: "warn",
  unavailable: "bad",
  moving: "wait",
  unreachable: "bad",
  barred: "bad",
  failed: "bad",
  quarantined: "bad",
};

/** Returns how bad a state is: live, wait, warn, bad or quiet. */
export const level = (state) => LEVELS[state] ?? "quiet";

/** Returns a state with its coloured dot. */
export function stateWord(state) {
  return el("span", { class: "state", "data-level": level(state) }, printable(state, 32));
}

/** The list. `forget()` is called when a person ends the session. */
export class Sidebar {
  constructor(session, inventory, forget) {
    this._session = session;
    this._inventory = inventory;
    this._chosen = null;
    this._age = el("p", { class: "age", role: "status" });
    this._filter = el("input", {
      type: "search",
      placeholder: "Filter by name",
      "aria-label": "Filter by name",
      autocomplete: "off",
      spellcheck: "false",
    });
    this._filter.addEventListener("input", () => this.render());
    this._list = el("div", { class: "runtimes" });
    this._who = el("div", { class: "who" });
    this.node = el(
      "nav",
      { class: "sidebar", "aria-label": "Runtimes and what can be watched in them" },
      el("a", { class: "brand", href: "#/" }, el("span", { "aria-hidden": "true" }), "Yoi console"),
      this._age,
      this._filter,
      this._list,
      el("div", { class: "foot" }, this._who, button("End session", forget, { class: "quiet" })),
    );
    this.node.addEventListener("keydown", (event) => this._key(event));
  }

  /** Marks what is being watched. */
  choose(subject) {
    this._chosen = subject && address(subject);
    this.render();
  }

  /** Shows what is known now. */
  render() {
    const { runtimes } = this._inventory;
    this.tick();
    this._showWho();
    const total = (runtimes ?? []).reduce(
      (n, r) => n + r.workers.length + r.services.length + r.boards.length,
      0,
    );
    mark(this._filter, "gone", total < FILTER_FROM);
    if (!runtimes) {
      keyed(this._list, ["wait"], String, () => el("p", { class: "hint" }, "Looking…"), same);
    } else if (!runtimes.length) {
      keyed(this._list, ["none"], String, noRuntimes, same);
    } else {
      const make = (runtime) => new Group().show(runtime, this);
      keyed(this._list, runtimes, (one) => `runtime ${one.id}`, make, (node, runtime) =>
        node.yoiGroup.show(runtime, this),
      );
    }
  }

  /** Says how old the list is, where it is not fresh. */
  tick() {
    const { at, problem, runtimes } = this._inventory;
    const age = runtimes ? ` This list is ${lasting(Date.now() - at)} old.` : " Trying again.";
    say(this._age, problem ? `No news: ${printable(problem, 120)}.${age}` : "");
    mark(this.node, "stale", problem);
  }

  /** Whether an entry is to be shown. */
  shows(id) {
    return id.toLowerCase().includes(this._filter.value.trim().toLowerCase());
  }

  /** Whether an entry is the one being watched. */
  isChosen(subject) {
    return this._chosen === address(subject);
  }

  _showWho() {
    const { who } = this._session;
    const key = JSON.stringify(who);
    if (key === this._whoShown) return;
    this._whoShown = key;
    const hidden = Array.isArray(who?.redact) ? who.redact : [];
    fill(
      this._who,
      who ? el("span", {}, "Signed in as ", name(String(who.principal ?? "?"), 64)) : null,
      who?.expires_at ? el("span", {}, `until ${when(who.expires_at)}`) : null,
      hidden.length
        ? el(
            "span",
            { class: "chip withheld" },
            `withheld: ${hidden.map((one) => printable(String(one), 32).replaceAll("_", " ")).join(", ")}`,
          )
        : null,
    );
  }

  _key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const links = [...this._list.querySelectorAll("a")];
    const at = links.indexOf(document.activeElement);
    if (at < 0 && document.activeElement !== this._filter) return;
    event.preventDefault();
    const next = at < 0 ? (step > 0 ? 0 : links.length - 1) : at + step;
    links[Math.min(Math.max(next, 0), links.length - 1)]?.focus();
  }
}

const same = (node) => node;

function noRuntimes() {
  return el(
    "div",
    { class: "hint" },
    el("p", {}, "There is no runtime to watch, or none that your session may see."),
    el("p", {}, "Start one here: ", command("yoi serve")),
  );
}

/** One runtime in the list. */
class Group {
  constructor() {
    this._head = el("h2");
    this._workers = el("ul", { "aria-label": "Workers" });
    this._services = el("ul", { "aria-label": "Services" });
    this._boards = el("ul", { "aria-label": "Work items" });
    this._boardsTitle = el("h3", {}, "Work items");
    this._note = el("p", { class: "hint" });
    this.node = el(
      "section",
      { class: "runtime" },
      this._head,
      this._note,
      el("h3", {}, "Workers"),
      this._workers,
      el("h3", {}, "Services"),
      this._services,
      this._boardsTitle,
      this._boards,
    );
    this.node.yoiGroup = this;
  }

  show(runtime, sidebar) {
    const key = JSON.stringify([runtime.id, runtime.state, runtime.since]);
    if (key !== this._shown) {
      this._shown = key;
      fill(this._head, name(runtime.id), stateWord(runtime.state));
      const since = when(runtime.since);
      const lost = runtime.state !== "available";
      say(this._note, lost ? `${since && `Since ${since}. `}The list is what was last known.` : "");
    }
    this._rows(this._workers, "worker", runtime, runtime.workers, sidebar);
    this._rows(this._services, "service", runtime, runtime.services, sidebar);
    this._rows(this._boards, "board", runtime, runtime.boards, sidebar);
    for (const node of [this._boardsTitle, this._boards]) mark(node, "gone", !runtime.boards.length);
    return this.node;
  }

  _rows(list, kind, runtime, all, sidebar) {
    const shown = all.filter((one) => sidebar.shows(one.id));
    const items = shown.length ? shown : [{ id: "", none: all.length > 0 }];
    keyed(
      list,
      items.map((one) => ({ ...one, subject: { kind, runtime: runtime.id, name: one.id } })),
      (one) => `${kind} ${one.id}`,
      (one) => row(kind, one, sidebar),
      (node, one, before) => {
        const now = JSON.stringify([one, sidebar.isChosen(one.subject)]);
        if (node.yoiShown === now && before) return node;
        return refreshed(node, row(kind, one, sidebar));
      },
    );
  }
}

/** Puts the content of `made` into `node`, so that focus stays where it was. */
function refreshed(node, made) {
  const from = made.querySelector("a");
  const to = node.querySelector("a");
  if (!from || !to) return made;
  to.replaceChildren(...from.childNodes);
  if (from.hasAttribute("aria-current")) to.setAttribute("aria-current", "page");
  else to.removeAttribute("aria-current");
  node.yoiShown = made.yoiShown;
  return node;
}

function row(kind, one, sidebar) {
  if (!one.id) {
    const none = el("li", { class: "none" }, one.none ? "none of that name" : NONE[kind]);
    none.yoiShown = JSON.stringify([one, false]);
    return none;
  }
  const chosen = sidebar.isChosen(one.subject);
  const state = { worker: one.status, service: one.health }[kind];
  const made = el(
    "li",
    {},
    el(
      "a",
      { href: address(one.subject), "aria-current": chosen ? "page" : null },
      el("span", { class: "row-name" }, name(one.id)),
      state ? stateWord(state) : null,
      el("span", { class: "row-more" }, LINES[kind](one)),
    ),
  );
  made.yoiShown = JSON.stringify([one, chosen]);
  return made;
}

const LINES = { worker: workerLine, service: serviceLine, board: boardLine };

function boardLine(one) {
  return [
    one.undecided ? el("span", { class: "chip ask" }, `${count(one.undecided)} not in force`) : null,
    many(one.items, "item"),
    one.queued ? ` · ${count(one.queued)} queued` : "",
    one.inProgress ? ` · ${count(one.inProgress)} in progress` : "",
    one.damaged ? el("span", { class: "bad" }, ` · ${count(one.damaged)} damaged`) : null,
  ];
}

const machineWords = (one) => (one.machine ? ` · on ${printable(one.machine, 48)}` : "");

function workerLine(one) {
  return [
    one.approvals ? el("span", { class: "chip ask" }, many(one.approvals, "approval")) : null,
    one.waiting ? `${many(one.waiting, "input")} waiting` : printable(one.engine, 48),
    one.lastError && !one.approvals ? el("span", { class: "bad" }, " · had an error") : null,
    machineWords(one),
  ];
}

function serviceLine(one) {
  return [
    one.connections ? `${one.open} of ${one.connections} open` : "no connections",
    one.queueDepth ? ` · ${one.queueDepth} queued` : "",
    one.deadLetters ? el("span", { class: "bad" }, ` · ${many(one.deadLetters, "dead letter")}`) : null,
    machineWords(one),
  ];
}
