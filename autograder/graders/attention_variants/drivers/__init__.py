"""What runs beside the student's code. Each file stands alone: its text is sent to the worker, which calls `run`."""
