"""Build the demo manuals: each Markdown source in server/demo/manuals becomes a PDF beside it.

    python scripts/build_demo_manuals.py           write the PDFs
    python scripts/build_demo_manuals.py --check   exit 1 when a PDF is not what its source gives

A build is byte-for-byte reproducible: no clock, no compression (zlib versions differ), and only
the fonts every PDF reader has. A source begins with TOML between two `+++` lines. Its Markdown
may hold two levels of headings, paragraphs, lists, tables, bold, italic and code, and block
quotes that open with **WARNING** or **CAUTION**; anything else is an error.
"""

from __future__ import annotations

import argparse
import io
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode
from reportlab.lib.colors import Color, HexColor, white
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.platypus import (
    BaseDocTemplate,
    CondPageBreak,
    Flowable,
    Frame,
    NextPageTemplate,
    PageBreak,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
    TableStyle,
)
from reportlab.platypus.tableofcontents import TableOfContents

MANUALS = Path(__file__).resolve().parent.parent / "server" / "demo" / "manuals"
PAGE = (176 * mm, 250 * mm)  # B5, the usual size of a printed owner's manual
MARGIN = 18 * mm
WIDTH = PAGE[0] - 2 * MARGIN
INK = HexColor("#1d2126")
GREY = HexColor("#6b727a")
RULE = HexColor("#c9ced3")
BOXES = {
    "WARNING": (HexColor("#b3201b"), HexColor("#fbecea")),
    "CAUTION": (HexColor("#c77700"), HexColor("#fdf4e3")),
}

BOLD = "Helvetica-Bold"
BODY = ParagraphStyle(
    "body", fontName="Helvetica", fontSize=9, leading=12.6, textColor=INK, spaceAfter=5
)
STEP = ParagraphStyle("step", BODY, leftIndent=16, bulletIndent=2, spaceAfter=3)
CELL = ParagraphStyle("cell", BODY, fontSize=8, leading=10.2, spaceAfter=0)
HEAD_CELL = ParagraphStyle("head", CELL, fontName=BOLD, textColor=white)
H2 = ParagraphStyle("h2", BODY, fontName=BOLD, fontSize=11.5, leading=14.5, keepWithNext=1)
H2.spaceBefore, H2.spaceAfter = 9, 4


class ManualDocument(BaseDocTemplate):
    """A manual on its way to paper: it files headings in the outline and in the contents."""

    def __init__(self, target: io.BytesIO, facts: dict[str, Any]) -> None:
        super().__init__(
            target,
            pagesize=PAGE,
            title=f"{facts['brand']} {facts['title']}: {facts['subtitle']}",
            author=facts["brand"],
            subject=f"{facts['subtitle']}, {facts['edition']}",
            keywords=[facts["model"], facts["document"]],
            lang="en",
            displayDocTitle=True,
            invariant=1,
            pageCompression=0,
        )
        self.facts = facts
        self.accent: Color = HexColor(facts["accent"])
        self.chapter = ""
        frame = Frame(MARGIN, MARGIN + 4 * mm, WIDTH, PAGE[1] - 2 * MARGIN - 8 * mm, 0, 0, 0, 0)
        self.addPageTemplates(PageTemplate("cover", [frame], onPage=self._draw_cover))
        self.addPageTemplates(PageTemplate("page", [frame], onPageEnd=self._draw_edges))

    def afterFlowable(self, flowable: Flowable) -> None:  # noqa: N802
        """File a heading under the page it has come to stand on."""
        level = {"h1": 0, "h2": 1}.get(getattr(getattr(flowable, "style", None), "name", ""))
        if level is None:
            return
        title = flowable.getPlainText()
        key = title.split(" ", 1)[0]
        if level == 0:
            self.chapter = title
        self.canv.bookmarkPage(key)
        self.canv.addOutlineEntry(title, key, level, closed=level == 0)
        self.notify("TOCEntry", (level, escape(title), self.page, key))

    def _draw_edges(self, canvas: Any, _document: object) -> None:
        top, bottom = PAGE[1] - MARGIN + 2 * mm, MARGIN - 3 * mm
        canvas.saveState()
        canvas.setStrokeColor(RULE)
        canvas.lines([(MARGIN, y, PAGE[0] - MARGIN, y) for y in (top, bottom)])
        canvas.setFont("Helvetica", 7.5)
        canvas.setFillColor(GREY)
        canvas.drawString(MARGIN, top + 4, f"{self.facts['brand']} {self.facts['model']}")
        canvas.drawRightString(PAGE[0] - MARGIN, top + 4, self.chapter)
        canvas.drawString(MARGIN, bottom - 10, self.facts["document"])
        canvas.setFont(BOLD, 8.5)
        canvas.setFillColor(self.accent)
        canvas.drawRightString(PAGE[0] - MARGIN, bottom - 10, str(self.page))
        canvas.restoreState()

    def _draw_cover(self, canvas: Any, _document: object) -> None:
        self.chapter = "Contents"  # what follows the cover, in each pass
        facts, (width, height) = self.facts, PAGE
        canvas.saveState()
        canvas.setFillColor(self.accent)
        canvas.rect(0, height * 0.52, width, height * 0.48, stroke=0, fill=1)
        _draw_panel(canvas, width / 2, height * 0.68)
        canvas.setFillColor(white)
        _write(canvas, height - 26 * mm, BOLD, 15, facts["brand"])
        canvas.setFillColor(INK)
        _write(canvas, height * 0.42, BOLD, 34, facts["model"])
        _write(canvas, height * 0.42 - 24, "Helvetica", 14, facts["title"])
        canvas.setFillColor(GREY)
        _write(canvas, height * 0.42 - 46, "Helvetica", 11, facts["subtitle"])
        _write(canvas, MARGIN + 11, "Helvetica", 8, facts["edition"])
        _write(canvas, MARGIN, "Helvetica", 8, f"{facts['document']}  {facts['date']}")
        canvas.restoreState()


def _write(canvas: Any, y: float, font: str, size: float, text: str) -> None:
    canvas.setFont(font, size)
    canvas.drawString(MARGIN, y, text)


def _draw_panel(canvas: Any, x: float, y: float) -> None:
    """A front panel seen from above, in outline: eight knobs, a display and pads."""
    canvas.setStrokeColor(white)
    canvas.setLineWidth(1.2)
    canvas.roundRect(x - 62 * mm, y - 21 * mm, 124 * mm, 42 * mm, 4 * mm)
    canvas.roundRect(x - 56 * mm, y - 2 * mm, 38 * mm, 17 * mm, mm)
    for column in range(6):
        left = x - 8 * mm + column * 12 * mm
        canvas.circle(left, y + 7 * mm, 4 * mm)
        canvas.line(left, y + 7 * mm, left + 1.8 * mm, y + 10 * mm)
    for column in range(8):
        canvas.roundRect(x - 56 * mm + column * 14.2 * mm, y - 15 * mm, 12 * mm, 8 * mm, mm)


def inline(node: SyntaxTreeNode) -> str:
    """Return a node's inline content in reportlab's paragraph markup."""
    tags = {"strong": ("<b>", "</b>"), "em": ("<i>", "</i>")}
    match node.type:
        case "text":
            return escape(node.content)
        case "softbreak":
            return " "
        case "code_inline":
            return f'<font face="Courier">{escape(node.content)}</font>'
        case "inline" | "strong" | "em":
            opened, closed = tags.get(node.type, ("", ""))
            return opened + "".join(map(inline, node.children)) + closed
    raise ValueError(f"unsupported inline Markdown: {node.type}")


def flowables(tree: SyntaxTreeNode, accent: Color) -> Iterator[Flowable]:
    """Yield what a manual's Markdown looks like on paper, in order."""
    h1 = ParagraphStyle(
        "h1", H2, fontSize=18, leading=22, spaceBefore=12, spaceAfter=7, textColor=accent
    )
    for node in tree.children:
        match node.type:
            case "heading" if node.tag == "h1":
                yield CondPageBreak(75 * mm)
                yield Paragraph(inline(node.children[0]), h1)
            case "heading" if node.tag == "h2":
                yield Paragraph(inline(node.children[0]), H2)
            case "paragraph":
                yield Paragraph(inline(node.children[0]), BODY)
            case "ordered_list" | "bullet_list":
                yield from _list(node)
            case "table":
                yield _table(node, accent)
            case "blockquote":
                yield _box(node)
            case _:
                raise ValueError(f"unsupported Markdown: {node.type} {node.tag}")


def _list(node: SyntaxTreeNode) -> Iterator[Flowable]:
    for number, item in enumerate(node.children, 1):
        mark = f"{number}." if node.type == "ordered_list" else "\u2022"
        yield Paragraph(inline(item.children[0].children[0]), STEP, bulletText=mark)
    yield Spacer(1, 3)


def _box(node: SyntaxTreeNode) -> Flowable:
    parts = node.children[0].children[0].children
    label, *rest = [part for part in parts if part.type != "text" or part.content]
    word = label.children[0].content if label.type == "strong" else ""
    if word not in BOXES:
        raise ValueError("a block quote opens with WARNING or CAUTION in bold")
    strong, pale = BOXES[word]
    title = ParagraphStyle("label", CELL, fontName=BOLD, textColor=strong)
    text = "".join(map(inline, rest)).strip()
    content = [Paragraph(word, title), Paragraph(text, ParagraphStyle("box", BODY, spaceAfter=0))]
    style = [
        ("BACKGROUND", (0, 0), (-1, -1), pale),
        ("LINEBEFORE", (0, 0), (0, -1), 3, strong),
        ("LEFTPADDING", (0, 0), (-1, -1), 9),
        ("TOPPADDING", (0, 0), (-1, -1), 4),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 5),
    ]
    return Table([[content]], colWidths=[WIDTH], style=TableStyle(style), spaceAfter=6)


def _table(node: SyntaxTreeNode, accent: Color) -> Flowable:
    rows = [row for part in node.children for row in part.children]
    texts = [[inline(cell.children[0]) for cell in row.children] for row in rows]
    styles = [HEAD_CELL] + [CELL] * (len(texts) - 1)
    cells = [
        [Paragraph(text, style) for text in row] for row, style in zip(texts, styles, strict=True)
    ]
    style = [
        ("BACKGROUND", (0, 0), (-1, 0), accent),
        ("ROWBACKGROUNDS", (0, 1), (-1, -1), [white, HexColor("#f5f6f7")]),
        ("LINEBELOW", (0, 1), (-1, -1), 0.4, RULE),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("TOPPADDING", (0, 0), (-1, -1), 3),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 3.5),
        ("LEFTPADDING", (0, 0), (-1, -1), 5),
        ("RIGHTPADDING", (0, 0), (-1, -1), 5),
    ]
    widths = _column_widths(texts)
    # The space belongs to the table: a spacer would part it from its heading at a page's end.
    return Table(cells, widths, repeatRows=1, style=TableStyle(style), spaceBefore=2, spaceAfter=7)


def _column_widths(texts: list[list[str]]) -> list[float]:
    """Share the width: each column gets its longest word, the rest goes by the longest cells."""

    def needed(text: str) -> float:
        return float(stringWidth(text, HEAD_CELL.fontName, CELL.fontSize)) + 12

    columns = list(zip(*texts, strict=True))
    least = [max(needed(word) for cell in column for word in cell.split()) for column in columns]
    wanted = [max(map(needed, column)) for column in columns]
    spare = WIDTH - sum(least)
    excess = [want - low for want, low in zip(wanted, least, strict=True)]
    return [
        low + spare * more / (sum(excess) or 1.0) for low, more in zip(least, excess, strict=True)
    ]


def build(source: Path) -> bytes:
    """Return the PDF of one Markdown source; raises ValueError for Markdown outside the subset."""
    _, head, body = source.read_text(encoding="utf-8").split("+++\n", 2)
    target = io.BytesIO()
    document = ManualDocument(target, tomllib.loads(head))
    tree = SyntaxTreeNode(MarkdownIt("commonmark").enable("table").parse(body))
    story: list[Flowable] = [NextPageTemplate("page"), PageBreak()]
    story += [Paragraph("Contents", ParagraphStyle("contents", H2, fontSize=18, leading=24))]
    story += [_contents(), PageBreak(), *flowables(tree, document.accent)]
    document.multiBuild(story)
    return target.getvalue()


def _contents() -> TableOfContents:
    chapter = ParagraphStyle("c1", BODY, fontName=BOLD, spaceBefore=3, spaceAfter=0)
    section = ParagraphStyle("c2", BODY, fontSize=8.5, leading=10.6, leftIndent=12, spaceAfter=0)
    sides = ("LEFT", "RIGHT", "TOP", "BOTTOM")
    tight = TableStyle([(f"{side}PADDING", (0, 0), (-1, -1), 0) for side in sides])
    return TableOfContents(levelStyles=[chapter, section], tableStyle=tight, dotsMinLevel=1)


def main() -> int:
    """Build or check every manual; returns the exit status."""
    parser = argparse.ArgumentParser(description="Build the demo manuals from their Markdown.")
    parser.add_argument("--check", action="store_true", help="compare only, write nothing")
    check, stale = bool(parser.parse_args().check), 0
    for source in sorted(MANUALS.glob("*.md")):
        pdf, target = build(source), source.with_suffix(".pdf")
        if not check:
            target.write_bytes(pdf)
            print(f"{target.name}: {len(pdf):,} bytes")
        elif not target.exists() or target.read_bytes() != pdf:
            stale += 1
            print(f"{target.name} is not what {source.name} gives; build it again", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
