// Generated from yoi/protocol/events.py by `python -m yoi.protocol.schemas`; do not edit.

/** Something a person should see. */
export interface Alert {
  event: "alert";
  data: AlertData;
}

/** Something a person should see, which is no part of the conversation. */
export interface AlertData {
  level: "error" | "info" | "warning";
  source: string;
  message: string;
  timestamp_ms: number;
  redacted?: boolean;
}

/** A person decided about a tool call. */
export interface ApprovalDone {
  event: "approval_done";
  data: ApprovalDoneData;
}

/** A person decided; `by` says who, `scope` which later calls are covered, `seq` by which item. `until_ms` is when that ends, 0 for with the run. */
export interface ApprovalDoneData {
  id: string;
  approved: boolean;
  by: string;
  scope?: string;
  until_ms?: number;
  seq?: number | null;
}

/** A tool call waits for a person. */
export interface ApprovalRequest {
  event: "approval_request";
  data: ApprovalRequestData;
}

/** The run waits for a person: `yoi worker approve`. `item` is the question's place. */
export interface ApprovalRequestData {
  id: string;
  name: string;
  arguments: string;
  redacted?: boolean;
  item?: number;
  after_outside?: boolean;
  times?: number;
}

/** A summary was committed. */
export interface CompactDone {
  event: "compact_done";
  data: CompactDoneData;
}

/** `new_segment_id` names the compaction's place in the history, `seq` is the same place. */
export interface CompactDoneData {
  new_segment_id: string;
  seq?: number | null;
  at_ms?: number | null;
  summary?: string;
}

/** No summary was made; the history is as it was. */
export interface CompactFailed {
  event: "compact_failed";
  data: CompactFailedData;
}

/** Why the history was not compacted. */
export interface CompactFailedData {
  error: string;
  redacted?: boolean;
}

/** The history is being summarised. */
export interface CompactStart {
  event: "compact_start";
}

/** The worker's instructions, model or tools have changed. */
export interface Configured {
  event: "configured";
  data: ConfiguredData;
}

/** What the model may call from here on. */
export interface ConfiguredData {
  tools: string[];
  seq?: number | null;
}

/** Something failed. */
export interface Error {
  event: "error";
  data: ErrorData;
}

/** Something failed. `message` is escaped and bounded. */
export interface ErrorData {
  code: "already_running" | "internal" | "invalid_request" | "not_paused" | "not_running" | "provider_error" | "tool_error";
  message: string;
  redacted?: boolean;
}

/** What a person sees first. */
export interface Greeting {
  worker_name: string;
  provider: string;
  model: string;
  tools: string[];
  cwd?: string;
  scope_summary?: string;
  context_window?: number;
  context_tokens?: number;
}

/** What the model is saying now and history does not hold yet. */
export interface InFlight {
  blocks: (TextBlock | ThinkingBlock | ToolCallBlock)[];
}

/** A run begins. */
export interface InvokeStart {
  event: "invoke_start";
  data: InvokeStartData;
}

/** Why a run begins. */
export interface InvokeStartData {
  kind: "notify" | "system_reminder" | "user_send" | "wakeup" | "worker_event";
}

/** Model calls of one worker are numbered from 1; `model` says which, `scripted` included. At the end, `seq` is the place of the answer in the history, absent where nothing was said. */
export interface LlmCallData {
  llm_call: number;
  model?: string;
  seq?: number | null;
  at_ms?: number | null;
  finish?: string;
}

/** The model has answered, or failed. */
export interface LlmCallEnd {
  event: "llm_call_end";
  data: LlmCallData;
}

/** The model is asked. */
export interface LlmCallStart {
  event: "llm_call_start";
  data: LlmCallData;
}

/** The model is asked again. */
export interface LlmRetry {
  event: "llm_retry";
  data: LlmRetryData;
}

/** The call failed and is made again after `wait_ms`; what it had said is given up. Where it had said something, `llm_call_start` with the same number follows. */
export interface LlmRetryData {
  llm_call: number;
  failed_attempt: number;
  max_attempts: number;
  wait_ms: number;
  elapsed_ms: number;
  error: string;
  status?: number | null;
  redacted?: boolean;
}

/** Where a system item came from: which plugin, of which digest, through what, about what. */
export interface Provenance {
  plugin: string;
  plugin_id: string;
  digest: string;
  ingress: string;
  event_id: string;
  command_id: string;
  sender?: string;
}

/** A run is over, or waits. */
export interface RunEnd {
  event: "run_end";
  data: RunEndData;
}

/** How a run ended. */
export interface RunEndData {
  result: "cancelled" | "failed" | "finished" | "limit_reached" | "paused" | "rolled_back";
  seq?: number | null;
  at_ms?: number | null;
}

/** A piece of a user message. Readers tolerate kinds they do not know. */
export interface Segment {
  kind: string;
  text?: string;
}

/** The worker has stopped; nothing follows. */
export interface Shutdown {
  event: "shutdown";
}

/** The worker as of one moment. */
export interface Snapshot {
  event: "snapshot";
  data: SnapshotData;
}

/** The worker as of one moment. `entries` are what a person reads of the history (core/observation/worker_view.py), oldest first. `left_out` is the place in the history up to which entries are not among them; 0 when all are. */
export interface SnapshotData {
  entries: Record<string, unknown>[];
  greeting: Greeting;
  status: "idle" | "paused" | "running";
  in_flight?: InFlight | null;
  waiting?: ApprovalRequestData[];
  alerts?: AlertData[];
  usage?: UsageData | null;
  left_out?: number;
}

/** The worker's state changed. */
export interface Status {
  event: "status";
  data: StatusData;
}

/** The worker's state. */
export interface StatusData {
  status: "idle" | "paused" | "running";
}

/** A system item was committed to history. */
export interface SystemItem {
  event: "system_item";
  data: SystemItemEnvelope;
}

/** A committed system item. `text` is data from outside wherever `provenance` is set. */
export interface SystemItemData {
  seq: number;
  text: string;
  at_ms: number;
  provenance?: Provenance | null;
}

/** One system item. */
export interface SystemItemEnvelope {
  item: SystemItemData;
}

/** Text in flight. */
export interface TextBlock {
  kind: "text";
  text: string;
  finished?: boolean;
  redacted?: boolean;
}

/** Text: one delta, or all of a finished part. Emptied where an observer may not read it. */
export interface TextData {
  text: string;
  redacted?: boolean;
}

/** A piece of text. */
export interface TextDelta {
  event: "text_delta";
  data: TextData;
}

/** All of a text. */
export interface TextDone {
  event: "text_done";
  data: TextData;
}

/** Thinking in flight. */
export interface ThinkingBlock {
  kind: "thinking";
  text: string;
  finished?: boolean;
  redacted?: boolean;
}

/** A piece of thinking. */
export interface ThinkingDelta {
  event: "thinking_delta";
  data: TextData;
}

/** All of a thought. */
export interface ThinkingDone {
  event: "thinking_done";
  data: TextData;
}

/** The model begins to think. */
export interface ThinkingStart {
  event: "thinking_start";
}

/** A piece of the arguments' JSON, as the model writes it. */
export interface ToolArgsDeltaData {
  id: string;
  json: string;
  redacted?: boolean;
}

/** A piece of a tool call's arguments. */
export interface ToolCallArgsDelta {
  event: "tool_call_args_delta";
  data: ToolArgsDeltaData;
}

/** A tool call in flight; `args` is the JSON so far. */
export interface ToolCallBlock {
  kind: "tool_call";
  id: string;
  name: string;
  args: string;
  state?: "done" | "pending" | "streaming_args";
  redacted?: boolean;
}

/** A tool call is written. */
export interface ToolCallDone {
  event: "tool_call_done";
  data: ToolCallDoneData;
}

/** The call as the model wrote it; `arguments` is JSON text and may be malformed. */
export interface ToolCallDoneData {
  id: string;
  name: string;
  arguments: string;
  redacted?: boolean;
}

/** A tool call begins to be written. */
export interface ToolCallStart {
  event: "tool_call_start";
  data: ToolCallStartData;
}

/** The model begins a tool call. */
export interface ToolCallStartData {
  id: string;
  name: string;
}

/** A tool answered, or its failure, refusal or interruption was recorded. */
export interface ToolResult {
  event: "tool_result";
  data: ToolResultData;
}

/** What a tool answered: a line for people, and the output where it is not the same. */
export interface ToolResultData {
  id: string;
  summary: string;
  is_error: boolean;
  output?: string | null;
  seq?: number | null;
  at_ms?: number | null;
  name?: string;
  redacted?: boolean;
}

/** A turn is over. */
export interface TurnEnd {
  event: "turn_end";
  data: TurnEndData;
}

/** See `TurnStartData`. */
export interface TurnEndData {
  turn: number;
  result: "finished" | "paused";
}

/** A turn begins: one model call and the tools it asks for. */
export interface TurnStart {
  event: "turn_start";
  data: TurnStartData;
}

/** Turns of one run are numbered from 1. */
export interface TurnStartData {
  turn: number;
}

/** Tokens used. */
export interface Usage {
  event: "usage";
  data: UsageData;
}

/** Tokens of one model call. */
export interface UsageData {
  input_tokens: number;
  output_tokens: number;
  cache_read_input_tokens?: number | null;
}

/** A person's message was accepted and is in history. */
export interface UserMessage {
  event: "user_message";
  data: UserMessageData;
}

/** `seq` is the item's place in the worker's history. */
export interface UserMessageData {
  segments: Segment[];
  seq?: number | null;
  at_ms?: number | null;
}

/** Every event of this version. */
export type WorkerEvent =
  | Alert
  | ApprovalDone
  | ApprovalRequest
  | CompactDone
  | CompactFailed
  | CompactStart
  | Configured
  | Error
  | InvokeStart
  | LlmCallEnd
  | LlmCallStart
  | LlmRetry
  | RunEnd
  | Shutdown
  | Snapshot
  | Status
  | SystemItem
  | TextDelta
  | TextDone
  | ThinkingDelta
  | ThinkingDone
  | ThinkingStart
  | ToolCallArgsDelta
  | ToolCallDone
  | ToolCallStart
  | ToolResult
  | TurnEnd
  | TurnStart
  | Usage
  | UserMessage;

/** What a newer Yoi may send: check `event` before the data. */
export interface UnknownEvent {
  event: string;
  data?: unknown;
}
