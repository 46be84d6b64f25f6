"""Predictors with memory, the video model around them, and roll-outs."""
