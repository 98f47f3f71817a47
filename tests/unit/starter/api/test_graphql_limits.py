"""What a query may cost."""

import pytest
from graphql import parse

from starter.api.graphql.limits import DEEPEST, MOST_FIELDS, TooCostly, check_cost


def nested(levels: int) -> str:
    return "{ a " * levels + "}" * levels


@pytest.mark.parametrize(
    "document",
    [
        nested(DEEPEST),
        "{ " + "a " * MOST_FIELDS + "}",
        "query A { a } query B { b } fragment C on D { e }",
    ],
)
def test_within_the_bounds(document: str) -> None:
    check_cost(parse(document))


@pytest.mark.parametrize(
    "document",
    [
        nested(DEEPEST + 1),
        "{ " + "a " * (MOST_FIELDS + 1) + "}",
        "query A { a } query B " + nested(DEEPEST + 1),
        "{ ...F0 } "
        + " ".join(f"fragment F{n} on T {{ ...F{n + 1} ...F{n + 1} }}" for n in range(12))
        + " fragment F12 on T { a }",
    ],
)
def test_over_a_bound(document: str) -> None:
    with pytest.raises(TooCostly):
        check_cost(parse(document))
