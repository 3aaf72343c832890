"""What every benchmark shares: the machine in words, C instruments, pinned processes, tables."""
