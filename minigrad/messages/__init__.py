"""What minigrad says about what a user typed: unknown names, and arguments out of their range."""
