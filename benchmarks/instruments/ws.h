/* The server side of RFC 6455, just enough for load instruments: loopback, trusted peers, frames
 * up to 65,535 bytes, no fragments. Not for anything that faces a stranger. */
#ifndef YOI_BENCH_WS_H
#define YOI_BENCH_WS_H
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

static inline uint64_t clock_ns(clockid_t which) {
    struct timespec t;
    clock_gettime(which, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}
static inline uint64_t now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
static inline uint64_t cpu_ns(void) { return clock_ns(CLOCK_PROCESS_CPUTIME_ID); }

static inline void die(const char *what) {
    perror(what);
    exit(2);
}

static inline int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Write everything, waiting for room where the socket is non-blocking. Returns -1 on error. */
static inline int write_all(int fd, const void *data, size_t size) {
    const char *p = data;
    while (size) {
        ssize_t n = write(fd, p, size);
        if (n < 0) {
            if (errno == EINTR) continue;
            if (errno != EAGAIN) return -1;
            struct pollfd room = {fd, POLLOUT, 0};
            poll(&room, 1, 1000);
            continue;
        }
        p += n;
        size -= n;
    }
    return 0;
}

static inline int listen_loopback(int port, int backlog) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(fd, (void *)&address, sizeof address) || listen(fd, backlog)) die("listen");
    return fd;
}

#define ROL(x, n) (((x) << (n)) | ((x) >> (32 - (n))))
static inline void sha1(const uint8_t *data, size_t size, uint8_t *out) { /* size <= 200 */
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    uint8_t block[256] = {0};
    memcpy(block, data, size);
    block[size] = 0x80;
    size_t total = ((size + 8) / 64 + 1) * 64;
    uint64_t bits = size * 8;
    for (int i = 0; i < 8; i++) block[total - 1 - i] = bits >> (8 * i);
    for (size_t o = 0; o < total; o += 64) {
        uint32_t w[80];
        for (int i = 0; i < 16; i++) {
            const uint8_t *b = block + o + i * 4;
            w[i] = (uint32_t)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
        }
        for (int i = 16; i < 80; i++) w[i] = ROL(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 80; i++) {
            uint32_t f, k;
            if (i < 20) f = (b & c) | (~b & d), k = 0x5A827999;
            else if (i < 40) f = b ^ c ^ d, k = 0x6ED9EBA1;
            else if (i < 60) f = (b & c) | (b & d) | (c & d), k = 0x8F1BBCDC;
            else f = b ^ c ^ d, k = 0xCA62C1D6;
            uint32_t t = ROL(a, 5) + f + e + k + w[i];
            e = d, d = c, c = ROL(b, 30), b = a, a = t;
        }
        h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
    }
    for (int i = 0; i < 20; i++) out[i] = h[i / 4] >> (24 - 8 * (i % 4));
}

static inline void base64(const uint8_t *data, int size, char *out) {
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int i = 0; i < size; i += 3) {
        uint32_t v = data[i] << 16 | (i + 1 < size ? data[i + 1] << 8 : 0) |
                     (i + 2 < size ? data[i + 2] : 0);
        *out++ = set[v >> 18];
        *out++ = set[v >> 12 & 63];
        *out++ = i + 1 < size ? set[v >> 6 & 63] : '=';
        *out++ = i + 2 < size ? set[v & 63] : '=';
    }
    *out = 0;
}

/* Answer the opening handshake on a blocking socket; the request stays in `request`. */
static inline int handshake(int fd, char *request, size_t room) {
    size_t have = 0;
    request[0] = 0;
    while (!strstr(request, "\r\n\r\n")) {
        ssize_t n = have + 1 < room ? read(fd, request + have, room - 1 - have) : -1;
        if (n <= 0) return -1;
        have += n;
        request[have] = 0;
    }
    char *key = strcasestr(request, "sec-websocket-key:");
    if (!key) return -1;
    key += 18;
    key += strspn(key, " ");
    size_t size = strcspn(key, "\r\n ");
    if (size > 64) return -1;
    uint8_t keyed[128], digest[20];
    memcpy(keyed, key, size);
    memcpy(keyed + size, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
    sha1(keyed, size + 36, digest);
    char accept[64], response[256];
    base64(digest, 20, accept);
    int n = snprintf(response, sizeof response,
                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept);
    return write_all(fd, response, n);
}

/* Encode one unmasked frame into `out`; returns its size (at most 4 more than `size`). */
static inline size_t put_frame(uint8_t *out, int op, const void *data, size_t size) {
    size_t head = 2;
    out[0] = 0x80 | op;
    if (size < 126) {
        out[1] = size;
    } else {
        out[1] = 126, out[2] = size >> 8, out[3] = size;
        head = 4;
    }
    memcpy(out + head, data, size);
    return head + size;
}

/* Take the frame at `p` (`have` bytes). Returns its whole size, unmasked in place, or 0 for "not all
 * here yet". */
static inline size_t take_frame(uint8_t *p, size_t have, int *op, uint8_t **data, size_t *size) {
    if (have < 2) return 0;
    size_t n = p[1] & 127, head = 2, mask = p[1] >> 7 ? 4 : 0;
    if (n == 127) {
        fprintf(stderr, "a frame over 65,535 bytes\n");
        exit(3);
    }
    if (n == 126) {
        if (have < 4) return 0;
        n = p[2] << 8 | p[3];
        head = 4;
    }
    if (have < head + mask + n) return 0;
    uint8_t *body = p + head + mask;
    if (mask)
        for (size_t i = 0; i < n; i++) body[i] ^= p[head + (i & 3)];
    *op = p[0] & 15;
    *data = body;
    *size = n;
    return head + mask + n;
}

/* Return the number that follows "@@" in an answer (ten digits), or -1. */
static inline long marked_number(const uint8_t *data, size_t size) {
    const char *at = memmem(data, size, "@@", 2);
    if (!at || at + 12 > (const char *)data + size) return -1;
    long number = 0;
    for (int i = 2; i < 12; i++) {
        if (at[i] < '0' || at[i] > '9') return -1;
        number = number * 10 + (at[i] - '0');
    }
    return number;
}

static inline void wait_for_driver(void) {
    char c;
    if (read(0, &c, 1) < 1) exit(1);
}
#endif
