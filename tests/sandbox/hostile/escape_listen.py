"""Listens on a port."""

import socket

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        s = socket.socket()
        s.bind(("127.0.0.1", 0))
        s.listen()
