"""An outcome of a type that does not exist."""

import yoi_runner.dispatch as dispatch
from yoi_pdk import Plugin

dispatch._answer = lambda head, bodies: "[1.5]\nx"


class Hostile(Plugin):
    pass
