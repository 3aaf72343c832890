"""How a secret may stand in what comes in: the forms that `yoi.core.redaction` finds.

A form has an anchor, a run of letters and digits that every spelling of it leaves as it is. To look
for the anchor is all that a text without the secret costs; the pattern is compiled when it is met,
and tried only where it can reach an anchor, a piece at a time.
"""

import base64
import re
from collections.abc import Generator, Iterator

FORMS = {
    "raw": "the value as it is, also UTF-8 that was read as Latin-1",
    "json": r"escaped in JSON: `\"`, `\/`, `\n`, `\u00e9`, with the escapes of any usual writer",
    "json in json": "escaped again, once or twice more, as JSON inside a string of JSON is",
    "percent": "percent-encoded: whichever signs are encoded, hexadecimal in either case, a space "
    "as `+` or `%20`; also encoded two or three times",
    "html": "with HTML's entities, by name or number",
    "base64": "Base64, standard or URL-safe, padded or not, at any place inside a longer one: so "
    "also the Basic authorisation of `user:secret`",
    "hex": "the bytes of its UTF-8 in hexadecimal, all lower or all upper case",
}
"""What is masked, by name; docs/how-to/secrets.md says it in the same words."""

_RUN = re.compile(r"[A-Za-z0-9]+")
_PARTIAL = r"[A-Za-z0-9+/_-]?"
_PADDING = r"(?:={1,2}|(?:%3[dD]){1,2})?"
_SHORT = {"\b": "b", "\t": "t", "\n": "n", "\f": "f", "\r": "r"}
_ENTITIES = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}
# Each level of JSON doubles the backslashes and adds one: three levels.
_ESCAPES = 7
_DOUBLINGS = 8
# The longest spelling of one character: four bytes of UTF-8 with escaped backslashes, or an
# entity escaped three times; and of a backslash of the value.
_CHAR_CHARS = 48
_SLASH_CHARS = 8
_PADDING_CHARS = 8
_PIECE_CHARS = 8 * 1024
"""Tried at once: the interpreter is held for half a millisecond or so, whatever is met."""
_LOOK_CHARS = 256 * 1024
"""Looked through for an anchor at once: a few hundred microseconds at most."""
_TOGETHER_CHARS = 1024
_SLASHES = re.compile(r"\\*")


class Form:
    """One family of spellings of one value, `value` in what keeps letters and digits."""

    __slots__ = ("_after", "_before", "_compiled", "_pattern", "anchor")

    def __init__(self, pattern: str, value: str) -> None:
        self.anchor = _longest_run(value)
        """Stands in each of them, unchanged; '' where there is nothing to go by."""
        before, _, after = value.partition(self.anchor) if self.anchor else (value, "", value)
        self._before = _most_chars(before)
        self._after = len(self.anchor) + _most_chars(after) + _PADDING_CHARS
        self._pattern = pattern
        self._compiled: re.Pattern[str] | None = None

    def __repr__(self) -> str:
        return "<Form>"

    @property
    def pattern(self) -> re.Pattern[str]:
        """The pattern that matches each of them whole."""
        if self._compiled is None:
            self._compiled = re.compile(self._pattern)
        return self._compiled

    def found(self, text: str) -> Iterator[tuple[int, int] | None]:
        """Yield where each spelling in `text` begins and ends, in order; None between two pieces.

        What is done between two of them takes a millisecond or so, whatever `text` is.
        """
        at = 0
        longest = self._before + self._after
        for near in self._near_anchors(text):
            if near is None:
                yield None
                continue
            start, stop = near
            at = stopped = max(at, start)
            while at < stop:
                if at - stopped >= _PIECE_CHARS:
                    stopped = at
                    yield None
                # A run of backslashes is never cut: it belongs to what follows it.
                end = _end_of_slashes(text, min(stop, at + _PIECE_CHARS))
                match = self.pattern.search(text, at, end + longest)
                if match is None or match.start() >= end:
                    at = end  # one that begins later may have been cut: it is looked for again
                else:
                    yield match.span()
                    at = match.end()

    def masking(self, text: str, mask: str) -> Generator[None, None, str]:
        """Return `text` with `mask` for each spelling, the same object where there is none.

        It stops after each piece, as `found` does.
        """
        made: list[str] = []
        at = 0
        for span in self.found(text):
            if span is None:
                yield
            else:
                made += (text[at : span[0]], mask)
                at = span[1]
        return "".join([*made, text[at:]]) if made else text

    def _near_anchors(self, text: str) -> Iterator[tuple[int, int] | None]:
        """Yield the stretches in which a spelling may begin: those that can reach an anchor."""
        if not self.anchor:
            yield 0, len(text)
            return
        anchor, stop = self.anchor, 0
        while (found := (yield from _looked_for(text, anchor, stop))) >= 0:
            if not self._before:
                # The pattern begins with the anchor: the search finds the next one itself.
                yield found, len(text)
                return
            start = max(stop, found - self._before)
            if start and text[start] == "\\":
                start = stop + len(text[stop:start].rstrip("\\"))
            reach = max(self._before, _TOGETHER_CHARS) + len(anchor)
            while found >= 0:
                # Those close together are one stretch, however many there are.
                stop = found + 1
                found = text.rfind(anchor, stop, stop + reach)
            yield start, stop


def _looked_for(text: str, anchor: str, at: int) -> Generator[None, None, int]:
    """Return where `anchor` stands from `at` on, or -1; stops after each piece."""
    while at < len(text):
        found = text.find(anchor, at, at + _LOOK_CHARS + len(anchor))
        if found >= 0:
            return found
        at += _LOOK_CHARS
        yield
    return -1


def _end_of_slashes(text: str, at: int) -> int:
    if at >= len(text) or text[at] != "\\":
        return at
    run = _SLASHES.match(text, at)
    return at if run is None else run.end()


def _most_chars(value: str) -> int:
    """Return more characters than any spelling of `value` has."""
    signs = sum(not (char.isascii() and char.isalnum()) for char in value)
    return len(value) + signs * _CHAR_CHARS + value.count("\\") * _SLASH_CHARS


def forms(value: str) -> Iterator[Form]:
    """Return the forms of `value`, which has a dozen characters or more."""
    yield Form(_text(value), value)
    data = value.encode("utf-8", "surrogatepass")
    for shift in range(3):
        yield _base64(data, shift)
    for digits in (data.hex(), data.hex().upper()):
        yield Form(digits, digits)


def literal(value: str) -> Iterator[str]:
    """Return the spellings of `value` that are one fixed text: as it is, Base64, hexadecimal."""
    data = value.encode("utf-8", "surrogatepass")
    yield value
    for shift in range(3):
        yield _core(data, shift)
    yield data.hex()
    yield data.hex().upper()


def _longest_run(text: str) -> str:
    return max(_RUN.findall(text), key=len, default="")


def _text(value: str) -> str:
    """Return the pattern of everything that keeps the value's letters and digits as they are.

    Backslashes before a character are counted in one place, so that no text can make the search
    try many ways to divide them.
    """
    made: list[str] = []
    slashes = 0
    for char in value:
        if char == "\\":
            slashes += 1
            continue
        made.append(_written(char, slashes, first=not made))
        slashes = 0
    if slashes:
        counts = sorted({slashes << level for level in range(4)}, reverse=True)
        whole = "|".join(rf"\\{{{count}}}" for count in counts)
        made.append(f"(?:{whole}|{_coded_slashes(slashes)})")
    return "".join(made)


def _written(char: str, slashes: int, *, first: bool) -> str:
    """Return what matches `char` after `slashes` backslashes of the value.

    Each alternative of the first one begins with one certain character: the search for it is quick.
    """
    if char.isascii() and char.isalnum():
        bare, escaped, most = char, char, slashes * _DOUBLINGS
    else:
        bare = "|".join(_bare(char))
        escaped = f"{bare}|{'|'.join(_escaped(char))}"
        most = slashes * _DOUBLINGS + _ESCAPES
    if not most:
        return bare
    if first:
        # A run from its beginning, and all of it: half of one would break the JSON around it.
        run = rf"\\(?<!\\\\)\\{{{max(slashes - 1, 0)},}}"
    else:
        run = rf"\\{{{max(slashes, 1)},{most}}}"
    otherwise = f"{_coded_slashes(slashes)}(?:{bare})" if slashes else bare
    return f"(?:{run}(?:{escaped})|{otherwise})"


def _bare(char: str) -> list[str]:
    """Return how a character that is no letter or digit may stand without a backslash."""
    data = char.encode("utf-8", "surrogatepass")
    ways = [f"&{_entity(char)}", "".join(f"%(?:25){{0,2}}{_hex(byte)}" for byte in data)]
    if char == " ":
        ways.append(r"\+")
    if not char.isascii():
        ways.append(re.escape(data.decode("latin-1")))
    return [*ways, re.escape(char)]


def _escaped(char: str) -> list[str]:
    """Return what may stand for it after a backslash."""
    units = char.encode("utf-16-be", "surrogatepass")
    pairs = [units[at : at + 2] for at in range(0, len(units), 2)]
    single = [bytes([byte]) for byte in char.encode("utf-8", "surrogatepass")]
    ways = [f"u0026{_entity(char)}", f"u{_joined(pairs, 'u')}", f"x{_joined(single, 'x')}"]
    if char in _SHORT:
        ways.append(_SHORT[char])
    return ways


def _joined(parts: list[bytes], letter: str) -> str:
    return rf"\\{{1,{_ESCAPES}}}{letter}".join("".join(map(_hex, part)) for part in parts)


def _entity(char: str) -> str:
    number = ord(char)
    ways = [f"#0{{0,4}}{number}", f"#[xX]0{{0,4}}{_hexed(f'{number:x}')}"]
    if char in _ENTITIES:
        ways.append(_ENTITIES[char])
    return f"(?:amp;){{0,2}}(?:{'|'.join(ways)});"


def _coded_slashes(count: int) -> str:
    return rf"(?:%(?:25){{0,2}}5[cC]|&#(?:0{{0,3}}92|[xX]0{{0,2}}5[cC]);){{{count}}}"


def _hex(byte: int) -> str:
    return _hexed(f"{byte:02x}")


def _hexed(digits: str) -> str:
    return "".join(f"[{d}{d.upper()}]" if d.isalpha() else d for d in digits)


def _base64(data: bytes, shift: int) -> Form:
    """Return the form of `data` where it begins at byte `shift` of a group of three."""
    core, rest = _core(data, shift), (shift + len(data)) % 3
    signs = {"+": r"(?:\+|-|%2[bB])", "/": rf"(?:\\{{0,{_ESCAPES}}}/|_|%2[fF])"}
    pattern = "".join(signs.get(char, char) for char in core)
    return Form(pattern + (_PARTIAL + _PADDING if rest else ""), core)


def _core(data: bytes, shift: int) -> str:
    """Return the characters that are those of `data` alone."""
    whole = base64.b64encode(bytes(shift) + data).decode().rstrip("=")
    return whole[(0, 2, 3)[shift] : -1 if (shift + len(data)) % 3 else None]
