"""Work items as files that people read, `.yoi/tickets/ID/` (docs/design/tickets.md)."""
