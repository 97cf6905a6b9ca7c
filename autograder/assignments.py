"""Where an assignment's files are, and how its components depend on each other."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, eq=False)
class Assignment:
    """One assignment of the course.

    `upstream` names, for each solution cell, the solution cells that its component calls; its order is the
    notebook's order. `defines` names what each solution cell must define. `self_contained` cells are tested without
    what they rest on. `models` are those that the notebook loads, by their names in `data/manifest.toml`. `paragraphs`
    is how many a written answer should have. A warm worker has imported `modules` before the notebook does.
    """

    name: str
    upstream: dict[str, tuple[str, ...]]
    defines: dict[str, tuple[str, ...]]
    self_contained: frozenset[str] = frozenset()
    models: tuple[str, ...] = ()
    paragraphs: int = 0
    modules: tuple[str, ...] = ()

    @property
    def stem(self) -> str:
        return self.name.replace("-", "_")

    @property
    def source(self) -> Path:
        return ROOT / "source" / self.name / f"{self.stem}.ipynb"

    @property
    def release(self) -> Path:
        return ROOT / "release" / self.name / f"{self.stem}.ipynb"

    @property
    def solution(self) -> Path:
        return ROOT / "solutions" / self.name / f"{self.stem}.ipynb"

    @property
    def graders(self) -> Path:
        return ROOT / "autograder" / "graders" / self.stem

    def test_cell(self, cell: str) -> str:
        return f"{cell}-tests"

    def all_upstream(self, cell: str) -> tuple[str, ...]:
        """Every cell that `cell` rests on, directly or through others, in the notebook's order."""
        found: set[str] = set()
        waiting = list(self.upstream[cell])
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting += self.upstream[one]
        return tuple(c for c in self.upstream if c in found)


TRANSFORMER_FUNDAMENTALS = Assignment(
    name="transformer-fundamentals",
    upstream={
        "simple-tokenizer": (),
        "token-embedding": (),
        "positional-encoding": (),
        "transformer-embeddings": ("token-embedding", "positional-encoding"),
        "sdpa": (),
        "mha": ("sdpa",),
        "layer-norm": (),
        "feed-forward": (),
        "transformer-block": ("mha", "layer-norm", "feed-forward"),
        "mini-transformer": ("transformer-embeddings", "transformer-block", "layer-norm"),
        "train": ("mini-transformer",),
    },
    defines={
        "simple-tokenizer": ("SimpleTokenizer",),
        "token-embedding": ("TokenEmbedding",),
        "positional-encoding": ("PositionalEncoding",),
        "transformer-embeddings": ("TransformerEmbeddings",),
        "sdpa": ("scaled_dot_product_attention",),
        "mha": ("MultiHeadAttention",),
        "layer-norm": ("LayerNorm",),
        "feed-forward": ("FeedForward",),
        "transformer-block": ("TransformerBlock",),
        "mini-transformer": ("MiniTransformer",),
        "train": ("train_transformer",),
    },
    self_contained=frozenset({"train"}),
    modules=("tqdm.auto", "torch.utils.data", "torch.optim.lr_scheduler"),
)

LLM_INTERNALS = Assignment(
    name="llm-internals",
    upstream=dict.fromkeys(
        (
            "load-model",
            "architecture",
            "tokenization-table",
            "token-contexts",
            "compare-tokenizers",
            "next-token",
            "top-tokens",
            "uncertainty",
            "generate",
            "sampling",
            "kv-cache-size",
        ),
        (),
    ),
    defines={
        "load-model": ("load_model",),
        "architecture": ("summarize_architecture",),
        "tokenization-table": ("tokenization_table",),
        "token-contexts": ("token_ids_in_context",),
        "compare-tokenizers": ("compare_tokenizers",),
        "next-token": ("next_token_probabilities",),
        "top-tokens": ("top_tokens",),
        "uncertainty": ("entropy", "effective_vocabulary"),
        "generate": ("generate_greedy",),
        "sampling": ("filter_top_k", "filter_top_p", "sample_next"),
        "kv-cache-size": ("kv_cache_bytes",),
    },
    models=("smollm2-135m-instruct", "all-minilm-l6-v2"),
    paragraphs=2,
    modules=(
        "pandas",
        "tqdm.auto",
        "tokenizers",
        "transformers.models.llama.modeling_llama",
        "transformers.models.gpt2.modeling_gpt2",
        "transformers.models.bert.modeling_bert",
        "transformers.models.auto.modeling_auto",
        "transformers.models.auto.tokenization_auto",
        "transformers.generation",
    ),
)

ASSIGNMENTS: dict[str, Assignment] = {a.name: a for a in (TRANSFORMER_FUNDAMENTALS, LLM_INTERNALS)}
