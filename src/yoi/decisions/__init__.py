"""What the operator of this account decided about a workspace, kept outside of it.

A workspace's yoi.toml is a proposal: it can come from a clone, an archive or a shared disk. In
force is what was decided *and* stands in the file (docs/design/trust.md).
"""
