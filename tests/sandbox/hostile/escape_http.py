"""Makes an HTTP request."""

import urllib.request

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        urllib.request.urlopen("http://127.0.0.1/")
