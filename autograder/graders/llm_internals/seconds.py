"""How long a request may take where the default is too short or needlessly long."""

MAKE = 60.0  # something is made or loaded, for which a model's code may have to be imported first
REAL = 60.0  # the student's code runs the notebook's model
DECODE = 20.0  # the student's code runs a small model, or draws, many times
