// Turns text that nobody trusts into what a page may show. The twin of display.py.

// General categories that may move a cursor, hide text or reorder it; a lone surrogate is Cs.
const CATEGORIES = "\\p{Cc}\\p{Cf}\\p{Cs}\\p{Co}\\p{Cn}\\p{Zl}\\p{Zp}";
// Letters, marks and symbols that nobody sees.
const IGNORABLE =
  "\\u034f\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u2800\\u3164\\ufe00-\\ufe0d\\uffa0\\u{e0100}-\\u{e01ef}";
// How the symbol before them looks; behind anything else they are invisible.
const HIDDEN = `[${CATEGORIES}${IGNORABLE}]|(?<!\\p{So})[\\ufe0e\\ufe0f]`;
const hidden = new RegExp(HIDDEN, "gu");
const hiddenRuns = new RegExp(`(?:(?![\\n\\t])(?:${HIDDEN}))+`, "gu");

function escape(char) {
  const code = char.codePointAt(0);
  const digits = code.toString(16);
  if (code < 0x100) return `\\x${digits.padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${digits.padStart(4, "0")}` : `\\U${digits.padStart(8, "0")}`;
}

/** Returns `text` on one line, control and bidi characters escaped, at most `most` characters. */
export function printable(text, most = 512) {
  let chars = Array.from(text);
  let cut = chars.length > most;
  if (cut) chars = chars.slice(0, Math.max(0, most - 1));
  chars = Array.from(chars.join("").replace(hidden, escape));
  if (chars.length > most) {
    chars = chars.slice(0, Math.max(0, most - 1));
    cut = true;
  }
  return chars.join("") + (cut ? "…" : "");
}

/** Returns `text` in pieces `[words, escaped]`; lines and tabs stay, other controls are escaped. */
export function pieces(text) {
  const made = [];
  let from = 0;
  for (const match of text.matchAll(hiddenRuns)) {
    if (match.index > from) made.push([text.slice(from, match.index), false]);
    made.push([match[0].replace(hidden, escape), true]);
    from = match.index + match[0].length;
  }
  if (from < text.length) made.push([text.slice(from), false]);
  return made;
}

const LAID_OUT = { least: 60, most: 20000, depth: 24 };
const token = /"(?:[^"\\]+|\\.)*"|[{}[\],:]|[^\s"{}[\],:]+/g;

/** Returns JSON text with lines and indents between its tokens, which are left as they are. */
export function laidOut(json) {
  if (json.length < LAID_OUT.least || json.length > LAID_OUT.most) return json;
  try {
    JSON.parse(json);
  } catch {
    return json;
  }
  const made = [];
  let depth = 0;
  let before = "";
  for (const [piece] of json.matchAll(token)) {
    const opened = before === "{" || before === "[";
    const closes = piece === "}" || piece === "]";
    if (closes) depth -= 1;
    if (closes ? !opened : opened || before === ",") made.push(`\n${"  ".repeat(depth)}`);
    made.push(piece === ":" ? ": " : piece);
    if (piece === "{" || piece === "[") depth += 1;
    if (depth > LAID_OUT.depth) return json;
    before = piece;
  }
  return made.join("");
}

/** Returns `word` as one word of a POSIX shell, or null when no person should paste it. */
export function shellWord(word) {
  if (/^[A-Za-z0-9_.:@%+=,/-]+$/.test(word) && !word.startsWith("-")) return word;
  if (!word || word.length > 128 || word.startsWith("-") || word.search(hidden) >= 0) return null;
  return `'${word.replaceAll("'", "'\\''")}'`;
}

const number = new Intl.NumberFormat("en");

/** Returns a count with thousands separated; a dash for what is not one. */
export const count = (value) => (Number.isFinite(value) ? number.format(value) : "–");

/** Returns `value` with its noun. */
export const many = (value, one, more = `${one}s`) => `${count(value)} ${value === 1 ? one : more}`;

/** Returns a number of bytes in words. */
export function size(value) {
  if (!Number.isFinite(value)) return "–";
  if (value < 1024) return `${value} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let scaled = value / 1024;
  let unit = 0;
  while (scaled >= 1024 && unit < units.length - 1) {
    scaled /= 1024;
    unit += 1;
  }
  return `${scaled < 10 ? scaled.toFixed(1) : Math.round(scaled)} ${units[unit]}`;
}

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, {
  dateStyle: "medium",
  timeStyle: "medium",
  hourCycle: "h23",
});

/** Returns milliseconds since 1970 for a number or an RFC 3339 text, or null. */
export function moment(value) {
  const at = typeof value === "string" ? Date.parse(value) : value;
  return Number.isFinite(at) && at > 0 ? at : null;
}

/** Returns the local time of day, with the date where it is not today's. */
export function when(value) {
  const at = moment(value);
  if (at === null) return "";
  const date = new Date(at);
  return date.toDateString() === new Date().toDateString() ? clock.format(date) : day.format(date);
}

/** Returns a duration in milliseconds as a person says it. */
export function lasting(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} days`;
}
