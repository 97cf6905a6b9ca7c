"""The pages are true: files that they name exist, and commands that they show are real and do what is said."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
import typer

from autograder.cli import app
from tests.checkout import ROOT, copy_checkout, run_in
from tests.this_course import ASSIGNMENTS
from tests.this_course import TRANSFORMER_FUNDAMENTALS as TF

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "data" / "README.md"]
BY_NAME = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
KINDS = "md|py|toml|yml|lock|json|ipynb|csv|tsv|db|txt|zip|html|svg|png"
PATH = re.compile(rf"`((?:[\w.*-]+/)*(?:[\w.*-]+\.(?:{KINDS})|(?<=/)|[\w.-]+/[\w.-]+))`")
STANDS_FOR_ANY = re.compile(r"\b(?:NAME|ASSIGNMENT|CELL|STUDENT|ID)\b")
# what a page's paths are relative to, beside the repository and the page's own folder
INSIDE = {
    "threat-model.md": ["autograder"],
    "graders.md": [f"autograder/graders/{TF.stem}"],
    "README.md": ["autograder"],
    "words.md": [f"autograder/graders/{TF.stem}"],
}
MADE_LATER = {
    ".venv/bin": "made by make",
    "data.zip": "students make it of their data",
    "wrong.ipynb": "made by the author who reads on",
    "bank/scale-rows.toml": "the example of docs/graders.md, which tests/test_authors_page.py writes",
    "bank/correct/scale-rows.toml": "the same",
    f"autograder/graders/{TF.stem}/test_scale_rows.py": "the same",
    "requirements.txt": "written by `autograder publish`",
    "assignment.draft.toml": "what an author calls the manifest of an assignment that is being written",
    "source/NAME/data/": "written by `autograder prepare`",
}
IGNORED = tuple(line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if line.startswith("/"))
COMMAND = re.compile(r"(?:^    |`)((?:\.venv/bin/)?(?:python -m )?autograder [a-z].*?)(?:`| +#|$)", re.M)
# the commands of these two pages that no test below runs as written, and why
NOT_RUN_HERE = {
    "autograder release transformer-fundamentals": "runs the solved notebook for minutes; tests/test_consistent.py releases a small course",
    "autograder verify transformer-fundamentals --quick": "tests/test_verify.py runs it for each assignment",
    "autograder verify transformer-fundamentals": "tries everything for many minutes",
    "autograder grade wrong.ipynb --assignment transformer-fundamentals --output results/wrong": "tests/test_authors_page.py",
    "python -m pytest tests/test_graders.py tests/test_bank.py tests/test_consistent.py": "tests/test_authors_page.py",
    "python -m pytest tests/test_release.py tests/test_stand_ins.py tests/test_diagnosis.py": "they run by themselves",
    "autograder autograde transformer-fundamentals --scheduler tls://SCHEDULER:8786 --tls-ca cert.pem --tls-cert cert.pem --tls-key key.pem":
        "needs a cluster; tests/test_cluster.py starts one on this machine, with TLS",
    "python -m autograder.demo.screenshot docs/feedback.png": "tests/browser/test_screenshot.py takes the picture",
    "from dask_jobqueue import SLURMCluster": "needs a SLURM cluster, and so do the lines below it",
    'cluster = SLURMCluster(cores=1, processes=1, memory="2GB", walltime="04:00:00", protocol="tls", security=...,': "the same",
    "cluster.scale(200)": "the same",
    "from dask_kubernetes.operator import KubeCluster": "needs a Kubernetes cluster, and so does the line below it",
    'cluster = KubeCluster(name="grading", image="registry.example/course:2026", n_workers=200, worker_command="dask worker --nthreads 1")': "the same",
}  # fmt: skip


def commands(page: Path) -> list[str]:
    """Every `autograder SUBCOMMAND ...` that a page shows, without what leads to the program."""
    return [re.sub(r"^(\.venv/bin/|python -m )", "", found) for found in COMMAND.findall(page.read_text())]


def shown_in_blocks(page: str) -> list[str]:
    """The commands that stand on lines of their own."""
    text = (ROOT / "docs" / page).read_text()
    return [
        line.removeprefix(".venv/bin/")
        for line in re.findall(r"^    (\S.*)$", text, re.M)
        if re.match(r"(\.venv/bin/|autograder |openssl |dask |from dask|cluster)", line)
    ]


@BY_NAME
def test_files_that_a_page_names_exist(page: Path) -> None:
    """Those of the repository are there; all others are in folders that git ignores, or known to be made later."""
    bases = [ROOT, page.parent, *(ROOT / inside for inside in INSIDE.get(page.name, []))]
    named = {path for path in PATH.findall(page.read_text()) if path not in MADE_LATER and len(path) > 1}
    ours = {p for p in named if not p.startswith(IGNORED) and not re.fullmatch(r"\.?/?\.\w+/?", p)}
    patterns = {path: STANDS_FOR_ANY.sub("*", path).rstrip("/") for path in ours}
    assert [path for path, pattern in patterns.items() if not any(any(base.glob(pattern)) for base in bases)] == []


def test_what_is_made_later_is_still_named() -> None:
    """No exception outlives the sentence that it was made for."""
    named = {path for page in PAGES for path in PATH.findall(page.read_text())}
    assert MADE_LATER.keys() - named == set() and len(named) > 40


@BY_NAME
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    """A relative link names a file, and its anchor a heading there."""
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()) if "://" not in link]
    for link in links:
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.is_file(), link
        headings = re.findall(r"^#+ (.+)$", target.read_text(), re.M) if anchor else []
        anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not anchor or anchor in anchors, link


def test_tests_that_the_threat_model_names_exist() -> None:
    """Each is a file of tests."""
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "threat-model.md").read_text()))
    assert len(named) > 10 and named - {path.stem for path in (ROOT / "tests").rglob("test_*.py")} == set()


SHOWN = sorted({(page.name, command) for page in PAGES for command in commands(page)})


@pytest.mark.parametrize(("page", "command"), SHOWN)
def test_commands_and_options_are_real(page: str, command: str) -> None:
    """The subcommand exists and has each option; a line with arguments is taken as it stands."""
    group = typer.main.get_command(app)
    name, *words = shlex.split(command)[1:]
    assert name in group.commands
    subcommand = group.commands[name]
    options = {option for parameter in subcommand.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert [word for word in words if word.startswith("-") and word not in options] == []
    if any(not word.startswith("-") for word in words):
        try:
            given = subcommand.make_context(name, list(words)).params
        except click.UsageError as error:
            pytest.fail(f"{page}: {command}: {error.message}")
        assert (given.get("assignment") or "ASSIGNMENT") in (*ASSIGNMENTS, "ASSIGNMENT")


def test_every_page_for_operators_and_authors_is_looked_through() -> None:
    """A new command on one of these two pages is run below, or is listed with the reason why not."""
    run = {OPENSSL, "autograder autograde transformer-fundamentals --quiet", *DASK}
    shown = {*shown_in_blocks("operators.md"), *shown_in_blocks("graders.md")}
    assert shown - run - NOT_RUN_HERE.keys() == set()
    assert (run | NOT_RUN_HERE.keys()) - shown == set(), "listed here, and on no page"


OPENSSL = next(c for c in shown_in_blocks("operators.md") if c.startswith("openssl"))
DASK = [c for c in shown_in_blocks("operators.md") if c.startswith("dask")]


def test_the_certificate_is_made_as_written(tmp_path: Path) -> None:
    """One line gives a key and a certificate that is its own authority."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    subprocess.run(shlex.split(OPENSSL), cwd=tmp_path, check=True, capture_output=True)
    words = ["openssl", "verify", "-CAfile", "cert.pem", "cert.pem"]
    assert subprocess.run(words, cwd=tmp_path, capture_output=True).returncode == 0
    assert "PRIVATE KEY" in (tmp_path / "key.pem").read_text()


@pytest.mark.parametrize("command", DASK, ids=["scheduler", "worker"])
def test_dask_has_the_options_of_the_page(command: str) -> None:
    """As far as can be seen without a second machine: the programs and every option that they get."""
    words = shlex.split(command)
    shown = subprocess.run([sys.executable, "-m", *words[:2], "--help"], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert [w for w in words if w.startswith("--") and not re.search(rf"{w}\b", shown.stdout)] == []


def test_an_unattended_run_is_silent_and_ends_well(tmp_path: Path, tier: str) -> None:
    """`autograder autograde NAME --quiet` on one submission and one file that is none: exit code 0, both in the book."""
    root = copy_checkout(tmp_path)
    for student, text in (("ada", TF.release.read_text()), ("ben", "{ cut short")):
        path = root / "submitted" / student / TF.name / TF.release.name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    done = run_in(root, *shlex.split(next(c for c in shown_in_blocks("operators.md") if c.endswith("--quiet"))))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    statuses = {p.stem: '"could-not-run"' in p.read_text() for p in (root / "results" / TF.name).glob("*.json")}
    assert statuses.keys() == {"ada", "ben"} and statuses["ben"]
    assert (root / "gradebook.db").is_file()
