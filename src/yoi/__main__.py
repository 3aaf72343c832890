"""`python -m yoi` is `yoi`."""

from yoi.cli.__main__ import main

if __name__ == "__main__":
    main()
