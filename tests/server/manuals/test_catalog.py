import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reportlab.pdfgen import canvas

from server.manuals.catalog import (
    Catalog,
    CatalogError,
    Product,
    catalog_from_folder,
    dump_toml,
    load_catalog,
)
from server.manuals.documents import ManualSource
from server.manuals.folder import sensible_title, slug
from server.manuals.products import PRODUCT_ID
from server.manuals.titles import read_titles

GOOD = """
[[product]]
id = "td-17"
name = "TD-17"
brand = "Korven"
category = "Drums"
description = "A kit."
aliases = ["V-Drums 17"]
accessories = ["kd-10"]
manual = { path = "td-17.pdf", type = "pdf" }

[[product]]
id = "kd-10"
name = "KD-10"
manual = { url = "https://example.com/kd-10", backup_url = "https://example.org/kd-10" }
"""


def write_pdf(path: Path, title: str | None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    page = canvas.Canvas(str(path))
    if title is not None:
        page.setTitle(title)
    page.drawString(72, 72, "Hold both buttons.")
    page.save()
    return path


def problems_of(folder: Path, text: str, name: str = "catalog.toml") -> tuple[str, ...]:
    path = folder / name
    path.write_text(text, "utf-8")
    with pytest.raises(CatalogError) as caught:
        load_catalog(path)
    assert all(str(path) in problem for problem in caught.value.problems)
    return caught.value.problems


@pytest.fixture
def good(tmp_path: Path) -> Path:
    (tmp_path / "td-17.pdf").write_bytes(b"%PDF-")
    (tmp_path / "catalog.toml").write_text(GOOD)
    return tmp_path / "catalog.toml"


def test_reads_every_field(good: Path):
    catalog = load_catalog(good)
    assert catalog.get("td-17") == Product(
        id="td-17",
        name="TD-17",
        brand="Korven",
        category="Drums",
        description="A kit.",
        aliases=("V-Drums 17",),
        accessories=("kd-10",),
        manual=ManualSource(path=str(good.parent / "td-17.pdf"), type="pdf"),
    )
    kd10 = catalog.get("kd-10")
    assert kd10 is not None
    assert kd10.manual == ManualSource(
        url="https://example.com/kd-10", backup_url="https://example.org/kd-10"
    )
    assert catalog.get("nothing") is None
    assert len(catalog) == 2


def test_json_is_the_same_catalog(good: Path):
    import tomllib

    other = good.with_suffix(".json")
    other.write_text(json.dumps(tomllib.loads(GOOD)))
    assert load_catalog(other) == load_catalog(good)


def test_a_dumped_catalog_reads_back_and_can_move(good: Path, tmp_path: Path):
    catalog = load_catalog(good)
    again = good.with_name("again.toml")
    again.write_text(dump_toml(catalog, relative_to=good.parent))
    assert load_catalog(again) == catalog
    assert str(tmp_path) not in again.read_text()


@given(
    st.lists(
        st.builds(
            Product,
            id=st.from_regex(PRODUCT_ID, fullmatch=True),
            name=st.text(min_size=1, max_size=50).filter(
                lambda text: text.isprintable() and text == " ".join(text.split()) and text
            ),
            aliases=st.lists(
                st.text('"\\\u2028€ä🎹a', min_size=1, max_size=9)
                .filter(str.isprintable)
                .filter(lambda text: text == text.strip() and text),
                max_size=3,
                unique=True,
            ).map(tuple),
            manual=st.none() | st.just(ManualSource(url="https://example.com/a?b=%22")),
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda product: product.id,
    )
)
def test_whatever_is_dumped_reads_back(tmp_path_factory, products: list[Product]):
    catalog = Catalog(tuple(products))
    path = tmp_path_factory.mktemp("dump") / "catalog.toml"
    path.write_text(dump_toml(catalog), "utf-8")
    assert load_catalog(path) == catalog


@pytest.mark.parametrize(
    ("row", "field", "remedy"),
    [
        ('id = "a b"\nname = "N"', "`id`", "A-Z a-z 0-9"),
        (f'id = "{"x" * 65}"\nname = "N"', "`id`", "1 to 64"),
        ('name = "N"', "`id`", "1 to 64"),
        ('id = "a"', "`name`", "missing"),
        ('id = "a"\nname = 3', "`name`", "quotes"),
        ('id = "a"\nname = "N\\u001b[31m"', "`name`", "control characters"),
        ('id = "a"\nname = "N"\nbrandt = "B"', "`brandt`", "Did you mean `brand`?"),
        ('id = "a"\nname = "N"\nzzz = 1', "`zzz`", "Remove it"),
        ('id = "a"\nname = "N"\naliases = "A"', "`aliases`", '["one", "two"]'),
        ('id = "a"\nname = "N"\naccessories = ["b"]', "`accessories`", "Add it or remove it"),
        ('id = "a"\nname = "N"\naccessories = ["a"]', "`accessories`", "its own accessory"),
        ('id = "a"\nname = "N"\nmanual = "m.pdf"', "`manual`", "path ="),
        ('id = "a"\nname = "N"\nmanual = {}', "`manual`", "neither url nor path"),
        (
            'id = "a"\nname = "N"\nmanual = { url = "https://h/m", path = "m" }',
            "`manual`",
            "url and path are both",
        ),
        ('id = "a"\nname = "N"\nmanual = { path = "m.pdf" }', "`manual.path`", "no such file"),
        ('id = "a"\nname = "N"\nmanual = { url = "ftp://h/m" }', "`manual.url`", "https://"),
        ('id = "a"\nname = "N"\nmanual = { url = "https://[x/m" }', "`manual.url`", "https://"),
        (
            'id = "a"\nname = "N"\nmanual = { url = "https://h/m", type = "doc" }',
            "`manual.type`",
            "pdf, html, text, markdown",
        ),
        (
            'id = "a"\nname = "N"\nmanual = { urll = "https://h/m" }',
            "`manual.urll`",
            "Did you mean `manual.url`?",
        ),
        ('id = "a"\nname = "N"\nmanual = { url = 7 }', "`manual.url`", "quotes"),
    ],
)
def test_a_wrong_field_is_named_with_its_remedy(tmp_path: Path, row: str, field: str, remedy: str):
    problems = problems_of(tmp_path, f"[[product]]\n{row}\n")
    assert any(field in problem and remedy in problem for problem in problems), problems


def test_an_id_used_twice(tmp_path: Path):
    [problem] = problems_of(tmp_path, '[[product]]\nid = "a"\nname = "N"\n' * 2)
    assert '"a"' in problem
    assert "twice" in problem


def test_an_accessory_nearly_right_is_suggested(tmp_path: Path):
    text = '[[product]]\nid = "kd-10"\nname = "K"\n[[product]]\nid = "b"\nname = "B"\n'
    [problem] = problems_of(tmp_path, text + 'accessories = ["kd10"]\n')
    assert 'Did you mean "kd-10"?' in problem


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("c.toml", "[[product]\n", "line 1"),
        ("c.json", "{", "not valid JSON"),
        ("c.json", "[" * 100_000, "not valid JSON"),
        ("c.json", "[]", '{"product": [...]}'),
        ("c.json", '{"product": []}', "no products"),
        ("c.json", '{"product": [3]}', "number 1"),
        ("c.toml", "[[products]]\nid = 'a'\n", "Rename `products` to `product`"),
        ("c.toml", "", "[[product]]"),
        ("c.toml", "title = 1\n[[product]]\nid='a'\nname='N'\n", "unknown key `title`"),
        ("c.yaml", "", ".toml or .json"),
    ],
)
def test_a_file_that_is_no_catalog(tmp_path: Path, name: str, text: str, words: str):
    problems = problems_of(tmp_path, text, name)
    assert any(words in problem for problem in problems), problems


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path):
    with pytest.raises(CatalogError, match="cannot be read"):
        load_catalog(tmp_path / "none.toml")
    (tmp_path / "bin.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CatalogError, match="not valid TOML"):
        load_catalog(tmp_path / "bin.toml")


def test_many_problems_are_counted(tmp_path: Path):
    rows = "".join(f'[[product]]\nid = "p{n}"\n' for n in range(50))
    problems = problems_of(tmp_path, rows)
    assert len(problems) == 21
    assert "30 more" in problems[-1]


def test_two_products_of_one_id_are_no_catalog():
    with pytest.raises(ValueError, match="unique"):
        Catalog((Product("a", "A"), Product("a", "B")))


# A catalog from a folder


def test_a_folder_of_manuals(tmp_path: Path):
    write_pdf(tmp_path / "TD-17_Manual.pdf", "Korven TD-17")
    write_pdf(tmp_path / "pianos" / "p45.pdf", "Untitled")
    (tmp_path / "pianos" / "notes.MD").write_text("# Notes")
    (tmp_path / "page.html").write_text("<p>Hi")
    (tmp_path / "picture.png").write_bytes(b"")
    (tmp_path / ".hidden.pdf").write_bytes(b"%PDF-")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x.txt").write_text("x")
    catalog = catalog_from_folder(tmp_path)
    assert {p.id: (p.name, p.category) for p in catalog.products} == {
        "td-17-manual": ("Korven TD-17", ""),
        "page": ("page", ""),
        "p45": ("p45", "pianos"),
        "notes": ("Notes", "pianos"),
    }
    td17 = catalog.get("td-17-manual")
    assert td17 is not None
    assert td17.aliases == ("TD-17 Manual",)
    assert td17.manual == ManualSource(path=str(tmp_path / "TD-17_Manual.pdf"), type="pdf")
    assert catalog == catalog_from_folder(tmp_path)


def test_ids_are_unique_and_keep_when_other_files_come(tmp_path: Path):
    (tmp_path / "a").mkdir()
    for name in ("manual.txt", "a/manual.txt", "Manual!.md", "電子ピアノ.txt", "ドラム.txt"):
        (tmp_path / name).write_text("x")
    before = {p.id: p.manual for p in catalog_from_folder(tmp_path).products}
    assert len(before) == 5
    assert all(PRODUCT_ID.fullmatch(id_) for id_ in before)
    (tmp_path / "a" / "another.txt").write_text("x")
    after = {p.id: p.manual for p in catalog_from_folder(tmp_path).products}
    assert before.items() <= after.items()


def test_the_same_title_twice_tells_products_apart_by_file(tmp_path: Path):
    write_pdf(tmp_path / "one.pdf", "Reference Document Series")
    write_pdf(tmp_path / "two.pdf", "Reference Document Series")
    assert sorted(p.name for p in catalog_from_folder(tmp_path).products) == ["one", "two"]


def test_a_folder_without_manuals_or_no_folder(tmp_path: Path):
    with pytest.raises(CatalogError, match="holds no manuals"):
        catalog_from_folder(tmp_path)
    with pytest.raises(CatalogError, match="is not a folder"):
        catalog_from_folder(tmp_path / "none")


def test_too_many_manuals_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("server.manuals.folder.MAX_FILES", 2)
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text("x")
    with pytest.raises(CatalogError, match="over 2 manuals"):
        catalog_from_folder(tmp_path)


def test_folders_deeper_than_the_limit_are_left_out(tmp_path: Path):
    deep = tmp_path.joinpath(*"abcdefghij")
    deep.mkdir(parents=True)
    (deep / "deep.txt").write_text("x")
    (tmp_path / "a" / "b" / "near.txt").write_text("x")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    assert [p.id for p in catalog_from_folder(tmp_path).products] == ["near"]


def test_hostile_file_names(tmp_path: Path):
    names = [b"\xff\xfe.txt", b"a..%2f..txt", b"a\nb.txt", b"\x1b[31m.txt", b"x" * 200 + b".txt"]
    for name in names:
        (tmp_path / os.fsdecode(name)).write_bytes(b"x")
    products = catalog_from_folder(tmp_path).products
    assert len(products) == len(names)
    assert all(PRODUCT_ID.fullmatch(p.id) and p.name.isprintable() for p in products)
    with pytest.raises(CatalogError, match="not UTF-8"):
        dump_toml(Catalog(products))


# Titles


def test_hostile_pdfs_keep_their_file_names(tmp_path: Path):
    good = write_pdf(tmp_path / "good.pdf", "A good title").read_bytes()
    files = {
        "empty.pdf": b"",
        "garbage.pdf": b"%PDF-1.7\n" + bytes(range(256)) * 50,
        "cut.pdf": good[: len(good) // 2],
        "loop.pdf": b"%PDF-1.7\ntrailer<</Root 1 0 R/Prev 9/Info 2 0 R>>\nstartxref\n9\n%%EOF",
        "html.pdf": b"<html>login</html>",
        "nul.pdf": b"\0" * 10_000,
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    titles = read_titles(sorted(tmp_path.glob("*.pdf")))
    assert titles == {tmp_path / "good.pdf": "A good title"}
    assert len(catalog_from_folder(tmp_path).products) == len(files) + 1


def test_a_file_that_never_ends_costs_only_its_own_title(tmp_path: Path):
    first = write_pdf(tmp_path / "a.pdf", "First of three")
    os.mkfifo(tmp_path / "b.pdf")  # opening it waits for a writer that never comes
    last = write_pdf(tmp_path / "c.pdf", "Last of three")
    paths = [first, tmp_path / "b.pdf", last]
    titles = read_titles(paths, file_timeout_s=1.0)
    assert titles == {first: "First of three", last: "Last of three"}


def test_titles_stop_when_their_time_is_over(tmp_path: Path):
    path = write_pdf(tmp_path / "a.pdf", "Never read")
    assert read_titles([path], total_timeout_s=0.0) == {}


@pytest.mark.parametrize(
    ("title", "kept"),
    [
        ("Korven TD-17", "Korven TD-17"),
        ("Microsoft Word - TD-17 Guide", "TD-17 Guide"),
        ("  TD-17\n Owner’s   Manual ", "TD-17 Owner’s Manual"),
        ("取扱説明書 P-45", "取扱説明書 P-45"),
        ("Untitled", ""),
        ("Untitled 1", ""),
        ("User Guide", ""),
        ("Owner's Manual", ""),
        ("TD17_e02.indd", ""),
        ("C:\\Users\\a\\b", ""),
        ("12345", ""),
        ("", ""),
        ("x" * 200, "x" * 120),
    ],
)
def test_titles_that_say_something(title: str, kept: str):
    assert sensible_title(title) == kept


@given(st.text(max_size=200))
def test_slugs_are_ids_or_nothing(name: str):
    assert slug(name) == "" or PRODUCT_ID.fullmatch(slug(name))


def test_markdown_and_html_are_named_by_what_they_call_themselves(tmp_path):
    (tmp_path / "coffee.md").write_text("\n# Coffee Maker 3000\n\n# Second\n")
    (tmp_path / "kettle.html").write_text(
        "<html><head><title>Kettle &amp; Pot</title></head></html>"
    )
    (tmp_path / "plain.txt").write_text("# Not a heading here\n")
    names = {product.id: product.name for product in catalog_from_folder(tmp_path).products}
    assert names == {"coffee": "Coffee Maker 3000", "kettle": "Kettle & Pot", "plain": "plain"}
