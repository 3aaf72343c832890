// The first page: what needs a person, then every service and worker with its traffic.

import { command, el, keyed, mark, name } from "./dom.js";
import { cameWords, moveLine, newestMoves } from "./moves.js";
import { address } from "./route.js";
import { stateWord } from "./sidebar.js";
import { count, lasting, many, moment, printable, shellWord, when } from "./text.js";

const LATE_MS = 15 * 60 * 1000;

/** Returns how long ago a moment was, or "" where there is none. */
const ago = (value) => (moment(value) === null ? "" : `${lasting(Date.now() - moment(value))} ago`);

/** The page; `render` is called with every look at the list, `tick` each second. */
export class Overview {
  constructor(inventory) {
    this._inventory = inventory;
    this._calls = el("ul", { class: "calls" });
    this._calm = el("p", { class: "hint" }, "Nothing.");
    this._services = el("div", { class: "links" });
    this._servicesNone = el("p", { class: "hint" }, "No services: ", command("yoi plugin enable"));
    this._workers = el("div", { class: "links" });
    this._boards = el("div", { class: "links" });
    this._boardsTitle = el("h2", {}, "Work items");
    this._moves = el("ol", { class: "moves", "aria-label": "Moves between machines, newest first" });
    this._movesTitle = el("h2", {}, "Moves between machines");
    this._all = el(
      "div",
      { class: "overview-all" },
      el("h2", {}, "Services"),
      this._services,
      this._servicesNone,
      el("h2", {}, "Workers"),
      this._workers,
      this._boardsTitle,
      this._boards,
      this._movesTitle,
      this._moves,
    );
    this._body = el(
      "div",
      { class: "column wide" },
      el("h2", {}, "Needs a person"),
      this._calls,
      this._calm,
      this._all,
    );
    this._loading = el("p", { class: "hint empty" }, "Looking…");
    this.node = el("main", { class: "overview", "aria-label": "Overview" }, this._loading, this._body);
    this.render();
  }

  /** Shows what is known now. */
  render() {
    const { runtimes } = this._inventory;
    mark(this._loading, "gone", runtimes);
    mark(this._body, "gone", !runtimes);
    if (!runtimes) return;
    const services = listed(runtimes, "service");
    const workers = listed(runtimes, "worker");
    const boards = listed(runtimes, "board");
    const calls = [
      ...runtimes.filter((one) => one.state !== "available").map(lostRuntime),
      ...workers.flatMap(workerCalls),
      ...services.flatMap(serviceCalls),
      ...boards.flatMap(boardCalls),
    ];
    rows(this._calls, calls, (one) => one.key, call);
    mark(this._calm, "gone", calls.length);
    mark(this._servicesNone, "gone", services.length);
    rows(this._services, services, keyOf, serviceCard);
    rows(this._workers, workers, keyOf, workerCard);
    rows(this._boards, boards, keyOf, boardCard);
    mark(this._boardsTitle, "gone", !boards.length);
    const moves = newestMoves([...services, ...workers]);
    rows(this._moves, moves, (move) => `${move.at} ${keyOf(move.one)}`, (move) => moveLine(move, link(move.one)));
    for (const node of [this._movesTitle, this._moves]) mark(node, "gone", !moves.length);
  }

  /** Brings ages up to date. */
  tick() {
    this.render();
  }
}

const keyOf = (one) => `${one.runtime} ${one.kind} ${one.id}`;

function listed(runtimes, kind) {
  return runtimes.flatMap((runtime) =>
    runtime[`${kind}s`].map((one) => ({
      ...one,
      kind,
      runtime: runtime.id,
    })),
  );
}

/** Shows one node per item; an item that would look the same keeps its node. */
function rows(parent, items, keyFor, make) {
  const made = (item) => {
    const node = make(item);
    node.yoiShown = node.outerText ?? node.textContent;
    return node;
  };
  keyed(parent, items, keyFor, made, (node, item) => {
    const fresh = made(item);
    const same = fresh.textContent === node.textContent && fresh.className === node.className;
    return same || node.contains(document.activeElement) ? node : fresh;
  });
}

const link = (one) =>
  el(
    "a",
    { href: address({ kind: one.kind, runtime: one.runtime, name: one.id }) },
    el("strong", {}, name(one.id, 64)),
  );

const next = (words, one) => (shellWord(one.id) ? command(`${words} ${shellWord(one.id)}`) : null);

function lostRuntime(runtime) {
  const since = when(runtime.since);
  const words = `the runtime is ${printable(runtime.state, 32)}${since ? ` since ${since}` : ""}`;
  return { key: `runtime ${runtime.id}`, bad: true, what: el("strong", {}, name(runtime.id)), words };
}

/** States of what no machine that is known here runs. */
const NOWHERE = ["unreachable", "barred"];

function nowhere(one, state) {
  const words = `is ${state}${one.machine ? `, last on ${printable(one.machine, 48)}` : ""}: ${printable(one.lastError, 200)}`;
  const shell = shellWord(one.id);
  const run = state === "barred" && shell ? `yoi cluster release ${one.kind}:${shell}` : "yoi cluster leases";
  return { key: keyOf(one), bad: true, what: link(one), words, next: command(run) };
}

function workerCalls(one) {
  const made = [];
  if (one.approvals) {
    const waits = moment(one.approvalSince);
    const long = waits !== null ? `, for ${lasting(Date.now() - waits)}` : "";
    made.push({
      key: `${keyOf(one)} approvals`,
      bad: waits !== null && Date.now() - waits > LATE_MS,
      what: link(one),
      words: `${many(one.approvals, "call waits", "calls wait")} for approval${long}`,
      next: next("yoi worker show", one),
    });
  }
  if (NOWHERE.includes(one.status)) {
    made.push(nowhere(one, one.status));
  } else if (one.status === "failed") {
    const words = `does not run: ${printable(one.lastError, 200)}`;
    made.push({ key: keyOf(one), bad: true, what: link(one), words, next: next("yoi worker show", one) });
  } else if (one.lastError) {
    const words = `had an error ${ago(one.lastErrorAt)}: ${printable(one.lastError, 200)}`;
    made.push({ key: keyOf(one), what: link(one), words, next: next("yoi worker show", one) });
  }
  return made;
}

function serviceCalls(one) {
  const made = [];
  const bad = ["failed", "quarantined"].includes(one.health);
  if (NOWHERE.includes(one.health)) {
    made.push(nowhere(one, one.health));
  } else if (bad || one.health === "degraded") {
    const since = moment(one.downSince) === null ? "" : `, down for ${lasting(Date.now() - moment(one.downSince))}`;
    const dial = moment(one.nextDialAt) === null ? "" : `, next dial ${when(one.nextDialAt)}`;
    const why = one.lastError ? `: ${printable(one.lastError, 200)}` : "";
    made.push({
      key: keyOf(one),
      bad,
      what: link(one),
      words: `is ${printable(one.health, 32)}${since}${dial}${why}`,
      next: next("yoi service status", one),
    });
  }
  if (one.deadLetters) {
    made.push({
      key: `${keyOf(one)} letters`,
      what: link(one),
      words: `${many(one.deadLetters, "event was", "events were")} given up`,
      next: next("yoi service dead-letters", one),
    });
  }
  return made;
}

function boardCalls(one) {
  const made = [];
  const say = (key, words, run) =>
    made.push({ key: `${keyOf(one)} ${key}`, what: link(one), words, next: command(run) });
  if (one.undecided) {
    const words = `${many(one.undecided, "item is", "items are")} queued by the files alone`;
    say("undecided", words, "yoi ticket list --state queued");
  }
  if (one.damaged) {
    say("damaged", `${many(one.damaged, "item is", "items are")} damaged`, "yoi ticket doctor");
  }
  return made;
}

function call(one) {
  return el(
    "li",
    { class: `needs ${one.bad ? "bad" : "warn"}` },
    el("span", {}, one.what, " ", el("bdi", {}, one.words)),
    one.next ?? null,
  );
}

function fact(title, value) {
  if (!value) return null;
  return el("div", { class: "fact" }, el("dt", {}, title), el("dd", {}, value));
}

function card(one, state, ...facts) {
  return el(
    "article",
    { class: "link" },
    el("div", { class: "link-head" }, link(one), state ? stateWord(state) : null, el("span", { class: "faint" }, name(one.runtime, 32))),
    el("dl", { class: "facts-grid" }, facts),
  );
}

function serviceCard(one) {
  return card(
    one,
    one.health,
    fact("machine", printable(one.machine, 48)),
    fact("came", cameWords(one)),
    fact("connections", one.connections ? `${one.open} of ${one.connections} open` : "none"),
    fact("last frame", ago(one.lastFrameAt) || (one.connections ? "none yet" : "")),
    fact("in", one.connections ? count(one.framesIn) : ""),
    fact("out", one.connections ? count(one.framesOut) : ""),
    fact("queued", one.queueDepth ? count(one.queueDepth) : ""),
  );
}

function workerCard(one) {
  return card(
    one,
    one.status,
    fact("machine", printable(one.machine, 48)),
    fact("came", cameWords(one)),
    fact("model", printable(one.engine, 48)),
    fact("waiting", one.waiting ? many(one.waiting, "input") : ""),
    fact("approvals", one.approvals ? count(one.approvals) : ""),
  );
}

function boardCard(one) {
  return card(
    one,
    "",
    fact("machine", printable(one.machine, 48)),
    fact("items", count(one.items)),
    fact("queued", one.queued ? count(one.queued) : ""),
    fact("in progress", one.inProgress ? count(one.inProgress) : ""),
  );
}
