"""`results.json`: the numbers of a card, measured by runs and written by code; the words lie beside, in `words.md`."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from huggingface_hub.utils import validate_repo_id

from hf_dsd.compare import Comparison
from hf_dsd.compare.recipe import is_comparison
from hf_dsd.compare.run_results import read_runs
from hf_dsd.files import read_json, write_json
from hf_dsd.report.report_folder import FIGURE_FILES
from hf_dsd.runs.json_checks import misfit
from hf_dsd.runs.run import Run

from .card_facts import (
    ModelFacts,
    PhaseScore,
    Recipe,
    RecipePhase,
    ShippedModel,
    count_examples,
    data_name,
    read_model,
    read_phase_scores,
    read_recipe,
)
from .contents import earlier_branches
from .privacy import public_comparison
from .words import STUDY, Words, as_id

RESULTS_FILE_NAME = "results.json"
FIGURES = tuple(name for name in FIGURE_FILES if name.endswith("/weights.png"))
"""The figures that a card shows."""

_FORMAT = 2
_HOW = {"dense": "the equal-budget dense control", "random": "trained dense-sparse-dense with random masks"}


@dataclass(frozen=True)
class Results:
    """The numbers of a card, and the words about them; all but `words` are the keys of `results.json`.

    Attributes:
        model: What the weights are weights of.
        recipe: How the run trained whose model this is; in a card of a comparison, DSD's run of its first seed.
        phase: Whose weights are published; None in a card of a comparison, which is about no single run.
        branches: Phase or average -> the branch that holds its model, beside `main`.
        repo_id: Where they are published, `user/name`.
        examples: Number of examples of the scored split.
        comparison: DSD and its controls over seeds; None where no control was run.
        phase_scores: Scores at the ends of phases.
        studies: Further comparisons: title -> setting -> its comparison, each with an equal-budget control of its own.
        figures: Pictures beside the card.
        shipped: The model in the card's own folder, and its scores; None where there is none, or nobody measured it.
        words: What a person wrote.
    """

    model: ModelFacts
    recipe: Recipe
    phase: str | None = None
    branches: dict[str, str] = field(default_factory=dict)
    repo_id: str | None = None
    examples: int | None = None
    comparison: Comparison | None = None
    phase_scores: list[PhaseScore] = field(default_factory=list)
    studies: dict[str, dict[str, Comparison]] = field(default_factory=dict)
    figures: list[str] = field(default_factory=list)
    shipped: ShippedModel | None = None
    words: Words = field(default_factory=Words)

    def __post_init__(self) -> None:
        if self.repo_id is not None:
            validate_repo_id(self.repo_id)

    @property
    def dataset(self) -> str:
        """The data's name, for readers."""
        return " ".join((self.words.dataset or data_name(self.recipe)).split()) or "data of the user's own"

    @property
    def dataset_id(self) -> str:
        """The data's name as the Hub could have it."""
        return self.words.dataset_id or as_id(self.dataset)

    @classmethod
    def from_run(
        cls,
        run: Run,
        *,
        words: Words | None = None,
        repo_id: str | None = None,
        comparison: str | os.PathLike[str] | None = None,
    ) -> "Results":
        """The results of a finished run, as `read_finished_run` reads it, to be published as `repo_id`.

        Args:
            run: The run.
            words: What a person says.
            repo_id: Where the model will be published, `user/name`.
            comparison: Folder of a comparison with the run in it. None takes the folder that holds the run as
                `seed-S/ARM`, if it is a comparison's; without one the card says that no control was run. One without a
                run is a FileNotFoundError, one whose run of this arm and seed is another one a ValueError.
        """
        phase = run.last_phase
        results = cls(
            read_model(run),
            read_recipe(run),
            phase,
            earlier_branches(run),
            repo_id,
            count_examples(run, "test"),
            phase_scores=read_phase_scores(run),
            figures=[figure for figure in FIGURES if (run.folder / figure).is_file()],
            words=words or Words(),
        )
        place = run.place
        if comparison is None and place is not None and is_comparison(place.out):
            comparison = place.out
        if comparison is None:
            return results
        compared = results.with_comparison(comparison, [run])
        if compared.own_scores() != results.own_scores():
            raise ValueError(
                f"{comparison} holds another run as {results.recipe.arm} of seed {results.recipe.seed} than "
                f"{run.folder}: give the run's own comparison, or none"
            )
        return compared

    @classmethod
    def from_comparison(cls, out: str | os.PathLike[str], words: Words | None = None) -> "Results":
        """Reads a comparison's folder: a card of the comparison, not of one of its models.

        A folder without a finished run of DSD is a FileNotFoundError.
        """
        runs = read_runs(Path(out))
        run = next((run for run in runs if run.arm == "dsd" and run.is_finished), None)
        if run is None:
            raise FileNotFoundError(f"{out} holds no finished run of the dsd arm; train it, then make the card")
        return cls(read_model(run), read_recipe(run), words=words or Words()).with_comparison(out, runs)

    def with_comparison(self, out: str | os.PathLike[str], known: Iterable[Run] = ()) -> "Results":
        """These results with the numbers of a comparison's folder; words and studies stay as they are.

        Runs in it that are `known` are not read again. A folder with neither a comparison nor a finished run is a
        FileNotFoundError.
        """
        runs = read_runs(Path(out), known)
        found = Comparison.current(out, runs)[0]
        finished = {(one.arm, one.seed) for one in found.runs if one.status == "finished"}
        trained = [run for run in runs if (run.arm, run.seed) in finished]
        dsd = next((run for run in trained if run.arm == "dsd"), None)
        changes: dict[str, Any] = {}
        if self.phase is None and dsd is not None:
            changes = {"recipe": read_recipe(dsd), "model": read_model(dsd)}
        of_all = [score for run in trained for score in read_phase_scores(run)]
        return replace(
            self,
            comparison=public_comparison(found),
            examples=count_examples(trained[0], found.split) if trained else self.examples,
            phase_scores=_merged(of_all, self.own_scores()),
            **changes,
        )

    def with_run(self, new: "Results") -> "Results":
        """The results of another run under this card's words and studies.

        A run that lies in no comparison of its own keeps this one, of which it is one run more; if this one is of
        another recipe than the run's, that is a ValueError.
        """
        kept: dict[str, Any] = {"words": self.words, "studies": self.studies, "repo_id": self.repo_id}
        if new.comparison is not None or self.comparison is None:
            return replace(new, **kept)
        differences = _differences(self, new)
        if differences:
            raise ValueError(
                f"these results compare runs of another recipe than the run's ({'; '.join(differences)}): give a card "
                "without a comparison, or a run inside its own comparison, OUT/seed-S/ARM"
            )
        scores = _merged(new.own_scores(), self.phase_scores)
        return replace(new, **kept, comparison=self.comparison, phase_scores=scores)

    def own_scores(self) -> list[PhaseScore]:
        """Scores of the run whose model is published; none in a card of a comparison."""
        own = (self.recipe.arm, self.recipe.seed)
        return [one for one in self.phase_scores if self.phase is not None and (one.arm, one.seed) == own]

    @property
    def title(self) -> str:
        """The card's heading: a person's, else the model's class, the data and the recipe."""
        how = _HOW.get(self.recipe.arm, "trained dense-sparse-dense")
        how = how.replace("dense-sparse-dense", "sparse") if self.recipe.ends_sparse else how
        return self.words.title or f"{self.model.class_name} on {self.dataset}, {how}"

    def write(self, folder: Path) -> Path:
        """Writes results.json into a folder, atomically, and returns its path; words.md is a person's."""
        content = {"version": _FORMAT, **asdict(replace(self, words=Words(), comparison=None, studies={}))}
        del content["words"]
        content["comparison"] = self.comparison.to_dict() if self.comparison is not None else None
        content["studies"] = {
            title: {setting: found.to_dict() for setting, found in study.items()}
            for title, study in self.studies.items()
        }
        return write_json(folder / RESULTS_FILE_NAME, content, ensure_ascii=False)

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> "Results":
        """Reads a card's folder: what `write` wrote, and `words.md`.

        Raises:
            FileNotFoundError: If there is no results.json.
            ValueError: If a file is damaged, another version of hf_dsd wrote it, or a value is of the wrong kind.
        """
        path = Path(folder) / RESULTS_FILE_NAME
        remedy = f"make it anew by `hf-dsd card {folder} --comparison FOLDER` (or --run), or restore it"
        content = read_json(path, remedy)
        if content is None:
            raise FileNotFoundError(f"{path} is missing: make it by `hf-dsd card {folder} --comparison FOLDER`")
        version = content.pop("version", None)
        if version != _FORMAT:
            raise ValueError(f"{path} has format version {version}, this hf_dsd reads {_FORMAT}: {remedy}")
        try:
            results = cls(**{**content, **_parts(content)}, words=Words.read(Path(folder)))
            wrong = misfit(results, cls, "results")
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is not as hf_dsd writes it ({error!r}): {remedy}") from error
        if wrong:
            raise ValueError(f"{path} is damaged ({wrong} is of the wrong kind): {remedy}")
        for name in results.words.sections:
            if name.startswith(STUDY) and name.removeprefix(STUDY) not in results.studies:
                raise ValueError(
                    f"{folder} has words on {name!r}, and no such study: there are {list(results.studies)}"
                )
        return results


def _merged(first: Sequence[PhaseScore], others: Iterable[PhaseScore]) -> list[PhaseScore]:
    """The scores of two lists, those of a run that both know by the first."""
    known = {(score.arm, score.seed) for score in first}
    return [*first, *(score for score in others if (score.arm, score.seed) not in known)]


def _differences(compared: Results, run: Results) -> list[str]:
    """What the runs of a comparison and another run were not trained alike in."""
    one, other = compared.recipe, run.recipe
    facts: dict[str, tuple[Any, Any]] = {"model": (compared.model.class_name, run.model.class_name)}
    for name in ("optimizer", "lr_scheduler_type", "batch_size"):
        facts[name] = (getattr(one, name), getattr(other, name))
    per_phase = {"steps": "steps", "learning rates": "learning_rate"}
    per_phase |= {"sparsity": "sparsity"} if one.arm == other.arm else {}
    for name, key in per_phase.items():
        facts[name] = ([getattr(p, key) for p in one.phases], [getattr(p, key) for p in other.phases])
    return [f"{name} {first} against {second}" for name, (first, second) in facts.items() if first != second]


def _parts(content: Mapping[str, Any]) -> dict[str, Any]:
    """The objects in results.json, built of their JSON; a wrong shape is a TypeError, KeyError or AttributeError."""
    recipe = content["recipe"]
    comparison = content.get("comparison")
    return {
        "model": ModelFacts(**content["model"]),
        "recipe": Recipe(**{**recipe, "phases": [RecipePhase(**phase) for phase in recipe["phases"]]}),
        "shipped": ShippedModel(**content["shipped"]) if content.get("shipped") else None,
        "phase_scores": [PhaseScore(**score) for score in content.get("phase_scores", [])],
        "comparison": None if comparison is None else Comparison.from_dict(comparison, "its comparison"),
        "studies": {
            title: {setting: Comparison.from_dict(found, f"{title}, {setting}") for setting, found in study.items()}
            for title, study in content.get("studies", {}).items()
        },
    }
