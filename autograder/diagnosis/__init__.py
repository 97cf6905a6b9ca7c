"""Name the mistake: compare the values of a failing component with those of known wrong versions on the same inputs."""
