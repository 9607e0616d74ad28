"""Which points are drawn, from a log, a checkpoint's log, or the phases' ends."""

import json

import pytest
from matplotlib.figure import Figure
from report_runs import REFERENCES, change_summary, write_dsd_run, write_scores

from hf_dsd.report.svg_figure import arm_styles
from hf_dsd.report.timeline import draw_timeline, find_metric, over_seeds, read_curves, thin
from hf_dsd.runs.metric_names import score_title
from hf_dsd.runs.run import Run

LOG = [
    {"step": 5, "loss": 3.0, "learning_rate": 0.1},
    {"step": 10, "loss": float("nan"), "learning_rate": 0.0},
    {"step": 10, "eval_loss": 2.5, "eval_wer": 0.6, "eval_runtime": 1.0},
]


def test_a_log_gives_all_curves(tmp_path):
    folder = write_dsd_run(tmp_path / "run", finished=1)
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": LOG}))
    curves = read_curves(Run.read(folder), "eval_wer")
    assert curves.train_loss == [(5, 3.0)]  # what is not a number is not drawn
    assert curves.learning_rates == [[(5, 0.1), (10, 0.0)]]
    assert curves.eval_loss == [(10, 2.0)]  # the summary's, of the same step
    assert curves.metric == [(10, 0.5)]
    assert curves.peaks == []


def test_rates_are_drawn_as_planned_and_not_joined_over_a_boundary(tmp_path):
    folder = write_dsd_run(tmp_path / "run")
    rows = [{"step": step, "learning_rate": 1.0 / step} for step in (4, 8, 12, 16, 20)]
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": rows}))
    logged = read_curves(Run.read(folder), None)
    assert logged.learning_rates == [[(4, 1 / 4), (8, 1 / 8)], [(12, 1 / 12)], [(16, 1 / 16), (20, 1 / 20)]]
    summary = json.loads((folder / "dsd_summary.json").read_text())
    summary["phases"][0]["learning_rates"] = [[0, 0.1], [9, 0.01], [12, 0.005]]  # planned longer than it became
    (folder / "dsd_summary.json").write_text(json.dumps(summary))
    planned = read_curves(Run.read(folder), None)
    assert planned.learning_rates == [[(0, 0.1), (9, 0.01)], *logged.learning_rates[1:]]
    assert planned.peaks == []


def test_without_a_log_the_phases_ends_are_drawn(tmp_path):
    run = Run.read(write_dsd_run(tmp_path / "run"))
    curves = read_curves(run, "eval_wer")
    assert (curves.train_loss, curves.learning_rates) == ([], [])
    assert curves.eval_loss == [(10, 2.0), (15, 1.5), (20, 1.0)]
    assert curves.metric == [(10, 0.5), (15, pytest.approx(0.4)), (20, pytest.approx(0.3))]
    assert curves.peaks == [(0, 10, 0.1), (10, 15, 0.1), (15, 20, 0.1)]
    assert run.sources == ["dsd_summary.json"]


def test_a_checkpoints_log_is_continued_by_the_phases_ends(tmp_path):
    folder = write_dsd_run(tmp_path / "run")
    for step in (5, 10):
        (folder / f"checkpoint-{step}").mkdir()
        log = [row for row in LOG if row["step"] <= step]
        (folder / f"checkpoint-{step}" / "trainer_state.json").write_text(json.dumps({"log_history": log}))
    (folder / "checkpoint-15").mkdir()
    (folder / "checkpoint-15" / "trainer_state.json").write_text('{"log_his')  # its writer died
    run = Run.read(folder)
    assert run.sources == ["dsd_summary.json", "checkpoint-10/trainer_state.json"]
    curves = read_curves(run, None)
    assert curves.train_loss == [(5, 3.0)]
    assert curves.eval_loss == [(10, 2.0), (15, 1.5), (20, 1.0)]
    assert curves.peaks == [(10, 15, 0.1), (15, 20, 0.1)]


def test_the_metric_is_the_scored_one_else_a_known_one(tmp_path):
    scored = Run.read(write_dsd_run(tmp_path / "scored", heard=REFERENCES))
    assert find_metric([scored]) == "eval_wer"
    folder = write_dsd_run(tmp_path / "unscored", finished=1)
    (phase,) = json.loads((folder / "dsd_summary.json").read_text())["phases"]
    for metrics, expected in (({"eval_cer": 0.1, "eval_bleu4": 2.0}, "eval_bleu4"), ({"eval_runtime": 0.1}, None)):
        change_summary(folder, phases=[phase | {"metrics": {"eval_loss": 1.0, **metrics}}])
        assert find_metric([Run.read(folder)]) == expected


def test_a_metric_that_was_only_scored_has_its_panel(tmp_path):
    folder = write_dsd_run(tmp_path / "run", heard=["x x three four", *REFERENCES[1:]])
    records = [record | {"metrics": {"eval_loss": 1.0}} for record in Run.read(folder).phases]
    change_summary(folder, phases=records)
    run = Run.read(folder)
    assert find_metric([run]) == "eval_wer"
    _, _, metric, _ = drawn([read_curves(run, "eval_wer")])
    assert metric.get_title() == "WER, smaller is better"
    assert [text.get_text() for text in metric.get_legend().get_texts()] == ["test, 95 % interval"]


def test_the_early_stop_stands_where_it_would_have_ended(tmp_path):
    folder = write_dsd_run(tmp_path / "run", arm="dense", heard=REFERENCES)
    (folder / "phase-2-dense-early").mkdir()
    write_scores(folder, "phase-2-dense-early", ["x x three four", *REFERENCES[1:]])
    change_summary(folder, early_stop={"step": 7, "metric": "eval_loss", "value": 1.0})
    scored = read_curves(Run.read(folder), "eval_wer").scored
    assert [(step, value) for step, value, _ in scored] == [(20, 0.0), (7, 2 / 16)]


def test_long_logs_are_drawn_as_means():
    assert thin([(1, 1.0), (2, 3.0), (3, 5.0)], most=3) == [(1, 1.0), (2, 3.0), (3, 5.0)]
    assert thin([(1, 1.0), (2, 3.0), (3, 5.0)], most=2) == [(2, 2.0), (3, 5.0)]
    assert thin([]) == []


@pytest.mark.parametrize(
    ("metric", "title"), [("eval_wer", "WER [%]"), ("eval_bleu4", "BLEU-4"), ("eval_perplexity", "perplexity")]
)
def test_metrics_have_names_and_units(metric, title):
    assert score_title(metric) == title


def test_seeds_are_a_mean_in_a_band():
    first, second = [(0, 1.0), (10, 3.0)], [(0, 3.0), (5, 5.0)]  # the second was stopped
    assert over_seeds([first, second]) == [(0, 2.0, 1.0, 3.0), (5, 3.5, 2.0, 5.0), (10, 3.0, 3.0, 3.0)]
    assert over_seeds([first]) == [(0, 1.0, 1.0, 1.0), (10, 3.0, 3.0, 3.0)]


def drawn(curves):
    """The panels of a timeline."""
    figure = Figure()
    draw_timeline(curves, curves[0], "eval_wer", arm_styles(found.run.arm for found in curves))(figure, True)
    return figure.axes


def test_a_metric_that_stays_as_it_was_is_read_off_its_axis(tmp_path):
    folder = write_dsd_run(tmp_path / "run", finished=1)
    log = [{"step": step, "eval_loss": 2.0, "eval_wer": 1.0} for step in (2, 4, 6)]
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": log}))
    change_summary(folder, phases=[record | {"metrics": {"eval_wer": 1.0}} for record in Run.read(folder).phases])
    metric = drawn([read_curves(Run.read(folder), "eval_wer")])[2]
    metric.figure.draw_without_rendering()
    assert metric.get_ylim() == pytest.approx((92, 108))  # per cent
    assert metric.yaxis.get_offset_text().get_text() == ""
    assert "100" in {text.get_text() for text in metric.get_yticklabels()}


def test_scores_stand_with_their_interval_at_their_phases_end(tmp_path):
    run = Run.read(write_dsd_run(tmp_path / "run", heard=["x x three four", *REFERENCES[1:]]))
    (scores,) = run.scored
    low, high = scores.scores["wer_ci"]
    assert read_curves(run, "eval_wer").scored == [(20, scores.value, [low, high])]
    assert read_curves(run, "eval_cer").scored == []  # another metric has another axis
    _, _, metric, rate = drawn([read_curves(run, "eval_wer")])
    (bar,) = (line for line in metric.collections[0].get_segments() if line[0][0] == 20)
    assert bar[:, 1].tolist() == pytest.approx([100 * low, 100 * high])
    assert [text.get_text() for text in metric.get_legend().get_texts()] == ["validation", "test, 95 % interval"]
    assert rate.get_xticks().tolist() == [0, 10, 15, 20]  # the phases' ends


def test_six_runs_are_as_many_lines_as_arms(tmp_path):
    folders = [
        write_dsd_run(tmp_path / f"seed-{seed}" / arm, arm=arm, seed=seed, heard=REFERENCES)
        for seed in (1, 2, 3)
        for arm in ("dsd", "dense")
    ]
    _, loss, metric, _ = drawn([read_curves(Run.read(folder), "eval_wer") for folder in folders])
    assert len([line for line in loss.lines if len(line.get_xdata())]) == 2
    assert [text.get_text() for text in metric.get_legend().get_texts()] == [
        "validation",
        "test, range of seeds (of one: 95 % interval)",
    ]
