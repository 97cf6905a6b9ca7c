"""The class at a glance, and one student's test in detail: for instructors only."""
