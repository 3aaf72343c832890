/* A gateway for one client: gw PORT MODE W MAX_FRAMES MAX_SECONDS WARMUP
 *
 * Keeps W frames unanswered and times each from send to parsed answer. MODE is raw, slack, bolt or
 * discord: the frames, the greeting and the transport compression each client library expects.
 * Prints "L" when listening and "M" after WARMUP answers, waits for a byte on standard input, measures,
 * prints one line of JSON, and waits for another byte before it closes. */
#include "ws.h"
#include <zlib.h>

static const char *mode;
static int fd, compressing, identified, lost;
static z_stream deflater;
static uint8_t out[1 << 20], in[1 << 20], packed[1 << 16];
static size_t out_size, in_size;
static uint64_t *sent_at, *latency, started, stop_at, payload_bytes;
static long sent, answered, warmup, limit;
static int measuring, finished;

static void put(const char *text, size_t size) {
    if (!compressing) {
        out_size += put_frame(out + out_size, OP_TEXT, text, size);
        return;
    }
    deflater.next_in = (void *)text, deflater.avail_in = size;
    deflater.next_out = packed, deflater.avail_out = sizeof packed;
    deflate(&deflater, Z_SYNC_FLUSH);
    out_size += put_frame(out + out_size, OP_BINARY, packed, sizeof packed - deflater.avail_out);
}

static void flush(void) {
    if (out_size && write_all(fd, out, out_size) < 0) die("write");
    out_size = 0;
}

static int is(const char *name) { return !strcmp(mode, name); }

#define SLACK_PAYLOAD \
    "\"payload\":{\"token\":\"v\",\"team_id\":\"T1\",\"api_app_id\":\"A1\",\"event\":{\"type\":\"message\"," \
    "\"text\":\"hello %s%010ld world\",\"user\":\"U1\",\"ts\":\"1700000000.%06ld\",\"channel\":\"C1\"," \
    "\"channel_type\":\"channel\"},\"type\":\"event_callback\",\"event_id\":\"Ev%010ld\"," \
    "\"event_time\":1700000000,\"authorizations\":[]},\"type\":\"events_api\"," \
    "\"accepts_response_payload\":false}"

static void send_numbered(void) {
    static char text[4096];
    long id = sent++;
    int n;
    if (is("slack")) /* answered by acknowledging the envelope */
        n = snprintf(text, sizeof text, "{\"envelope_id\":\"@@%010ld\"," SLACK_PAYLOAD, id, "id", id,
                     id % 1000000, id);
    else if (is("bolt")) /* answered by a frame from the handler, which repeats the text */
        n = snprintf(text, sizeof text, "{\"envelope_id\":\"e-%010ld\"," SLACK_PAYLOAD, id, "@@", id,
                     id % 1000000, id);
    else if (is("discord"))
        n = snprintf(text, sizeof text,
                     "{\"t\":\"MESSAGE_CREATE\",\"s\":%ld,\"op\":0,\"d\":{\"id\":\"%ld\",\"channel_id\":\"201\","
                     "\"guild_id\":\"200\",\"type\":0,\"content\":\"@@%010ld hello\",\"author\":{\"id\":\"300\","
                     "\"username\":\"bob\",\"global_name\":\"Bob\",\"avatar\":null,\"discriminator\":\"0\"},"
                     "\"member\":{\"roles\":[],\"joined_at\":\"2024-01-01T00:00:00+00:00\",\"deaf\":false,"
                     "\"mute\":false,\"nick\":null,\"flags\":0},\"timestamp\":\"2024-01-01T00:00:00+00:00\","
                     "\"edited_timestamp\":null,\"tts\":false,\"mention_everyone\":false,\"mentions\":[],"
                     "\"mention_roles\":[],\"attachments\":[],\"embeds\":[],\"pinned\":false,\"nonce\":\"1\","
                     "\"flags\":0,\"components\":[]}}",
                     id + 3, 1000000000000000000L + id, id);
    else
        n = snprintf(text, sizeof text,
                     "{\"type\":\"event\",\"id\":\"@@%010ld\",\"ts\":1700000000.%06ld,"
                     "\"channel\":\"C0123456789\",\"user\":\"U0123456789\",\"team\":\"T0123456789\","
                     "\"event\":{\"type\":\"message\",\"text\":\"The quick brown fox jumps over the lazy dog "
                     "and then goes home to rest for a while\",\"subtype\":null,\"n\":%ld,"
                     "\"thread_ts\":\"1700000000.000100\",\"flags\":[1,2,3]}}",
                     id, id % 1000000, id);
    sent_at[id] = now_ns();
    put(text, n);
    payload_bytes += n;
}

static void on_answer(long id) {
    if (id < 0 || id >= sent || !sent_at[id]) return;
    uint64_t now = now_ns();
    if (id >= warmup) latency[id - warmup] = now - sent_at[id];
    sent_at[id] = 0;
    answered++;
    if (answered == warmup) {
        flush();
        measuring = 1;
        puts("M");
        fflush(stdout);
        wait_for_driver();
        started = now_ns();
        stop_at += started;
    }
    if (measuring && now > stop_at && limit > sent) limit = sent;
    if (measuring && answered >= limit) finished = 1;
    if (sent < limit) send_numbered();
}

static void on_frame(int op, uint8_t *data, size_t size) {
    if (op == OP_CLOSE) lost = 1;
    if (op == OP_PING) out_size += put_frame(out + out_size, OP_PONG, data, size);
    if (op >= OP_CLOSE) return;
    if (is("discord")) {
        if (memmem(data, size, "\"op\":2,", 7) || memmem(data, size, "\"op\": 2,", 8)) identified = 1;
        if (memmem(data, size, "\"op\":1,", 7) || memmem(data, size, "\"op\": 1,", 8)) put("{\"op\":11}", 9);
    }
    long id = marked_number(data, size);
    if (id >= 0) on_answer(id);
}

/* Read once and handle what came, waiting at most `wait_ms`. Returns 0 when nothing came. */
static int pump(int wait_ms) {
    struct pollfd input = {fd, POLLIN, 0};
    if (poll(&input, 1, wait_ms) == 0) return 0;
    ssize_t n = read(fd, in + in_size, sizeof in - in_size);
    if (n <= 0) {
        lost = 1;
        return 1;
    }
    in_size += n;
    size_t used = 0, taken, size;
    int op;
    uint8_t *data;
    while ((taken = take_frame(in + used, in_size - used, &op, &data, &size))) {
        on_frame(op, data, size);
        used += taken;
    }
    memmove(in, in + used, in_size - used);
    in_size -= used;
    flush();
    return 1;
}

static void greet(void) {
    static const char slack[] =
        "{\"type\":\"hello\",\"num_connections\":1,\"debug_info\":{\"host\":\"applink-1\",\"build_number\":1,"
        "\"approximate_connection_time\":18060},\"connection_info\":{\"app_id\":\"A1\"}}";
    static const char hello[] =
        "{\"t\":null,\"s\":null,\"op\":10,\"d\":{\"heartbeat_interval\":41250,\"_trace\":[]}}";
    static const char ready[] =
        "{\"t\":\"READY\",\"s\":1,\"op\":0,\"d\":{\"v\":10,\"user\":{\"id\":\"100\",\"username\":\"bot\","
        "\"discriminator\":\"0000\",\"avatar\":null,\"bot\":true,\"verified\":true,\"mfa_enabled\":false,"
        "\"flags\":0,\"email\":null,\"global_name\":null},\"guilds\":[{\"id\":\"200\",\"unavailable\":true}],"
        "\"session_id\":\"s1\",\"resume_gateway_url\":\"ws://127.0.0.1:1\","
        "\"application\":{\"id\":\"100\",\"flags\":0},\"session_type\":\"normal\",\"private_channels\":[],"
        "\"relationships\":[],\"presences\":[]}}";
    static const char guild[] =
        "{\"t\":\"GUILD_CREATE\",\"s\":2,\"op\":0,\"d\":{\"id\":\"200\",\"name\":\"g\",\"icon\":null,"
        "\"owner_id\":\"300\",\"region\":\"x\",\"afk_timeout\":300,\"afk_channel_id\":null,"
        "\"verification_level\":0,\"default_message_notifications\":0,\"explicit_content_filter\":0,"
        "\"roles\":[{\"id\":\"200\",\"name\":\"@everyone\",\"permissions\":\"1071698660929\",\"position\":0,"
        "\"color\":0,\"hoist\":false,\"managed\":false,\"mentionable\":false,\"flags\":0}],\"emojis\":[],"
        "\"stickers\":[],\"features\":[],\"mfa_level\":0,\"application_id\":null,\"system_channel_id\":null,"
        "\"system_channel_flags\":0,\"rules_channel_id\":null,\"vanity_url_code\":null,\"description\":null,"
        "\"banner\":null,\"premium_tier\":0,\"premium_subscription_count\":0,\"preferred_locale\":\"en-US\","
        "\"public_updates_channel_id\":null,\"nsfw_level\":0,\"premium_progress_bar_enabled\":false,"
        "\"joined_at\":\"2024-01-01T00:00:00+00:00\",\"large\":false,\"unavailable\":false,"
        "\"member_count\":2,\"members\":[{\"user\":{\"id\":\"300\",\"username\":\"bob\","
        "\"discriminator\":\"0\",\"avatar\":null,\"global_name\":\"Bob\"},\"roles\":[],"
        "\"joined_at\":\"2024-01-01T00:00:00+00:00\",\"deaf\":false,\"mute\":false,\"flags\":0}],"
        "\"channels\":[{\"id\":\"201\",\"type\":0,\"name\":\"general\",\"position\":0,"
        "\"permission_overwrites\":[],\"nsfw\":false,\"topic\":null,\"last_message_id\":null,"
        "\"parent_id\":null,\"rate_limit_per_user\":0,\"flags\":0}],\"threads\":[],\"presences\":[],"
        "\"voice_states\":[],\"stage_instances\":[],\"guild_scheduled_events\":[]}}";
    if (is("slack") || is("bolt")) put(slack, sizeof slack - 1);
    if (is("discord")) {
        put(hello, sizeof hello - 1);
        flush();
        while (!identified && !lost) pump(5000);
        put(ready, sizeof ready - 1);
        put(guild, sizeof guild - 1);
    }
    flush();
}

int main(int argc, char **argv) {
    if (argc != 7) {
        fprintf(stderr, "gw PORT raw|slack|bolt|discord W MAX_FRAMES MAX_SECONDS WARMUP\n");
        return 2;
    }
    mode = argv[2];
    int window = atoi(argv[3]), one = 1;
    warmup = atol(argv[6]);
    limit = atol(argv[4]) + warmup;
    stop_at = (uint64_t)(atof(argv[5]) * 1e9);
    sent_at = calloc(limit + window + 1, sizeof *sent_at);
    latency = calloc(limit + window + 1, sizeof *latency);
    int listener = listen_loopback(atoi(argv[1]), 16);
    puts("L");
    fflush(stdout);
    fd = accept(listener, 0, 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    static char request[8192];
    if (handshake(fd, request, sizeof request)) die("handshake");
    if (is("discord") && strstr(request, "compress=zlib-stream")) {
        compressing = 1;
        deflateInit(&deflater, 1);
    }
    greet();
    for (uint64_t from = now_ns(); now_ns() - from < 250000000ull && !lost;) pump(100);
    for (int i = 0; i < window; i++) send_numbered();
    flush();
    uint64_t cpu_from = 0;
    while (!finished && !lost) {
        if (measuring && !cpu_from) cpu_from = cpu_ns();
        if (!pump(5000)) {
            fprintf(stderr, "no answer in 5 s: %ld of %ld\n", answered, sent);
            break;
        }
    }
    uint64_t cpu = cpu_ns() - cpu_from;
    double seconds = (now_ns() - started) / 1e9;
    long n = answered - warmup;
    if (n <= 0 || !finished) {
        printf("{\"error\":\"lost=%d answered=%ld sent=%ld\"}\n", lost, answered, sent);
        return 1;
    }
    qsort(latency, n, sizeof *latency, by_value);
    printf("{\"n\":%ld,\"secs\":%.4f,\"rate\":%.1f,\"p50_us\":%.2f,\"p99_us\":%.2f,\"payload_bytes\":%.1f,"
           "\"gateway_cpu_us\":%.2f}\n",
           n, seconds, n / seconds, latency[n / 2] / 1e3, latency[(long)(n * 0.99)] / 1e3,
           (double)payload_bytes / sent, cpu / 1e3 / n);
    fflush(stdout);
    wait_for_driver();
    uint8_t goodbye[4] = {0x88, 2, 3, 0xe8};
    write_all(fd, goodbye, sizeof goodbye);
    usleep(20000);
    return 0;
}
