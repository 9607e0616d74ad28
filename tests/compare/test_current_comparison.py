"""The comparison on the page is one of the runs that are there, whatever comparison.json says."""

import json
import shutil

import pytest
from page_text import parse, section
from report_runs import REFERENCES, write_comparison, write_dsd_run, write_scores

from hf_dsd.compare import Comparison
from hf_dsd.report import write_report

NOTHING = ["x"] * 4


def test_runs_made_anew_are_compared_anew(tmp_path):
    """As after `compare --force` of another recipe that was killed before it wrote its comparison."""
    out = write_comparison(tmp_path)
    Comparison.from_folder(out).write(out)
    before = Comparison.read(out)
    for seed in (1, 2):
        shutil.rmtree(out / f"seed-{seed}" / "dsd")
        write_dsd_run(out / f"seed-{seed}" / "dsd", heard=NOTHING, seed=seed)
    page = parse(write_report(out)).text
    now = Comparison.from_folder(out)
    assert (before.arms["dsd"].mean, now.arms["dsd"].mean) == (0.0, 1.0)
    assert now.verdict.text != before.verdict.text
    assert now.verdict.text in page
    assert before.verdict.text not in page
    assert "comparison.json does not say what dsd, seed 1; dsd, seed 2 reached: the table is computed" in page
    assert Comparison.read(out) == before  # a report changes nothing of the runs


def test_a_run_more_is_counted_and_the_command_names_the_folder_as_it_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = write_comparison(tmp_path / "my runs" / "out")
    Comparison.from_folder(out).write(out)
    for arm in ("dsd", "dense"):
        write_dsd_run(out / "seed-3" / arm, arm=arm, heard=REFERENCES, seed=3)
    page = parse(write_report("my runs/out")).text
    assert "comparison.json does not say what dense, seed 3; dsd, seed 3 reached" in page
    assert "hf-dsd compare --collect --out 'my runs/out' --split test --metric wer" in page
    assert "seeds 1, 2, 3" in page


def test_the_stored_split_and_metric_are_kept(tmp_path):
    out = write_comparison(tmp_path)
    Comparison.from_folder(out, metric="cer").write(out)
    assert "cer on test" in section(write_report(out), "comparison")
    write_scores(out / "seed-1" / "dsd", "phase-2-dense", NOTHING)
    page = section(write_report(out), "comparison")
    assert "cer on test" in page
    assert "comparison.json does not say what dsd, seed 1 reached" in page


def test_a_comparison_of_these_runs_is_taken_as_it_is(tmp_path):
    out = write_comparison(tmp_path)
    Comparison.from_folder(out).write(out)
    stored = json.loads((out / "comparison.json").read_text())
    (out / "comparison.json").write_text(json.dumps(stored | {"signature": "as it was stored"}))
    page = section(write_report(out), "comparison")
    assert "as it was stored" in page
    assert "comparison.json does not" not in page


@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"version": 1}', '{"version": 2}'])
def test_a_damaged_file_costs_no_table(tmp_path, content):
    out = write_comparison(tmp_path)
    (out / "comparison.json").write_text(content)
    page = section(write_report(out), "comparison")
    assert "dense control (same budget)" in page
    assert "comparison.json cannot be read (" in page
    assert f"hf-dsd compare --collect --out {out}" in page
