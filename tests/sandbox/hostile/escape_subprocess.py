"""Starts a process."""

import subprocess

from yoi_pdk import Plugin


class Hostile(Plugin):
    def on_text(self, event, ctx):
        subprocess.run(["/bin/true"])
