"""Sends a datagram."""

import socket

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 53))
