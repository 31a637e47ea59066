"""Reading, measuring, converting and comparing audio files."""
