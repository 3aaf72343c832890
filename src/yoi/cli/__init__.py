"""The command line: argument parsing and printing. Decisions live in the rooms below."""
