"""A failure whose fields lie about their types."""

import yoi_runner.dispatch as dispatch
from yoi_pdk import Plugin

dispatch._answer = lambda head, bodies: '[{"type": 7, "message": [], "trace": {"a": 1}}]\n'


class Hostile(Plugin):
    pass
