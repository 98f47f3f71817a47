"""Sampled rows as an annotation of a backup."""

import pytest

from model.row_samples import MOST_LETTERS, Sample, TableSample


def table(number: int, places: int = 24) -> TableSample:
    return TableSample(
        database="fly-db",
        oid=16384 + number,
        filenode=16384 + number,
        schema_name="public",
        name=f"table {number} 'and' \"more\" ü",
        rows=-1,
        places=tuple(f"({number * 7919 % 10007},{place})" for place in range(1, places)),
        digest=f"{number * 0x9E3779B97F4A7C15 % 2**256:064x}",
    )


def test_it_comes_back_as_it_was():
    sample = Sample(lsn="0/3000028", timeline=3, tables=tuple(table(number) for number in range(10)))
    text = sample.encode()
    assert Sample.decode(text) == sample
    assert text.replace("-", "").replace("_", "").replace("=", "").isalnum()


def test_too_much_of_it_is_left_out():
    sample = Sample(lsn="0/3000028", timeline=1, tables=tuple(table(number, 400) for number in range(400)))
    text = sample.encode()
    assert len(text) <= MOST_LETTERS
    kept = Sample.decode(text).tables
    assert kept
    assert kept == sample.tables[: len(kept)]


@pytest.mark.parametrize("text", ["", "AAAA", "no base64", "eJyrrgUAAXUA-Q=="])
def test_what_is_none_is_told(text: str):
    with pytest.raises(ValueError):
        Sample.decode(text)
