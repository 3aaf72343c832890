"""What a process that is watched needs on the network; both hops use it.

The server (uvicorn, with a WebSocket protocol of ours), the hub of streams, tokens, cursor keys,
health and metrics. See docs/design/observation.md.
"""
