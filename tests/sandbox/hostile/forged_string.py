"""A string where an outcome belongs."""

import yoi_runner.dispatch as dispatch
from yoi_pdk import Plugin

dispatch._answer = lambda head, bodies: '["x"]\n'


class Hostile(Plugin):
    pass
