"""Events in long recordings, as annotation programs and detectors write them."""
