"""Asks the name service."""

import socket

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        socket.getaddrinfo("example.com", 80)
