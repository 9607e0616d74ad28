"""A slice of tests/benchmarks/check_arguments.py: no combination of arguments is misread or ends in a bare error."""

import pytest
from argument_oracle import combinations, judge


@pytest.mark.parametrize(
    "case", list(combinations(100, seed=1)), ids=lambda case: f"{case.way}: {', '.join(case.fields)}"
)
def test_refused_by_name_or_taken_as_written(case):
    verdict, detail = judge(case)
    assert verdict in ("clear", "right"), detail


def test_the_cases_reach_both_verdicts():
    verdicts = [judge(case)[0] for case in combinations(120, seed=1)]
    assert min(verdicts.count("clear"), verdicts.count("right")) >= 5
