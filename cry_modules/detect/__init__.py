"""Find the events of a class, such as crying, in long recordings."""
