"""The legend is whole, and no two arms look alike, at any number of arms and whatever they are called."""

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from report_runs import REFERENCES, write_dsd_run

from hf_dsd.report.arm_legend import arm_legend_height, shortened
from hf_dsd.report.svg_figure import NARROW, STYLE, WIDE, arm_styles
from hf_dsd.report.timeline import draw_timeline, read_curves, timeline_height
from hf_dsd.runs.run import Run


def drawn(tmp_path, names, *, wide: bool) -> Figure:
    """The timeline of arms that left nothing but a score, laid out as in a report."""
    for name in names:
        write_dsd_run(tmp_path / "seed-1" / name, arm=name, seed=1, heard=REFERENCES)
    curves = [read_curves(Run.read(tmp_path / "seed-1" / name), "eval_wer") for name in names]
    height = timeline_height(curves)[0 if wide else 1]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDE if wide else NARROW, height), layout="constrained")
        draw_timeline(curves, curves[0], "eval_wer", arm_styles(names))(figure, wide)
        figure.draw_without_rendering()
    return figure


NAMES = {
    "2": ["dsd", "dense"],
    "8": ["dsd", "dense", *(f"dropout-{place}" for place in range(6))],
    "30": [f"a{place:02}" for place in range(30)],
    "long": ["dense", *(letter * 63 + "1" for letter in "amW")],
}


@pytest.mark.filterwarnings("error:constrained_layout not applied")
@pytest.mark.parametrize("wide", [True, False], ids=["wide", "narrow"])
@pytest.mark.parametrize("names", list(NAMES.values()), ids=list(NAMES))
def test_the_legend_is_whole(tmp_path, names, wide):
    figure = drawn(tmp_path, names, wide=wide)
    (legend,) = figure.legends
    assert [text.get_text().replace("\n", "") for text in legend.get_texts()] == names
    inside, (phases, *_) = figure.bbox, figure.axes
    box = legend.get_window_extent()
    assert (box.x0 >= inside.x0, box.x1 <= inside.x1, box.y1 <= inside.y1) == (True, True, True)
    ticks = [label.get_window_extent() for label in phases.get_yticklabels()]
    assert box.y0 >= phases.get_tightbbox().y1 - 1  # no panel lies under it
    assert min(tick.x0 for tick in ticks) >= 0
    assert min(axes.get_window_extent().height for axes in figure.axes[1:]) > 0.5 * figure.dpi


def test_the_figure_grows_with_the_legend():
    assert [arm_legend_height(NAMES["30"][:count], wide=True) for count in (1, 2, 8, 30)] == [
        0,
        0,
        0,
        pytest.approx(0.175 * 3),
    ]
    assert arm_legend_height(NAMES["30"], wide=False) == pytest.approx(0.175 * 9)


def test_a_hundred_and_seventy_five_arms_are_told_apart_by_colour_line_and_marker():
    styles = list(arm_styles(f"a{place}" for place in range(175)).values())
    assert len(set(styles)) == 175
    assert len({(style.role, style.line) for style in styles[:35]}) == 35
    assert len({(style.role, style.marker) for style in styles[:35]}) == 35  # a dash pattern is never all there is


def test_points_have_the_markers_of_the_legend(tmp_path):
    names = [f"a{place:02}" for place in range(9)]
    figure = drawn(tmp_path, names, wide=True)
    (legend,) = figure.legends
    told = [(line.get_color(), line.get_marker()) for line in legend.get_lines()]
    points = [(line.get_color(), line.get_marker()) for line in figure.axes[2].lines if line.get_marker() in "osv^X"]
    assert [points[-9:], len(set(told))] == [told, 9]


def test_a_long_name_is_shortened_in_its_middle():
    assert shortened("a" * 30, wide=True) == "a" * 30
    assert shortened("begin" + "x" * 30 + "end-1", wide=False) == "beginxx…xend-1"
