"""From an LMS's bulk download to `submitted/`: whose file is it, which one counts, when did it arrive."""
