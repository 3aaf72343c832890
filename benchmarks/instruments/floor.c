/* The least a client can do: echo text frames in C. floor PORT */
#include "ws.h"

int main(int argc, char **argv) {
    static uint8_t in[1 << 20], out[1 << 20];
    static const char request[] =
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1, op, upgraded = 0;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(argc > 1 ? atoi(argv[1]) : 0),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (connect(fd, (void *)&address, sizeof address)) die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    write_all(fd, request, sizeof request - 1);
    size_t in_size = 0, out_size, used, taken, size;
    uint8_t *data;
    for (;;) {
        ssize_t n = read(fd, in + in_size, sizeof in - in_size);
        if (n <= 0) return 0;
        in_size += n;
        used = out_size = 0;
        if (!upgraded) {
            uint8_t *end = memmem(in, in_size, "\r\n\r\n", 4);
            if (!end) continue;
            upgraded = 1;
            used = end + 4 - in;
        }
        while ((taken = take_frame(in + used, in_size - used, &op, &data, &size))) {
            used += taken;
            if (op == OP_CLOSE) return 0;
            if (op != OP_TEXT) continue;
            uint8_t head[8];
            size_t k = put_frame(head, op, data, 0);
            if (size < 126) head[1] = 0x80 | size;
            else head[1] = 0x80 | 126, head[2] = size >> 8, head[3] = size, k = 4;
            uint32_t mask = 0x12345678 ^ (uint32_t)used;
            memcpy(head + k, &mask, 4);
            memcpy(out + out_size, head, k + 4);
            out_size += k + 4;
            for (size_t i = 0; i < size; i++) out[out_size++] = data[i] ^ head[k + (i & 3)];
        }
        memmove(in, in + used, in_size - used);
        in_size -= used;
        if (out_size && write_all(fd, out, out_size) < 0) return 1;
    }
}
