"""From nothing to ``recordings.csv``: download, unpack and prepare a corpus."""
