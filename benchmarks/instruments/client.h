/* The client side of RFC 6455, just enough for load instruments: see ws.h. */
#ifndef YOI_BENCH_CLIENT_H
#define YOI_BENCH_CLIENT_H
#include "ws.h"
#include <sys/epoll.h>

/* Put the token in the file at `path` into `token`; "-" is none. */
static inline void read_token(const char *path, char *token, size_t room) {
    token[0] = 0;
    if (!strcmp(path, "-")) return;
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, token, room - 1);
    if (n <= 0) die("the token's file");
    close(fd);
    token[n] = 0;
    token[strcspn(token, "\r\n")] = 0;
}

/* Connect to loopback `port`. `receive_buffer` 0 leaves the kernel's. -1 when nobody listens. */
static inline int dial(int port, int receive_buffer) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (fd < 0) die("socket");
    if (receive_buffer)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (connect(fd, (void *)&address, sizeof address)) {
        if (errno != ECONNREFUSED && errno != ECONNRESET) die("connect");
        close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

/* Ask for an upgrade; a `token` comes with the subprotocol it is for. Returns -1 on error. */
static inline int ask_upgrade(int fd, int port, const char *path, const char *token) {
    char request[1024], bearer[512] = "";
    if (*token)
        snprintf(bearer, sizeof bearer,
                 "Authorization: Bearer %s\r\nSec-WebSocket-Protocol: yoi.observe.v1\r\n", token);
    int n = snprintf(request, sizeof request,
                     "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                     "Sec-WebSocket-Version: 13\r\n%s\r\n", path, port, bearer);
    return write_all(fd, request, n);
}

/* Read the answer byte by byte, so that no frame is lost. Exits when it is not 101. */
static inline void expect_upgrade(int fd) {
    char head[4096];
    size_t n = 0;
    while (n < 4 || memcmp(head + n - 4, "\r\n\r\n", 4))
        if (n + 1 >= sizeof head || read(fd, head + n++, 1) <= 0) die("handshake");
    head[n] = 0;
    if (strncmp(head, "HTTP/1.1 101 ", 13)) {
        fprintf(stderr, "refused: %s\n", head);
        exit(3);
    }
}

/* Send one masked frame of less than 65,536 bytes; the mask is zero. */
static inline void send_masked(int fd, int op, const void *data, size_t size) {
    uint8_t frame[4096];
    if (size + 8 > sizeof frame) exit(3);
    size_t n = put_frame(frame, op, data, size), head = n - size;
    frame[1] |= 0x80;
    memmove(frame + head + 4, frame + head, size);
    memset(frame + head, 0, 4);
    if (write_all(fd, frame, n + 4) < 0) die("send");
}

enum { START_BYTES = 24 };

/* A reader that looks only at the start of each frame and skips the rest. */
typedef struct {
    uint8_t held[160]; /* a head, the start of a payload, or a control frame that is not complete */
    size_t held_size;
    uint64_t skip;
    int counts; /* what is being skipped is to be counted at its end */
} Reader;

/* Called for a data frame's first bytes (`START_BYTES`, or all where it is shorter): whether its
 * end is to be counted. */
typedef int (*Looks)(void *owner, const uint8_t *start, size_t size);

/* Read what is there and return how many frames that count ended; -1 when the server has gone. */
static inline long take_frames(int fd, Reader *r, Looks looks, void *owner, uint64_t *bytes) {
    static uint8_t in[1 << 18];
    memcpy(in, r->held, r->held_size);
    ssize_t n = read(fd, in + r->held_size, sizeof in - r->held_size);
    if (n < 0 && errno == EAGAIN) return 0;
    if (n <= 0) return -1;
    *bytes += n;
    size_t have = r->held_size + n, at = 0;
    long ended = 0;
    r->held_size = 0;
    for (;;) {
        if (r->skip) {
            size_t step = r->skip < have - at ? r->skip : have - at;
            r->skip -= step;
            at += step;
            if (r->skip) return ended;
            ended += r->counts;
        }
        const uint8_t *p = in + at;
        size_t left = have - at, head = 2;
        if (left < 2) break;
        uint64_t size = p[1] & 127;
        if (size == 126) {
            head = 4;
            if (left < head) break;
            size = p[2] << 8 | p[3];
        } else if (size == 127) {
            head = 10;
            if (left < head) break;
            size = 0;
            for (int i = 0; i < 8; i++) size = size << 8 | p[2 + i];
        }
        int op = p[0] & 15;
        size_t start = size < START_BYTES || op >= 8 ? size : START_BYTES;
        if (left < head + start) break;
        if (op == OP_CLOSE) return -1;
        if (op == OP_PING) send_masked(fd, OP_PONG, p + head, size);
        r->counts = op < 8 && looks(owner, p + head, start);
        r->skip = size;
        at += head;
        if (!size) ended += r->counts;
    }
    r->held_size = have - at;
    memcpy(r->held, in + at, r->held_size);
    return ended;
}
#endif
