"""Where the process `yoi` begins; `python -m yoi.cli` is the same."""

import signal


def main() -> None:
    """Load the command line and run the process's own arguments; then exit."""
    # Until something is under way that has an end of its own, Ctrl-C ends the process at once.
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from yoi.cli.main import main as run

    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


if __name__ == "__main__":
    main()
