import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.manuals.catalog import Catalog, Product
from server.manuals.search import (
    MAX_CACHED,
    MAX_QUERY_CHARS,
    SCORE_FLOOR,
    ProductSearch,
)

CATALOG = Catalog(
    (
        Product("td-17", "TD-17", "Korven", "Electronic Drums", aliases=("V-Drums 17",)),
        Product("td-17kvx2", "TD-17KVX2", "Korven", "Electronic Drums"),
        Product("td-27", "TD-27", "Korven", "Electronic Drums"),
        Product("td-07", "TD-07", "Korven", "Electronic Drums"),
        Product("p-45", "P-45 Digital Piano", "Yamaha", "Pianos"),
        Product("minilogue", "minilogue xd", "KORG", "Synthesizers"),
        Product("nord-stage-4", "Nord Stage 4", "Clavia", "Stage Piano"),
        Product("denshi", "電子ドラム キット", "ローランド"),
        Product("cafe", "Bébé café", "Ibañez"),
        Product("es-8", "ES-8 Switcher", "Boss"),
    )
)


@pytest.fixture(scope="module")
def search() -> ProductSearch:
    return ProductSearch(CATALOG)


def best(search: ProductSearch, query: str) -> str | None:
    hits = search.search(query, 5)
    return hits[0].product.id if hits else None


@pytest.mark.parametrize(
    ("query", "product"),
    [
        ("td17", "td-17"),
        ("TD 17", "td-17"),
        ("td-17", "td-17"),
        ("t d 17", "td-17"),
        ("TD-17", "td-17"),
        ("korven td17", "td-17"),
        ("17 td korven", "td-17"),
        ("rolnad td17", "td-17"),
        ("oland td27", "td-27"),
        ("manual for td17", "td-17"),
        ("v-drums", "td-17"),
        ("vdrums", "td-17"),
        ("td17kvx", "td-17kvx2"),
        ("kvx", "td-17kvx2"),
        ("td-1", "td-17"),
        ("yamha", "p-45"),
        ("yamaha paino", "p-45"),
        ("tamaha", "p-45"),
        ("p45", "p-45"),
        ("minilog", "minilogue"),
        ("minlogue", "minilogue"),
        ("korg xd", "minilogue"),
        ("stagepiano", "nord-stage-4"),
        ("nord 4", "nord-stage-4"),
        ("BEBE CAFE", "cafe"),
        ("ibanez", "cafe"),
        ("ドラム", "denshi"),
        ("電子", "denshi"),
        ("es8", "es-8"),
        ("E S 8", "es-8"),
        ("ｔｄ－２７", "td-27"),
    ],
)
def test_finds_what_people_type(search: ProductSearch, query: str, product: str):
    assert best(search, query) == product


@pytest.mark.parametrize("query", ["zzzz", "td47", "guitar", "", "   ", "-", "🎹", "<script>", "q"])
def test_nothing_under_the_floor(search: ProductSearch, query: str):
    assert search.search(query, 5) == []


def test_every_beginning_of_a_name_finds_it(search: ProductSearch):
    for query in ("korven td-17", "yamaha p-45", "minilogue xd", "nord stage 4"):
        for end in range(1, len(query) + 1):
            if query[:end].strip():
                assert best(search, query[:end]), query[:end]


def test_results_are_ordered_unique_and_limited(search: ProductSearch):
    hits = search.search("korven", 50)
    assert len({hit.product.id for hit in hits}) == len(hits) == 4
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert search.search("korven", 2) == hits[:2]
    assert search.search("korven", 0) == []


def test_what_was_typed_before_changes_nothing():
    fresh = ProductSearch(CATALOG)
    used = ProductSearch(CATALOG)
    for text in ("r", "ro", "rol", "rolnad", "rolnad t", "td", "stage"):
        used.search(text, 8)
    assert used.search("rolnad td17", 8) == fresh.search("rolnad td17", 8)


def test_an_exact_name_wins_over_longer_ones(search: ProductSearch):
    [first, second, *_] = search.search("td17", 8)
    assert (first.product.id, second.product.id) == ("td-17", "td-17kvx2")
    assert first.score > second.score


def test_a_name_among_many_alike():
    catalog = Catalog(
        tuple(Product(f"p{n}", f"TD-{n} Drum Kit", "Korven", "Drums") for n in range(1, 5001))
    )
    search = ProductSearch(catalog)
    for query in ("td4711", "korven td-4711", "drum kit 4711 korven", "rolnad td 4711"):
        assert best(search, query) == "p4711"
    assert len(search.search("korven drum kit", 50)) == 50


def test_an_empty_catalog_finds_nothing():
    assert ProductSearch(Catalog(())).search("td17", 8) == []


def test_memory_of_earlier_words_is_bounded():
    catalog = Catalog(tuple(Product(f"p{n}", f"alpha {n}") for n in range(2000)))
    search = ProductSearch(catalog)
    for n in range(400):
        search.search(f"a{'lpha'[: n % 5]} {n} alp", 8)
    held = sum(len(fits) + 1 for fits in search._cache.values())
    assert held == search._cached <= MAX_CACHED


@given(st.text(max_size=3 * MAX_QUERY_CHARS), st.integers(-1, 60))
def test_any_text_is_a_query(query: str, limit: int):
    hits = ProductSearch(CATALOG).search(query, limit)
    assert len(hits) <= max(0, limit)
    assert all(SCORE_FLOOR <= hit.score <= 1 for hit in hits)
    assert len({hit.product.id for hit in hits}) == len(hits)


@given(st.sampled_from(CATALOG.products), st.booleans())
def test_every_product_is_found_by_its_own_words(product: Product, with_brand: bool):
    query = f"{product.brand} {product.name}" if with_brand else product.name
    assert best(ProductSearch(CATALOG), query) == product.id
