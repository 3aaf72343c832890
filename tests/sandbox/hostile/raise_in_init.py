"""Raises while it is made."""

from yoi_pdk import Plugin


class Hostile(Plugin):
    def __init__(self):
        raise GeneratorExit
