"""The named normalisers of transcripts."""

import pytest

from hf_dsd.metrics import TEXT_NORMALIZERS


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("none", "Caf\u0065\u0301, \u201eJA\u201c!  \u0416\u2019"),
        ("lower", "caf\u00e9, \u201eja\u201c!  \u0436\u2019"),
        ("basic", "caf\u00e9 ja \u0436'"),
    ],
)
def test_what_a_normalizer_leaves(name, text):
    assert TEXT_NORMALIZERS[name]("Caf\u0065\u0301, \u201eJA\u201c!  \u0416\u2019") == text


def test_there_are_these():
    assert list(TEXT_NORMALIZERS) == ["none", "lower", "basic"]
