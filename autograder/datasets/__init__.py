"""Data sets and models: where they come from, how they are checked, and what students are given."""
