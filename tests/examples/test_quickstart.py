"""The notebook runs as it stands, and shows what it says."""

import re
from pathlib import Path

import pytest
from scripts import ROOT

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(f"import sys; sys.path.insert(0, {str(ROOT)!r})"))
    resources = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    assert (folder / "runs" / "quickstart" / "compared" / "report.html").is_file()
    return notebook.cells[1:]


def shown(cells: list[dict], source: str, kind: str = "text/plain") -> str:
    """What the cell with that source displayed, all of one kind."""
    (cell,) = [cell for cell in cells if cell["cell_type"] == "code" and source in cell["source"]]
    return "\n".join(output["data"][kind] for output in cell["outputs"] if kind in output.get("data", {}))


def test_the_table_of_the_training_names_every_phase(cells):
    rows = re.findall(r"<tr>(.*?)</tr>", shown(cells, "trainer.train()", "text/html"), re.DOTALL)
    phases = [re.findall(r"<td>(.*?)</td>", row)[-1] for row in rows]
    assert phases == ["phase-0-dense"] * 3 + ["phase-1-sparse 50%"] * 3 + ["phase-2-dense"] * 3
    headings = re.findall(r"<th>(.*?)</th>", shown(cells, "trainer.train()", "text/html"))
    assert headings == ["Epoch", "Training Loss", "Validation Loss", "Phase"]


def test_objects_show_themselves_in_few_lines(cells):
    *lines, dsd = shown(cells, "trainer.summary").splitlines()
    assert [re.sub(r"[\d.]+ s, eval_loss [\d.]+$", "", line) for line in lines] == [
        "phase-0-dense: 120 steps, ",
        "phase-1-sparse: 120 steps, ",
        "phase-2-dense: 120 steps, ",
    ]
    assert dsd.startswith("DSD(phase-2-dense, 0% zero; 33,216 weights to prune; Schedule(")
    assert "16,608 of 33,216 weights of the parameters that are pruned: 50.0%" in shown(cells, "inspect_model(Adder()")
    compared = shown(cells, "compare(make_trainer", "text/html")
    assert "eval_loss" in compared
    assert compared.count("<th>dsd</th>") == compared.count("<th>dense</th>") == 1


def test_a_measurement_shows_one_figure_and_no_table_per_evaluation(cells):
    (cell,) = [cell for cell in cells if "measure_sensitivity(trainer.model" in cell["source"]]
    kinds = [sorted(output.get("data", {output["output_type"]: 0})) for output in cell["outputs"]]
    assert kinds == [["stream"], ["image/png", "text/plain"]]


def test_the_report_and_its_figure_are_in_the_notebook(cells):
    page = shown(cells, "report = write_report", "text/html")
    assert page.startswith("<iframe srcdoc=")
    assert "Is it better than its control?" in page
    assert len(shown(cells, 'report.figures["weights"]', "image/png")) > 10_000


def test_the_notebook_is_stored_without_results() -> None:
    notebook = nbformat.read(Path(NOTEBOOK), as_version=4)
    assert [cell for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")] == []
    assert len(notebook.cells) == 15
