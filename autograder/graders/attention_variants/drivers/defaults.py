"""The defaults of a function's, a class's or a method's arguments, where they are plain data."""

import inspect


def run(space, name):
    found = space.get(name.partition(".")[0])
    for part in name.split(".")[1:]:
        found = getattr(found, part)
    parameters = inspect.signature(found).parameters.values()
    plain = (type(None), bool, int, float, str)
    return {p.name: p.default for p in parameters if type(p.default) in plain}
