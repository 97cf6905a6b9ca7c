"""Markdown that a student may have written, as HTML that can do nothing."""

import html
import re
from typing import Any

import nh3
from jinja2 import pass_context
from mistune.plugins import import_plugin
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from autograder.feedback.clean import clean_attachments
from autograder.feedback.formulas import Formulas
from autograder.feedback.pictures import CELL_CHARACTERS, JPEG, PAGE_CHARACTERS, PNG, clean_picture
from autograder.feedback.remembered import remembered

MARKDOWN_CHARACTERS = 20_000  # longer cells are shown as they were typed: parsing hostile text takes time
HTML_CHARACTERS = 2**20  # of such a cell without its pictures; honest text grows by markup, hostile text by repetition
PLUGINS = ("strikethrough", "table", "url", "def_list")
# fmt: off
TAGS = frozenset((
    "a", "abbr", "b", "blockquote", "br", "caption", "center", "code", "dd", "del", "details", "div", "dl", "dt", "em",
    "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "ins", "kbd", "li", "mark", "ol", "p", "pre", "s", "small",
    "span", "strong", "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul", "var",
))
# fmt: on
ATTRIBUTES = {tag: {"class", "style"} for tag in TAGS} | {
    "a": {"href", "title"},
    "details": {"class", "open", "style"},
    "img": {"alt", "height", "src", "width"},
    "ol": {"class", "start", "style"},
    "*": set(),  # instead of the cleaner's own list
}
# The cleaner drops tags that it does not allow: as text, they are read, such as `List<int>` in an answer.
FOREIGN_TAG = re.compile(rf"<(?!/?(?:{'|'.join(TAGS)})[\s/>]|!--)", re.I)
ALIGNMENT = re.compile(r"(?:^|;)\s*text-align\s*:\s*(left|right|center)\s*(?:;|$)", re.I)
LINK = re.compile(r"(?:https?://|mailto:|#)", re.I)
PICTURE = re.compile(r"data:image/(png|jpeg);base64,([A-Za-z0-9+/=]+)")
# The names that pygments gives to its tokens; other classes belong to the page and could restyle it.
TOKEN_CLASS = re.compile(r"highlight|[a-z][a-z0-9]{0,2}")
NUMBER = re.compile(r"\d{1,4}")


class PlainRenderer(IPythonRenderer):
    """Pictures from the cell's own attachments only, and no heading ids: ids would collide with the page's.

    `left` is how many characters of them are still shown: a text can name one attachment many times.
    """

    left = CELL_CHARACTERS

    def __init__(self, attachments: Any, formulas: Formulas) -> None:
        super().__init__(escape=False, attachments=clean_attachments(attachments), exclude_anchor_links=True)
        self.formulas = formulas

    def inline_math(self, body: str) -> str:
        return self.formulas.mark(body, f"${body}$", block=False)

    def block_math(self, body: str) -> str:
        return self.formulas.mark(body, f"$${body}$$", block=True)

    def latex_environment(self, name: str, body: str) -> str:
        typed = f"\\begin{{{name}}}{body}\\end{{{name}}}"
        return self.formulas.mark(typed, typed, block=True)

    def image(self, text: str, url: str, title: str | None = None) -> str:
        text = self.formulas.put(text, as_typed=True)
        if url.startswith("attachment:"):
            for kind, data in self.attachments.get(url.removeprefix("attachment:"), {}).items():
                if len(data) > self.left:
                    break
                self.left -= len(data)
                return f'<img src="data:{kind};base64,{data}" alt="{html.escape(text)}">'
        if PICTURE.fullmatch(url):
            return f'<img src="{url}" alt="{html.escape(text)}">'
        return f"<em>[picture not shown: {html.escape(text or url[:100])}]</em>"

    def block_mermaidjs(self, code: str) -> str:
        return f"<pre><code>{html.escape(code)}</code></pre>"


def safe_html(source: str, attachments: Any = None, most: int = CELL_CHARACTERS) -> str:
    """Markdown as HTML without scripts, handlers, frames, forms, foreign styles or anything fetched from elsewhere.

    At most so many characters of it are attached pictures.
    """
    if len(source) > MARKDOWN_CHARACTERS:
        return as_typed(source)
    renderer = PlainRenderer(attachments, formulas := Formulas())
    renderer.left = most = min(most, CELL_CHARACTERS)

    def kept(tag: str, name: str, value: str) -> str | None:
        # a mark in an attribute would become MathML
        return None if formulas.name in value else _kept(name, value)

    try:
        rendered = MarkdownWithMath(renderer, plugins=[import_plugin(name) for name in PLUGINS]).render(source)
        if len(rendered) - (most - renderer.left) > HTML_CHARACTERS:
            return as_typed(source)
        cleaned = nh3.clean(
            FOREIGN_TAG.sub("&lt;", rendered),
            tags=set(TAGS),
            attributes=ATTRIBUTES,
            attribute_filter=kept,
            clean_content_tags=set(),
            url_schemes={"http", "https", "mailto", "data"},
            link_rel=None,
        )
    except Exception:  # no text may keep the page from being made
        return as_typed(source)
    # The cleaner has escaped <, > and quotes in attributes: what looks like a tag or an address here is one. nbgrader's
    # page has Bootstrap's styles only: bare tables have no lines there, and summaries no marker.
    cleaned = re.sub(r'<img(?![^>]* src="data:)[^>]*>', "<em>[picture not shown]</em>", cleaned)
    cleaned = cleaned.replace("<table>", '<table class="table table-bordered table-condensed">')
    return formulas.put(cleaned.replace("<summary>", "<summary>&#9656; "))


def as_typed(source: str) -> str:
    return f"<pre>{html.escape(source)}</pre>"


def _kept(name: str, value: str) -> str | None:
    """The value of an attribute as it may stand on the page, or None."""
    if name == "style":
        aligned = ALIGNMENT.search(value)
        return f"text-align:{aligned[1]}" if aligned else None
    if name == "open":
        return ""
    return value if _harmless(name, value) else None


def _harmless(name: str, value: str) -> bool:
    if name == "href":
        # A relative address is refused too: nbconvert strips "files/" later, and what stays may be a scheme.
        return bool(LINK.match(value))
    if name == "src":
        found = PICTURE.fullmatch(value)
        return found is not None and clean_picture(found[2], PNG if found[1] == "png" else JPEG) is not None
    if name in ("height", "start", "width"):
        return bool(NUMBER.fullmatch(value))
    if name == "class":
        return all(TOKEN_CLASS.fullmatch(word) for word in value.split())
    return True


_without_attachments = remembered(safe_html)


@pass_context
def markdown_to_html(context: Any, source: str) -> str:
    """In place of nbconvert's `markdown2html`: the templates of nbgrader do not sanitise markdown cells."""
    resources = context["resources"]  # of this page alone
    left = resources.setdefault("characters_left", PAGE_CHARACTERS)
    attachments = context.get("cell", {}).get("attachments")
    shown = safe_html(source, attachments, left) if attachments else _without_attachments(source)
    resources["characters_left"] = max(0, left - len(shown))
    return shown
