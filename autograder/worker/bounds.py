"""Limits on what one reply of a worker, one error, and one cell's outputs may be. Both sides hold to them."""

JSON_BYTES = 16 * 2**20
TENSOR_BYTES = 64 * 2**20  # honest replies hold 1.2 MB, with another language model perhaps ten times that
TENSORS = 4096
TENSOR_HEADER_BYTES = 2**20
DEPTH = 32  # of lists in lists
NODES = 1_000_000  # numbers, texts, lists and so on, together
RANK = 8  # dimensions of a tensor

ERROR_CHARACTERS = 2_000
TYPE_CHARACTERS = 100  # of the name of an error's type
BASE_TYPES = 12

PRINTED_CHARACTERS = 1_000_000  # of one cell, before progress bars are settled
TEXT_CHARACTERS = 20_000  # of one text that is shown
DISPLAYS = 48
PICTURE_BYTES = 2 * 2**20
PICTURES_BYTES = 8 * 2**20  # of all pictures of one cell
