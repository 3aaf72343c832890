"""One workspace, several machines: which of them runs it, and where its logs are.

Imported only where `[cluster]` stands in yoi.toml: `yoi[cluster]` brings the NATS client.
"""
