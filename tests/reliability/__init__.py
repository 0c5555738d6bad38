"""Long commands that try to break minigrad; each says how it is run."""
