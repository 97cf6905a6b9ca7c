"""What students may have, and nothing else."""
