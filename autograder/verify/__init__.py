"""The misconception bank against the graders: what gets through, what is refused wrongly, what is named."""
