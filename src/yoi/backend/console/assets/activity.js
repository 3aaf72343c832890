// What a worker does at this moment: said by events that no history keeps. No DOM here.

import { readWorkerEvent } from "./events.js";

const WHY = {
  user_send: "a message arrived",
  notify: "a plugin's notification arrived",
  worker_event: "another worker reported",
  system_reminder: "a reminder is due",
  wakeup: "the run goes on",
};

/** Folds events into one line about now, the model being asked again, and the last error. */
export class Activity {
  constructor() {
    this.forget();
  }

  /** Knows nothing: a snapshot has come. */
  forget() {
    this.now = "";
    this.retry = null;
    this.error = null;
  }

  /** Takes in one payload. */
  apply(payload) {
    const read = readWorkerEvent(payload);
    if (!read) return;
    const { event, data } = read;
    switch (event) {
      case "snapshot":
      case "shutdown":
        return this.forget();
      case "invoke_start":
        this.error = null;
        return this._now(`A run begins: ${WHY[data.kind]}.`);
      case "llm_call_start":
        return this._now(`Asking ${data.model || "the model"} (call ${data.llm_call})…`);
      case "llm_retry":
        this._now("");
        this.retry = data;
        return undefined;
      case "thinking_start":
        return this._now("Thinking…");
      case "text_delta":
        return this._now("Answering…");
      case "tool_call_done":
        return this._now(`Calling ${data.name}…`);
      case "approval_request":
        return this._now("Waiting for a person.");
      case "approval_done":
        return this._now(`${data.approved ? "Approved" : "Denied"} by ${data.by}.`);
      case "compact_start":
        return this._now("Summing up the history…");
      case "compact_failed":
        this.error = { ...data, message: `The history was not summed up: ${data.error}` };
        return this._now("");
      case "error":
        this.error = data;
        return undefined;
      case "run_end":
      case "compact_done":
        return this._now("");
      default:
        return undefined;
    }
  }

  _now(words) {
    this.now = words;
    this.retry = null;
  }
}
