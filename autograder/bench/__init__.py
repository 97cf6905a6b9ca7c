"""Grading measured beside other autograders, on the same submissions with the same checks."""
