"""Data sets of the course: where they come from, how they are checked, and how they are split."""
