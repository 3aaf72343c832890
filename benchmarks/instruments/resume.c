/* Observers who all come back at once: resume PORT PATH N TOKEN_FILE FIRST LAST
 *
 * N observers with the token in TOKEN_FILE connect without a cursor. "C" is printed when each has a
 * snapshot, "M" when each has seen the event that holds the mark FIRST ("@@" and ten digits). When
 * the server has hung up on all, somebody is dialled until there is one again; then all N dial at once,
 * each with the cursor of the last event it had, and have arrived when they have seen the mark LAST, in
 * a snapshot or in an event. Prints one line of JSON and waits for a byte on standard input. */
#include "client.h"

typedef struct {
    int fd, open, upgraded, seen;
    char cursor[260];
    uint8_t *in;
    size_t size, room;
    uint64_t arrived;
} Client;

static Client *clients;
static int total, port, poller;
static const char *path;
static char token[256], mark[16];
static long seen, hung_up, with_state;
static long snapshots, events, resumed, bookmarks, told;
static uint64_t bytes;

static int starts(const uint8_t *data, size_t size, const char *with) {
    return size >= strlen(with) && !memcmp(data, with, strlen(with));
}

static void on_frame(Client *c, const uint8_t *data, size_t size) {
    static const char head[] = "{\"kind\":\"event\",\"envelope\":{\"cursor\":\"";
    if (starts(data, size, "{\"kind\":\"resumed\"")) resumed++;
    if (starts(data, size, "{\"kind\":\"bookmark\"")) bookmarks++;
    if (starts(data, size, "{\"kind\":\"diagnostic\"")) told++;
    if (!starts(data, size, head)) return;
    const char *cursor = (const char *)data + sizeof head - 1;
    const char *end = memchr(cursor, '"', size - (sizeof head - 1));
    if (!end || end - cursor >= (long)sizeof c->cursor) {
        fprintf(stderr, "no cursor\n");
        exit(3);
    }
    with_state += !*c->cursor;
    memcpy(c->cursor, cursor, end - cursor);
    c->cursor[end - cursor] = 0;
    if (memmem(end, 64, ".s\"", 3)) snapshots++;
    else events++;
    if (!c->seen && memmem(data, size, mark, strlen(mark))) {
        c->seen = 1;
        c->arrived = now_ns();
        seen++;
    }
}

/* Take one frame or, before, the answer to the handshake; returns its size or 0. */
static size_t take(Client *c, const uint8_t *p, size_t have) {
    if (!c->upgraded) {
        const uint8_t *end = memmem(p, have, "\r\n\r\n", 4);
        if (!end) return 0;
        if (!starts(p, have, "HTTP/1.1 101 ")) {
            fprintf(stderr, "refused: %.*s\n", (int)(end - p), p);
            exit(3);
        }
        c->upgraded = 1;
        return end - p + 4;
    }
    size_t head = 2;
    if (have < head) return 0;
    uint64_t size = p[1] & 127;
    if (size >= 126) {
        int wide = size == 126 ? 2 : 8;
        head += wide;
        if (have < head) return 0;
        size = 0;
        for (int i = 0; i < wide; i++) size = size << 8 | p[2 + i];
    }
    if (have - head < size) return 0;
    if ((p[0] & 15) == OP_TEXT) on_frame(c, p + head, size);
    if ((p[0] & 15) == OP_PING) send_masked(c->fd, OP_PONG, p + head, size);
    return head + size;
}

static void on_readable(Client *c) {
    if (c->room - c->size < 65536) c->in = realloc(c->in, c->room = c->room * 2 + 131072);
    ssize_t n = read(c->fd, c->in + c->size, c->room - c->size);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
        epoll_ctl(poller, EPOLL_CTL_DEL, c->fd, 0);
        close(c->fd);
        c->open = 0;
        hung_up++;
        return;
    }
    bytes += n;
    c->size += n;
    size_t used = 0, taken;
    while ((taken = take(c, c->in + used, c->size - used))) used += taken;
    memmove(c->in, c->in + used, c->size - used);
    c->size -= used;
}

static void poll_once(void) {
    struct epoll_event ready[256];
    int n = epoll_wait(poller, ready, 256, 100);
    for (int i = 0; i < n; i++) on_readable(ready[i].data.ptr);
}

/* Dial for each, ask at once, wait for nothing. */
static void dial_all(int first) {
    for (int i = 0; i < total; i++) {
        Client *c = &clients[i];
        char where[1024];
        snprintf(where, sizeof where, "%s%s%s", path, *c->cursor ? "?cursor=" : "", c->cursor);
        c->fd = i ? dial(port, 0) : first;
        if (c->fd < 0) die("connect");
        ask_upgrade(c->fd, port, where, token);
        c->size = 0;
        c->open = 1;
        c->upgraded = c->seen = 0;
        fcntl(c->fd, F_SETFL, O_NONBLOCK);
        struct epoll_event input = {EPOLLIN, {.ptr = c}};
        epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &input);
    }
}

static void say(const char *word) {
    puts(word);
    fflush(stdout);
}

int main(int argc, char **argv) {
    if (argc != 7) {
        fprintf(stderr, "resume PORT PATH N TOKEN_FILE FIRST LAST\n");
        return 2;
    }
    port = atoi(argv[1]), path = argv[2], total = atoi(argv[3]);
    read_token(argv[4], token, sizeof token);
    snprintf(mark, sizeof mark, "@@%010ld", atol(argv[5]));
    clients = calloc(total, sizeof *clients);
    poller = epoll_create1(0);
    dial_all(dial(port, 0));
    while (with_state < total) poll_once();
    say("C");
    while (seen < total) poll_once();
    say("M");
    while (!hung_up) poll_once();
    uint64_t down = now_ns();
    while (hung_up < total) poll_once();
    snprintf(mark, sizeof mark, "@@%010ld", atol(argv[6]));
    snapshots = events = resumed = bookmarks = told = seen = hung_up = 0;
    bytes = 0;
    int first;
    while ((first = dial(port, 0)) < 0) usleep(2000);
    uint64_t back = now_ns();
    dial_all(first);
    while (seen < total) {
        poll_once();
        if (hung_up || now_ns() - back > 60000000000ull) {
            printf("{\"error\":\"%ld arrived, %ld were closed\"}\n", seen, hung_up);
            return 1;
        }
    }
    uint64_t *took = calloc(total, sizeof *took);
    for (int i = 0; i < total; i++) took[i] = clients[i].arrived - back;
    qsort(took, total, sizeof *took, by_value);
    printf("{\"down_s\":%.3f,\"secs\":%.3f,\"p50_s\":%.3f,\"bytes\":%lu,\"resumed\":%ld,\"snapshots\":%ld,"
           "\"events\":%ld,\"bookmarks\":%ld,\"diagnostics\":%ld}\n",
           (back - down) / 1e9, took[total - 1] / 1e9, took[total / 2] / 1e9, bytes, resumed, snapshots,
           events, bookmarks, told);
    fflush(stdout);
    wait_for_driver();
    return 0;
}
