// What a model is saying now. The twin of core/observation/inflight.py.

/** Folds the streaming events of one model call. `size` is the UTF-16 units of text held. */
export class InFlight {
  constructor() {
    this.clear();
  }

  /** Returns the fold that continues `blocks`. */
  static of(blocks) {
    const made = new InFlight();
    for (const shown of blocks) {
      let block;
      if (shown.kind === "tool_call") {
        block = made._begun(shown.id, shown.name);
        block.text = shown.args;
        block.done = shown.state === "done";
      } else {
        block = made._open(shown.kind);
        block.text = shown.text;
        block.done = shown.finished;
      }
      block.redacted = shown.redacted;
      made.size += block.text.length;
    }
    return made;
  }

  /** Forgets everything: it is in history, or given up. */
  clear() {
    this.size = 0;
    this.blocks = [];
    this._calls = new Map();
  }

  /** Takes in one streaming event; others change nothing. */
  add({ event, data }) {
    switch (event) {
      case "text_delta":
        return this._piece(this._growing("text"), data.text, data.redacted);
      case "thinking_delta":
        return this._piece(this._growing("thinking"), data.text, data.redacted);
      case "tool_call_args_delta":
        return this._piece(this._call(data.id, ""), data.json, data.redacted);
      case "text_done":
        return this._end(this._growing("text"), data.text, data.redacted);
      case "thinking_start":
        this._open("thinking");
        return undefined;
      case "thinking_done":
        return this._end(this._growing("thinking"), data.text, data.redacted);
      case "tool_call_start":
        this._call(data.id, data.name);
        return undefined;
      case "tool_call_done":
        return this._end(this._call(data.id, data.name), data.arguments, data.redacted);
      default:
        return undefined;
    }
  }

  /** Returns what is in flight as a snapshot holds it, or null when nothing is. */
  snapshot() {
    if (!this.blocks.length) return null;
    return {
      blocks: this.blocks.map((block) => {
        const redacted = block.redacted ? { redacted: true } : {};
        if (block.kind === "tool_call") {
          const state = block.done ? "done" : "streaming_args";
          const { id, name } = block;
          return { kind: "tool_call", id, name, args: block.text, state, ...redacted };
        }
        const finished = block.done ? { finished: true } : {};
        return { kind: block.kind, text: block.text, ...finished, ...redacted };
      }),
    };
  }

  _piece(block, text, redacted) {
    block.text += text;
    block.redacted ||= redacted;
    this.size += text.length;
  }

  _end(block, text, redacted) {
    this.size += text.length - block.text.length;
    // It holds the whole text, so it alone says whether anything is hidden.
    block.text = text;
    block.done = true;
    block.redacted = redacted;
  }

  _open(kind) {
    const block = { kind, text: "", done: false, redacted: false };
    this.blocks.push(block);
    return block;
  }

  _growing(kind) {
    const last = this.blocks.at(-1);
    return last && last.kind === kind && !last.done ? last : this._open(kind);
  }

  _call(id, name) {
    const block = this._calls.get(id);
    if (!block) return this._begun(id, name);
    if (name) block.name = name;
    return block;
  }

  _begun(id, name) {
    const block = this._open("tool_call");
    block.id = id;
    block.name = name;
    this._calls.set(id, block);
    return block;
  }
}
