"""The notebook that all systems grade: 24 cells, ten short training epochs, four figures, four graded functions.

`CHECKS` are the same for everyone: text of assertions, which nbgrader runs in the notebook, otter after it, and ours on
values that come out of the sandbox.
"""

from hashlib import sha256

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

NAME = "bench"
IMPORTS = """
import math
import numpy as np
import torch
from torch import nn
import matplotlib.pyplot as plt
torch.manual_seed(0)
"""
SOLUTIONS = {
    "softmax": """
def softmax(scores):
    shifted = scores - scores.max(dim=-1, keepdim=True).values
    weights = shifted.exp()
    return weights / weights.sum(dim=-1, keepdim=True)
""",
    "attention": """
def attention(q, k, v):
    weights = softmax(q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]))
    return weights @ v, weights
""",
    "layer-norm": """
def layer_norm(x, eps=1e-6):
    mean = x.mean(dim=-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(dim=-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + eps)
""",
    "train": """
@torch.enable_grad()
def train(x, y, epochs, seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(x.shape[1], 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    history = []
    for epoch in range(epochs):
        total = 0.0
        for start in range(0, len(x), 32):
            batch = slice(start, start + 32)
            loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x[batch])
        history.append(total / len(x))
    return history
""",
}
NAMES = {"softmax": "softmax", "attention": "attention", "layer-norm": "layer_norm", "train": "train"}
EPOCHS = 10  # of the demonstration: little training, as in most notebooks
MISTAKE = {"attention": SOLUTIONS["attention"].replace(" / math.sqrt(q.shape[-1])", "")}
SETUP = {
    "softmax": "scores = torch.arange(12.0).reshape(3, 4).cos() * 3",
    "attention": "q, k, v = (torch.arange(float(n)).sin().reshape(2, -1, 5) for n in (30, 40, 40))",
    "layer-norm": "x = torch.arange(24.0).cos().reshape(4, 6) * 5",
    "train": "torch.manual_seed(1)\nx = torch.randn(500, 20)\ny = (x[:, 0] > 0).long()",
}
CALLS = {
    "softmax": "softmax(scores)",
    "attention": "attention(q, k, v)",
    "layer-norm": "layer_norm(x)",
    "train": "train(x, y, 3)",
}
CHECKS = {
    "softmax": "assert torch.allclose(found, torch.softmax(scores, -1), atol=1e-5)",
    "attention": "assert torch.allclose(found[0], nn.functional.scaled_dot_product_attention(q, k, v), atol=1e-5)",
    "layer-norm": "assert torch.allclose(found, nn.functional.layer_norm(x, (6,), eps=1e-6), atol=1e-4)",
    "train": "assert len(found) == 3 and found[-1] < found[0]",
}
DEMOS = {
    "softmax": "plt.figure()\nplt.bar(range(4), softmax(torch.arange(4.0)))\nplt.show()",
    "attention": "plt.figure()\nplt.imshow(attention(torch.randn(1, 30, 8), torch.randn(1, 30, 8), "
    "torch.randn(1, 30, 8))[1][0])\nplt.show()",
    "layer-norm": "plt.figure()\nplt.hist(layer_norm(torch.randn(200, 16) * 3 + 1).flatten(), 40)\nplt.show()",
    "train": "x = torch.randn(4000, 20)\ny = (x[:, 0] * x[:, 1] > 0).long()\nhistory = train(x, y, {epochs})\n"
    "plt.figure()\nplt.plot(history)\nplt.show()",
}


def notebook(answers: dict[str, str], checks: bool, epochs: int = EPOCHS) -> NotebookNode:
    """The notebook with these texts in its solution cells; with `checks` the test cells contain the assertions.

    Its last demonstration trains for so many `epochs`.
    """
    cells = [_markdown("# Attention, measured"), _code("setup-imports", IMPORTS, ["setup"], locked=True)]
    for name in SOLUTIONS:
        test = f"{SETUP[name]}\nfound = {CALLS[name]}\n{CHECKS[name]}" if checks else f"assert callable({NAMES[name]})"
        cells += [
            _markdown(f"## {name}\n\nWrite `{NAMES[name]}`."),
            _code(name, answers[name], solution=True),
            _code(f"{name}-tests", test, grade=True, locked=True, points=2),
            _code(f"demo-{name}", DEMOS[name].format(epochs=epochs), ["demo"], locked=True),
            _markdown(f"What does the figure of {name} show?"),
        ]
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    cells += [_markdown("## Summary"), _code("demo-end", "print('done')", ["demo"], locked=True)]
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def blank() -> dict[str, str]:
    return dict.fromkeys(SOLUTIONS, "# YOUR CODE HERE\nraise NotImplementedError()")


def submissions(count: int, epochs: int = EPOCHS) -> list[NotebookNode]:
    """Every third has a mistake in the attention; no two are the same file."""
    made = []
    for number in range(count):
        answers = SOLUTIONS | (MISTAKE if number % 3 == 2 else {})
        made.append(notebook({k: f"{v.strip()}\n# {number}" for k, v in answers.items()}, checks=False, epochs=epochs))
    return made


def _markdown(text: str) -> NotebookNode:
    return new_markdown_cell(text, id=sha256(text.encode()).hexdigest()[:16])  # the same bytes each time


def _code(name: str, source: str, tags: list[str] | None = None, **mark: object) -> NotebookNode:
    base = {"grade": False, "solution": False, "locked": False, "task": False, "schema_version": 3, "grade_id": name}
    metadata = nbformat.from_dict({"nbgrader": base | mark} | ({"tags": tags} if tags else {}))
    return new_code_cell(source.strip(), id=name, metadata=metadata)
