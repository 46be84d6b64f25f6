"""Embedded data with exact ground truth, in the form that real data has after loading. One file per world."""
