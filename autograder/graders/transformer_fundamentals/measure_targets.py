"""What correct loops and blind models reach in the configurations of `targets.py`.

    python -m autograder.graders.transformer_fundamentals.measure_targets [--seeds N] [--only VARIANT]

Writes each run to `targets.json` as it ends, skips those that are there already, and makes the table `targets.md`.
Runs are those of the graders: same data, model, sizes and shuffling; only the loop or the model is another.
"""

import argparse
import contextlib
import io
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from itertools import product
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn, optim

from autograder.course.course import this_course
from autograder.files import write_whole
from autograder.graders.transformer_fundamentals.drivers import target_logits, train_target
from autograder.graders.transformer_fundamentals.target_runs import Task, accuracy, make_task
from autograder.graders.transformer_fundamentals.targets import CLAUSE_ORDER, MOVIE_SNIPPETS, Target
from autograder.testing.reference import reference

RUNS = Path(__file__).with_name("targets.json")
TABLE = Path(__file__).with_name("targets.md")
History = dict[str, list[float]]
Record = dict[str, dict[str, Any]]  # target -> configuration, aim; runs: variant -> seed -> [accuracy, seconds]


def loop(
    make: Callable[..., optim.Optimizer],
    schedule: Callable[[optim.Optimizer, int, float], optim.lr_scheduler.LRScheduler] | None = None,
    clip: float | None = None,
) -> Callable[..., History]:
    """A training loop as the contract asks for, with its optimizer, schedule and clipping."""

    def train(model: nn.Module, train_loader: Any, val_loader: Any, num_epochs: int, learning_rate: float) -> History:
        optimizer = make(model.parameters(), lr=learning_rate)
        plan = schedule(optimizer, num_epochs * len(train_loader), learning_rate) if schedule else None
        for _ in range(num_epochs):
            model.train()
            for batch in train_loader:
                optimizer.zero_grad()
                logits, _ = model(batch["input_ids"], batch["attention_mask"])
                F.cross_entropy(logits, batch["labels"]).backward()
                if clip is not None:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                optimizer.step()
                if plan is not None:
                    plan.step()
        return {}

    return train


def with_options(kind: type[optim.Optimizer], **options: Any) -> Callable[..., optim.Optimizer]:
    return lambda parameters, lr: kind(parameters, lr=lr, **options)


def warm_up(share: float, then: Callable[[float], float]) -> Callable[..., optim.lr_scheduler.LRScheduler]:
    """Linear from 0 over the first `share` of the steps, then `then` of the share of the rest that is over."""

    def factor(step: int, total: int) -> float:
        first = max(1, int(share * total))
        return step / first if step < first else then((step - first) / max(1, total - first))

    return lambda optimizer, total, _: optim.lr_scheduler.LambdaLR(optimizer, lambda step: factor(step, total))


def one_cycle(optimizer: optim.Optimizer, total: int, rate: float) -> optim.lr_scheduler.LRScheduler:
    return optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=total + 1)


LOOPS: dict[str, Callable[..., History]] = {
    "Adam, weight decay 0.01": loop(with_options(optim.Adam, weight_decay=0.01)),
    "AdamW": loop(optim.AdamW),
    "RAdam": loop(optim.RAdam),
    "Adamax": loop(optim.Adamax),
    "NAdam": loop(optim.NAdam),
    "warm-up 10 %, then linear to 0": loop(optim.Adam, warm_up(0.1, lambda x: 1 - x)),
    "warm-up 30 %": loop(optim.Adam, warm_up(0.3, lambda x: 1.0)),
    "OneCycle": loop(optim.AdamW, one_cycle),
    "Adamax, warm-up 30 %": loop(optim.Adamax, warm_up(0.3, lambda x: 1.0)),
    "RAdam, weight decay 0.01": loop(with_options(optim.RAdam, weight_decay=0.01)),
    "clipping at 0.1": loop(optim.Adam, clip=0.1),
}
HOPELESS = {  # models that must not reach the target; a bag of words is enough for reviews
    "clause_order": ("no positions", "drowned positions", "shuffled labels", "constant"),
    "movie_snippets": ("shuffled labels", "constant"),
}
DEFECTIVE = ("no positions", "drowned positions", "shuffled labels", "constant")
NORMS = "torch's LayerNorm, padding_idx"
CORRECT = ("reference", *LOOPS, NORMS)


class Names:
    """What the drivers ask a submission for, held by this process."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.get = names.__getitem__
        self.keep = lambda value: value


def measure(ours: Any, target: Target, task: Task, variant: str, seed: int) -> list[float]:
    """One run of `variant`: its accuracy on hidden texts and its seconds of processor time."""
    train_data = dict(task.train)
    names = {
        "MiniTransformer": lambda **sizes: prepared(ours.space.get("MiniTransformer")(**sizes), variant),
        "train_transformer": LOOPS.get(variant) or ours.space.get("train_transformer"),
    }
    if variant == "shuffled labels":
        order = torch.randperm(len(train_data["labels"]), generator=torch.Generator().manual_seed(seed))
        train_data["labels"] = train_data["labels"][order]
    start = time.process_time()
    space: Any = Names(names)
    if variant == "constant":
        share = float(task.answers.double().mean())
        return [max(share, 1 - share), 0.0]
    with contextlib.redirect_stdout(io.StringIO()):  # progress bars
        model = train_target.run(
            space, target.sizes(task.words), train_data, task.validation, target.batch_size, target.epochs,
            target.learning_rate, training_seed=seed,
        )  # fmt: skip
    logits = target_logits.run(space, model, **task.evaluation)
    return [round(accuracy(logits, task.answers), 4), round(time.process_time() - start, 2)]


def prepared(model: nn.Module, variant: str) -> nn.Module:
    """The reference's model, changed where the variant says so."""
    if variant == "no positions":
        model.embeddings.pos_encoding.pe.zero_()
    if variant == "drowned positions":
        nn.init.normal_(model.embeddings.token_embedding.embedding.weight)
    if variant == NORMS:
        embedding = model.embeddings.token_embedding.embedding
        embedding.padding_idx = 0
        embedding.weight.data[0] = 0
        for block in model.transformer_blocks:
            block.norm1, block.norm2 = (nn.LayerNorm(block.norm1.gamma.numel()) for _ in range(2))
        model.ln_f = nn.LayerNorm(model.ln_f.gamma.numel())
    return model


def configuration(target: Target) -> dict[str, Any]:
    """What a run depends on: a change of it voids old runs, a change of the aim does not."""
    return {k: v for k, v in asdict(target).items() if k not in ("accuracy", "attempts", "seconds")}


def recorded(targets: list[Target]) -> Record:
    """Runs of earlier calls that still count, by target."""
    old = json.loads(RUNS.read_text()) if RUNS.is_file() else {}
    record = {}
    for target in targets:
        before = old.get(target.data, {})
        runs = before["runs"] if before.get("configuration") == configuration(target) else {}
        record[target.data] = {
            "configuration": configuration(target), "aim": target.accuracy, "correct": list(CORRECT),
            "hopeless": list(HOPELESS[target.data]), "runs": runs,
        }  # fmt: skip
    return record


def table(record: Record, targets: list[Target]) -> str:
    lines = [
        "# What the training targets are set from",
        "",
        "Accuracy in percent on hidden texts, over independent seeds of data, weights and shuffling; measured by",
        "`measure_targets.py` in the configurations of `targets.py`. A submission is judged by the best of three runs:",
        "`best of 3` is the least such result over successive groups of three. Seconds are of one run on one thread.",
    ]
    for target in targets:
        aim = f"aim {100 * target.accuracy:g} %"
        sizes = (
            f"{target.texts} texts, {target.epochs} epochs, batch {target.batch_size}, rate {target.learning_rate:g}"
        )
        model = f"{target.num_layers} layer(s), d = {target.d_model}"
        lines += ["", f"## {target.data}: {aim} ({sizes}, {model})", ""]
        lines += ["| variant | runs | least | quartiles | most | best of 3, least | reach the aim | seconds |"]
        lines += ["|---|---|---|---|---|---|---|---|"]
        lines += [row(variant, runs, target) for variant, runs in record[target.data]["runs"].items()]
    return "\n".join(lines) + "\n"


def row(variant: str, runs: dict[str, list[float]], target: Target) -> str:
    found = [100 * runs[seed][0] for seed in sorted(runs, key=int)]
    groups = [max(found[i : i + 3]) for i in range(0, len(found) - 2, 3)]
    quarters = " / ".join(f"{q:.1f}" for q in quantiles(found, n=4)) if len(found) > 1 else ""
    reached = sum(f >= 100 * target.accuracy for f in found)
    least = f"{min(groups):.1f}" if groups else ""
    seconds = f"{median(seconds for _, seconds in runs.values()):.1f}"
    columns = (variant, len(found), f"{min(found):.1f}", quarters, f"{max(found):.1f}", least, reached, seconds)
    return f"| {' | '.join(map(str, columns))} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=21)
    parser.add_argument("--only", action="append", help="a variant; may be given several times")
    options = parser.parse_args()
    torch.set_num_threads(1)
    ours = reference(this_course().named("transformer-fundamentals"))
    targets = [CLAUSE_ORDER, MOVIE_SNIPPETS]
    record = recorded(targets)
    for seed, target in product(range(options.seeds), targets):
        task = None
        for variant in options.only or (*CORRECT, *DEFECTIVE):
            runs = record[target.data]["runs"].setdefault(variant, {})
            if str(seed) in runs:
                continue
            task = task or make_task(ours, target, 1000 + seed)
            runs[str(seed)] = measure(ours, target, task, variant, seed)
            keep(record, targets)
    keep(record, targets)


def keep(record: Record, targets: list[Target]) -> None:
    write_whole(RUNS, json.dumps(record) + "\n")
    write_whole(TABLE, table(record, targets))


if __name__ == "__main__":
    main()
