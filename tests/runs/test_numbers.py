"""Numbers as a person reads them: no table flips to powers of ten where a size grows."""

import math

import pytest

from hf_dsd.runs.numbers import count_text, percent, short_number, significant


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0.004, "0.4 %"), (0.4, "40 %"), (4, "400 %"), (40, "4,000 %"), (10, "1,000 %"), (9.9951, "1,000 %")]
    + [(0, "0 %"), (1 / 3, "33.3 %"), (0.00000012, "0.000012 %"), (12345.678, "1,234,568 %"), (-10, "-1,000 %")],
    ids=str,
)
def test_a_share_is_never_a_power_of_ten(fraction, text):
    assert percent(fraction) == text


def test_a_number_of_epochs_is_never_a_power_of_ten():
    values = (None, 0, 0.00002, 0.4, 12.5, 999.96, 999.99, 4800.0, 1e7)
    assert [count_text(value) for value in values] == [
        *("-", "0", "0.00002", "0.4", "12.5", "1000", "1000", "4800", "10000000"),
    ]


def test_weights_and_rates_are_short():
    values = (0.0, 1e-9, 3e-5, -3e-5, 0.00012, 0.012345, 4.0, 40.0, 400.0, 4000.0, -4000.0)
    texts = ["0", "1e-09", "3e-05", "-3e-05", "0.00012", "0.0123", "4", "40", "400", "4,000", "-4,000"]
    assert [short_number(value) for value in values] == texts


def test_what_is_no_number_is_said():
    assert [significant(value, 3) for value in (math.nan, math.inf, -math.inf)] == ["nan", "inf", "-inf"]
    assert short_number(math.nan) == "nan"
