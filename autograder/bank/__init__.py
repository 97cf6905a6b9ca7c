"""The misconception bank: wrong versions and correct variants of each component."""
