"""What happens to many submissions: processes, machines, and what need not be graded again."""
