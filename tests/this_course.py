"""The course of this checkout and its assignments, for tests that are about them."""

from autograder.course.course import this_course

COURSE = this_course()
ASSIGNMENTS = COURSE.assignments
TRANSFORMER_FUNDAMENTALS = COURSE.named("transformer-fundamentals")
LLM_INTERNALS = COURSE.named("llm-internals")
