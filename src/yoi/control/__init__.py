"""The control socket: how people steer a running process from the same machine and account."""
