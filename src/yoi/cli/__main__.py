"""`python -m yoi.cli`: the same as `yoi`."""

from yoi.cli.main import main

if __name__ == "__main__":
    main()
