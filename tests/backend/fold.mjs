// Folds the histories on standard input with the console's view.js, given as the first argument.
// Prints `{"checks": n, "differences": [...]}`. Nothing here decides what is right: Python did.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const { WorkerView, ServiceView, BoardView, LIMITS } = await import(pathToFileURL(process.argv[2]).href);
const { printable } = await import(new URL("text.js", pathToFileURL(process.argv[2])).href);
const given = JSON.parse(readFileSync(0, "utf8"));

const sorted = (value) => {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]));
};

const differences = [];
let checks = 0;
given.histories.forEach(({ kind, payloads, checks: expected }, number) => {
  const view = new { worker: WorkerView, service: ServiceView, board: BoardView }[kind]();
  let next = 0;
  payloads.forEach((payload, at) => {
    view.apply(payload);
    while (next < expected.length && expected[next][0] === at) {
      checks += 1;
      const [ours, theirs] = [view.snapshot(), expected[next][1]].map((one) => JSON.stringify(sorted(one)));
      if (ours !== theirs) differences.push({ number, at, ours, theirs });
      next += 1;
    }
  });
});
const texts = given.texts.map(([text, most]) => printable(text, most));
console.log(JSON.stringify({ checks, differences: differences.slice(0, 3), limits: LIMITS, texts }));
