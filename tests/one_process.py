"""A grader that does what ours does not: it runs the student's code and its own tests in one process, and believes it.

`python one_process.py CELL ANSWER` prints in which ways `ANSWER`, which is wrong, has got full marks, one a line:
`cell` (a test cell raised nothing), `pytest` (its exit code was 0), `reply` (a reply said so), `exit` (the process ended
with 0), `file` (a result file in the folder said so), `reference` (the values were those of the grader's own solution).
"""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SETUP = "import torch"
TESTS = (
    "assert torch.allclose(double(torch.ones(3)), torch.full((3,), 2.0))",
    "assert all(number == 2 for number in double(torch.ones(3)).tolist())",
)


def ways_to_full_marks(cell: str, answer: str, folder: Path) -> set[str]:
    """Grade `answer`, with `cell` run before it, in a process of its own in `folder`."""
    done = subprocess.run(
        [sys.executable, __file__, cell, answer],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "autograder")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    ways = {line.removeprefix("way: ") for line in done.stdout.splitlines() if line.startswith("way: ")}
    if done.returncode == 0:
        ways.add("exit")
    results = folder / "ada.json"
    if results.is_file() and json.loads(results.read_text())["score"] == 6:
        ways.add("file")
    return ways


def main() -> None:
    import torch
    from worker import wire
    from worker.namespace import NotebookNamespace
    from worker.shell import new_shell, run_cell

    def reference_solution(x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    shell = new_shell()
    space = NotebookNamespace(shell.user_ns)
    for number, source in enumerate((SETUP, *sys.argv[1:])):
        run_cell(shell, f"cell{number}", source)
    if any(run_cell(shell, "test", source)["error"] is None for source in TESTS):
        print("way: cell")
    try:
        import pytest

        Path("test_double.py").write_text("def test_double():\n    assert False\n")
        if pytest.main(["-q", "test_double.py"]) == 0:
            print("way: pytest")
    except Exception as error:
        print(type(error).__name__)
    found = space.call("double", (torch.ones(3),), {}, 0)
    reply = wire.encode({"passed": found is not True and bool(found[0] == 2)}, {})
    if dict(map(tuple, reply["d"])).get("passed"):
        print("way: reply")
    if found is not True and torch.equal(found, reference_solution(torch.ones(3))):
        print("way: reference")
    sys.stdout.flush()
    sys.exit(1)


if __name__ == "__main__":
    main()
