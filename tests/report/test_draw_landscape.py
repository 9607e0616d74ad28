"""The bars of the sharpness figure, against the numbers that they stand for."""

from matplotlib.figure import Figure
from report_runs import DENSE, REDENSE

from hf_dsd.report import loss_landscape
from hf_dsd.report.landscape import draw_landscapes
from hf_dsd.report.svg_figure import arm_styles


def measured(*radii):
    """Two models in a bowl: the sharpness grows with the square of the radius."""
    loss = lambda weights: float(weights["big.weight"].square().sum())  # noqa: E731
    return loss_landscape({"phase-0-dense": DENSE, "phase-2-dense": REDENSE}, loss, radii=radii, directions=1)


def bars(landscapes):
    """Title of the sharpness panel, and the lengths of its bars."""
    figure = Figure()
    draw_landscapes(landscapes, next(iter(landscapes)), arm_styles(landscapes))(figure, True)
    axes = figure.axes[1]
    return axes.get_title(loc="left") or axes.get_title(), [bar.get_width() for bar in axes.patches]


def test_the_bars_are_of_the_radius_in_the_title_whatever_their_order():
    found = measured(0.1, 0.05)
    title, widths = bars({"dsd": found})
    assert title == "sharpness at radius 0.1"
    assert widths == [found.sharpness["phase-0-dense"][0], found.sharpness["phase-2-dense"][0]]


def test_runs_measured_at_other_radii_are_compared_at_one_that_they_share():
    one, other = measured(0.05, 0.1), measured(0.2, 0.05)
    title, widths = bars({"dsd": one, "dense": other})
    assert title == "sharpness at radius 0.05"
    assert widths == [
        *(one.sharpness[phase][0] for phase in one.losses),
        *(other.sharpness[phase][1] for phase in other.losses),
    ]


def test_a_run_that_shares_no_radius_has_no_bar():
    one, other = measured(0.1), measured(0.2)
    title, widths = bars({"dsd": one, "dense": other})
    assert (title, len(widths)) == ("sharpness at radius 0.1", 2)
    assert one.sharpness_at("phase-0-dense", 0.2) is None
