"""Closing the holes of the heap, so that what comes next lies together (build time).

An instance begins as a copy of the built heap and pays for what it touches: 4 KiB of its own for a
page it writes, and up to 64 KiB of mapped file around a page it reads. New objects go into holes
that freed ones left; left open, a small plugin would be spread over the whole heap.
"""

_KIB = 1024
_BLOCK = 512 * _KIB
_POOLED = 512
"""The largest request that pymalloc serves; larger ones go to malloc."""
_STEP = 8
"""pymalloc's size classes, with four-byte pointers."""
_HEADER = 17
"""Bytes of a bytes object besides its content, with four-byte pointers."""
_MOST = 32 * 1024 * _KIB


def close_holes() -> list[bytes]:
    """Return objects that fill every hole below the end of the heap; keep them for ever.

    Raises MemoryError when they would take more than 32 MiB: then the heap does not grow upwards.
    """
    ends = [bytes(2 * _BLOCK), bytes(2 * _BLOCK)]
    end = max(map(id, ends))
    del ends
    kept: list[bytes] = []
    size = _BLOCK
    while size > _POOLED:
        _fill(size - _HEADER, end, kept)
        size = size * 3 // 4
    for size in range(_HEADER + _STEP, _POOLED + 1, _STEP):
        _fill(size - _HEADER, end, kept)
    return kept


def _fill(content: int, end: int, kept: list[bytes]) -> None:
    left = _MOST // (content + _HEADER)
    while id(plug := bytes(content)) < end:
        kept.append(plug)
        left -= 1
        if not left:
            raise MemoryError("the holes of the heap cannot be closed")
