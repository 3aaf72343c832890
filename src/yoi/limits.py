"""Every bound in Yoi, in one place: its unit is in its name, its reason beside it.

docs/reference/limits.md is generated from this file. A bound is never repeated elsewhere.
"""

from dataclasses import dataclass, field
from typing import Any

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


def bound(default: int | float | tuple[()], why: str) -> Any:
    """Return a dataclass field with its reason attached (read by the docs generator)."""
    return field(default=default, metadata={"why": why})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of one host. Every value is positive; a smaller one is always safe."""

    # packages
    manifest_bytes: int = bound(64 * KIB, "a person must be able to read it")
    manifest_list_items: int = bound(64, "tools, targets, connections: what a review can show")
    package_bytes: int = bound(16 * MIB, "the ancestor's bound; a Python plugin is kilobytes")
    package_entries: int = bound(512, "the ancestor's bound")
    package_file_bytes: int = bound(12 * MIB, "the libraries of a package are one file of it")
    package_expanded_bytes: int = bound(64 * MIB, "the ancestor's bound; stops archive bombs")
    package_path_bytes: int = bound(1024, "longer than any file system needs")
    library_entries: int = bound(4096, "files of the libraries of one package; tzdata has 650")
    library_bytes: int = bound(12 * MIB, "all libraries of a package; rich with pygments is 6 MB")
    libraries: int = bound(64, "distributions in one package: what a review can show")
    store_packages: int = bound(128, "discovery reads each one")
    store_expanded_bytes: int = bound(
        256 * MIB, "discovery holds the packages of a store in memory"
    )
    config_bytes: int = bound(64 * KIB, "what start() receives")
    name_bytes: int = bound(128, "ids and names; the ancestor's bound")
    description_chars: int = bound(1024, "one paragraph on a screen")
    schema_depth: int = bound(16, "nested JSON Schema; no real config is deeper")
    python_source_bytes: int = bound(
        128 * KIB, "a module looked at statically: parsing can take seconds"
    )
    toml_faults: int = bound(32, "faults of one document that are told; the others are counted")
    operator_config_bytes: int = bound(1 * MIB, "yoi.toml; many plugins with their grants")
    senders: int = bound(1000, "senders that one rule lists")
    paired_senders: int = bound(256, "senders of one plugin that were let in by a pairing code")
    paired_file_bytes: int = bound(1 * MIB, "the file of paired senders of a workspace")
    pairing_ms: int = bound(600_000, "how long a pairing code lets somebody in")
    pairing_tries: int = bound(5, "codes that strangers may try while one is open")
    enabled_plugins: int = bound(1000, "entries in yoi.toml; as many as services")

    # permissions
    url_chars: int = bound(8192, "servers refuse longer request lines")
    target_prefixes: int = bound(32, "path prefixes of one target")
    secret_pointers: int = bound(16, "positions of one secret in one goal; a person reads each")
    assumed_networks: int = bound(8, "networks that host.toml may call public; a person reads each")
    remembered_decisions: int = bound(64, "answers kept per plugin; a guest may ask for any URL")

    # secrets
    secrets: int = bound(256, "entries of one store; every read decrypts all of them")
    secret_value_bytes: int = bound(16 * KIB, "one value; the longest signed tokens and PEM keys")
    certificate_contexts: int = bound(
        64, "client certificates whose TLS settings are kept; the others are made for each dial"
    )
    secret_store_bytes: int = bound(8 * MIB, "the store's file, as base64")
    secret_lock_ms: int = bound(2_000, "waiting for another process that writes the store")
    authorize_ms: int = bound(900_000, "the time a person has to agree in a browser")
    authorize_interval_s: int = bound(60, "between two questions whether a person agreed")
    authorize_options: int = bound(32, "scopes, and parameters of a provider's own; each in a URL")
    authorize_callback_bytes: int = bound(16 * KIB, "what a browser brings back, head and all")
    authorize_callback_ms: int = bound(5_000, "a browser says all of it at once")
    secret_key_file_bytes: int = bound(256, "the key file: one line")
    passphrase_min_chars: int = bound(12, "shorter ones are guessed, scrypt or not")
    mask_min_chars: int = bound(16, "a shorter secret may be an ordinary word of a message")
    mask_remembered: int = bound(
        32, "captured and replaced values of a service that are masked; each costs 0.3 µs per frame"
    )

    # tickets
    tickets: int = bound(10_000, "work items of one workspace; a listing reads each item.md")
    ticket_item_bytes: int = bound(1 * MIB, "item.md or resolution.md; a person reads it")
    ticket_thread_bytes: int = bound(32 * MIB, "thread.md: years of events")
    ticket_worker_thread_bytes: int = bound(
        4 * MIB, "thread.md of an item that a worker's tool reads: the host goes on meanwhile"
    )
    ticket_damage: int = bound(100, "faults of one thread that are told one by one")
    ticket_doctor_events: int = bound(10_000, "events of a thread whose times are looked at")
    ticket_event_bytes: int = bound(256 * KIB, "the text of one event that is added")
    ticket_front_matter_bytes: int = bound(16 * KIB, "the head of item.md")
    ticket_front_matter_nodes: int = bound(1_000, "values in it, nested ones counted")
    ticket_relations_bytes: int = bound(1 * MIB, "artifacts/relations.json")
    ticket_relations: int = bound(1_000, "relations, or artifacts, of one item")
    ticket_relations_all: int = bound(100_000, "relations of all items of one workspace")
    ticket_title_chars: int = bound(200, "a title, an author, a reason: one line")
    ticket_lock_ms: int = bound(10_000, "waiting for another command that changes the same item")
    ticket_look_ms: int = bound(3_000, "between two looks for items that were queued")
    ticket_shown_items: int = bound(100, "items that a worker's tool lists, the newest")
    ticket_shown_events: int = bound(50, "events of a thread that a worker's tool shows")
    ticket_shown_bytes: int = bound(8 * KIB, "of one text in what a worker's tool shows")

    # ingress and services
    queue_events: int = bound(1024, "frames waiting for one plugin")
    queue_bytes: int = bound(
        8 * MIB, "bytes waiting for one plugin; a larger frame is taken in where half is free"
    )
    dedupe_keys: int = bound(1_000, "gateways' ids that an ingress knows, where it says no more")
    dedupe_max_keys: int = bound(10_000, "at most 130 bytes each, in memory and in a checkpoint")
    dedupe_keep_ms: int = bound(3_600_000, "an id is known; gateways send again within minutes")
    dedupe_max_keep_ms: int = bound(604_800_000, "a week: no gateway keeps a message longer")
    queue_overdraft_bytes: int = bound(
        2 * MIB, "frames that come after reading paused; beyond it, one of each connection"
    )
    queue_lifecycle_events: int = bound(
        32, "reserved room; beyond it open, close, gap and error coalesce"
    )
    event_attempts: int = bound(3, "then it becomes a dead letter")
    dead_letters: int = bound(64, "kept in memory per service, oldest dropped first")
    dead_letter_bytes: int = bound(1 * MIB, "of payload kept per service")
    batch_events: int = bound(64, "events in one guest call; more gains nothing measurable")
    batch_bytes: int = bound(1 * MIB, "text in one guest call")
    loop_slice_us: int = bound(150, "acting on one plugin's answers; then others have their turn")
    loop_share_percent: int = bound(20, "of the event loop's time, for the answers of one plugin")
    loop_burst_ms: int = bound(2, "loop time that a plugin may save up; a neighbour waits for it")
    batch_slice_ms: int = bound(5, "the runner starts no further event of a batch after this")
    dispatch_ms: int = bound(1_000, "default deadline of one event")
    dispatch_max_ms: int = bound(30_000, "the longest deadline a manifest may ask for")
    start_ms: int = bound(5_000, "start(), which may import much of the standard library")
    load_ms: int = bound(10_000, "reading and compiling the plugin's own source")
    tool_ms: int = bound(5_000, "one tool call")
    stop_ms: int = bound(1_000, "stop(): the host does not wait for a stuck guest")
    retire_ms: int = bound(2_000, "waiting for a guest at work; then it is left to its deadline")
    drain_ms: int = bound(5_000, "how long a shutdown lets queued events finish")
    restart_first_ms: int = bound(500, "backoff before the first restart")
    restart_max_ms: int = bound(60_000, "longest backoff between restarts")
    replacement_trial_ms: int = bound(
        60_000, "a new version that heard no event for so long is kept; the one before it ends"
    )
    replacement_heard_ms: int = bound(
        5_000, "who asks for a new version waits so long for what its first event comes to"
    )
    restarts_until_quarantine: int = bound(5, "failures in a row; more than event_attempts")
    restart_reset_events: int = bound(100, "good events that forgive earlier failures")
    restart_reset_ms: int = bound(
        3_600_000, "between two failures: the second is no loop, and counts as the first"
    )
    memory_errors: int = bound(2, "MemoryErrors in a row; then the instance is replaced")
    retry_first_ms: int = bound(200, "before the second attempt of an event, with jitter")
    retry_max_ms: int = bound(60_000, "longest wait between two attempts of an event")
    services: int = bound(1000, "plugins on one host")

    # output commands
    commands_per_event: int = bound(64, "more is a flood")
    commands_at_once: int = bound(2, "of one answer; a request takes 0.1 ms of the event loop")
    outbox_events: int = bound(256, "answers of a durable service that wait for their commit")
    in_hand_events: int = bound(384, "of a durable ingress: answers that wait, and two batches")
    command_payload_bytes: int = bound(
        1 * MIB, "one command; what is sent as text or data is bounded by its target alone"
    )
    command_results: int = bound(64, "recent results kept for status")
    effects_waiting: int = bound(
        1024, "requests and notifications of one service that have no outcome yet"
    )
    diagnostics: int = bound(128, "recent diagnostics kept per service")
    diagnostics_per_second: int = bound(16, "of one code and scope; the rest is counted and told")
    log_lines_per_second: int = bound(256, "lines of one plugin's output that are shown")
    message_chars: int = bound(512, "a diagnostic's message")
    send_per_second: int = bound(100_000, "frames a plugin may send on one connection")
    send_buffer_bytes: int = bound(8 * MIB, "unsent bytes per connection; then the send fails")

    # session commands
    pointer_chars: int = bound(512, "a JSON pointer")
    pointer_tokens: int = bound(32, "steps of a JSON pointer; no real message is deeper")
    insert_prefix_chars: int = bound(64, "text before a secret, such as `Bearer `")
    sign_parts: int = bound(16, "parts of one signature, digest or put; claims of a JWT")
    sign_literal_chars: int = bound(256, "a literal text that is signed")
    signed_bytes: int = bound(1 * MIB + 64 * KIB, "what is signed: a body and its parts")
    signature_offset_ms: int = bound(3_600_000, "a declared difference to a server's clock")
    signature_skew_ms: int = bound(300_000, "a server's clock further away stops signing for it")
    jwt_lifetime_s: int = bound(3_600, "how long a JWT is good for")
    nonce_reserve_ms: int = bound(60_000, "nonces kept ahead on disk: one write for as many")
    place_after_chars: int = bound(128, "the literal text that a granted place stands after")
    message_parts: int = bound(16, "literal texts and documents of one message")
    match_values: int = bound(32, "values of one `one_of`")
    match_prefix_chars: int = bound(128, "how a text begins; the host compares it with each frame")
    insertions: int = bound(16, "places of one message that the host fills in")
    captures: int = bound(8, "values taken out of one HTTP answer")
    last_values: int = bound(8, "values of frames that one connection remembers")
    last_value_bytes: int = bound(
        4 * KIB,
        "a watched value as JSON: one to remember, to match or to copy; longer ones are not seen",
    )
    sequence_keys: int = bound(1_024, "sequences of one connection; beyond it the oldest go")
    sequence_runs: int = bound(8, "stretches of one sequence in which a repetition is known")
    sequence_step_max: int = bound(1_000_000, "from one number of a sequence to the next")
    gap_ranges: int = bound(16, "ranges of missing numbers that one gap names; others are counted")
    standing_message_bytes: int = bound(
        16 * KIB, "a heartbeat or autoreply: filled in and written on the loop, time and again"
    )
    watched_bytes: int = bound(
        4 * MIB, "JSON gone through in one frame below its outermost object, lists fourfold"
    )
    odd_json_chars: int = bound(
        256 * KIB, "a frame with NaN or half a surrogate pair: the host reads it the slow way"
    )
    autoreplies: int = bound(8, "kinds of frames of one session that the host answers by itself")
    questions_per_session: int = bound(64, "messages of one session that wait for their answer")
    question_places: int = bound(8, "places of one session at which answers are looked for")
    questions_per_service: int = bound(256, "the same for all connections of one plugin")
    question_ms: int = bound(300_000, "how long the host looks for the answer to one message")
    questions_remembered: int = bound(
        64, "ended questions of one session by which a late or second answer is known"
    )
    question_memory_ms: int = bound(30_000, "how long each of them is; frames are read for it")
    deferred_calls: int = bound(64, "tool calls of one plugin that it answers later")
    deferred_max_ms: int = bound(300_000, "how long one such call may wait; a worker waits with it")
    deferred_remembered: int = bound(64, "ended ones by which a late or second answer is known")
    dials_per_day: int = bound(2_000, "default; the default backoff makes 1,920")
    dials_per_day_max: int = bound(50_000, "more is a load on somebody's gateway")
    fresh_after_max: int = bound(100, "failed resumes in a row before a fresh session")
    overlap_max_ms: int = bound(30_000, "two sockets at once, while the old one drains")
    heartbeat_min_ms: int = bound(1_000, "faster is a flood; real gateways ask for 30 s or more")
    heartbeat_max_ms: int = bound(3_600_000, "slower than an hour is a timer")
    timer_min_ms: int = bound(10, "a timer is not a busy loop")
    timer_max_ms: int = bound(86_400_000, "a day; longer needs a calendar")
    timers: int = bound(128, "pending timers of one plugin")
    request_headers: int = bound(32, "headers or query fields of one request")
    request_body_bytes: int = bound(1 * MIB, "what a plugin may post")
    request_header_bytes: int = bound(8 * KIB, "one header value; signed tokens are kilobytes")
    request_ms: int = bound(30_000, "one request, waiting, redirects and answer included")
    request_redirects: int = bound(5, "hops; each one is authorised again")
    requests_per_plugin: int = bound(8, "at once")
    requests_waiting: int = bound(64, "of one plugin, beyond those under way")
    requests: int = bound(128, "at once on one host; each may hold one answer in memory")
    response_head_bytes: int = bound(32 * KIB, "status line and headers; real ones have 8 KiB")
    response_headers: int = bound(128, "headers of one answer")
    response_interim: int = bound(8, "100 and 103 answers before the real one, upgrades included")
    response_pieces: int = bound(16_384, "chunks of one answer; each costs more than its bytes")
    response_bytes_per_second: int = bound(
        8 * MIB, "of one plugin's answers; reading more costs a neighbour milliseconds"
    )
    response_cost_bytes: int = bound(
        128 * KIB, "what each request counts for beside its answer: a connection costs as much"
    )
    response_burst_bytes: int = bound(1 * MIB, "of a plugin's answers at once, after a rest")
    response_body_bytes: int = bound(1 * MIB, "default size of one answer; more is refused")
    retry_after_max_ms: int = bound(86_400_000, "a day; a server that says more means never")
    routes: int = bound(256, "routes of one plugin that wait for a Retry-After")
    handles: int = bound(64, "captured values of one plugin; then the oldest goes")
    handle_ms: int = bound(600_000, "how long a captured value can be used; real ones expire first")
    handle_value_bytes: int = bound(8 * KIB, "one captured value; a URL is shorter")
    state_value_bytes: int = bound(64 * KIB, "state is small; large things belong elsewhere")
    state_keys: int = bound(256, "keys of one plugin")
    state_bytes: int = bound(1 * MIB, "all state of one plugin: it is held in memory")

    # host calls
    pull_sockets: int = bound(8, "sockets that one plugin has opened itself")
    pull_sockets_total: int = bound(512, "of all plugins of one host; each is a file descriptor")
    pull_opens_per_minute: int = bound(60, "of one plugin; a dial is a load on somebody's server")
    pull_sends_per_second: int = bound(1_000, "messages of one plugin on sockets of its own")
    pull_queue_messages: int = bound(256, "received and not yet read; then reading pauses")
    pull_queue_bytes: int = bound(1 * MIB, "the same in bytes; one message more may pass it")
    pull_lifetime_ms: int = bound(900_000, "a socket opened by a plugin; the ancestor's bound")
    pull_recv_ms: int = bound(5_000, "default wait of one recv; the ancestor's")
    pull_recv_max_ms: int = bound(30_000, "longest wait of one recv; the ancestor's")
    waiting_threads: int = bound(64, "plugins that wait inside a host call at once; more are told")

    # connections
    message_bytes: int = bound(1 * MIB, "default size of one incoming message")
    message_max_bytes: int = bound(16 * MIB, "the most a grant may allow; real servers send 4 MiB")
    fragments_per_message: int = bound(1024, "whatever their size")
    fragment_bytes: int = bound(256, "so many bytes allow one fragment more; smaller is a flood")
    empty_fragments: int = bound(16, "consecutive; RFC 6455 sets no limit, so we do")
    control_frames_per_second: int = bound(100, "a ping flood; RFC 6455 sets no limit")
    handshake_bytes: int = bound(16 * KIB, "response headers")
    handshake_ms: int = bound(10_000, "from TCP to 101, TLS included")
    connect_ms: int = bound(10_000, "TCP, whatever the number of addresses; TLS of a request")
    resolve_ms: int = bound(5_000, "a name look-up, from its turn on")
    authorities_bytes: int = bound(4 * MIB, "one file of authorities; the system's have 250 KiB")
    network_entries: int = bound(64, "hosts without the proxy, or with authorities of their own")
    proxy_answer_bytes: int = bound(8 * KIB, "what a proxy may say before it leads on")
    proxy_ms: int = bound(8_000, "a proxy's answer; less than `connect_ms`, so that it is named")
    lookups: int = bound(64, "names looked up at once; each is a thread")
    lookups_per_plugin: int = bound(4, "of one plugin; a silent name holds one for half a minute")
    names_per_plugin: int = bound(64, "names whose last answer is kept")
    names_fresh_ms: int = bound(5_000, "an answer serves without asking again")
    names_stale_ms: int = bound(86_400_000, "the last answer serves while a name server is silent")
    names_patience_ms: int = bound(1_800, "before it does; RFC 8767")
    close_ms: int = bound(2_000, "waiting for the peer's close frame")
    ping_ms: int = bound(20_000, "keepalive interval")
    pong_ms: int = bound(20_000, "then the transport is dead")
    session_ready_ms: int = bound(10_000, "a session that ends sooner counts as a failed dial")
    dial_addresses: int = bound(16, "addresses that one dial tries; the next tries others first")
    name_addresses: int = bound(256, "addresses of one name; further ones are not looked at")
    next_address_ms: int = bound(250, "before the next address is tried beside it; RFC 8305")
    next_answer_ms: int = bound(3_000, "TLS and upgrade, while other addresses are left to try")
    address_doubt_ms: int = bound(600_000, "an address that gave no answer is tried last")
    address_hosts: int = bound(1_024, "hosts whose working addresses are remembered")
    pause_grace_ms: int = bound(10_000, "reading paused for a slow plugin; then close and gap")
    backoff_first_ms: int = bound(500, "ceiling of the first reconnect; half of it to all of it")
    backoff_max_ms: int = bound(60_000, "ceiling of the last; 45 s on average")
    connections_per_plugin: int = bound(16, "declared connections of one package")
    connections: int = bound(2000, "on one host")
    handshake_headers: int = bound(16, "plain headers a manifest may add")
    header_bytes: int = bound(1024, "one header value")
    subprotocols: int = bound(8, "offered in one handshake")
    keepalive_min_ms: int = bound(100, "a faster ping or retry is a flood")
    keepalive_max_ms: int = bound(600_000, "slower, and routers on the way forget the connection")
    pause_grace_max_ms: int = bound(60_000, "most servers give up on a stopped reader by then")
    backoff_limit_ms: int = bound(3_600_000, "the slowest reconnect a manifest may ask for")
    unauthorised_dials: int = bound(
        5, "answers of 401 or 403 in a row; then something has to change first"
    )
    oversized_sessions: int = bound(
        3, "sessions in a row that end with a message over the grant; then something has to change"
    )
    oversized_forgiven_ms: int = bound(
        3_600_000, "a session that went well for an hour first is not one of a row"
    )
    fatal_statuses: int = bound(32, "HTTP statuses after which a connection is not dialled again")
    fatal_close_codes: int = bound(32, "close codes after which a connection is not dialled again")
    close_reason_bytes: int = bound(123, "RFC 6455 5.5.1")

    # sandbox
    guest_memory_bytes: int = bound(64 * MIB, "CPython needs 22 MiB to start")
    guest_python_bytes: int = bound(24 * MIB, "of it, what the runner and a small plugin take")
    guest_json_factor: int = bound(
        10, "memory that dense JSON takes in a Python plugin, for each byte of a message"
    )
    guest_json_ms_per_mib: int = bound(
        160, "time that a Python plugin takes to parse dense JSON (benchmarks/large_json.py)"
    )
    guest_memory_min_bytes: int = bound(1 * MIB, "the least a manifest may ask for")
    guest_memory_max_bytes: int = bound(512 * MIB, "the most a grant may allow")
    guest_tables: int = bound(200_000, "table elements; CPython's own table is about 20,000")
    guest_memories: int = bound(2, "linear memories of one instance, each within its bound")
    guest_table_count: int = bound(8, "tables of one instance; they live in host memory")
    guest_instances: int = bound(64, "core instances of one component; the Python runner has 20")
    guest_handles: int = bound(1024, "host resources a guest holds; they live in host memory")
    guest_stack_bytes: int = bound(2 * MIB, "below it CPython traps before its RecursionError")
    thread_stack_bytes: int = bound(8 * MIB, "guest stack plus host frames, with a wide margin")
    late_factor: int = bound(
        10, "a turn may take so many times its budget where the machine is busy with others"
    )
    late_max_ms: int = bound(60_000, "and be late by so much at most")
    epoch_tick_ms: int = bound(
        10, "how late a deadline may be noticed; 5 costs 0.7 % of a core more"
    )
    answer_bytes: int = bound(
        4 * MIB, "one guest answer, 64 events of 64 KiB; beside it, twice a message over 1 MiB"
    )
    json_values: int = bound(
        50_000, "values of one JSON text from a guest, server or model: building them blocks"
    )
    log_bytes: int = bound(16 * KIB, "stdout, stderr and log lines of one dispatch")
    log_line_chars: int = bound(1024, "one line of guest output")
    log_lines: int = bound(256, "lines kept of one dispatch")
    random_bytes: int = bound(64 * KIB, "one request for random bytes")
    component_imports: int = bound(1024, "functions a component may import; WASI 0.2 has about 200")
    host_call_bytes: int = bound(1 * MIB, "one text that a guest passes to a host call")
    host_calls_per_dispatch: int = bound(10_000, "imports in one guest call")
    guest_threads: int = bound(32, "worker threads that run guests")
    slow_threads: int = bound(8, "of those, for plugins whose turns are long")
    long_turn_ms: int = bound(20, "a turn beyond this counts as long")
    compile_seconds: int = bound(120, "CPU time of the compiler child")
    compile_memory_bytes: int = bound(3 * 1024 * MIB, "address space of the compiler child")
    compile_input_bytes: int = bound(40 * MIB, "a component; the Python runner has 28 MiB")
    compiled_components: int = bound(256, "files in the cache of compiled code, oldest use first")

    # service log
    service_log_records: int = bound(200_000, "records of one service; checkpoints keep it low")
    service_log_bytes: int = bound(128 * MIB, "twice its queue, its state and a checkpoint")
    service_log_waiting_bytes: int = bound(16 * MIB, "appends of one service on their way to disk")
    alert_sample_ms: int = bound(2_000, "between two looks at what needs a person")
    alert_paused_out_ms: int = bound(
        600_000, "how long a session that was closed because the plugin was slow is told of"
    )
    alert_unknown_ms: int = bound(3_600_000, "how long an unknown effect keeps its alert open")
    alerts_waiting: int = bound(256, "alerts on their way to the webhook")
    disk_free_bytes: int = bound(256 * MIB, "of the journal's disk; less raises an alert")
    alive_ms: int = bound(5_000, "between two marks of a durable service that it was there")
    effect_record_ms: int = bound(
        10, "before it is written that a command was carried out, unless another record is"
    )
    kept_state_ms: int = bound(1_000, "state without a durable ingress is behind in a shared log")
    service_log_retry_ms: int = bound(1_000, "before a log that failed is opened again; doubles")
    service_log_retry_max_ms: int = bound(30_000, "the longest such wait")
    service_checkpoint_records: int = bound(10_000, "records read again after a crash, at most")
    service_close_records: int = bound(1_000, "records that the next owner reads, or a checkpoint")
    service_checkpoint_bytes: int = bound(32 * MIB, "bytes read again after a crash, about")
    service_part_items: int = bound(256, "timers, sessions, ids or letters in one record")
    service_part_bytes: int = bound(256 * KIB, "state in one record of a checkpoint")

    # journal
    journal_record_depth: int = bound(
        256, "levels of JSON in a command that is written down: what is read back is read deeper in"
    )
    journal_record_bytes: int = bound(4 * MIB, "one record; the largest item with room to spare")
    journal_batch: int = bound(1024, "records committed at once")
    journal_batch_bytes: int = bound(16 * MIB, "bytes committed at once")
    journal_logs: int = bound(10_000, "logs in one journal: workers, services and connections")
    journal_waiting: int = bound(10_000, "commits waiting for the writer; then callers are refused")
    journal_request_ms: int = bound(2_000, "one answer of a NATS server")
    journal_settle_ms: int = bound(10_000, "asking whether a commit of unknown end was stored")
    cluster_servers: int = bound(9, "NATS servers of a deployment")
    cluster_skew_ms: int = bound(30_000, "two clocks may differ so much; timers are of wall time")
    publication_bytes: int = bound(4 * MIB, "what was decided, signed; a server takes 8 MiB")
    publication_ms: int = bound(2_000, "between two looks at what is published")
    cluster_patterns: int = bound(16, "machines that a plugin names")
    cluster_claims: int = bound(32, "units that a machine takes at once")
    cluster_takeovers_at_once: int = bound(4, "the same, of a machine that died, the first time")
    cluster_drains_at_once: int = bound(4, "units that a machine hands over at once")
    cluster_moves: int = bound(8, "changes of owner that are kept of a service or worker")
    cluster_takeovers: int = bound(3, "takeovers of a unit in a row that handled nothing")
    cluster_command_ms: int = bound(9_000, "a command on another machine; below control_ms")
    cluster_hello_ms: int = bound(2_000, "a machine saying that it takes a command")
    cluster_challenge_ms: int = bound(5_000, "a command after the machine said so; then refused")
    cluster_commands: int = bound(4_096, "of other machines within cluster_challenge_ms")
    cluster_messages: int = bound(500, "of other machines in a second; then a second of silence")
    cluster_message_bytes: int = bound(16 * MIB, "the same")
    cluster_asked: int = bound(64, "machines asked for one list; the others are named")
    cluster_asked_at_once: int = bound(8, "the same, at once")
    cluster_list_ms: int = bound(5_000, "for one list; machines that take longer are named")
    cluster_list_bytes: int = bound(4 * MIB, "one machine's part of a list")
    cluster_part_bytes: int = bound(512 * KIB, "one message of an answer, or less: max_payload")
    journal_busy_ms: int = bound(5_000, "waiting for another process's write lock")

    # workers
    workers: int = bound(256, "on one host")
    worker_inputs: int = bound(64, "inputs waiting for one worker; a person is told, not queued")
    input_bytes: int = bound(256 * KIB, "one message from a person")
    instructions_bytes: int = bound(64 * KIB, "what a profile tells its model")
    worker_tools: int = bound(128, "tools of one worker; providers accept no more")
    tool_schema_bytes: int = bound(32 * KIB, "one tool's schema; it is sent with every model call")
    tool_calls_per_turn: int = bound(64, "calls in one answer; more is a flood")
    tool_arguments_bytes: int = bound(256 * KIB, "arguments of one call")
    tool_argument_values: int = bound(5_000, "JSON values of one call; each meets the schema")
    tool_output_bytes: int = bound(64 * KIB, "one result in history; the rest is cut, visibly")
    tool_wait_ms: int = bound(
        60_000, "one call, queueing included, until it is answered or deferred"
    )
    answer_text_bytes: int = bound(512 * KIB, "text, thinking and arguments of one model call")
    answer_replay_bytes: int = bound(512 * KIB, "what a provider needs back: signatures and ids")
    answer_parts: int = bound(256, "parts of one answer")
    llm_call_ms: int = bound(600_000, "one attempt, first byte to last")
    llm_attempts: int = bound(4, "of one model call")
    llm_backoff_first_ms: int = bound(500, "before the second attempt, full jitter")
    llm_backoff_max_ms: int = bound(30_000, "longest wait of our own between attempts")
    llm_wait_ms: int = bound(900_000, "all waits of one model call that its provider named")
    run_turns: int = bound(50, "default bound of one run; a loop of tool calls costs money")
    run_turns_max: int = bound(1000, "the most a profile may allow")
    run_resumes: int = bound(3, "restarts in a row that resume a run before it waits for a person")
    worker_fallbacks: int = bound(8, "models of one worker beside its own")
    worker_grants: int = bound(64, "grants of people that a worker remembers; the oldest lapse")
    grant_ms: int = bound(8 * 3_600_000, "how long an approval covers later calls by itself")
    grant_max_ms: int = bound(30 * 86_400_000, "the longest that a person may say instead")
    grant_matches: int = bound(8, "matches of one grant; all of them must fit a call's arguments")
    compact_chars: int = bound(4_000, "what a model is told about one summary")
    tool_same: int = bound(8, "pairs that one tool compares to answer where it was asked")
    fact_chars: int = bound(256, "the longest text of an event that is kept to be compared")
    worker_decided: int = bound(256, "questions of which a worker remembers who decided them")
    run_agains: int = bound(16, "runs in a row that take up inputs again after a passing fault")
    run_again_first_ms: int = bound(60_000, "before the first of them; each wait is twice the last")
    run_again_max_ms: int = bound(3_600_000, "the longest of these waits")
    run_shortenings: int = bound(16, "summaries that one run may ask for to fit the window")
    worker_rest_ms: int = bound(60_000, "between looks at the clock while a time is waited for")
    history_records: int = bound(1_000_000, "items of one worker")
    history_bytes: int = bound(1024 * MIB, "stored bytes of one worker")
    context_items: int = bound(20_000, "items since the last compaction; all are sent to the model")
    context_bytes: int = bound(16 * MIB, "bytes since the last compaction")
    summary_sources: int = bound(64, "sources named in one summary; the others are counted")
    notify_text_bytes: int = bound(16 * KIB, "text of one notification; the rest is cut, visibly")
    notify_per_minute: int = bound(60, "default rate of one plugin to one worker")
    notify_per_minute_max: int = bound(6000, "the most a profile may allow")
    notify_remembered: int = bound(4096, "command ids remembered per worker to drop repetitions")
    snapshot_entries: int = bound(200, "history items in a snapshot")
    snapshot_bytes: int = bound(1 * MIB, "bytes of history items in a snapshot")
    bus_backlog: int = bound(4096, "events waiting for one slow listener; then it is cut off")
    worker_watches: int = bound(32, "people following workers over the control socket")
    watch_idle_ms: int = bound(30_000, "then a follower that asks no more is forgotten")
    watch_poll_ms: int = bound(5_000, "one wait for news; shorter than a control request")
    watch_events: int = bound(512, "events in one answer to a follower")
    history_page: int = bound(200, "items in one answer; a page of a long history")
    worker_alerts: int = bound(64, "recent alerts kept per worker")

    # MCP: tools of other programs
    mcp_servers: int = bound(32, "servers of one workspace; each is a process or a session")
    mcp_server_tools: int = bound(256, "tools that one server may list")
    mcp_pages: int = bound(32, "pages of one listing; a server may say for ever that there is more")
    mcp_description_chars: int = bound(8 * KIB, "what a tool says of itself; a person reads it")
    mcp_command_parts: int = bound(64, "words of the command that starts a server")
    mcp_message_bytes: int = bound(4 * MIB, "one message of a server; a larger one ends it")
    mcp_unasked: int = bound(1_000, "messages in ten seconds that answer nothing; then it is ended")
    mcp_start_ms: int = bound(20_000, "from the start of a server to its list of tools")
    mcp_settle_ms: int = bound(10_000, "workers wait for servers that start; then without them")
    mcp_call_ms: int = bound(120_000, "one call of a server's tool")
    mcp_calls: int = bound(8, "calls under way at one server; others wait within their time")
    mcp_listing_ms: int = bound(30_000, "a call looks at the list of tools again after so long")
    mcp_stop_ms: int = bound(2_000, "a server whose input was closed ends, or is killed")
    mcp_retry_first_ms: int = bound(1_000, "before a server that ended is started again")
    mcp_retry_max_ms: int = bound(60_000, "the longest of these waits; each is twice the last")
    mcp_steady_ms: int = bound(60_000, "a server that held for so long forgives failures")
    mcp_clients: int = bound(16, "MCP clients that have calls under way here")
    mcp_client_calls: int = bound(32, "calls of one MCP client under way; one runs, others wait")
    mcp_words_bytes: int = bound(2 * KIB, "the last of a server's error output that is kept")
    mcp_schema_steps: int = bound(20_000, "steps of checking arguments against a server's schema")

    # observation
    observed_ring_events: int = bound(4096, "events of one worker or service that can be replayed")
    observed_ring_bytes: int = bound(4 * MIB, "the same in bytes; a longer absence is a snapshot")
    observed_mark_events: int = bound(1024, "a past state is folded from one of so many, not all")
    observed_event_bytes: int = bound(8 * MIB, "one event or snapshot; its parts and to spare")
    observed_inflight_bytes: int = bound(4 * MIB, "as JSON; answer_text_bytes fits, all escaped")
    observed_aside_bytes: int = bound(2 * MIB, "a snapshot's calls that wait, alerts, status; JSON")
    observed_depth: int = bound(64, "levels of JSON from an upstream")
    observed_containers: int = bound(50_000, "objects and lists of one event: building them blocks")
    snapshot_alerts: int = bound(16, "recent alerts in a worker's snapshot")
    board_items: int = bound(500, "work items that observers are shown, the newest")
    board_entries: int = bound(400, "events of all their threads in a snapshot, the newest")
    board_thread_entries: int = bound(20, "events of one thread in it")
    board_text_bytes: int = bound(4 * KIB, "text of one of them")
    board_heard: int = bound(128, "folders of items of which the system tells changes at once")
    board_burst: int = bound(256, "events of one look; more of them are a fresh snapshot")
    snapshot_diagnostics: int = bound(64, "recent diagnostics in a service's snapshot")
    bookmark_ms: int = bound(12_000, "idle streams say that they live; below usual proxy timeouts")
    follower_write_bytes: int = bound(64 * KIB, "handed to a client's socket at once")
    follower_buffer_bytes: int = bound(128 * KIB, "unsent bytes of one client; then it waits")
    socket_send_bytes: int = bound(256 * KIB, "what the kernel holds for one client; it doubles it")
    follower_stall_ms: int = bound(30_000, "no byte could be written; then the client is cut off")
    followers: int = bound(4096, "clients of one process; each is a file descriptor")
    followers_per_token: int = bound(1024, "of one token; one script must not shut out the others")
    observer_input_bytes: int = bound(4 * KIB, "a control frame is 125; nothing else is accepted")
    observer_admit_ms: int = bound(8_000, "an upstream may have to be opened first")
    reconnect_spread_ms: int = bound(2_000, "clients of a server that stops come back spread out")
    http_head_bytes: int = bound(16 * KIB, "request line and headers; tokens and cursors are small")
    http_headers: int = bound(100, "headers of a request; browsers and proxies send about thirty")
    http_head_ms: int = bound(10_000, "from connect, or the next request's first byte, to its end")
    http_body_bytes: int = bound(64 * KIB, "a request's body: a code, or a command")
    http_idle_ms: int = bound(15_000, "a connection kept alive between requests")
    http_connections: int = bound(8192, "open at once on one listener, whatever they do")
    open_files: int = bound(16_384, "all sockets the bounds allow, and to spare; if one may")
    http_drain_ms: int = bound(3_000, "a stop waits for answers under way")
    tokens_review_ms: int = bound(2_000, "until a revoked token ends what it watches")
    service_sample_ms: int = bound(1_000, "how often a watched service's counters are looked at")
    status_watched_ms: int = bound(5_000, "how often a watched plugin is asked for its status")

    # a backend's upstreams
    upstreams: int = bound(2048, "streams of runtimes open at once; each is a socket")
    upstreams_parked: int = bound(
        64, "streams without a watcher that are kept for one who comes back"
    )
    upstream_first_ms: int = bound(5_000, "a new watcher waits for the runtime; then it is told")
    upstream_linger_ms: int = bound(
        30_000, "without a watcher; a page that reloads is back by then"
    )
    upstream_backoff_first_ms: int = bound(250, "ceiling of the first wait before a reconnect")
    upstream_backoff_max_ms: int = bound(10_000, "and of the last: a runtime that is back is seen")
    upstream_steady_ms: int = bound(5_000, "a connection that held this long forgives failures")
    upstream_gone_ms: int = bound(10_000, "a restarting runtime may not know its workers yet")
    directory_pause_ms: int = bound(
        100, "between two looks at who has what, where one is asked for"
    )
    machine_gone_ms: int = bound(600_000, "a machine may be starting again for so long")
    inventory_poll_ms: int = bound(3_000, "half to one and a half of it between two questions")
    inventory_items: int = bound(4096, "workers, and as many services, of one runtime")
    backlog_flush_ms: int = bound(50, "what was heard waits so long to be written with the rest")
    backlog_pending_bytes: int = bound(8 * MIB, "waiting for the disk, of one stream; then a hole")
    backlog_record_bytes: int = bound(1 * MIB, "events written as one record")
    backlog_log_records: int = bound(65_536, "of one stream's log; two rings of single events")
    backlog_log_bytes: int = bound(64 * MIB, "the same in bytes, snapshots included")

    # tokens of observers
    tokens: int = bound(256, "of one workspace; each handshake compares with all of them")
    tokens_file_bytes: int = bound(1 * MIB, "tokens.toml; many tokens with long lists")
    token_patterns: int = bound(32, "of one token; a person reads each")
    token_commands: int = bound(32, "commands that one token may send")
    keys_file_bytes: int = bound(16 * KIB, "observation.keys; a key is 90 bytes there")
    cursor_keys: int = bound(16, "kept to read cursors from before a rotation; the oldest goes")
    certificate_check_ms: int = bound(60_000, "a renewed certificate is noticed; days remain then")
    listener_names: int = bound(32, "names, or origins, of one listener; a person reads each")
    backend_runtimes: int = bound(64, "runtimes of one backend; each worker watched is a socket")
    sign_in_codes: int = bound(16, "one-time codes not used yet; then the oldest goes")
    sign_in_code_ms: int = bound(120_000, "from the printed address to the open page")
    sign_in_failures: int = bound(30, "wrong codes a minute, of one peer")
    sign_in_peers: int = bound(4096, "peers whose wrong codes are counted; then the oldest goes")
    session_ms: int = bound(43_200_000, "a browser's session: a working day")

    # observation clients
    observe_open_ms: int = bound(10_000, "one dial: TCP, TLS and the handshake")
    observe_close_ms: int = bound(1_000, "waiting for the server's close frame")
    observe_silence_ms: int = bound(36_000, "three bookmarks without one frame; then a new dial")
    observe_backoff_first_ms: int = bound(250, "first reconnect, full jitter")
    observe_backoff_max_ms: int = bound(15_000, "longest reconnect; a person looks at the screen")
    observe_retry_after_ms: int = bound(300_000, "the longest that a server may ask to wait")
    observe_faults: int = bound(2, "unusable frames at one place; then a fresh snapshot")
    observe_envelope_bytes: int = bound(4 * KIB, "what surrounds an event: cursor, ids, names")
    observe_queue: int = bound(8, "frames read ahead; then the socket is not read")
    observe_answer_bytes: int = bound(4 * MIB, "an answer that lists what can be watched")

    # what the operator decided
    look_ms: int = bound(2_000, "between two looks at a file that may change unnoticed")
    looked_at_files: int = bound(4_096, "files of one look; the rest is left to notification")
    withdraw_ms: int = bound(3_000, "a grant that is missing for so long is withdrawn")
    being_written_ms: int = bound(30_000, "the longest that a file counts as half written")
    decisions_lock_ms: int = bound(10_000, "a command waiting for a host that reads its packages")
    decisions_bytes: int = bound(4 * MIB, "what was decided for one workspace; yoi.toml and more")
    decided_workspaces: int = bound(4_096, "then those whose folder is gone are forgotten")

    # control socket
    control_request_bytes: int = bound(1 * MIB, "one request line")
    control_response_bytes: int = bound(16 * MIB, "one answer")
    control_clients: int = bound(32, "at once")
    control_ms: int = bound(10_000, "one request")
    stop_signal_ms: int = bound(1_000, "launchers send one interrupt twice; it counts as one")
    control_wait_ms: int = bound(8_000, "what takes longer goes on by itself; below control_ms")
    status_permissions: int = bound(64, "rows of the review in a status; the rest is counted")
    status_depth: int = bound(32, "levels of a plugin's own status; a person reads it")
    status_bytes: int = bound(16 * KIB, "the same as JSON; an answer holds one for each service")
    status_ms: int = bound(1_500, "asking a plugin for its status; then the last one is shown")


LIMITS = Limits()
