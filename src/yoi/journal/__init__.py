"""Append-only, bounded logs behind one small interface."""
