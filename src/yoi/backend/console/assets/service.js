// A service: lifecycle, queue, connections, sockets it opened itself, and what happened.

import { command, el, fill, keyed, mark, name, say, untrusted, withheld } from "./dom.js";
import { long } from "./entries.js";
import { keepPlace } from "./scroll.js";
import { level, stateWord } from "./sidebar.js";
import { count, laidOut, many, printable, shellWord, size, when } from "./text.js";
import { LIMITS, ServiceView } from "./view.js";

/** A page keeps more than a snapshot brings. */
export const MOST_DIAGNOSTICS = 500;
const PAGE = Object.freeze({ ...LIMITS, snapshot_diagnostics: MOST_DIAGNOSTICS });

const KINDS = {
  all: () => true,
  refusals: (entry) => /^(denied|url)\./.test(entry.code ?? ""),
  gaps: (entry) => entry.code === "notice.gap" || entry.code === "notice.dropped",
  problems: (entry) => entry.severity === "warning" || entry.severity === "error",
};

/** What a page about a service shows below its head. `facts` stands in the head. */
export class ServiceContent {
  constructor(subject) {
    this._name = subject.name;
    this._view = new ServiceView(PAGE);
    this._begun = false;
    this._kind = "all";
    this._made = 0;
    this.facts = el("div", { class: "facts" });
    this.status = el("span");
    this._summary = el("section", { class: "cards", "aria-label": "Service" });
    this._links = el("div", { class: "links" });
    this._linksNone = el("p", { class: "hint gone" });
    this._pulls = el("div", { class: "links" });
    this._pullsTitle = el("h2", { class: "gone" }, "Opened by the plugin itself");
    this._mays = el("div", { class: "links" });
    this._maysTitle = el("h2", { class: "gone" }, "What it may do");
    this._maysRest = el("p", { class: "older gone" });
    this._tabs = el("div", { class: "tabs", role: "group", "aria-label": "Show" });
    this._older = el("p", { class: "older gone" });
    this._none = el("p", { class: "hint gone" });
    this._events = el("ol", { class: "events", "aria-label": "What happened, newest first" });
    this._rest = el(
      "div",
      { class: "gone" },
      this._summary,
      el("h2", {}, "Connections"),
      this._links,
      this._linksNone,
      this._pullsTitle,
      this._pulls,
      this._maysTitle,
      this._mays,
      this._maysRest,
      el("div", { class: "section-head" }, el("h2", {}, "What happened"), this._tabs),
      this._none,
      this._events,
      this._older,
    );
    this._loading = el("p", { class: "hint empty" }, "Waiting for the first picture…");
    this._pane = el(
      "div",
      { class: "pane", tabindex: "0", role: "region", "aria-label": "The service" },
      el("div", { class: "column wide" }, this._loading, this._rest),
    );
    this.frame = el("div", { class: "pane-frame" }, this._pane);
    this.node = el("div", { class: "content" }, this.frame);
    this._makeTabs();
  }

  /** Takes in one payload; returns whether it could be read. */
  apply(payload) {
    const read = this._view.apply(payload);
    if (payload?.event === "service_snapshot") this._begun = true;
    return read;
  }

  /** Learns which actions to offer; a service's page offers none. */
  allow() {}

  /** Shows what is known now. */
  render() {
    if (!this._begun) return;
    mark(this._loading, "gone", true);
    mark(this._rest, "gone", false);
    const show = () => {
      this._showStatus();
      this._showEvents();
    };
    if (this._pane.scrollTop > 0) keepPlace(this._pane, this._events, show);
    else show();
  }

  /** Lets go of everything. */
  close() {}

  _showStatus() {
    const { status, redacted } = this._view;
    if (status === this._statusShown) return;
    this._statusShown = status;
    fill(this.status, stateWord(word(status.health) || word(status.lifecycle) || "unknown"));
    const digest = word(status.digest);
    fill(
      this.facts,
      el("span", {}, name(word(status.reference), 128), " ", name(word(status.version), 32)),
      status.runtime ? el("span", {}, name(word(status.runtime), 64)) : null,
      digest ? el("span", { class: "mono", title: printable(digest, 100) }, name(digest, 20)) : null,
      redacted ? withheld("diagnostics") : null,
    );
    fill(this._summary, cards(status, this._name, redacted));
    const links = list(status.connections);
    rows(this._links, links, (one) => connection(one, redacted));
    mark(this._linksNone, "gone", links.length);
    say(this._linksNone, "This plugin has no connection of the host's; its manifest declares none.");
    const pulls = list(status.pull_sockets);
    rows(this._pulls, pulls, pullSocket);
    mark(this._pullsTitle, "gone", !pulls.length);
    this._showPermissions(status);
  }

  _showPermissions(status) {
    const found = list(status.permissions);
    // Broad access is read first, apart from the ordinary.
    const ordered = [...found.filter(isBroad), ...found.filter((row) => !isBroad(row))];
    rows(this._mays, ordered, permission);
    mark(this._maysTitle, "gone", !found.length);
    const left = status.permissions_left_out > 0;
    mark(this._maysRest, "gone", !left);
    if (!left) return;
    const shell = shellWord(this._name);
    fill(
      this._maysRest,
      `${many(status.permissions_left_out, "more thing is", "more things are")} not shown here. `,
      shell ? command(`yoi plugin show ${shell}`) : null,
    );
  }

  _makeTabs() {
    for (const kind of Object.keys(KINDS)) {
      const tab = el("button", { type: "button", "aria-pressed": kind === this._kind }, kind);
      tab.addEventListener("click", () => {
        this._kind = kind;
        for (const one of this._tabs.children) {
          one.setAttribute("aria-pressed", String(one === tab));
        }
        this.render();
      });
      this._tabs.append(tab);
    }
    for (const one of this._tabs.children) {
      one.setAttribute("aria-pressed", String(one.textContent === this._kind));
    }
  }

  _showEvents() {
    const { diagnostics, leftOut } = this._view;
    const shown = diagnostics.filter(KINDS[this._kind]).reverse();
    keyed(this._events, shown, (entry) => entry, happening, (node) => node);
    mark(this._none, "gone", shown.length);
    say(this._none, diagnostics.length ? `No ${this._kind} among what is held here.` : "Nothing has happened yet.");
    mark(this._older, "gone", !leftOut);
    const word = shellWord(this._name);
    if (leftOut !== this._olderShown) {
      this._olderShown = leftOut;
      fill(
        this._older,
        `${many(leftOut, "older entry", "older entries")} not shown here. `,
        word ? command(`yoi service status ${word}`) : null,
      );
    }
  }
}

const word = (value) => (typeof value === "string" ? value : "");
const list = (value) => (Array.isArray(value) ? value.filter((one) => one && typeof one === "object") : []);

/** Shows one node per item; an item that says the same keeps its node. */
function rows(parent, items, make) {
  const named = items.map((item, at) => ({ key: `${at} ${item.name ?? item.handle}`, item }));
  keyed(
    parent,
    named,
    (one) => one.key,
    (one) => make(one.item),
    (node, one, before) =>
      JSON.stringify(one.item) === JSON.stringify(before.item) ? node : make(one.item),
  );
}

function card(title, value, ...rest) {
  return el(
    "div",
    { class: "card" },
    el("div", { class: "card-title" }, title),
    el("div", { class: "card-value" }, value),
    rest,
  );
}

function cards(status, service, redacted) {
  const counters = status.counters && typeof status.counters === "object" ? status.counters : {};
  const shell = shellWord(service);
  const made = [
    card(
      "Queue",
      `${count(status.queue_depth)} of ${count(status.queue_capacity)}`,
      meter("events queued", status.queue_depth, status.queue_capacity),
      el("div", { class: "faint" }, `${size(status.queue_bytes)} of ${size(status.queue_bytes_capacity)}`),
    ),
    card(
      "Events",
      count(counters.enqueued),
      el("div", { class: "faint" }, counted(counters, EVENTS)),
    ),
    card(
      "Commands",
      count(counters.commands_done),
      el("div", { class: "faint" }, "done"),
      counters.commands_denied
        ? el("div", { class: "bad" }, `${count(counters.commands_denied)} refused`)
        : null,
      el("div", { class: "faint" }, counted(counters, COMMANDS)),
    ),
    card(
      "Restarts",
      count(counters.restarts),
      status.restart_at ? el("div", { class: "warn" }, `next at ${when(status.restart_at)}`) : null,
    ),
  ];
  if (status.dead_letters) {
    const look = shell ? command(`yoi service dead-letters ${shell}`) : null;
    const given = `${many(status.dead_letters, "event was", "events were")} given up. `;
    made.push(wide("Dead letters", el("p", {}, el("strong", { class: "bad" }, given), look)));
  }
  const missing = Array.isArray(status.missing_secrets) ? status.missing_secrets : [];
  for (const one of missing.map(word).filter(Boolean)) {
    const shell = shellWord(one);
    made.push(wide("Missing secret", el("p", {}, name(one, 64), " ", shell ? command(`yoi secret set ${shell}`) : null), "bad"));
  }
  const refused = status.refused_version;
  if (refused) {
    const shell = shellWord(status.name);
    const said = [el("bdi", {}, untrusted(word(refused.message))), " ", el("code", {}, name(word(refused.code), 64))];
    made.push(wide(`Enabled is ${printable(word(refused.version), 64)}, which could not take over`, [
      said, " ", shell ? command(`yoi service restart ${shell}`) : null,
    ], "bad"));
  }
  if (status.last_error || status.last_error_code) {
    const over = status.lifecycle === "running";
    const at = status.last_error_at ? `${when(status.last_error_at)} ` : "";
    made.push(wide(over ? "Earlier error, over now" : "Error", [at, failure(status, redacted)], over ? "" : "bad"));
  }
  if (status.plugin_status !== null && status.plugin_status !== undefined) {
    const says = laidOut(JSON.stringify(status.plugin_status));
    const title = status.plugin_status_at ? `The plugin says, as of ${when(status.plugin_status_at)}` : "The plugin says";
    made.push(wide(title, long(says, { class: "mono" })));
  }
  return made;
}

function wide(title, body, kind = "") {
  return el("div", { class: `card wide ${kind}` }, el("div", { class: "card-title" }, title), body);
}

function failure(from, redacted) {
  const said = word(from.last_error);
  return [
    said ? el("bdi", {}, untrusted(said)) : redacted ? withheld("words") : null,
    " ",
    from.last_error_code ? el("code", {}, name(word(from.last_error_code), 64)) : null,
  ];
}

const EVENTS = ["succeeded", "failed", "timed_out", "retried", "rejected", "dropped", "dead"];
const COMMANDS = ["commands_failed", "commands_unknown"];

function counted(counters, names) {
  return names
    .filter((one) => counters[one])
    .map((one) => `${count(counters[one])} ${one.replace("commands_", "").replace("_", " ")}`)
    .join(", ");
}

function meter(what, value, capacity) {
  const part = capacity > 0 && value > 0 ? Math.min(1, value / capacity) : 0;
  const bar = el("div", { class: "meter-bar" });
  bar.style.width = `${part * 100}%`;
  return el(
    "div",
    {
      class: `meter ${part > 0.8 ? "full" : ""}`,
      role: "meter",
      "aria-label": what,
      "aria-valuemin": "0",
      "aria-valuemax": String(capacity ?? 0),
      "aria-valuenow": String(value ?? 0),
    },
    bar,
  );
}

function fact(title, value, kind = "") {
  if (value === null || value === "") return null;
  return el("div", { class: `fact ${kind}` }, el("dt", {}, title), el("dd", {}, value));
}

const WORDS = { awaiting_open: "waits for the plugin" };

function linkHead(title, one) {
  const state = one.reading_paused && one.state === "open" ? "paused" : word(one.state);
  const dot = { open: "running", waiting: "starting", closing: "stopping", awaiting_open: "starting" };
  return el(
    "div",
    { class: "link-head" },
    title,
    el("span", { class: "state", "data-level": level(dot[state] ?? state) }, WORDS[state] ?? printable(state, 32)),
    one.connected_since && state === "open" ? el("span", { class: "faint" }, `since ${when(one.connected_since)}`) : null,
    one.reading_paused ? el("span", { class: "warn" }, "reading paused: the plugin is behind") : null,
  );
}

function traffic(one) {
  return [
    fact("in", `${count(one.frames_in)} frames, ${size(one.bytes_in)}`),
    fact("out", `${count(one.frames_out)} frames, ${size(one.bytes_out)}`),
  ];
}

const GRANTED = {
  covered: ["granted", "live"],
  partly_covered: ["granted in part", "warn"],
  denied: ["not granted", "quiet"],
  grant_only: ["granted, never asked for", "quiet"],
};

const isBroad = (row) => Array.isArray(row.broad) && row.broad.length > 0;

function permission(row) {
  const [words, dot] = GRANTED[row.state] ?? [printable(word(row.state), 32), "quiet"];
  const broad = isBroad(row) ? row.broad : [];
  return el(
    "article",
    { class: `link may ${broad.length ? "broad" : ""}` },
    el(
      "div",
      { class: "link-head" },
      el("strong", {}, name(word(row.label), 1024)),
      el("span", { class: "faint" }, printable(word(row.kind), 32)),
      el("span", { class: "state", "data-level": dot }, words),
    ),
    broad.map((why) => el("div", { class: "warn" }, "Broad access: ", el("bdi", {}, untrusted(word(why))))),
    el("div", { class: "faint" }, el("bdi", {}, untrusted(word(row.explanation)))),
  );
}

function closing(one) {
  if (one.close_code === null || one.close_code === undefined) return null;
  return [`${one.close_code} `, name(word(one.close_reason), 128)];
}

function connection(one, redacted) {
  const odd = (value, words) => (value ? fact(words, count(value), "warn") : null);
  return el(
    "article",
    { class: "link" },
    linkHead(el("strong", {}, name(word(one.name), 64)), one),
    el("div", { class: "mono url" }, name(word(one.url)), one.address ? [" at ", name(word(one.address))] : null),
    el(
      "dl",
      { class: "facts-grid" },
      traffic(one),
      fact("reconnects", count(one.reconnects)),
      fact("gaps", count(one.gaps), one.gaps ? "warn" : ""),
      fact("last frame", when(one.last_frame_at)),
      one.close_code !== null && one.close_code !== undefined ? fact("last close", el("span", {}, closing(one))) : null,
      one.down_since ? fact("down since", when(one.down_since), "warn") : null,
      one.state !== "open" ? fact("next dial", when(one.next_dial_at)) : null,
      one.subprotocol ? fact("subprotocol", name(one.subprotocol, 64)) : null,
      one.heartbeats ? fact("heartbeats", `${count(one.heartbeats)}, at most ${count(one.heartbeat_late_ms)} ms late`) : null,
      odd(one.queue_drops, "dropped at the queue"),
      odd(one.send_failures, "sends failed"),
      odd(one.binary_ignored, "binary frames ignored"),
      odd(one.failures, "failures in a row"),
    ),
    one.last_error || one.last_error_code ? linkError(one, redacted) : null,
  );
}

function linkError(one, redacted) {
  const over = one.state === "open" || (one.down_since === null && "down_since" in one);
  const at = one.last_error_at ? `${when(one.last_error_at)} ` : "";
  return el("p", { class: over ? "faint" : "bad" }, over ? "earlier, over now: " : "", at, failure(one, redacted));
}

function pullSocket(one) {
  return el(
    "article",
    { class: "link" },
    linkHead(el("strong", {}, `socket ${one.handle}`, el("span", { class: "faint" }, ` for a ${printable(word(one.owner), 16)}`)), one),
    el("div", { class: "mono url" }, name(word(one.url)), one.address ? [" at ", name(word(one.address))] : null),
    el(
      "dl",
      { class: "facts-grid" },
      traffic(one),
      fact("waiting", `${many(one.waiting_messages, "message")}, ${size(one.waiting_bytes)}`),
      fact("opened", when(one.opened_at)),
      one.close_code ? fact("closed", String(one.close_code)) : null,
    ),
  );
}

function happening(entry) {
  const gap = KINDS.gaps(entry);
  const refusal = KINDS.refusals(entry);
  const severity = ["info", "warning", "error"].includes(entry.severity) ? entry.severity : "info";
  const fields = entry.fields && typeof entry.fields === "object" ? entry.fields : {};
  const more = Object.keys(fields).length;
  return el(
    "li",
    { class: `event ${gap ? "gap" : ""} ${refusal ? "refusal" : ""}`, "data-severity": severity },
    el("time", {}, when(entry.at)),
    el(
      "div",
      { class: "event-body" },
      el(
        "div",
        { class: "event-head" },
        gap ? el("span", { class: "chip gap" }, "gap") : null,
        refusal ? el("span", { class: "chip ask" }, "refused") : null,
        el("code", {}, name(word(entry.code), 64)),
        el("span", { class: "faint" }, name(word(entry.scope), 128)),
      ),
      entry.redacted ? withheld("words") : el("div", { class: "said", dir: "auto" }, untrusted(word(entry.message))),
      entry.hint ? el("div", { class: "hint said" }, "hint: ", el("bdi", {}, untrusted(word(entry.hint)))) : null,
      more
        ? el(
            "details",
            {},
            el("summary", {}, many(more, "detail")),
            long(laidOut(JSON.stringify(fields)), { class: "mono" }),
          )
        : null,
    ),
  );
}
