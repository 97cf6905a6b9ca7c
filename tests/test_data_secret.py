"""The course secret is made once, by whoever is first, and everything hidden follows from it."""

import hashlib
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from autograder.datasets import secret
from autograder.faults import DataError
from tests.checkout import ROOT
from tests.this_course import COURSE

ELSEWHERE = Path("/no/such/course")  # the variable decides, not the course's folder


@pytest.fixture
def path(tmp_path, monkeypatch):
    """Where this test's secret will be made."""
    path = tmp_path / "course" / "secret"
    monkeypatch.setenv("COURSE_SECRET_FILE", str(path))
    return path


def test_made_on_first_use_for_its_owner_only(path):
    """The file holds 32 random bytes in hexadecimal, is readable by its owner only, and stays as it is."""
    first = secret.course_secret(ELSEWHERE)
    assert len(first) == 32
    assert path.read_text().strip() == first.hex()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret.course_secret(ELSEWHERE) == first
    path.unlink()
    assert secret.course_secret(ELSEWHERE) != first


def test_all_who_race_for_it_agree(path, monkeypatch):
    """Eight that find no file at the same moment all return the secret that is in the file, and leave nothing else."""
    together = threading.Barrier(8, timeout=10)
    link = os.link

    def slow_link(*names):
        together.wait()
        link(*names)

    monkeypatch.setattr(secret.os, "link", slow_link)
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: secret.course_secret(ELSEWHERE), range(8)))
    assert found == {bytes.fromhex(path.read_text().strip())}
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"abc", b"z" * 64, b"0" * 66, b"\xff\xfe" * 32])
def test_malformed_file_is_one_line(path, content):
    """A damaged file is never replaced silently: one line names it and says what to do."""
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged") as caught:
        secret.course_secret(ELSEWHERE)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_unusable_place_is_one_line(path):
    """A path below a file names the variable that moves the secret."""
    path.parent.write_text("a file")
    with pytest.raises(DataError, match="COURSE_SECRET_FILE") as caught:
        secret.course_secret(ELSEWHERE)
    assert "\n" not in str(caught.value)


def test_derive_is_hmac_sha256_of_the_purpose(path):
    """Seeds are the first 64 bits of HMAC-SHA256, written out here from its definition (RFC 2104)."""
    path.parent.mkdir()
    key = bytes(range(32))
    path.write_text(key.hex())
    for purpose in ("movie_snippets", "clause_order"):
        padded = key.ljust(64, b"\0")
        inner = hashlib.sha256(bytes(b ^ 0x36 for b in padded) + purpose.encode()).digest()
        outer = hashlib.sha256(bytes(b ^ 0x5C for b in padded) + inner).digest()
        assert secret.derive(ELSEWHERE, purpose) == int.from_bytes(outer[:8], "big")


def test_derive_depends_on_purpose_and_secret(path):
    """Another purpose, or another secret, gives another seed of 64 bits."""
    first = [secret.derive(ELSEWHERE, "a"), secret.derive(ELSEWHERE, "b"), secret.derive(ELSEWHERE, "a")]
    assert first[0] == first[2] != first[1]
    path.unlink()
    assert secret.derive(ELSEWHERE, "a") != first[0]
    assert all(0 <= seed < 2**64 for seed in first)
    assert max(secret.derive(ELSEWHERE, str(i)) for i in range(64)) >= 2**60


def test_default_place_is_the_checkout(monkeypatch):
    """Without the variable the secret stands in the root of the checkout, under a name that git ignores."""
    monkeypatch.delenv("COURSE_SECRET_FILE", raising=False)
    assert secret.secret_file(COURSE.root) == ROOT / ".course-secret"
    assert ".course-secret" in (ROOT / ".gitignore").read_text().split()
