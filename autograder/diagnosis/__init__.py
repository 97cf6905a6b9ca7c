"""Name the mistake: compare what a failing component gives with what known wrong versions give on the same inputs."""
