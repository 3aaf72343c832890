"""Opens a socket."""

import socket

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        socket.create_connection(("127.0.0.1", 80), 1)
