"""An autograder for Gradescope: the same graders in the layout that the platform runs."""
