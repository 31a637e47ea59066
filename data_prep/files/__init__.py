"""Tables, journals and atomic writes."""
