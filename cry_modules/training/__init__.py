"""Training loops, and what only they need."""
