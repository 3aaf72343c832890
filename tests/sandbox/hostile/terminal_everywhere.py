"""Terminal sequences in every string a person may see."""

from yoi_pdk import Plugin

EVIL = "\x1b]0;owned\x07\x1b[2J\u202egnp.exe\u2066\x9b31m<script>alert(1)</script>\r\n"
Evil = type("Evil" + EVIL, (Exception,), {})


class Hostile(Plugin):
    def on_text(self, event, ctx):
        print(EVIL)
        ctx.log(EVIL)
        raise Evil(EVIL)

    def on_tool(self, call, ctx):
        raise Evil(EVIL)

    def status(self):
        raise Evil(EVIL)
