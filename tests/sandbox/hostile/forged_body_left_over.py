"""A body nobody accounts for."""

import yoi_runner.dispatch as dispatch
from yoi_pdk import Plugin

dispatch._answer = lambda head, bodies: "[null]\nleft over"


class Hostile(Plugin):
    pass
