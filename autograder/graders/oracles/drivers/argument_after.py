"""What a function leaves of the tensor that it is given."""


def run(space, name, argument):
    given = argument.clone()
    space.get(name)(given)
    return given
