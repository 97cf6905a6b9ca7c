"""What runs beside the student's code. Each file is self-contained: its text goes to the worker, which calls `run`."""
