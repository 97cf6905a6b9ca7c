"""What each command does; the command line in `autograder.cli` only parses."""
