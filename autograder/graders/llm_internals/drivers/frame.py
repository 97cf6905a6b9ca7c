"""A function that returns a pandas DataFrame, its columns given as plain lists."""

import pandas


def run(space, name, arguments):
    """{column: values}, or the type's name where the result is no DataFrame."""
    frame = space.get(name)(*arguments)
    if not isinstance(frame, pandas.DataFrame):
        return type(frame).__name__
    return {str(c): [plain(v) for v in frame.iloc[:, i].tolist()] for i, c in enumerate(frame.columns)}


def plain(value):
    """A tensor or NumPy number of no dimensions as a Python number."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", None) == 0 else value
