"""A local web page that scores a recorded or uploaded cry."""
