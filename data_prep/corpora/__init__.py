"""Parts that the preparation of every corpus shares."""
