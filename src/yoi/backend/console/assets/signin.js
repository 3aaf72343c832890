// What is shown without a session: how to get one, and a place to paste it.

import { command, el, say } from "./dom.js";
import { Unauthorized, pasted } from "./session.js";

/** Returns the screen. `why` is what went wrong, if anything; `entered()` hears of success. */
export function signIn(session, why, entered) {
  const field = el("input", {
    id: "entry",
    type: "password",
    autocomplete: "off",
    spellcheck: "false",
    "aria-describedby": "entry-note",
    required: true,
  });
  const note = el("p", { id: "entry-note", class: "note", role: "alert" }, why);
  const go = el("button", { type: "submit", class: "primary" }, "Open");
  const form = el(
    "form",
    {},
    el("label", { for: "entry" }, "Or paste a link, a code or a token"),
    el("div", { class: "entry-row" }, field, go),
    note,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const found = pasted(field.value);
    if (!found) {
      say(note, "That is not a link, a code or a token of this console.");
      return;
    }
    go.disabled = true;
    say(note, "");
    try {
      await session.enter(found);
      entered();
    } catch (error) {
      say(
        note,
        error instanceof Unauthorized
          ? "The server does not take it. A link works once and for a short time: get a fresh one."
          : `It could not be tried: ${error.message}.`,
      );
      go.disabled = false;
      field.select();
    }
  });
  return el(
    "main",
    { class: "signin" },
    el("h1", {}, "Yoi console"),
    el("p", {}, "This page shows what workers and services do. It needs a session, which lasts as long as this tab."),
    el("p", {}, "For a fresh link, run this on the host:"),
    el("p", {}, command("yoi console")),
    form,
  );
}
