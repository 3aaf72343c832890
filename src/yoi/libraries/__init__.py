"""Libraries for plugins: resolved for the sandbox's Python, checked, put into the source folder."""

from yoi.libraries.folder import Change, LibraryFolder
from yoi.libraries.index import Index

__all__ = ["Change", "Index", "LibraryFolder"]
