"""The manifest says all that is needed to fetch, check and cite a download."""

import re

import pytest

from tests.this_course import ASSIGNMENTS
from autograder.graders.transformer_fundamentals.data_sets import clause_order
from autograder.faults import DataError
from autograder.datasets.manifest import source, sources
from autograder.datasets.prepare import PUBLISHED
from autograder.datasets.public_files import PUBLIC


@pytest.mark.parametrize("name", sources())
def test_entry_is_complete(name):
    """Every entry pins one distribution and its files by SHA-256, and names licence, citation, origin and use."""
    entry = source(name)
    assert entry.kind in ("sdist", "wheel")
    assert re.fullmatch(r"\d+(\.\d+)+", entry.version)
    assert all([entry.package, entry.licence, entry.citation, entry.origin, entry.assignments, entry.files])
    hashes = [entry.sha256, *(file.sha256 for file in entry.files)]
    assert all(re.fullmatch(r"[0-9a-f]{64}", value) for value in hashes)
    assert len(set(hashes)) == len(hashes)
    assert re.search(r"\b(19|20)\d\d\b", entry.citation)


@pytest.mark.parametrize("name", sources())
def test_files_have_plain_and_distinct_names(name):
    """A file's name in the cache is one path component, and no two files of an entry share it."""
    names = [file.name for file in source(name).files]
    assert len(set(names)) == len(names)
    assert all(n and "/" not in n and n not in (".", "..") for n in names)


@pytest.mark.parametrize("assignment", PUBLISHED)
def test_published_sets_are_in_the_manifest_or_generated(assignment):
    """Every set that an assignment hands out can be prepared, and a downloaded one says that it is for it."""
    assert assignment in ASSIGNMENTS
    for name in PUBLISHED[assignment]:
        if PUBLIC[name] is not clause_order.public:
            assert assignment in source(name).assignments


def test_unknown_entry_is_one_clear_line():
    """An entry that does not exist is refused by name, with the known ones."""
    with pytest.raises(DataError, match=r"^no_such_set: .*movie_snippets") as caught:
        source("no_such_set")
    assert "\n" not in str(caught.value)
