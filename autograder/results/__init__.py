"""What grading one notebook gave, and the file that it is kept in."""
