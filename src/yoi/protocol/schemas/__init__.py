"""The worker events for readers in other languages: `events.schema.json` and `events.ts`.

Both are generated from `yoi.protocol.events` by `python -m yoi.protocol.schemas`; a test compares
them with what the code says now.
"""
