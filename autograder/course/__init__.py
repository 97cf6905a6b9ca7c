"""The course: where it is, and which assignments it has."""
