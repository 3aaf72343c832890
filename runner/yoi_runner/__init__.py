"""The guest side of the Python runner: runs inside WebAssembly, beside the plugin it serves."""
