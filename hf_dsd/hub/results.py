"""`results.json`: everything that a model card says, what runs measured and what a person wrote.

Layer: the comparison, and the facts of runs next door.
"""

import json
import os
import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from huggingface_hub.dataclasses import strict
from huggingface_hub.utils import validate_repo_id

from hf_dsd.compare import ARMS, Comparison
from hf_dsd.compare.comparison import COMPARISON_FILE_NAME
from hf_dsd.files import write_json

from .decoding import decode
from .phase_scores import PhaseScore, count_examples, read_all_phase_scores, read_phase_scores
from .public_comparison import public_comparison
from .revisions import earlier_branches
from .run_facts import ModelFacts, Recipe, data_name, read_model, read_recipe, read_summary
from .studies import Study

RESULTS_FILE_NAME = "results.json"
FIGURES = ("figures/weights.png",)
_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)
_HOW = {"dense": "the equal-budget dense control", "random": "trained dense-sparse-dense with random masks"}


@strict
@dataclass
class Prose:
    """What a person writes; markdown. Code fills in none of it and changes none of it.

    Attributes:
        description: What the model is.
        findings: What is in the numbers, one point each.
        paper: What the paper reports for this model.
        training: How settings were chosen, and on which split.
        limits: What the model or the numbers are not good for, one point each.
        commands: How to make the runs, where they were not made by one recorded command.
    """

    description: str = ""
    findings: list[str] = field(default_factory=list)
    paper: str = ""
    training: str = ""
    limits: list[str] = field(default_factory=list)
    commands: str = ""


@strict
@dataclass
class DatasetFacts:
    """What the model was trained and scored on.

    Attributes:
        name: For readers: `CMU AN4`.
        id: The Hub's name of the dataset, or a short one: `an4`; letters, digits, `.`, `_`, `-`, at most one `/`.
        text: Where it is from, its splits and its terms, in markdown.
    """

    name: str
    id: str
    text: str = ""

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ValueError(
                f"dataset id must be a name as on the Hub (letters, digits, '.', '_', '-', at most one '/'), got "
                f"{self.id!r}; give a short one such as 'an4'"
            )


@strict
@dataclass
class Results:
    """All that a card says; its attributes are the keys of `results.json`.

    Attributes:
        title: The card's heading.
        model: What the weights are weights of.
        dataset: What it was trained and scored on.
        recipe: How the run trained whose model this is; in a card of a comparison, DSD's run of its first seed.
        branches: Phase or average -> the branch that holds its model, beside `main`.
        phase: Whose weights are published; None in a card of a comparison, which is about no single run.
        repo_id: Where they are published, `user/name`.
        license: Of the weights, as the Hub calls it: `apache-2.0`; `other` where none of its own fits.
        license_name: Of another licence.
        license_link: To another licence's text.
        language: Codes as the Hub has them: `en`.
        examples: Number of examples of the scored split.
        comparison: DSD and its controls over seeds; None where no control was run.
        phase_scores: Scores at the ends of phases.
        studies: Further comparisons.
        figures: Pictures beside the card.
        prose: What a person wrote.
        version: Of this file's format.
    """

    title: str
    model: ModelFacts
    dataset: DatasetFacts
    recipe: Recipe | None = None
    phase: str | None = None
    branches: dict[str, str] = field(default_factory=dict)
    repo_id: str | None = None
    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None
    language: list[str] = field(default_factory=list)
    examples: int | None = None
    comparison: Comparison | None = None
    phase_scores: list[PhaseScore] = field(default_factory=list)
    studies: list[Study] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)
    prose: Prose = field(default_factory=Prose)
    version: int = 1

    def __post_init__(self) -> None:
        if self.repo_id is not None:
            validate_repo_id(self.repo_id)

    @classmethod
    def from_run(
        cls,
        run_dir: str | os.PathLike[str],
        *,
        repo_id: str | None = None,
        license: str | None = None,
        language: str | list[str] | None = None,
        dataset: str | None = None,
        comparison: str | os.PathLike[str] | None = None,
    ) -> "Results":
        """Reads a finished run's folder.

        Args:
            run_dir: Output folder of a `DSDTrainer` run.
            repo_id: Where the model will be published, `user/name`.
            license: Of the weights, as the Hub calls it.
            language: One code or several.
            dataset: Its name; None takes the recorded command's `--dataset_name` or `--data_dir`.
            comparison: Folder of a comparison with the run in it. None takes `run_dir/../..` where `run_dir` is
                `OUT/seed-S/ARM` and OUT holds a comparison.json; without one the card says that no control was run.

        Raises:
            FileNotFoundError: If the folder is not a run's, or `comparison` holds no run.
            ValueError: If the run has not finished, an argument is not as the Hub wants it, or the comparison's run of
                this arm and seed is another one.
        """
        results = cls._of_run(Path(run_dir), repo_id, license, language, dataset)
        if comparison is None:
            comparison = _comparison_around(Path(run_dir))
        if comparison is None:
            return results
        compared = results.with_comparison(comparison)
        if results.recipe is not None and compared.own_scores() != results.own_scores():
            raise ValueError(
                f"{comparison} holds another run as {results.recipe.arm} of seed {results.recipe.seed} than {run_dir}: "
                "give the run's own comparison, or none"
            )
        return compared

    @classmethod
    def _of_run(
        cls,
        run: Path,
        repo_id: str | None = None,
        license: str | None = None,
        language: str | list[str] | None = None,
        dataset: str | None = None,
    ) -> "Results":
        """The run alone, whatever comparison it is in."""
        summary = read_summary(run)
        model, recipe = read_model(run, summary), read_recipe(summary)
        if (arm := _arm_of(run)) is not None:  # an iterative run calls itself dsd
            recipe = replace(recipe, arm=arm)
        data = " ".join((dataset or data_name(recipe)).split()) or "data of the user's own"
        phase = recipe.phases[-1].name
        return cls(
            f"{model.class_name} on {data}, {_HOW.get(recipe.arm, 'trained dense-sparse-dense')}",
            model,
            DatasetFacts(data, as_id(data)),
            recipe,
            phase,
            earlier_branches(run, summary),
            repo_id,
            license,
            language=[language] if isinstance(language, str) else list(language or ()),
            examples=count_examples(run, phase, "test"),
            phase_scores=read_phase_scores(run, recipe.arm, recipe.seed),
            figures=[figure for figure in FIGURES if (run / figure).is_file()],
        )

    @classmethod
    def from_comparison(cls, out: str | os.PathLike[str], *, dataset: str | None = None) -> "Results":
        """Reads a comparison's folder: a card of the comparison, not of one of its models.

        Raises:
            FileNotFoundError: If it holds no finished run of DSD.
        """
        found = Comparison.current(out)[0]
        runs = [run for run in found.runs if run.arm == "dsd" and run.status == "finished"]
        if not runs:
            raise FileNotFoundError(f"{out} holds no finished run of the dsd arm; train it, then make the card")
        results = cls._of_run(Path(out) / runs[0].folder, dataset=dataset)
        return replace(results, phase=None, branches={})._with_comparison(Path(out), found)

    def with_comparison(self, out: str | os.PathLike[str]) -> "Results":
        """These results with the numbers of a comparison's folder; title, prose and studies stay as they are."""
        return self._with_comparison(Path(out), Comparison.current(out)[0])

    def _with_comparison(self, out: Path, found: Comparison) -> "Results":
        scored = [run for run in found.runs if run.status == "finished"]
        folder = out / scored[0].folder
        dsd = next((run for run in scored if run.arm == "dsd"), None)
        changes: dict[str, Any] = {}
        if self.phase is None and dsd is not None:
            summary = read_summary(out / dsd.folder)
            changes = {"recipe": read_recipe(summary), "model": read_model(out / dsd.folder, summary)}
        of_all = read_all_phase_scores(out, found)
        known = {(score.arm, score.seed) for score in of_all}
        return replace(
            self,
            comparison=public_comparison(found),
            examples=count_examples(folder, scored[0].phase, found.split),
            phase_scores=of_all + [score for score in self.own_scores() if (score.arm, score.seed) not in known],
            **changes,
        )

    def with_run(self, new: "Results") -> "Results":
        """These results as those of another run: what a person wrote here stays, the numbers are the new ones'.

        A run that lies in no comparison of its own keeps this one, of which it is one run more.

        Raises:
            ValueError: If the comparison here is of another recipe than the run's.
        """
        written = ("title", "dataset", "repo_id", "license", "license_name", "license_link", "language")
        kept = {name: getattr(self, name) for name in (*written, "studies", "prose")}
        if new.comparison is not None or self.comparison is None:
            return replace(new, **kept)
        differences = _differences(self, new)
        if differences:
            raise ValueError(
                f"these results compare runs of another recipe than the run's ({'; '.join(differences)}): give words "
                "without a comparison, or a run inside its own comparison, OUT/seed-S/ARM"
            )
        own = new.own_scores()
        runs = {(score.arm, score.seed) for score in own}
        others = [score for score in self.phase_scores if (score.arm, score.seed) not in runs]
        return replace(new, **kept, comparison=self.comparison, phase_scores=others + own)

    def own_scores(self) -> list[PhaseScore]:
        """Scores of the run whose model is published; none in a card of a comparison."""
        if self.phase is None or self.recipe is None:
            return []
        run = (self.recipe.arm, self.recipe.seed)
        return [score for score in self.phase_scores if (score.arm, score.seed) == run]

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Writes the file, atomically, and returns its path."""
        return write_json(Path(path), {"version": self.version, **asdict(self)}, ensure_ascii=False)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "Results":
        """Reads what `write` wrote, or a person edited.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is not JSON, a newer hf_dsd wrote it, or a field is missing, unknown or of the wrong kind.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: make it by `hf-dsd card {path.parent} --comparison FOLDER`")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is not JSON ({error}): mend it, or take it from version control") from error
        if not isinstance(content, dict) or content.get("version") != 1:
            version = content.get("version") if isinstance(content, dict) else None
            raise ValueError(f"{path} has format version {version}, this hf_dsd reads 1: upgrade hf-dsd")
        results: Results = decode(cls, content, str(path))
        return results


def _differences(compared: Results, run: Results) -> list[str]:
    """What the runs of a comparison and another run were not trained alike in."""
    facts: dict[str, tuple[Any, Any]] = {"model": (compared.model.class_name, run.model.class_name)}
    one, other = compared.recipe, run.recipe
    if one is not None and other is not None:
        for name in ("optimizer", "lr_scheduler_type", "batch_size"):
            facts[name] = (getattr(one, name), getattr(other, name))
        facts["steps"] = ([phase.steps for phase in one.phases], [phase.steps for phase in other.phases])
        facts["learning rates"] = ([p.learning_rate for p in one.phases], [p.learning_rate for p in other.phases])
        if one.arm == other.arm:
            facts["sparsity"] = ([phase.sparsity for phase in one.phases], [phase.sparsity for phase in other.phases])
    return [f"{name} {first} against {second}" for name, (first, second) in facts.items() if first != second]


def as_id(name: str) -> str:
    """A dataset's name as the Hub could have it: `CMU AN4` becomes `cmu-an4`; names that it could have stay."""
    if _ID.fullmatch(name):
        return name
    return re.sub(r"[^a-z0-9_.-]+", "-", name.lower()).strip("-._") or "data"


def _arm_of(run: Path) -> str | None:
    """The arm that a run is by its place, `OUT/seed-S/ARM`; None elsewhere."""
    run = Path(os.path.abspath(run))  # not resolved: the arm may be a link to a run elsewhere
    return run.name if run.name in ARMS and re.fullmatch(r"seed-\d+", run.parent.name) else None


def _comparison_around(run: Path) -> Path | None:
    out = Path(os.path.abspath(run)).parent.parent  # of the root, the root
    return out if _arm_of(run) is not None and (out / COMPARISON_FILE_NAME).is_file() else None
