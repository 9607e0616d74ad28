"""A real browser opens the report: no complaint, no request, no overflow, and the scheme that the reader prefers."""

import re

import pytest
from headless_browser import CHROMIUM, headless_page
from report_runs import DENSE, REDENSE, REFERENCES, SPARSE, write_dsd_run

from hf_dsd.report import loss_landscape, write_report
from hf_dsd.report.svg_figure import COLOURS

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
SHOWN = "[...document.querySelectorAll('svg')].filter(svg => svg.getBoundingClientRect().width > 0)"
FILL = "getComputedStyle(document.querySelector('.wide svg text')).fill"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A comparison whose arms have everything, with long names and texts."""
    out = tmp_path_factory.mktemp("comparison")
    for arm in ("dsd", "dense"):
        heard = REFERENCES if arm == "dsd" else ["x" * 200, "y " * 120, *REFERENCES[2:]]
        folder = write_dsd_run(out / "seed-1" / arm, arm=arm, heard=heard, seed=1)
        models = {"phase-0-dense": DENSE, "phase-1-sparse": SPARSE, "phase-2-dense": REDENSE}
        loss_landscape(models, lambda weights: float(weights["big.weight"].square().sum())).write(folder)
        summary = folder / "dsd_summary.json"
        summary.write_text(summary.read_text().replace('"--sparsity"', f'"--{"long" * 60}"'))
    return write_report(out)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with headless_page(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 820, 1280])
def test_it_opens_cleanly(page, report, width, scheme):
    page.open(report, width, scheme=scheme)
    assert page.complaints == []
    assert page.requests == [report.resolve().as_uri()]
    assert page.evaluate(OVERFLOW) == 0
    assert page.evaluate(f"{SHOWN}.length") == 4
    narrow = page.evaluate(f"{SHOWN}.every(svg => svg.closest('.narrow'))")
    assert narrow == (width == 390)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_and_figures_take_the_readers_colours(page, report, scheme):
    page.open(report, 1280, scheme=scheme)
    paper, ink = (getattr(COLOURS[role], scheme) for role in ("paper", "ink"))
    assert _hex(page.evaluate("getComputedStyle(document.body).backgroundColor")) == paper
    assert _hex(page.evaluate(FILL)) in {ink, getattr(COLOURS["muted"], scheme)}


def test_no_two_texts_of_a_figure_overlap(page, report):
    """Of the figures as a phone and as a desktop shows them."""
    overlaps = """[...document.querySelectorAll('svg')].flatMap(svg => {
        const boxes = [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()])
            .filter(([, box]) => box.width > 0)
        return boxes.flatMap(([one, a], i) => boxes.slice(i + 1).filter(([, b]) =>
            Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
            Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3).map(([two]) => `${one} / ${two}`))
    })"""
    outside = f"""{SHOWN}.flatMap(svg => [...svg.querySelectorAll('text')].filter(text => {{
        const box = text.getBoundingClientRect(), frame = svg.getBoundingClientRect()
        return box.left < frame.left - 1 || box.right > frame.right + 1
    }}).map(text => text.textContent))"""
    for width in (390, 1280):
        page.open(report, width)
        assert page.evaluate(overlaps) == []
        assert page.evaluate(outside) == []


def test_the_first_column_of_a_table_is_words_not_letters(page, report):
    """A phone would give it the width of a letter, since the other columns do not wrap."""
    page.open(report, 390)
    widths = page.evaluate("[...document.querySelectorAll('th:first-child')].map(cell => cell.offsetWidth)")
    assert min(width for width in widths if width) >= 110  # those of a closed list have none


def test_contrast_of_text_is_readable_in_both_schemes():
    """WCAG AA: 4.5 to 1 for ink and secondary text, 3 to 1 for graphics."""
    for scheme in ("light", "dark"):
        colours = {role: getattr(colour, scheme) for role, colour in COLOURS.items()}
        for role in ("ink", "muted"):
            assert contrast(colours[role], colours["paper"]) >= 4.5
            assert contrast(colours[role], colours["band"]) >= 4.5
        for role in COLOURS.keys() - {"paper", "band", "rule"}:
            assert contrast(colours[role], colours["paper"]) >= 3


def contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _hex(colour: str) -> str:
    return "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", colour)[:3])
