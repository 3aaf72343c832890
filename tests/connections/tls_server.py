"""A TLS server as they are: blocking, so that its alert leaves before the socket closes."""

import asyncio
import contextlib
import socket
import threading


class TlsServer:
    """Does one handshake per connection with `context`, or hands the socket to `raw`."""

    def __init__(self, context=None, raw=None):
        self._context, self._raw = context, raw
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._ended = False
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    async def __aenter__(self):
        self._thread.start()
        return self

    async def __aexit__(self, *_):
        self._ended = True
        # The loop goes on meanwhile: it has to close the client's side.
        await asyncio.to_thread(self._end)

    def _end(self):
        # Closing alone would not wake it.
        socket.create_connection(("127.0.0.1", self.port), timeout=20).close()
        self._thread.join(20)
        self._listening.close()

    def _serve(self):
        while True:
            sock, _ = self._listening.accept()
            if self._ended:
                sock.close()
                return
            with contextlib.suppress(OSError), sock:
                sock.settimeout(20)
                plain = self._answer(sock)
                with plain:
                    # What was not read would turn the end into a reset, which overtakes the answer.
                    plain.shutdown(socket.SHUT_WR)
                    while plain.recv(65536):
                        pass

    def _answer(self, sock):
        """Return the socket below TLS, after the answer."""
        if self._raw is not None:
            self._raw(sock)
            return sock
        wrapped = self._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        with contextlib.suppress(OSError):
            wrapped.do_handshake()
            wrapped.recv(1)
        plain = socket.socket(fileno=wrapped.detach())
        plain.settimeout(20)
        return plain
