"""Wire types and codecs: what crosses a boundary, as values. No I/O, no clock."""
