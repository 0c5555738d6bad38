"""Error messages about what a user typed: unknown names, and arguments that are not allowed."""
