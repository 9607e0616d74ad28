"""Arms are told apart in every figure, whatever they are called."""

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from report_runs import DENSE, write_dsd_run

from hf_dsd.report import loss_landscape
from hf_dsd.report.landscape import draw_landscapes
from hf_dsd.report.svg_figure import COLOURS, arm_styles
from hf_dsd.report.timeline import draw_timeline, read_curves
from hf_dsd.runs.run import Run

KNOWN = ("dsd", "dense", "random", "iterative", "sparse", "ema", "swa")


@pytest.mark.parametrize("known", [(), ("dense",), ("dsd", "dense", "random"), KNOWN], ids=len)
def test_no_two_arms_look_alike(known: tuple[str, ...]) -> None:
    styles = arm_styles([*known, *(f"mine-{place}" for place in range(28)), *known])
    assert len(styles) == len(set(styles.values())) == len(known) + 28
    assert [styles[name] for name in known] == [arm_styles(KNOWN)[name] for name in known]


def test_other_arms_get_the_colours_that_no_known_one_of_the_page_has() -> None:
    styles = arm_styles(["dense", "s80", "dropout", "dsd"])
    assert [style.role for style in styles.values()] == ["vermilion", "green", "purple", "blue"]


def test_an_arm_has_one_colour_in_all_figures(tmp_path) -> None:
    names = ("dense", "s80", "dropout")
    runs = [Run.read(write_dsd_run(tmp_path / arm, arm=arm)) for arm in names]
    styles = arm_styles(names)
    curves = [read_curves(run, "eval_wer") for run in runs]
    timeline, landscape = Figure(), Figure()
    draw_timeline(curves, curves[0], "eval_wer", styles)(timeline, True)
    loss = timeline.axes[1]
    lines = [line.get_color() for line in loss.lines if len(line.get_xdata())]
    found = loss_landscape({"phase-0-dense": DENSE}, lambda _: 1.0, directions=1)
    draw_landscapes(dict.fromkeys(names, found), "dense", styles)(landscape, True)
    bars = [to_hex(bar.get_facecolor()) for bar in landscape.axes[1].patches]
    assert lines == bars == [COLOURS[role].light for role in ("vermilion", "blue", "green")]
