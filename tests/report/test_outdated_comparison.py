"""The comparison on the page is one of the runs that are there, and the page says what the stored one lacks."""

import shutil

from page_text import parse
from report_runs import write_comparison, write_dsd_run

from hf_dsd.compare import Comparison
from hf_dsd.report import write_report


def test_runs_made_anew_are_compared_anew(tmp_path):
    out = write_comparison(tmp_path)
    Comparison.from_folder(out).write(out)
    before = Comparison.read(out)
    for seed in (1, 2):
        shutil.rmtree(out / f"seed-{seed}" / "dsd")
        write_dsd_run(out / f"seed-{seed}" / "dsd", heard=["x"] * 4, seed=seed)
    page = parse(write_report(out)).text
    now = Comparison.from_folder(out)
    assert now.verdict.text != before.verdict.text
    assert now.verdict.text in page
    assert before.verdict.text not in page
    assert "comparison.json does not say what dsd, seed 1; dsd, seed 2 reached: the table is computed" in page
