"""A newcomer's first hour as a script; see README.md."""
