"""Data sets of this assignment alone."""
