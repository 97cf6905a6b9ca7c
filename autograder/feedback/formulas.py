"""Formulas that a student may have written, from LaTeX to MathML, which browsers show without a script."""

import html
import re
import secrets
from xml.etree.ElementTree import Element, tostring

import nh3
from latex2mathml.commands import FUNCTIONS, LIMIT, MATRICES
from latex2mathml.converter import convert_to_element

FORMULA_CHARACTERS = 1_000  # longer formulas are shown as they were typed, as are those of a cell after so many:
FORMULAS = 200
MATHML_CHARACTERS = 2**18  # and after so much MathML
# fmt: off
TAGS = frozenset((
    "math", "mfrac", "mi", "mn", "mo", "mover", "mphantom", "mroot", "mrow", "mspace", "msqrt", "mstyle", "msub",
    "msubsup", "msup", "mtable", "mtd", "mtext", "mtr", "munder", "munderover",
))
# fmt: on
TEXTS = ("mi", "mn", "mo", "mtext")
OPENING, CLOSING, SIGNED = ("(", "["), (")", "]", "}", "|", "!"), ("+", "-", "−")
ROWS = ("mrow", "msqrt", "mstyle", "mtd")
LIMITS = {"msub": "munder", "msup": "mover", "msubsup": "munderover"}
# Nothing negative or large: what is painted outside of its place could cover the page's own words.
LENGTH = r"[0-2](\.\d{1,3})?em"
ATTRIBUTES = {
    "display": "block|inline", "form": "prefix|infix|postfix", "columnalign": "left|right|center",
    "mathvariant": "normal", "scriptlevel": "[0-2]", "linethickness": "0",
    **dict.fromkeys(("width", "lspace", "rspace", "minsize", "maxsize"), LENGTH),
    **dict.fromkeys(("accent", "displaystyle", "fence", "largeop", "movablelimits", "stretchy"), "true|false"),
}  # fmt: skip
ENVIRONMENT = re.compile(r"\\(begin|end)\s*\{([^}]*)\}")
ENVIRONMENTS = {name[1:]: name[1:] for name in MATRICES}
ENVIRONMENTS |= dict.fromkeys(("align", "aligned"), "align*")  # their rows would be numbered
ENVIRONMENTS |= dict.fromkeys(("gather", "gather*", "gathered", "multline", "multline*"), "displaylines")
MACRO = re.compile(r"\\(def|newcommand|newenvironment|DeclareMathOperator)")  # they can double what they stand for
COMMAND = re.compile(r"\\[A-Za-z]")  # the converter leaves those it does not know
NAMES = {name[1:] for name in (*FUNCTIONS, *LIMIT)}
# signs that the converter takes for letters, or the other way round, which sets them apart
SIGNS = {"~": ("mo", "∼"), **{sign: ("mo", sign) for sign in ":;…⟹⟺"}, **{sign: ("mi", sign) for sign in "∞⊤∅∀∃"}}
ARG = re.compile(r"\\arg(?![A-Za-z])")  # unknown to it


class Formulas:
    """The formulas of one cell, with marks in their place until its HTML is cleaned.

    Formulas are cleaned on their own, so that no text around them decides how they are read.
    """

    def __init__(self) -> None:
        self.name = f"formula-{secrets.token_hex(8)}-"  # no text can name a formula, or show it twice
        self.shown: list[tuple[str, str]] = []  # as MathML, and as typed
        self.left = MATHML_CHARACTERS

    def mark(self, formula: str, typed: str, block: bool) -> str:
        """What stands for this formula: a mark, or the formula as it was typed."""
        try:
            if len(self.shown) == FORMULAS:
                raise ValueError("too many formulas")
            shown = mathml(formula, block, self.left)
        except Exception:  # the converter is not made for hostile text
            return html.escape(typed, quote=False)
        self.left -= len(shown)
        self.shown.append((shown, typed))
        return f"{self.name}{len(self.shown) - 1}."

    def put(self, text: str, as_typed: bool = False) -> str:
        """This text with formulas in place of their marks, which must stand between tags alone."""
        return re.sub(rf"{self.name}(\d+)\.", lambda mark: self.shown[int(mark[1])][as_typed], text)


def mathml(formula: str, block: bool = False, most: int = MATHML_CHARACTERS) -> str:
    """Clean MathML; an error where the formula is too long, or not fully understood."""
    if len(formula) > FORMULA_CHARACTERS or MACRO.search(formula):
        raise ValueError("too long, or with macros")
    formula = ARG.sub(r"\\operatorname{arg}", ENVIRONMENT.sub(_environment, formula))
    root = convert_to_element(formula, display="block" if block else "inline")
    for element in root.iter():
        _settle(element)
    for element in root.iter():
        _space(element)
    text = tostring(root, encoding="unicode")
    if len(text) > most:
        raise ValueError("too much MathML")
    return CLEANER.clean(text)


def _kept(tag: str, name: str, value: str) -> str | None:
    return value if re.fullmatch(ATTRIBUTES[name], value) else None


CLEANER = nh3.Cleaner(
    tags=set(TAGS),
    attributes={"*": set(ATTRIBUTES)},
    attribute_filter=_kept,
    clean_content_tags=set(),
    url_schemes=set(),
)


def _environment(found: re.Match[str]) -> str:
    if found[2] in ("equation", "equation*"):
        return "{" if found[1] == "begin" else "}"
    return f"\\{found[1]}{{{ENVIRONMENTS[found[2]]}}}"


def _settle(element: Element) -> None:
    """Plain tags with plain text: the converter leaves references to signs in it, and rows inside of operators."""
    letters = [child.text or "" for child in element if child.tag == "mi" and child.get("mathvariant") == "normal"]
    if element.tag == "mrow" and len(letters) == len(element) > 1:
        element[:] = []  # one upright word, not its letters
        element.tag, element.text = "mi", "".join(letters)
    text = html.unescape(element.text or "")
    if element.tag not in TAGS or (element.tag in TEXTS and len(element)):
        element.tag = "mrow"
    if COMMAND.search(text) or (text and element.tag not in TEXTS):
        raise ValueError("an unknown command, or text where none may be")
    element.text = text
    if element.tag in ("mi", "mo") and text in SIGNS:
        element.tag, element.text = SIGNS[text]


def _space(row: Element) -> None:
    """Space around names of functions and signs as TeX sets it, and limits below."""
    if row.tag not in ROWS:
        return
    for before, child, after in zip([None, *row], row, [*row[1:], None], strict=False):
        operator = before is None or (before.tag == "mo" and before.text not in CLOSING)
        name = child[0] if child.tag in LIMITS and len(child) else child
        if name.text in NAMES or (name.tag == "mo" and len(name.text or "") > 1):
            bracket = after is not None and after.text in OPENING
            name.tag = "mo"
            name.attrib |= {"lspace": "0em" if operator else "0.167em", "rspace": "0em" if bracket else "0.167em"}
        elif name.text in SIGNED and operator:
            name.set("form", "prefix")
        if f"\\{name.text}" in LIMIT or name.get("movablelimits"):
            name.set("movablelimits", "true")
            child.tag = LIMITS.get(child.tag, child.tag)
