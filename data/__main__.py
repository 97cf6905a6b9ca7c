"""`python -m data`: prepare the data of every assignment."""

import sys

from data.errors import DataError
from data.prepare import prepare

if __name__ == "__main__":
    try:
        prepare()
    except DataError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
