"""A reply of negative length."""

import yoi_runner.dispatch as dispatch
from yoi_pdk import Plugin

dispatch._answer = lambda head, bodies: "[-1]\nx"


class Hostile(Plugin):
    pass
