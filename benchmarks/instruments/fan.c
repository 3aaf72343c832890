/* Fan-out load: fan PORT PATH PUB_PORT PUB_PATH N STALLED EVENTS W SIZE WARMUP START TOKEN_FILE
 *
 * N observers of one stream and a publisher of events of SIZE bytes, W of them under way: an event is
 * done, and the next one sent, when N times as many frames have arrived as events were. Counted are
 * text frames that begin with START (at most 24 bytes, "" for any); the observers' token is in TOKEN_FILE ("-": none).
 * STALLED more observers connect and never read. Prints "M" when warm, waits for a byte on standard
 * input, sends EVENTS, prints one line of JSON and waits for a byte. */
#include "client.h"
#include <sys/resource.h>

typedef struct {
    int fd, publisher;
    Reader reader;
} Client;

static Client *clients;
static uint64_t observers, counted, received;
static const char *wanted;
static size_t wanted_size;

static int looks_wanted(void *owner, const uint8_t *start, size_t size) {
    return !((Client *)owner)->publisher && size >= wanted_size && !memcmp(start, wanted, wanted_size);
}

static void on_readable(Client *c) {
    long n = take_frames(c->fd, &c->reader, looks_wanted, c, &received);
    if (n < 0) {
        fprintf(stderr, "%s was closed\n", c->publisher ? "the publisher" : "an observer");
        exit(4);
    }
    counted += n;
}

static int poll_once(int poller, int ms) {
    struct epoll_event events[256];
    int n = epoll_wait(poller, events, 256, ms);
    for (int i = 0; i < n; i++) on_readable(events[i].data.ptr);
    return n;
}

int main(int argc, char **argv) {
    if (argc != 13) {
        fprintf(stderr, "fan PORT PATH PUB_PORT PUB_PATH N STALLED EVENTS W SIZE WARMUP START TOKEN_FILE\n");
        return 2;
    }
    int port = atoi(argv[1]), pub_port = atoi(argv[3]), stalled = atoi(argv[6]);
    observers = atoi(argv[5]);
    long events = atol(argv[7]), window = atol(argv[8]), warm = atol(argv[10]), total = warm + events;
    size_t size = atoi(argv[9]);
    wanted = argv[11], wanted_size = strlen(argv[11]);
    char token[256], text[2048];
    if (size < 32 || size > sizeof text || wanted_size > START_BYTES) return 2;
    read_token(argv[12], token, sizeof token);
    struct rlimit files = {65536, 65536};
    if (setrlimit(RLIMIT_NOFILE, &files)) {
        getrlimit(RLIMIT_NOFILE, &files);
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    size_t n = sprintf(text, "{\"type\":\"event\",\"text\":\"");
    while (n < size - 2) text[n] = 'a' + n % 26, n++;
    memcpy(text + n, "\"}", 2);

    clients = calloc(observers + 1, sizeof *clients);
    int poller = epoll_create1(0);
    uint64_t dialled = now_ns();
    for (uint64_t i = 0; i <= observers; i++) {
        Client *c = &clients[i];
        c->publisher = i == observers;
        c->fd = dial(c->publisher ? pub_port : port, 0);
        if (c->fd < 0) die("connect");
        ask_upgrade(c->fd, port, argv[c->publisher ? 4 : 2], c->publisher ? "" : token);
        expect_upgrade(c->fd);
    }
    double connect_s = (now_ns() - dialled) / 1e9;
    for (int i = 0; i < stalled; i++) {
        int fd = dial(port, 4096);
        if (fd < 0) die("connect");
        ask_upgrade(fd, port, argv[2], token);
        expect_upgrade(fd);
    }
    for (uint64_t i = 0; i <= observers; i++) {
        fcntl(clients[i].fd, F_SETFL, O_NONBLOCK);
        struct epoll_event input = {EPOLLIN, {.ptr = &clients[i]}};
        epoll_ctl(poller, EPOLL_CTL_ADD, clients[i].fd, &input);
    }
    for (uint64_t until = now_ns() + 400000000ull; now_ns() < until;) poll_once(poller, 50);
    counted = received = 0; /* snapshots are no deliveries */

    uint64_t *sent_at = calloc(total, sizeof *sent_at), *latency = calloc(total, sizeof *latency);
    uint64_t from = 0, cpu_from = 0, heard = now_ns(), bytes_from = 0;
    long sent = 0, done = 0;
    for (int measuring = 0; measuring < 2; measuring++) {
        long stop = measuring ? total : warm;
        if (measuring) {
            puts("M");
            fflush(stdout);
            wait_for_driver();
            from = heard = now_ns(), cpu_from = cpu_ns(), bytes_from = received;
        }
        while (done < stop) {
            for (; sent < stop && sent - done < window; sent++) {
                sent_at[sent] = now_ns();
                send_masked(clients[observers].fd, OP_TEXT, text, size);
            }
            if (poll_once(poller, 1000)) heard = now_ns();
            if (now_ns() - heard > 5000000000ull) {
                printf("{\"error\":\"%lu of %lu frames arrived\"}\n", counted, sent * observers);
                return 1;
            }
            long complete = counted / observers;
            for (uint64_t now = now_ns(); done < complete && done < total; done++)
                latency[done] = now - sent_at[done];
        }
    }
    double took = (now_ns() - from) / 1e9, cpu_s = (cpu_ns() - cpu_from) / 1e9;
    qsort(latency + warm, events, sizeof *latency, by_value);
    printf("{\"secs\":%.4f,\"rate\":%.0f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"bytes\":%lu,\"load_cpu_s\":%.3f,"
           "\"connect_s\":%.3f}\n",
           took, observers * events / took, latency[warm + events / 2] / 1e6,
           latency[warm + (long)(events * 0.99)] / 1e6, received - bytes_from, cpu_s, connect_s);
    fflush(stdout);
    wait_for_driver();
    return 0;
}
