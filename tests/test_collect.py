"""Collecting: LMS names, rosters, resubmissions, arrival times, and archives that mean harm."""

import os
import stat
import subprocess
import sys
import time
import zipfile
from datetime import datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from autograder.cli import app
from autograder.collecting.arrivals import arrival_times
from autograder.collecting.bulk_download import CollectError
from autograder.collecting.names import owner_of
from autograder.collecting.roster import read_roster, squash
from tests.nbgrader_course import TINY_NAME, Course, scratch_course  # noqa: F401

ROSTER = """email,name,canvas_id,id
ada@example.org,Ada Lovelace,12345,ada
ben@example.org,"O'Neil, Ben",12346,ben
chloe@example.org,Chloé de la Cruz,,chloe
dora@example.org,Dora Nobody,12348,dora
"""
NOON = (2024, 11, 20, 12, 0, 0)


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    """The machine's time zone is UTC, as the tests' expectations are."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def archive(path: Path, *files: tuple[str, str] | tuple[str, str, tuple[int, ...]]) -> Path:
    """A zip archive of (name, content) or (name, content, time of the entry)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content, *when in files:
            made.writestr(zipfile.ZipInfo(name, when[0] if when else NOON), content)
    return path


@pytest.fixture
def collect(course: Course, tmp_path: Path):
    """Run the command on an archive or folder; gives its exit code and everything that it said."""
    roster = tmp_path / "roster.csv"
    roster.write_text(ROSTER)

    def run(download: Path, *options: str, rostered: bool = True) -> tuple[int, str]:
        given = ["--roster", str(roster)] if rostered else []
        done = CliRunner().invoke(app, ["collect", str(download), "--assignment", TINY_NAME, *given, *options])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.output

    return run


def submitted(course: Course, student: str) -> str | None:
    path = course.submission(student)
    return path.read_text() if path.exists() else None


def arrived(course: Course, student: str) -> datetime | None:
    return arrival_times(course.root / "submitted").get((student, TINY_NAME))


def earlier(course: Course, student: str) -> dict[str, str]:
    folder = course.submission(student).parent.with_name(f"{TINY_NAME}.earlier")
    return {p.name: p.read_text() for p in sorted(folder.glob("*"))}


@pytest.mark.parametrize(
    ("name", "who", "users", "late", "stem", "copy"),
    [
        ("lovelaceada_12345_67890_tiny_course.ipynb", "lovelaceada", ("12345",), False, "tiny_course", 0),
        ("lovelaceada_LATE_12345_67890_tiny_course-2.ipynb", "lovelaceada", ("12345",), True, "tiny_course", 2),
        ("lovelaceada_12345_67890_Tiny Course (1).ipynb", "lovelaceada", ("12345",), False, "tiny_course", 1),
        ("lovelaceada_12345_67890_hw_1_2_x.ipynb", "lovelaceada", ("12345", "1"), False, "hw_1_2_x", 0),
        ("x_1_2_LATE_3_4_y.ipynb", "x", ("1", "3"), False, "late_3_4_y", 0),
        ("Ada Lovelace_99_assignsubmission_file_/tiny_course.ipynb", "Ada Lovelace", (), False, "tiny_course", 0),
        ("Ada Lovelace_99_assignsubmission_file/deep/tiny_course.ipynb", "Ada Lovelace", (), False, "tiny_course", 0),
        ("Ada Lovelace_99_assignsubmission_file_tiny_course.ipynb", "Ada Lovelace", (), False, "tiny_course", 0),
        ("all/Ada_99_assignsubmission_file_/Ben_98_assignsubmission_file_/x.ipynb", "Ada", (), False, "x", 0),
        ("ada/tiny_course.ipynb", "ada", (), False, "tiny_course", 0),
        ("ada (1).ipynb", "ada", (), False, "ada", 1),
    ],
)
def test_names_of_the_lms_are_understood(name, who, users, late, stem, copy):
    """Only what the LMS wrote says whose a file is: the outermost part, read from its beginning."""
    owner = owner_of(tuple(name.split("/")))
    assert (owner.who, owner.users, owner.late, owner.stem, owner.copy) == (who, users, late, stem, copy)


def test_a_canvas_download_becomes_submissions_with_times(collect, course, tmp_path):
    """Matched by id, by name where the roster has no id; late, missing and unknown ones are told."""
    download = archive(
        tmp_path / "submissions.zip",
        ("lovelaceada_12345_100_tiny_course.ipynb", "ada's"),
        ("oneilben_LATE_12346_101_tiny_course (1).ipynb", "ben's", (2024, 11, 21, 8, 30, 0)),
        ("delacruzchloe_12347_102_mine.ipynb", "chloe's"),
        ("stranger_5_103_tiny_course.ipynb", "who?"),
        ("lovelaceada_12345_104_plot.png", "not a notebook"),
    )
    code, said = collect(download)
    assert code == 0
    assert [submitted(course, s) for s in ("ada", "ben", "chloe", "dora")] == ["ada's", "ben's", "chloe's", None]
    assert arrived(course, "ada") == datetime(2024, 11, 20, 12)
    assert arrived(course, "ben") == datetime(2024, 11, 21, 8, 30)
    assert "late, says Canvas (1)\n  ben" in said
    assert "missing: on the roster, nothing handed in (1)\n  dora" in said
    assert "stranger_5_103_tiny_course.ipynb" in said.split("unknown")[1]
    assert "plot.png: no notebook" in said
    assert {p.name for p in (course.root / "submitted").iterdir()} == {"ada", "ben", "chloe", "arrivals.csv"}


@pytest.mark.parametrize("packed", [True, False], ids=["zip", "folder"])
def test_a_moodle_download_becomes_submissions(collect, course, tmp_path, packed):
    """Folders or flat names, in an archive or unpacked; the number of a Moodle folder is nobody's id."""
    files = {
        "Ada Lovelace_12346_assignsubmission_file_/tiny_course.ipynb": "ada's",
        "Ben O'Neil_4712_assignsubmission_file_tiny_course.ipynb": "ben's",
        "Chloe De La Cruz_4713_assignsubmission_file_/sub/tiny_course.ipynb": "chloe's",
    }
    if packed:
        download = archive(tmp_path / "moodle.zip", *files.items())
    else:
        download = tmp_path / "moodle"
        for name, content in files.items():
            (download / name).parent.mkdir(parents=True, exist_ok=True)
            (download / name).write_text(content)
            os.utime(download / name, (1_731_928_000, 1_731_928_000))
    assert collect(download)[0] == 0
    assert [submitted(course, s) for s in ("ada", "ben", "chloe")] == ["ada's", "ben's", "chloe's"]
    assert arrived(course, "ada") == (datetime(2024, 11, 20, 12) if packed else datetime(2024, 11, 18, 11, 6, 40))


@pytest.mark.parametrize(
    "files",
    [
        [("a_12345_100_tiny_course.ipynb", "old"), ("a_12345_200_tiny_course-1.ipynb", "new")],
        [("a_12345_100_tiny_course-1.ipynb", "new"), ("a_12345_100_tiny_course.ipynb", "old")],
        [("a_12345_9_tiny_course.ipynb", "old"), ("a_12345_10_tiny_course.ipynb", "new")],
        [("Ada Lovelace_1_assignsubmission_file_/tiny_course (1).ipynb", "new"),
         ("Ada Lovelace_1_assignsubmission_file_/tiny_course.ipynb", "old")],
        [("Ada Lovelace_1_assignsubmission_file_/tiny_course (1).ipynb", "old", (2024, 11, 1, 0, 0, 0)),
         ("Ada Lovelace_1_assignsubmission_file_/tiny_course.ipynb", "new")],
        [("a_12345_100_tiny_course.ipynb", "new"), ("a_12345_50_scratch.ipynb", "old")],
    ],
)  # fmt: skip
def test_the_latest_version_wins_and_earlier_ones_are_kept(collect, course, tmp_path, files):
    """By upload number, by time, by number of the copy; whatever the order in the archive."""
    assert collect(archive(tmp_path / "x.zip", *files))[0] == 0
    assert submitted(course, "ada") == "new"
    assert list(earlier(course, "ada").values()) == ["old"]


def test_a_file_of_the_right_name_is_preferred_and_that_is_told(collect, course, tmp_path):
    """A scratch notebook uploaded last is not the submission."""
    files = [("a_12345_100_tiny_course.ipynb", "right"), ("a_12345_101_scratch.ipynb", "scratch")]
    _, said = collect(archive(tmp_path / "x.zip", *files))
    assert submitted(course, "ada") == "right"
    assert "later came a_12345_101_scratch.ipynb" in said


def test_what_nothing_decides_is_ambiguous_and_not_collected(collect, course, tmp_path):
    """Two different notebooks of one moment, and a name that two students have."""
    (tmp_path / "roster.csv").write_text(
        ROSTER + "x@example.org,Dora Nobody,,dora2\ny@example.org,Ada Lovelace,,ada2\n"
    )
    files = [
        ("Ben O'Neil_1_assignsubmission_file_/one.ipynb", "1"),
        ("Ben O'Neil_1_assignsubmission_file_/two.ipynb", "2"),
        ("Dora Nobody_2_assignsubmission_file_/tiny_course.ipynb", "whose?"),
        ("lovelaceada_12345_100_tiny_course.ipynb", "the id tells"),
    ]
    _, said = collect(archive(tmp_path / "x.zip", *files))
    assert submitted(course, "ben") is None and submitted(course, "dora") is None
    assert submitted(course, "ada") == "the id tells"
    ambiguous = said.split("ambiguous")[1]
    assert "one.ipynb" in ambiguous and "dora or dora2" in ambiguous


def test_a_file_name_with_two_ids_of_the_class_is_ambiguous(collect, course, tmp_path):
    """A student's own name for a file can hold somebody else's number."""
    _, said = collect(archive(tmp_path / "x.zip", ("oneilben_12346_1_x_12345_2_tiny_course.ipynb", "?")))
    assert submitted(course, "ada") is None and submitted(course, "ben") is None
    assert "ada or ben" in said


def test_a_name_does_not_stand_for_somebody_with_another_id(collect, course, tmp_path):
    """Canvas gave a number, and the roster has another one for that name."""
    _, said = collect(archive(tmp_path / "x.zip", ("lovelaceada_777_1_tiny_course.ipynb", "an impostor's")))
    assert submitted(course, "ada") is None
    assert "lovelaceada_777_1" in said.split("unknown")[1]


def test_nothing_is_overwritten(collect, course, tmp_path):
    """A different submission is moved aside under its time; the same one is left alone, with its time."""
    first = archive(tmp_path / "1.zip", ("a_12345_1_tiny_course.ipynb", "first"))
    second = archive(tmp_path / "2.zip", ("a_12345_2_tiny_course.ipynb", "second", (2024, 11, 21, 9, 0, 0)))
    again = archive(tmp_path / "3.zip", ("a_12345_2_tiny_course.ipynb", "second", (2024, 11, 25, 9, 0, 0)))
    for download in (first, second, second, again):
        assert collect(download)[0] == 0
    assert submitted(course, "ada") == "second"
    assert earlier(course, "ada") == {"2024-11-20T120000Z.ipynb": "first"}
    assert arrived(course, "ada") == datetime(2024, 11, 21, 9)
    _, said = collect(first)
    assert submitted(course, "ada") == "second" and "arrived later" in said
    assert list(earlier(course, "ada").values()) == ["first"]


def test_other_lines_and_files_stay(collect, course, tmp_path):
    """Arrivals of other students and assignments, and what stands beside the notebook."""
    course.submit("zoe", {}).with_name("figure.png").write_text("png")
    (course.root / "submitted" / "arrivals.csv").write_text(
        "time,student,assignment\n2024-01-01T00:00+01:00,zoe,other\n"
    )
    collect(archive(tmp_path / "x.zip", ("a_12345_1_tiny_course.ipynb", "ada's")))
    assert arrival_times(course.root / "submitted")[("zoe", "other")] == datetime(2023, 12, 31, 23)
    assert course.submission("zoe").with_name("figure.png").read_text() == "png"


def test_a_dry_run_writes_nothing(collect, course, tmp_path):
    """And says what would be."""
    collect(archive(tmp_path / "1.zip", ("a_12345_1_tiny_course.ipynb", "first")))
    before = {p: p.read_bytes() for p in (course.root / "submitted").rglob("*") if p.is_file()}
    files = [("a_12345_2_tiny_course.ipynb", "second"), ("oneilben_12346_2_tiny_course.ipynb", "ben's")]
    code, said = collect(archive(tmp_path / "2.zip", *files), "--dry-run")
    assert code == 0 and "1 new, 1 replaced (dry run: nothing was written)" in said
    assert {p: p.read_bytes() for p in (course.root / "submitted").rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("given", "wanted"),
    [("2024-11-22T18:00:00+01:00", datetime(2024, 11, 22, 17)), ("2024-11-22 18:00", datetime(2024, 11, 22, 18))],
)
def test_a_time_that_is_given_counts_for_all(collect, course, tmp_path, given, wanted):
    """Also for what is there already: it is the instructor's word."""
    download = archive(tmp_path / "x.zip", ("a_12345_1_tiny_course.ipynb", "ada's"))
    collect(download)
    collect(download, "--arrived", given)
    assert arrived(course, "ada") == wanted


def test_an_archive_without_times_records_none(collect, course, tmp_path):
    """1980 is what archives hold in place of no time; so is the future."""
    files = [("a_12345_1_tiny_course.ipynb", "ada's", (1980, 1, 1, 0, 0, 0)),
             ("oneilben_12346_1_tiny_course.ipynb", "ben's", (2099, 1, 1, 0, 0, 0))]  # fmt: skip
    _, said = collect(archive(tmp_path / "x.zip", *files))
    assert arrived(course, "ada") is None and arrived(course, "ben") is None
    assert said.count("time unknown") == 2


def test_the_time_in_utc_is_preferred_to_that_of_a_clock_somewhere(collect, course, tmp_path):
    """The extended-timestamp field, which unpackers prefer, too."""
    entry = zipfile.ZipInfo("a_12345_1_tiny_course.ipynb", NOON)
    entry.extra = b"UT\x05\x00\x01" + (1_731_928_000).to_bytes(4, "little")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as made:
        made.writestr(entry, "ada's")
    collect(tmp_path / "x.zip")
    assert arrived(course, "ada") == datetime(2024, 11, 18, 11, 6, 40)


def test_no_time_is_taken_from_inside_a_submission(collect, course, tmp_path):
    """Neither a time stamp beside the notebook nor what the notebook says of itself."""
    files = [
        ("Ada Lovelace_1_assignsubmission_file_/timestamp.txt", "2020-01-01 00:00:00 UTC"),
        ("Ada Lovelace_1_assignsubmission_file_/tiny_course.ipynb", '{"metadata": {"timestamp": "2020-01-01"}}'),
    ]
    collect(archive(tmp_path / "x.zip", *files))
    assert arrived(course, "ada") == datetime(2024, 11, 20, 12)
    assert [p.name for p in course.submission("ada").parent.iterdir()] == ["tiny_course.ipynb"]


def test_paths_links_bombs_and_odd_names_are_refused_with_a_line(collect, course, tmp_path, monkeypatch):
    """The rest is collected, and nothing lands outside of submitted/."""
    monkeypatch.setattr("autograder.collecting.bulk_download.SUBMISSION_BYTES", 10_000)
    link = zipfile.ZipInfo("b_12346_1_tiny_course.ipynb", NOON)
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr(zipfile.ZipInfo("a_12345_1_tiny_course.ipynb", NOON), "ada's")
        made.writestr("../../escaped_12346_1_tiny_course.ipynb", "slip")
        made.writestr("/tmp/absolute_12346_1_tiny_course.ipynb", "slip")
        made.writestr("..\\windows_12346_1_tiny_course.ipynb", "slip")
        made.writestr(link, "/etc/passwd")
        made.writestr("d_12348_1_tiny_course.ipynb", "0" * 1_000_000)
        made.writestr("\x1b[31mred_1_2_tiny_course.ipynb", "odd")
    code, said = collect(tmp_path / "x.zip")
    refused = said.split("refused")[1]
    assert code == 0 and submitted(course, "ada") == "ada's"
    assert refused.count("leads out of the archive") == 3
    assert "b_12346_1_tiny_course.ipynb: a link or device" in refused
    assert "d_12348_1_tiny_course.ipynb: larger than" in refused
    assert "\x1b" not in said
    assert [s for s in ("ben", "chloe", "dora") if submitted(course, s)] == []
    assert not list(tmp_path.parent.glob("*escaped*"))


def test_a_damaged_entry_is_refused_and_the_rest_collected(collect, course, tmp_path):
    """Its checksum is wrong: a download that broke off."""
    path = archive(tmp_path / "x.zip", ("a_12345_1_tiny_course.ipynb", "good"))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as made:
        made.writestr("oneilben_12346_1_tiny_course.ipynb", "damaged text")
    path.write_bytes(path.read_bytes().replace(b"damaged text", b"DAMAGED text"))
    _, said = collect(path)
    assert submitted(course, "ada") == "good" and submitted(course, "ben") is None
    assert "oneilben_12346_1_tiny_course.ipynb: cannot be unpacked" in said


def test_links_and_pipes_of_a_folder_are_refused(collect, course, tmp_path):
    """Neither followed nor waited for."""
    folder = tmp_path / "download"
    folder.mkdir()
    (tmp_path / "secret").write_text("not yours")
    (folder / "lovelaceada_12345_1_tiny_course.ipynb").symlink_to(tmp_path / "secret")
    (folder / "Ben O'Neil_1_assignsubmission_file_").symlink_to(tmp_path)
    os.mkfifo(folder / "d_12348_1_tiny_course.ipynb")
    _, said = collect(folder)
    assert said.count("a link or device") == 3
    assert [s for s in ("ada", "ben", "dora") if submitted(course, s)] == []


def test_a_link_in_submitted_is_not_written_through(collect, course, tmp_path):
    """Somebody's folder that leads elsewhere, and a submission that is a link."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "target.ipynb").write_text("not a submission")
    (course.root / "submitted").mkdir()
    (course.root / "submitted" / "ada").symlink_to(outside)
    path = course.submission("ben")
    path.parent.mkdir(parents=True)
    path.symlink_to(outside / "target.ipynb")
    files = [("a_12345_1_tiny_course.ipynb", "ada's"), ("oneilben_12346_1_tiny_course.ipynb", "ben's")]
    code, said = collect(archive(tmp_path / "x.zip", *files))
    assert code == 0 and [p.read_text() for p in outside.iterdir()] == ["not a submission"]
    assert "ada: submitted/ada is a link" in said.split("refused")[1] and "ben: cannot be read" in said


def test_too_many_files_are_one_line(collect, tmp_path, monkeypatch):
    """An archive of endless entries is not an assignment."""
    monkeypatch.setattr("autograder.collecting.bulk_download.FILES", 3)
    code, said = collect(archive(tmp_path / "x.zip", *((f"s_{n}_1_x.ipynb", "") for n in range(5))))
    assert code == 2 and "more than 3 files" in said and said.count("\n") == 1


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"a rar"])
def test_what_is_no_archive_is_one_line(collect, tmp_path, content):
    """Exit code 2, and nothing is made."""
    (tmp_path / "x.zip").write_bytes(content)
    code, said = collect(tmp_path / "x.zip")
    assert code == 2 and "no zip archive" in said and said.count("\n") == 1


def test_without_a_roster_names_are_those_of_the_lms(collect, course, tmp_path):
    """Two people of one name cannot be told apart without one."""
    files = [
        ("lovelaceada_1_1_tiny_course.ipynb", "ada's"),
        ("kimjo_2_1_tiny_course.ipynb", "one"),
        ("kimjo_3_1_tiny_course.ipynb", "other"),
        ("loose.ipynb", "whose?"),
    ]
    _, said = collect(archive(tmp_path / "x.zip", *files), rostered=False)
    assert submitted(course, "lovelaceada") == "ada's" and submitted(course, "kimjo") is None
    assert "kimjo (Canvas 2) or kimjo (Canvas 3)" in said
    assert "loose.ipynb" in said.split("unknown")[1]


def test_a_roster_in_submitted_is_found(collect, course, tmp_path):
    """So that it need not be named each time."""
    (course.root / "submitted").mkdir()
    (course.root / "submitted" / "roster.csv").write_text(ROSTER)
    collect(archive(tmp_path / "x.zip", ("x_12345_1_tiny_course.ipynb", "ada's")), rostered=False)
    assert submitted(course, "ada") == "ada's"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name,email\nAda,a@b\n", "no column 'id'"),
        ("id,name\nada,Ada\nada,Ben\n", "the id ada stands there twice"),
        ("id,canvas_id\nada,1\nben,1\n", "the canvas_id 1 stands there twice"),
        ("id,name\n../ada,Ada\n", "line 2: an id may have"),
        ("", "no column 'id'"),
    ],
)
def test_a_roster_that_cannot_be_used_says_where(tmp_path, text, reason):
    """One line, before anything is collected."""
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(CollectError, match=reason.replace("'", ".")):
        read_roster(tmp_path / "r.csv")


@pytest.mark.parametrize("text", ["ID;Canvas ID;Name\nada;7;Ada\n", "\ufeffname,id,canvas_id\nAda,ada,7\n"])
def test_rosters_of_spreadsheets_are_read(tmp_path, text):
    """Semicolons, a byte-order mark, capital letters, columns in any order."""
    (tmp_path / "r.csv").write_text(text, encoding="utf-8")
    (student,) = read_roster(tmp_path / "r.csv").students
    assert (student.id, student.name, student.canvas_id) == ("ada", "Ada", "7")


def test_names_are_squashed_as_canvas_does():
    """Letters and digits of any script, without case."""
    assert [squash(n) for n in ("O'Neil, Ada", "Łukasz Żak", "李 雷", "Anne-Marie 2")] == [
        "oneilada", "łukaszżak", "李雷", "annemarie2",
    ]  # fmt: skip


def test_collecting_and_grading_take_turns(collect, course, tmp_path, monkeypatch):
    """Both write in submitted/ and the gradebook."""
    program = "import sys; sys.path.insert(0, sys.argv[1])\nfrom pathlib import Path\nfrom autograder.nbgrader_plugin.lock import only_grader\nwith only_grader(Path(sys.argv[2])):\n    print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(Path(__file__).parent.parent), str(course.root)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as grader:  # fmt: skip
        assert grader.stdout.readline() == "held\n"
        code, said = collect(archive(tmp_path / "x.zip", ("x_12345_1_tiny_course.ipynb", "ada's")))
        grader.communicate("")
    assert code == 2 and "another grader is at work" in said
