"""The manifest says all that is needed to fetch, check and cite a download."""

import re

import pytest

from autograder.datasets.find import data_set, data_sets_of
from autograder.datasets.sources import source, sources
from autograder.faults import DataError
from tests.this_course import ASSIGNMENTS, TRANSFORMER_FUNDAMENTALS


@pytest.mark.parametrize("name", sources())
def test_entry_is_complete(name):
    """Every entry pins one distribution and its files by SHA-256, and names licence, citation and origin."""
    entry = source(name)
    assert entry.kind in ("sdist", "wheel")
    assert re.fullmatch(r"\d+(\.\d+)+", entry.version)
    assert all([entry.package, entry.licence, entry.citation, entry.origin, entry.files])
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


def test_every_entry_is_used_and_every_download_has_an_entry():
    """What the assignments' data sets download and their models are the manifest, no more and no less."""
    data_sets = [one for assignment in ASSIGNMENTS.values() for one in data_sets_of(assignment)]
    used = {name for one in data_sets for name in one.downloads}
    used |= {name for assignment in ASSIGNMENTS.values() for name in assignment.models}
    assert used == set(sources())


def test_published_sets_are_downloaded_or_generated():
    """The assignment hands out two sets: one says what it downloads, one is generated and needs nothing."""
    downloads = {one.name: one.downloads for one in data_sets_of(TRANSFORMER_FUNDAMENTALS)}
    assert downloads == {"movie_snippets": ("movie_snippets",), "clause_order": ()}


def test_unknown_data_set_is_one_clear_line():
    """A set for which no module stands is named, with its assignment and where the module should be."""
    with pytest.raises(
        DataError, match=r"^transformer-fundamentals: .*'no_such_set'.*data_sets/no_such_set\.py"
    ) as caught:
        data_set(TRANSFORMER_FUNDAMENTALS, "no_such_set")
    assert "\n" not in str(caught.value)


def test_unknown_entry_is_one_clear_line():
    """An entry that does not exist is refused by name, with the known ones."""
    with pytest.raises(DataError, match=r"^no_such_set: .*movie_snippets") as caught:
        source("no_such_set")
    assert "\n" not in str(caught.value)
