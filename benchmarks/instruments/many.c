/* A gateway for many clients: many PORT N RATE W SECONDS WARMUP_SECONDS
 *
 * Accepts N connections, prints "L" when listening and "M" when all N are open and warm, waits for a
 * byte on standard input, then sends RATE frames a second to each connection in turn (at most W
 * unanswered on each: a frame that finds its window full is held back and counted) for SECONDS. It
 * waits five more seconds at most for answers, prints one line of JSON and waits for a byte.
 * A frame counts as answered when its number comes back on the connection it went out on. */
#include "ws.h"
#include <sys/epoll.h>

typedef struct {
    int fd, open, outstanding;
    uint8_t in[16384];
    size_t in_size;
} Client;

static Client *clients;
static int total, window, poller, measuring;
static uint64_t *sent_at, *latency;
static int *owner;
static long capacity, sent, answered, held, crossed, repeated, unknown, closed, first_measured;

static void hang_up(Client *c) {
    if (!c->open) return;
    c->open = 0;
    closed++;
    epoll_ctl(poller, EPOLL_CTL_DEL, c->fd, 0);
    close(c->fd);
}

static void send_numbered(int index) {
    Client *c = &clients[index];
    if (!c->open || sent == capacity) return;
    if (c->outstanding >= window) {
        held++;
        return;
    }
    long id = sent++;
    char text[512];
    uint8_t frame[520];
    int n = snprintf(text, sizeof text,
                     "{\"type\":\"event\",\"id\":\"@@%010ld\",\"ts\":1700000000.%06ld,"
                     "\"channel\":\"C0123456789\",\"user\":\"U0123456789\",\"team\":\"T0123456789\","
                     "\"event\":{\"type\":\"message\",\"text\":\"The quick brown fox jumps over the lazy dog "
                     "and then goes home to rest for a while\",\"subtype\":null,\"n\":%ld,"
                     "\"thread_ts\":\"1700000000.000100\",\"flags\":[1,2,3]}}",
                     id, id % 1000000, id);
    sent_at[id] = now_ns();
    owner[id] = index;
    c->outstanding++;
    if (write_all(c->fd, frame, put_frame(frame, OP_TEXT, text, n)) < 0) hang_up(c);
}

static void on_answer(int index, long id) {
    if (id < 0 || id >= sent) {
        unknown++;
    } else if (!sent_at[id]) {
        repeated++;
    } else if (owner[id] != index) {
        crossed++;
    } else {
        if (measuring && id >= first_measured) latency[answered++] = now_ns() - sent_at[id];
        sent_at[id] = 0;
        clients[index].outstanding--;
    }
}

static void on_readable(int index) {
    Client *c = &clients[index];
    ssize_t n = read(c->fd, c->in + c->in_size, sizeof c->in - c->in_size);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
        hang_up(c);
        return;
    }
    c->in_size += n;
    size_t used = 0, taken, size;
    int op;
    uint8_t *data, pong[256];
    while ((taken = take_frame(c->in + used, c->in_size - used, &op, &data, &size))) {
        used += taken;
        if (op == OP_TEXT) on_answer(index, marked_number(data, size));
        if (op == OP_PING && size < 126 && write_all(c->fd, pong, put_frame(pong, OP_PONG, data, size)) < 0)
            op = OP_CLOSE;
        if (op == OP_CLOSE) {
            hang_up(c);
            return;
        }
    }
    memmove(c->in, c->in + used, c->in_size - used);
    c->in_size -= used;
}

static void serve_until(uint64_t until) {
    struct epoll_event events[256];
    uint64_t now;
    while ((now = now_ns()) < until) {
        /* Rounded up to a millisecond: spinning for exact pacing would take the whole core. */
        int n = epoll_wait(poller, events, 256, (until - now + 999999) / 1000000);
        for (int i = 0; i < n; i++) on_readable(events[i].data.u32);
    }
}

/* Send `rate` frames a second to each open client in turn, for `seconds`. */
static void pace(double rate, double seconds) {
    uint64_t from = now_ns(), step = (uint64_t)(1e9 / (rate * total)), ends = (uint64_t)(seconds * 1e9);
    for (uint64_t due = 0, turn = 0; due < ends; due += step, turn++) {
        if (now_ns() < from + due) serve_until(from + due);
        send_numbered(turn % total);
    }
}

static long unanswered(void) {
    long n = 0;
    for (long id = first_measured; id < sent; id++) n += sent_at[id] != 0;
    return n;
}

int main(int argc, char **argv) {
    if (argc != 7) {
        fprintf(stderr, "many PORT N RATE W SECONDS WARMUP_SECONDS\n");
        return 2;
    }
    total = atoi(argv[2]);
    window = atoi(argv[4]);
    double rate = atof(argv[3]), seconds = atof(argv[5]), warm = atof(argv[6]);
    capacity = (long)(rate * total * (seconds + warm)) + 16;
    sent_at = calloc(capacity, sizeof *sent_at);
    latency = calloc(capacity, sizeof *latency);
    owner = calloc(capacity, sizeof *owner);
    clients = calloc(total, sizeof *clients);
    poller = epoll_create1(0);
    int listener = listen_loopback(atoi(argv[1]), 1024);
    puts("L");
    fflush(stdout);
    for (int i = 0; i < total; i++) {
        int fd = accept(listener, 0, 0), one = 1;
        char request[8192];
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (handshake(fd, request, sizeof request)) die("handshake");
        fcntl(fd, F_SETFL, O_NONBLOCK);
        clients[i].fd = fd;
        clients[i].open = 1;
        struct epoll_event input = {EPOLLIN, {.u32 = i}};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &input);
    }
    pace(rate, warm);
    serve_until(now_ns() + 300000000ull);
    first_measured = sent; /* what is still unanswered then is nobody's figure */
    held = crossed = repeated = unknown = 0;
    measuring = 1;
    puts("M");
    fflush(stdout);
    wait_for_driver();
    uint64_t from = now_ns(), cpu_from = cpu_ns();
    pace(rate, seconds);
    for (uint64_t give_up = now_ns() + 5000000000ull; unanswered() && now_ns() < give_up;)
        serve_until(now_ns() + 5000000);
    double took = (now_ns() - from) / 1e9, cpu_s = (cpu_ns() - cpu_from) / 1e9;
    if (!answered) {
        printf("{\"error\":\"nothing answered of %ld, closed %ld\"}\n", sent, closed);
        return 1;
    }
    qsort(latency, answered, sizeof *latency, by_value);
    printf("{\"connections\":%d,\"sent\":%ld,\"answered\":%ld,\"dropped\":%ld,\"held\":%ld,\"crossed\":%ld,"
           "\"repeated\":%ld,\"unknown\":%ld,\"closed\":%ld,\"secs\":%.3f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,"
           "\"max_ms\":%.3f,\"gateway_cpu_s\":%.3f}\n",
           total, sent - first_measured, answered, unanswered(), held, crossed, repeated, unknown, closed,
           took, latency[answered / 2] / 1e6, latency[(long)(answered * 0.99)] / 1e6,
           latency[answered - 1] / 1e6, cpu_s);
    fflush(stdout);
    wait_for_driver();
    return 0;
}
