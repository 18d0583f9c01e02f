"""Products that a text names."""

import pytest

from server.answering.known_products import MAX_NAME_WORDS, KnownProducts
from server.manuals.products import Product

MODULE = Product("td-17", "TD-17", aliases=("TD17",), accessories=("kt-10", "mesh"))
KNOWN = KnownProducts(
    (
        MODULE,
        Product("kt-10", "KT-10 kick trigger", aliases=("KT-10",)),
        Product("kt", "KT"),
        Product("mesh", "Mesh head"),
        Product("mesh-12", "Mesh head 12 inch"),
        Product("long", " ".join(["word"] * (MAX_NAME_WORDS + 1))),
        Product("signs", "!!!"),
        Product("rapid", "Été 5"),
    )
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Add a KT-10 pedal", "kt-10"),
        ("add a kt 10", "kt-10"),
        ("a KT is enough", "kt"),
        ("A mesh head, 12 inch", "mesh"),  # an accessory wins over a longer name
        ("ÉTÉ-5", "rapid"),
        ("another TD-17", None),  # the one asked about
        ("kt-100", "kt"),
        ("anything else", None),
        ("", None),
        ("word " * 40, None),
    ],
)
def test_finds_the_best_name(text, found):
    assert KNOWN.finder(MODULE)(text) == found


def test_without_accessories_the_longest_name_wins():
    assert KNOWN.finder(Product("x", "X"))("A mesh head 12 inch") == "mesh-12"


def test_the_first_of_two_products_of_one_name_counts():
    known = KnownProducts((Product("a", "Same"), Product("b", "same")))
    assert known.finder(Product("x", "X"))("the same") == "a"
