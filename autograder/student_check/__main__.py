from autograder.student_check.command_line import app

app()
