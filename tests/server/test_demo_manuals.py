"""The demo manuals: built from their sources, readable, and worth asking."""

import io
import json
import re
import runpy
import tomllib
from collections import Counter
from pathlib import Path

import pypdf
import pypdfium2
import pytest

from server.demo import catalog_path

ROOT = Path(__file__).resolve().parents[2]
MANUALS = catalog_path().parent / "manuals"
SOURCES = sorted(MANUALS.glob("*.md"))
GOLDEN = [
    json.loads(line)
    for line in (ROOT / "tests/golden/demo_questions.jsonl").read_text("utf-8").splitlines()
]
MAIN_IDS = {"orrinfeld-od-12", "vesperling-aurel-49", "quillmark-harbour-8"}
REFERENCE = re.compile(r"(?:see |in |and )(\d{1,2}\.\d)\b")


@pytest.fixture(scope="module")
def build():
    return runpy.run_path(str(ROOT / "scripts/build_demo_manuals.py"))["build"]


@pytest.fixture(scope="module")
def products():
    with catalog_path().open("rb") as file:
        return tomllib.load(file)["product"]


def page_texts(pdf):
    document = pypdfium2.PdfDocument(pdf)
    try:
        return [page.get_textpage().get_text_range() for page in document]
    finally:
        document.close()


def page_texts_by_pypdf(pdf):
    return [page.extract_text() for page in pypdf.PdfReader(pdf, strict=True).pages]


def outline(pdf):
    """Return (title, page from 1, level) of each line of a PDF's outline."""
    document = pypdfium2.PdfDocument(pdf)
    try:
        return [
            (mark.get_title(), mark.get_dest().get_index() + 1, mark.level)
            for mark in document.get_toc()
        ]
    finally:
        document.close()


def source_parts(source):
    _, head, body = source.read_text("utf-8").split("+++\n", 2)
    return tomllib.loads(head), re.sub(r"(?m)^\|[ |:-]+\|$", "", body)


def headings(body):
    return re.findall(r"(?m)^#{1,2} (.+)$", body)


def words(text):
    return Counter(re.findall(r"\w+", text))


def squeezed(text):
    return " ".join(text.split()).casefold()


def running_words(facts, marks, page_count):
    """Count the words of the headers and footers from the first chapter on."""
    counted = Counter()
    for page in range(marks[0][1], page_count + 1):
        chapter = [title for title, start, level in marks if level == 0 and start <= page][-1]
        counted += words(f"{facts['brand']} {facts['model']} {chapter} {facts['document']} {page}")
    return counted


def test_the_three_manuals_are_there():
    assert {source.stem for source in SOURCES} == MAIN_IDS


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_pdf_is_what_its_source_gives(build, source):
    assert source.with_suffix(".pdf").read_bytes() == build(source)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_page_count_and_metadata(source):
    facts, _ = source_parts(source)
    with io.BytesIO(source.with_suffix(".pdf").read_bytes()) as pdf:
        reader = pypdf.PdfReader(pdf, strict=True)
        assert 12 <= len(reader.pages) <= 30
        assert reader.metadata.author == facts["brand"]
        assert facts["title"] in reader.metadata.title


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_outline_and_the_contents_name_each_heading_and_its_page(source):
    pdf = source.with_suffix(".pdf")
    marks, pages = outline(pdf), page_texts(pdf)
    _, body = source_parts(source)
    assert [title for title, _, _ in marks] == headings(body)
    contents = squeezed(" ".join(pages[1 : marks[0][1] - 1]).replace(" .", ""))
    for title, page, level in marks:
        assert level == (1 if re.match(r"\d+\.", title) else 0)
        assert squeezed(title) in squeezed(pages[page - 1])
        assert f"{squeezed(title)} {page} " in contents + " "


@pytest.mark.parametrize("read", [page_texts, page_texts_by_pypdf])
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_words_come_back_as_they_were_written(source, read):
    pdf = source.with_suffix(".pdf")
    facts, body = source_parts(source)
    marks, pages = outline(pdf), read(pdf)
    written = words(body) + running_words(facts, marks, len(pages))
    found = words("\n".join(pages[marks[0][1] - 1 :]))
    common = (written & found).total()
    assert not written - found  # not one word is lost or cut
    assert 2 * common / (written.total() + found.total()) > 0.98


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_manual_refers_only_to_its_own_sections(source):
    _, body = source_parts(source)
    numbers = {title.split()[0] for title in headings(body)}
    references = set(REFERENCE.findall(re.sub(r"(?m)^\|.*dB.*\|$", "", body)))
    sections = {number for number in references if re.search(rf"[Ss]ee [^|]*\b{number}\b", body)}
    assert sections
    assert sections <= numbers


def test_the_catalog_refers_to_what_exists(products):
    ids = [product["id"] for product in products]
    assert len(ids) == len(set(ids)) >= 13
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,64}", one) for one in ids)
    for product in products:
        assert {"id", "name", "brand", "category"} <= product.keys()
        assert product["id"] not in product["accessories"]
        assert set(product["accessories"]) <= set(ids)
        if "manual" in product:
            assert (catalog_path().parent / product["manual"]["path"]).is_file()
    assert {product["id"] for product in products if "manual" in product} == MAIN_IDS


def test_a_manual_names_its_accessories(products):
    names = {product["id"]: product["name"].split()[0] for product in products}
    for product in products:
        if "manual" in product:
            text = " ".join(page_texts(catalog_path().parent / product["manual"]["path"]))
            for accessory in product["accessories"]:
                assert names[accessory] in text, (product["id"], accessory)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_golden_facts_stand_on_the_golden_pages(source):
    pages = [squeezed(page) for page in page_texts(source.with_suffix(".pdf"))]
    asked = [case for case in GOLDEN if case["product_id"] == source.stem and case["answerable"]]
    assert len(asked) >= 20
    for case in asked:
        gold = [pages[page - 1] for page in case["pages"]]
        facts = [squeezed(fact) for fact in case["must_contain"]]
        assert facts
        assert all(any(fact in page for page in gold) for fact in facts), case["id"]
        assert all(any(fact in page for fact in facts) for page in gold), case["id"]


def test_golden_questions_are_well_formed():
    keys = {"id", "product_id", "question", "pages", "must_contain", "answerable"}
    assert len(GOLDEN) >= 60
    assert len({case["id"] for case in GOLDEN}) == len(GOLDEN)
    assert sum(not case["answerable"] for case in GOLDEN) >= 10
    for case in GOLDEN:
        assert case.keys() == keys
        assert case["product_id"] in MAIN_IDS
        assert case["question"].endswith(("?", "."))
        assert case["answerable"] == bool(case["pages"]) == bool(case["must_contain"])
