"""`python -m yoi` is `yoi`."""

from yoi.cli.main import main

if __name__ == "__main__":
    main()
