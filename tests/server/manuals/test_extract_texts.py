"""What becomes of HTML, Markdown, plain text and PDF text, without a child process."""

import pytest

from server.manuals.documents import ManualError
from server.manuals.extraction.plain import read_markdown, read_text
from server.manuals.extraction.results import Result, frame, result_of
from server.manuals.extraction.web_page import read_html
from server.manuals.extraction.wording import decoded, mean_word_chars, normalised
from server.manuals.sniffing import sniff


def pages_of(results):
    results = list(results)
    return [result.page for result in results if result.page is not None], results[-1]


def test_text_is_normalised_once():
    assert normalised("a\r\nb\rc\x00\x0c\x1f\td") == "a\nb\nc\td"
    assert normalised("ex\u00ad\r\nample \ufb01t o\ufb03ce") == "example fit office"
    assert normalised("lone \ud800 surrogate") == "lone  surrogate"
    assert normalised(normalised("a\x02\r\nb")) == normalised("a\x02\r\nb") == "ab"


def test_lost_spaces_show_in_the_length_of_words():
    assert mean_word_chars("turn the knob to the left and wait " * 10) < 5
    assert mean_word_chars("turntheknobtotheleft andwaitforit " * 10) > 8
    assert mean_word_chars("short") == 0.0


def test_bytes_are_decoded_by_mark_name_and_guess():
    assert decoded("ä".encode("utf-16")) == decoded(b"\xef\xbb\xbf\xc3\xa4") == "ä"
    assert decoded(b"\xe4") == decoded(b"\xe4", "no-such-encoding") == "ä"
    assert decoded("ж".encode("koi8-r"), "koi8-r") == "ж"


def test_html_is_read_as_a_reader_sees_it():
    page = """<html><head><title> TD-17  guide </title><style>p{}</style></head><body>
    <nav>Home</nav><h1>Set<b>up</b></h1><p>Press <b>KIT</b>
    now.<br>Then wait.</p><script>alert(1)</script>
    <table><tr><th>Key</th><th>Value</th></tr><tr><td>Power</td><td>5 W</td></tr></table>
    <ul><li>One<li>Two</ul><pre>a  b
  c</pre>after</body></html>"""
    pages, facts = pages_of(read_html(page.encode(), 10))
    assert pages == [
        "Setup\n\nPress KIT now.\nThen wait.\n\nKey | Value\nPower | 5 W\n\nOne\n\nTwo\n\n"
        "a  b\n  c\n\nafter"
    ]
    assert facts.title == "TD-17 guide"
    assert facts.outline == [("Setup", 1, 0)]


def test_deep_html_is_no_problem():
    pages, _ = pages_of(read_html(b"<div>" * 5_000 + b"<p>deep", 10))
    assert pages == ["deep"]


def test_markdown_loses_its_marks_and_keeps_its_text():
    text = """# The *OD-12* #

Press **KIT** or `MENU`, see [the guide](https://a.example/b) and ![a dial](d.png).
snake_case and 2 * 3 * 4 stay.

| Key | Value |
|-----|:-----:|
| Power | 5 W |

```
# not a heading
```
<!-- hidden -->
## 1.1 Next
"""
    pages, facts = pages_of(read_markdown(text.encode(), 10))
    assert pages == [
        "The OD-12\n\nPress KIT or MENU, see the guide and a dial.\nsnake_case and 2 * 3 * 4 stay."
        "\n\nKey | Value\nPower | 5 W\n\n# not a heading\n\n1.1 Next"
    ]
    assert facts.outline == [("The OD-12", 1, 0), ("1.1 Next", 1, 1)]


def test_pages_come_from_form_feeds_or_from_size():
    pages, _ = pages_of(read_text(b"one\fthree\f\ffour\f", 10))
    assert pages == ["one", "three", "", "four"]
    pages, _ = pages_of(read_text(b"word " * 2_000, 10))
    assert [len(page) <= 3_000 for page in pages] == [True] * len(pages)
    assert " ".join(" ".join(pages).split()) == ("word " * 2_000).strip()


def test_too_many_pages_and_no_text_are_told():
    for data, problem in ((b"a\fb\fc", "too_large"), (b"\x01\x02", "empty")):
        with pytest.raises(ManualError) as caught:
            list(read_text(data, 2))
        assert caught.value.problem == problem


@pytest.mark.parametrize(
    ("data", "declared", "content_type", "name", "kind"),
    [
        (b"%PDF-1.4", None, "text/html", "", "pdf"),
        (b"\n\n%PDF-1.4", "pdf", "", "", "pdf"),
        (b"<!doctype html><p>a", None, "", "", "html"),
        (b"<p>a</p>", None, "text/html; charset=utf-8", "", "html"),
        (b"# A", None, "text/plain", "a.md", "markdown"),
        (b"A", None, "", "/a.txt?x=.pdf", "text"),
        (b"A", None, "", "", "text"),
    ],
)
def test_kinds_are_told_by_bytes_then_name(data, declared, content_type, name, kind):
    assert sniff(data, declared=declared, content_type=content_type, name=name) == kind


def test_an_empty_file_is_empty():
    with pytest.raises(ManualError) as caught:
        sniff(b" \n", declared=None, content_type="", name="a.pdf")
    assert caught.value.problem == "empty"


def test_a_frame_comes_back_as_it_went():
    result = Result(page="ä\n", outline=[("A", 1, 0)], problem="damaged", message="x")
    assert result_of(frame(result)[4:]) == result
