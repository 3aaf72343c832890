// A call that waits for a person: what it would do, and the ways to decide about it.

import { button, command, el, fill, name, untrusted } from "./dom.js";
import { args, toolName } from "./entries.js";
import { many, shellWord } from "./text.js";

const SCOPES = [
  ["once", "this call only"],
  ["run", "this tool in this run"],
  ["exact", "this exact call for 8 hours"],
  ["matching", "for 8 hours, calls with the same …"],
];

/** Returns the arguments that a later call can be compared by: `[key, value]` of plain values. */
export function comparable(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    return [];
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [];
  return Object.entries(value).filter(([, one]) => ["string", "number", "boolean"].includes(typeof one));
}

/** Returns where `key` stands in a document (RFC 6901). */
export const pointer = (key) => `/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`;

/**
 * Returns the node of `call`, which waits for worker `worker`. `decide(decision)` sends what the
 * person chose and resolves to why it was not taken, or ""; null where this session may not.
 */
export function approval(worker, call, decide) {
  const made = el(
    "div",
    { class: "approval" },
    el(
      "div",
      { class: "call-head" },
      toolName(call.name),
      call.times > 1 ? el("span", { class: "chip" }, many(call.times, "time")) : null,
    ),
    args(call),
    call.after_outside
      ? el("p", { class: "outside" }, "After text from outside: strangers may have asked for this.")
      : null,
  );
  if (decide && call.item) made.append(choices(call, decide));
  made.append(hint(worker, call));
  return made;
}

function choices(call, decide) {
  const fields = comparable(call.arguments);
  const scope = el(
    "select",
    { "aria-label": "What an approval covers" },
    SCOPES.filter(([key]) => key !== "matching" || fields.length).map(([key, words]) =>
      el("option", { value: key }, words),
    ),
  );
  const boxes = fields.map(([key, value]) => {
    const box = el("input", { type: "checkbox" });
    box.yoiMatch = { at: pointer(key), equals: value };
    return el("label", {}, box, " ", name(key, 64), " = ", name(JSON.stringify(value), 120));
  });
  const same = el("div", { class: "same gone" }, boxes);
  scope.addEventListener("change", () => same.classList.toggle("gone", scope.value !== "matching"));
  const told = el("p", { class: "told", role: "status" });
  const buttons = [];
  const send = async (decision) => {
    for (const one of buttons) one.disabled = true;
    const refused = await decide({ item: call.item, ...decision });
    fill(told, refused ? untrusted(refused) : "Sent.");
    for (const one of buttons) one.disabled = !refused;
  };
  const approve = () => {
    const decision = { approved: true, scope: scope.value };
    if (scope.value === "matching") {
      decision.matches = [...same.querySelectorAll("input")].filter((box) => box.checked).map((box) => box.yoiMatch);
      if (!decision.matches.length) return fill(told, "Choose what later calls must have in common.");
    }
    return send(decision);
  };
  buttons.push(
    button("Approve", approve, { class: "approve" }),
    button("Deny", () => send({ approved: false }), { class: "quiet deny" }),
  );
  return el("div", { class: "decide" }, buttons[0], scope, buttons[1], same, told);
}

function hint(worker, call) {
  const words = [shellWord(worker), shellWord(call.id)];
  const known = words.every(Boolean);
  return el(
    "p",
    { class: "hint" },
    "On the host: ",
    command(known ? `yoi worker approve ${words.join(" ")}` : "yoi worker list"),
    known ? el("span", { class: "faint" }, " or the same with --deny") : null,
  );
}
