"""What runs beside the student's code: the only folder of ours in the sandbox, without secrets or answers."""
