"""Data sets of this assignment alone: each module defines DATA_SET."""
