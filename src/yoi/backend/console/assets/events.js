// Reads events off the wire: what fits its shape, and null for what this page cannot read.
// The twin of protocol/events.py, service_events.py and board_events.py; fields nobody knows are dropped.

class Unreadable extends Error {}

const refuse = () => {
  throw new Unreadable();
};
const text = (value) => (typeof value === "string" ? value : refuse());
const whole = (value) => (Number.isSafeInteger(value) && value >= 0 ? value : refuse());
const flag = (value) => (typeof value === "boolean" ? value : refuse());
const record = (value) =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? value : refuse();
const any = (value) => value;

const listOf = (read) => (value) => (Array.isArray(value) ? value.map(read) : refuse());
const oneOf =
  (...words) =>
  (value) =>
    words.includes(value) ? value : refuse();
const orNull = (read) => (value) => (value === null ? null : read(value));
const optional = (read, otherwise) => ({ read, otherwise });
const maybe = (read) => optional(orNull(read), () => null);

/** Returns a reader of an object with `fields`: a reader each, or an `optional` one. */
function shape(fields) {
  const known = Object.entries(fields);
  return (value) => {
    record(value);
    const made = {};
    for (const [name, field] of known) {
      const there = Object.hasOwn(value, name);
      if (typeof field === "function") made[name] = there ? field(value[name]) : refuse();
      else made[name] = there ? field.read(value[name]) : field.otherwise();
    }
    return made;
  };
}

const words = optional(text, () => "");
const no = optional(flag, () => false);
const none = optional(whole, () => 0);
const status = oneOf("idle", "running", "paused");
const place = { seq: maybe(whole), at_ms: maybe(whole) };

const segment = shape({ kind: text, text: words });
const provenance = shape({
  plugin: text,
  plugin_id: text,
  digest: text,
  ingress: text,
  event_id: text,
  command_id: text,
  sender: words,
});
const systemItem = shape({ seq: whole, text, at_ms: whole, provenance: maybe(provenance) });
const llmCall = shape({ llm_call: whole, model: words, ...place, finish: words });
const said = shape({ text, redacted: no });
const toolCallDone = shape({ id: text, name: text, arguments: text, redacted: no });
const approval = shape({
  id: text,
  name: text,
  arguments: text,
  redacted: no,
  item: none,
  after_outside: no,
  times: optional(whole, () => 1),
});
const usage = shape({
  input_tokens: whole,
  output_tokens: whole,
  cache_read_input_tokens: maybe(whole),
});
const alert = shape({
  level: oneOf("info", "warning", "error"),
  source: text,
  message: text,
  timestamp_ms: whole,
  redacted: no,
});
const greeting = shape({
  worker_name: text,
  provider: text,
  model: text,
  tools: listOf(text),
  cwd: words,
  scope_summary: words,
  context_window: optional(whole, () => 0),
  context_tokens: optional(whole, () => 0),
});
const spoken = shape({ text, finished: no, redacted: no });
const callBlock = shape({
  id: text,
  name: text,
  args: text,
  state: optional(oneOf("pending", "streaming_args", "done"), () => "pending"),
  redacted: no,
});

function block(value) {
  const { kind } = record(value);
  if (kind === "text" || kind === "thinking") return { kind, ...spoken(value) };
  return kind === "tool_call" ? { kind, ...callBlock(value) } : refuse();
}

const snapshot = shape({
  entries: listOf(record),
  greeting,
  status,
  in_flight: maybe(shape({ blocks: listOf(block) })),
  waiting: optional(listOf(approval), () => []),
  alerts: optional(listOf(alert), () => []),
  usage: maybe(usage),
  left_out: optional(whole, () => 0),
});

const nothing = () => null;

const WORKER = {
  user_message: shape({ segments: listOf(segment), ...place }),
  system_item: shape({ item: systemItem }),
  invoke_start: shape({
    kind: oneOf("user_send", "notify", "worker_event", "system_reminder", "wakeup"),
  }),
  turn_start: shape({ turn: whole }),
  turn_end: shape({ turn: whole, result: oneOf("finished", "paused") }),
  llm_call_start: llmCall,
  llm_call_end: llmCall,
  llm_retry: shape({
    llm_call: whole,
    failed_attempt: whole,
    max_attempts: whole,
    wait_ms: whole,
    elapsed_ms: whole,
    error: text,
    status: maybe(whole),
    redacted: no,
  }),
  text_delta: said,
  text_done: said,
  thinking_start: nothing,
  thinking_delta: said,
  thinking_done: said,
  tool_call_start: shape({ id: text, name: text }),
  tool_call_args_delta: shape({ id: text, json: text, redacted: no }),
  tool_call_done: toolCallDone,
  tool_result: shape({
    id: text,
    summary: text,
    is_error: flag,
    output: maybe(text),
    ...place,
    name: words,
    redacted: no,
  }),
  approval_request: approval,
  approval_done: shape({
    id: text,
    approved: flag,
    by: text,
    scope: optional(text, () => "once"),
    until_ms: none,
    seq: maybe(whole),
  }),
  usage,
  run_end: shape({
    result: oneOf("finished", "paused", "limit_reached", "rolled_back", "cancelled", "failed"),
    ...place,
  }),
  error: shape({
    code: oneOf(
      "already_running",
      "not_running",
      "not_paused",
      "provider_error",
      "tool_error",
      "invalid_request",
      "internal",
    ),
    message: text,
    redacted: no,
  }),
  snapshot,
  status: shape({ status }),
  alert,
  compact_start: nothing,
  compact_done: shape({ new_segment_id: text, ...place, summary: words }),
  compact_failed: shape({ error: text, redacted: no }),
  configured: shape({ tools: listOf(text), seq: maybe(whole) }),
  shutdown: nothing,
};

const SERVICE = {
  service_snapshot: shape({
    status: record,
    diagnostics: listOf(record),
    left_out: optional(whole, () => 0),
    redacted: no,
  }),
  service_status: shape({ status: record, redacted: no }),
  diagnostic: record,
  service_stopped: nothing,
};

const ticket = shape({
  id: text,
  title: words,
  state: words,
  assignee: words,
  updated_at: words,
  undecided: no,
  damage: words,
  thread_damage: words,
  events: optional(whole, () => 0),
  redacted: no,
});
const threadEvent = shape({
  ticket: text,
  number: whole,
  kind: text,
  author: words,
  at: words,
  step: words,
  text: words,
  cut: no,
  redacted: no,
});
const named = shape({ id: text });

const BOARD = {
  board_snapshot: shape({
    items: listOf(ticket),
    entries: listOf(threadEvent),
    left_out: optional(whole, () => 0),
  }),
  ticket_changed: ticket,
  ticket_gone: named,
  thread_added: threadEvent,
  thread_rewritten: named,
  board_counted: shape({ left_out: whole }),
};

function read(shapes, payload) {
  try {
    const { event, data } = shape({ event: text, data: optional(any, () => undefined) })(payload);
    return Object.hasOwn(shapes, event) ? { event, data: shapes[event](data) } : null;
  } catch (error) {
    if (error instanceof Unreadable) return null;
    throw error;
  }
}

/** Returns the worker event in `payload` with its defaults filled in, or null. */
export const readWorkerEvent = (payload) => read(WORKER, payload);

/** Returns the service event in `payload` with its defaults filled in, or null. */
export const readServiceEvent = (payload) => read(SERVICE, payload);

/** Returns the board event in `payload` with its defaults filled in, or null. */
export const readBoardEvent = (payload) => read(BOARD, payload);
