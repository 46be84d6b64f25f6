"""The parts of the method, each usable alone."""
