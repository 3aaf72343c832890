// How services and workers of a deployment came to their machines.

import { el, name } from "./dom.js";
import { lasting, many, moment, printable, when } from "./text.js";

const WHY = {
  died: "died",
  drained: "was drained or stopped",
  moved: "handed it over for a person",
  placed: "may not run it as decided",
  barred: "was the last before it was barred",
};
const MOST_SHOWN = 20;
const word = (value) => (typeof value === "string" ? value : "");

/** Returns the moves that a listing tells of one service or worker, oldest first. */
export function readMoves(raw) {
  const told = Array.isArray(raw) ? raw.filter((one) => one && typeof one === "object") : [];
  return told.map((one) => ({
    at: word(one.at),
    source: word(one.source),
    target: word(one.target),
    why: word(one.why),
  }));
}

/** Returns how the last move went, or "" where there was none. */
export function cameWords({ moves, moved }) {
  const last = moves.at(-1);
  if (!last) return "";
  const at = moment(last.at);
  const ago = at === null ? "" : `, ${lasting(Date.now() - at)} ago`;
  return `${howWords(last)}${ago}${moved > 1 ? ` (${many(moved, "move")})` : ""}`;
}

/** Returns the newest moves of all of `rows`, newest first, each with its row. */
export function newestMoves(rows) {
  const all = rows.flatMap((one) => one.moves.map((move) => ({ ...move, one })));
  return all.sort((left, right) => (left.at < right.at ? 1 : -1)).slice(0, MOST_SHOWN);
}

/** Returns a line about one move; `link` leads to what moved. */
export function moveLine(move, link) {
  return el(
    "li",
    { class: "move" },
    el("time", {}, when(move.at)),
    " ",
    link,
    " on ",
    name(move.target, 64),
    ", ",
    el("bdi", {}, howWords(move)),
  );
}

function howWords({ source, target, why }) {
  const place = source === target ? "there again" : `from ${printable(source, 48)}`;
  const words = Object.hasOwn(WHY, why) ? WHY[why] : printable(why, 48);
  return words ? `${place}, which ${words}` : place;
}
