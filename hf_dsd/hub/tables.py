"""The tables of a card, as lines of markdown."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from hf_dsd.compare import Comparison, Difference
from hf_dsd.compare.differences import adjusted
from hf_dsd.compare.table import markdown_table
from hf_dsd.runs.metric_names import plain_name, score_title
from hf_dsd.runs.numbers import (
    count_text,
    interval_text,
    mean_text,
    p_text,
    percent,
    score_text,
    signed_text,
    spread_text,
)

from .card_facts import PhaseScore, Recipe, ShippedModel, plain_scores
from .results import Results

_ORDER = ("bleu1", "bleu2", "bleu3", "bleu4", "brevity_penalty", "bleu4_without_penalty", "wer", "cer", "error")


def in_order(names: Iterable[str]) -> list[str]:
    """Names of scores as a table has them: the known ones first, `loss` last."""
    found = set(names)
    known = [name for name in _ORDER if name in found]
    return known + sorted(found - set(known) - {"loss"}) + (["loss"] if "loss" in found else [])


def recipe_table(recipe: Recipe) -> list[str]:
    """One row per phase: its length, learning rate and what was pruned."""
    headings = ["phase", "epochs", "steps", "learning rate", "sparsity", "weights at zero"]
    rows = []
    for phase in recipe.phases:
        rate = f"{phase.learning_rate:g}" if phase.learning_rate is not None else "-"
        pruned = [percent(phase.sparsity), f"{phase.pruned:,}"] if phase.kind == "sparse" else ["-", "-"]
        rows.append([phase.name, count_text(phase.epochs), str(phase.steps), rate, *pruned])
    return markdown_table(headings, rows)


def examples_table(shipped: ShippedModel, *, is_in_clone: bool) -> list[str]:
    """One row per recording or picture: what the model says of it, and what is right.

    Where the page lies in the clone, pictures are shown, and recordings are links.
    """
    to_root = "../" * len(PurePosixPath(shipped.folder).parts)
    rows = []
    for file, (said, right) in shipped.examples.items():
        name = PurePosixPath(file).name
        mark = "!" if name.endswith(".jpg") else ""
        rows.append([f"{mark}[{name}]({to_root}{file})" if is_in_clone else name, f"**{said}**", right])
    return markdown_table(["example", "the model says", "right would be"], rows, words=3)


def arms_table(comparison: Comparison) -> list[str]:
    """One row per arm: its score over seeds, and how far it is from the control."""
    metric = comparison.metric
    against = {one.arm: one for one in comparison.differences if one.to == comparison.baseline}
    rows = []
    for name, arm in comparison.arms.items():
        cells = ["-", "-", "-"]
        if (one := against.get(name)) is not None:
            cells = [signed_text(one.mean, metric), interval_text(one.interval, metric), p_text(one.p_holm)]
        rows.append([arm.label, mean_text(arm.mean, arm.sd, metric), *cells])
    return markdown_table(
        ["arm", f"{comparison.split} {score_title(metric)}", "difference", "95 % interval", "p"], rows
    )


def scores_text(scores: Mapping[str, float]) -> str:
    """`WER [%] 11.51, CER [%] 4.83`."""
    return ", ".join(f"{score_title(name)} {score_text(scores[name], name)}" for name in in_order(scores))


def compared_text(results: Results) -> str:
    """What the comparison's run of the shipped model's seed scored: `WER [%] 11.51`; "" where it has none."""
    comparison, seed = results.comparison, results.shipped and results.shipped.seed
    runs = comparison.runs if comparison is not None else []
    values = [run.value for run in runs if (run.arm, run.seed) == ("dsd", seed) and run.value is not None]
    if comparison is None or not values:
        return ""
    return f"{score_title(comparison.metric)} {score_text(values[0], comparison.metric)}"


def all_scores_table(results: Results) -> list[str]:
    """Every score of every arm, mean ± sd over seeds, and what DSD differs by from its control, seed by seed.

    Empty where no arm has scores beside the headline's.
    """
    comparison = results.comparison
    if comparison is None:
        return []
    scores = {arm: _scores_by_seed(comparison, arm) for arm in comparison.arms}
    columns = in_order({name for seeds in scores.values() for one in seeds.values() for name in one})
    if len(columns) < 2:
        return []
    at_index_0 = [s for s in results.phase_scores if s.arm == "dsd" and s.index == 0]
    first = [s.scores for s in at_index_0 if s.split == comparison.split]
    rows = [["first dense phase, shared by the arms", *_spreads(first, columns)]] if first else []
    rows += [[comparison.arms[arm].label, *_spreads(list(scores[arm].values()), columns)] for arm in scores]
    rows += _difference_rows(scores, columns)
    return markdown_table([comparison.split, *(score_title(name) for name in columns)], rows)


def own_scores_table(results: Results, split: str) -> list[str]:
    """One row per phase of the run whose model is published; empty where it was not scored on the split."""
    own = [score for score in results.own_scores() if score.split == split]
    columns = in_order({name for score in own for name in score.scores})
    rows = [[score.phase, *_spreads([score.scores], columns)] for score in own]
    return markdown_table([split, *(score_title(name) for name in columns)], rows) if rows else []


def validation_table(results: Results) -> list[str]:
    """The headline score on the validation split at the end of each phase, by arm and seed; empty without any."""
    if results.comparison is None:
        return []
    metric = plain_name(results.comparison.metric)
    found = [s for s in results.phase_scores if s.split == "validation" and metric in s.scores]
    if not found:
        return []
    count = 1 + max(score.index for score in found)
    rows = []
    for arm, summary in results.comparison.arms.items():
        of_arm = [score for score in found if score.arm == arm]
        seeds = sorted({score.seed for score in of_arm}, key=lambda seed: -1 if seed is None else seed)
        for seed in seeds:
            rows.append([summary.label, str(seed), *_by_phase([s for s in of_arm if s.seed == seed], metric, count)])
        if len(seeds) > 1:
            rows.append([summary.label, "mean ± sd", *_by_phase(of_arm, metric, count)])
    return markdown_table(["arm", "seed", *(f"phase {index}" for index in range(count))], rows, words=2)


def sparse_phases(results: Results) -> list[str]:
    """Which columns of the validation table lie at the end of a sparse phase: `DSD phase 1 (80 %)`."""
    lines = []
    for arm, summary in (results.comparison.arms if results.comparison is not None else {}).items():
        found = {s.index: s.sparsity for s in results.phase_scores if s.arm == arm and s.sparsity}
        if found:
            phases = ", ".join(f"phase {index} ({percent(found[index])})" for index in sorted(found))
            lines.append(f"{summary.label} {phases}")
    return lines


def study_table(study: Mapping[str, Comparison]) -> list[str]:
    """One row per setting and arm, each against the equal-budget control of its own setting.

    `p (Holm)` is adjusted for all rows of the table: who looks at ten settings finds one by chance.
    """
    headings = ["setting", "arm", "metric", "dense control", "arm's", "difference", "95 % interval"]
    compared = [
        (setting, found, one)
        for setting, found in study.items()
        for one in found.differences
        if one.to == found.baseline
    ]
    family = adjusted([one for *_, one in compared])
    rows = [
        [setting, *_study_row(found, one), p_text(one.p_seeds), p_text(one.p_holm), str(one.n)]
        for (setting, found, _), one in zip(compared, family, strict=True)
    ]
    return markdown_table([*headings, "p (seeds)", "p (Holm)", "n"], rows, words=3) if rows else []


def index_table(cards: Mapping[str, tuple[str, Results]]) -> list[str]:
    """One row per card, of its title and results: DSD against its control, and what can be said."""
    headings = ["card", "recipe", "metric", "verdict", "dense control", "DSD", "DSD - control", "95 % interval"]
    links = [f"[{title.partition(':')[0]}]({name}/README.md)" for name, (title, _) in cards.items()]
    rows = [[link, *_index_row(card)] for link, (_, card) in zip(links, cards.values(), strict=True)]
    return markdown_table([*headings, "p (Holm)"], rows, words=4)


def sparsity_text(results: Results) -> str:
    """`50 %, then 25 %`."""
    return ", then ".join(percent(phase.sparsity) for phase in results.recipe.phases if phase.kind == "sparse")


def _scores_by_seed(comparison: Comparison, arm: str) -> dict[int, dict[str, float]]:
    prefix = comparison.metric.removesuffix(plain_name(comparison.metric))
    found: dict[int, dict[str, float]] = {}
    for run in comparison.runs:
        if run.arm == arm and run.status == "finished" and run.scores is not None:
            of_split = {plain_name(name): value for name, value in run.scores.items() if name.startswith(prefix)}
            found[run.seed] = plain_scores(of_split) | ({"loss": run.loss} if run.loss is not None else {})
    return found


def _spreads(scores: Sequence[Mapping[str, float]], columns: Iterable[str]) -> list[str]:
    return [spread_text([one[name] for one in scores if name in one], name) for name in columns]


def _difference_rows(
    scores: Mapping[str, Mapping[int, Mapping[str, float]]], columns: Iterable[str]
) -> list[list[str]]:
    dsd, dense = scores.get("dsd", {}), scores.get("dense", {})
    seeds = sorted(dsd.keys() & dense.keys())
    if not seeds:
        return []
    cells = []
    for name in columns:
        known = all(name in dsd[seed] and name in dense[seed] for seed in seeds)
        differences = [signed_text(dsd[seed][name] - dense[seed][name], name) for seed in seeds] if known else ["-"]
        cells.append(" / ".join(differences))
    return [[f"DSD - dense control, seed {' / '.join(map(str, seeds))}", *cells]]


def _by_phase(scores: Sequence[PhaseScore], metric: str, count: int) -> list[str]:
    return [spread_text([s.scores[metric] for s in scores if s.index == index], metric) for index in range(count)]


def _study_row(comparison: Comparison, difference: Difference) -> list[str]:
    metric = comparison.metric
    arms = [comparison.arms[difference.to], comparison.arms[difference.arm]]
    return [
        comparison.arms[difference.arm].label,
        f"{comparison.split} {score_title(metric)}",
        *(mean_text(arm.mean, arm.sd, metric) for arm in arms),
        signed_text(difference.mean, metric),
        interval_text(difference.interval, metric),
    ]


def _index_row(card: Results) -> list[str]:
    comparison = card.comparison
    recipe = sparsity_text(card)
    if comparison is None:
        return [recipe, "-", "no control was run", *["-"] * 5]
    seeds = f"{len(comparison.seeds)} seeds" if len(comparison.seeds) > 1 else "one seed"
    metric = comparison.metric
    arms = [comparison.arms.get(comparison.baseline), comparison.arms.get("dsd")]
    against = next((found for found in comparison.differences if found.arm == "dsd"), None)
    return [
        ", ".join(filter(None, [recipe, seeds])),
        f"{comparison.split} {score_title(metric)}",
        comparison.verdict.headline if comparison.verdict is not None else "none",
        *(mean_text(arm.mean, arm.sd, metric) if arm is not None else "-" for arm in arms),
        signed_text(against.mean, metric) if against is not None else "-",
        interval_text(against.interval, metric) if against is not None else "-",
        p_text(against.p_holm) if against is not None else "-",
    ]
