"""The `hf-dsd` command."""

import shlex
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from .command_error import errors_end_command

# What a command needs is imported inside it: `hf-dsd --help` must not wait for torch.

app = typer.Typer(
    help="Dense-Sparse-Dense training for Hugging Face models.",
    no_args_is_help=True,
    # Every option in both spellings, `--repo-id` and `--repo_id`: scripts of transformers have the second.
    context_settings={"token_normalize_func": lambda option: option.replace("_", "-")},
)


class DemoTask(str, Enum):
    """What the demo trains."""

    CAPTIONING = "captioning"
    SPEECH = "speech"


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hf-dsd {version('hf-dsd')}")
        raise typer.Exit


@app.callback()
def main(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version, and end.")
    ] = False,
) -> None:
    """Dense-Sparse-Dense training for Hugging Face models."""


@app.command()
def env() -> None:
    """Print the versions and devices that a bug report needs; nothing that is secret."""
    from .runs.environment import describe_environment

    typer.echo(describe_environment())


@app.command()
def demo(
    task: Annotated[
        DemoTask, typer.Option(help="captioning: an LSTM describes drawn scenes; speech: DeepSpeech 2 hears digits.")
    ] = DemoTask.CAPTIONING,
    output_dir: Annotated[Path | None, typer.Option(help="Folder of the runs; default: runs/demo-TASK.")] = None,
) -> None:
    """Train DSD and its equal-budget dense control on a small embedded set, and compare them."""
    from transformers.utils import logging

    from .demo import captioning_task, run_demo, speech_task

    logging.disable_progress_bar()  # of saving the phases' models
    make_task = {DemoTask.CAPTIONING: captioning_task, DemoTask.SPEECH: speech_task}[task]
    folder = output_dir or Path(f"runs/demo-{task.value}")
    try:
        with errors_end_command({ValueError: 2, RuntimeError: 2, FileNotFoundError: 1}):
            run_demo(make_task, folder)
    except KeyboardInterrupt:
        again = escape(shlex.join(["hf-dsd", "demo", "--task", task.value, "--output-dir", str(folder)]))
        Console().print(f"stopped: {again} goes on with the run that was at work", highlight=False, soft_wrap=True)
        raise typer.Exit(130) from None


@app.command("inspect")
def inspect_command(
    model: Annotated[str, typer.Argument(help="A folder with a config.json, such as a phase's, or a name on the Hub.")],
    sparsity: Annotated[float, typer.Option(help="Fraction pruned per layer, [0, 1).")] = 0.3,
    dense_modules: Annotated[
        list[str] | None,
        typer.Option(help="Regex kept dense, instead of the defaults, or beside them: +REGEX; repeat for several."),
    ] = None,
    sparsity_overrides: Annotated[str, typer.Option(help="Regex -> sparsity as JSON.")] = "{}",
    every: Annotated[bool, typer.Option("--all", help="List every parameter by itself.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs, with every parameter.")] = False,
) -> None:
    """Show what a sparse phase would prune and which rule keeps the rest dense, without training or weights."""
    from .inspection import build_without_weights, inspect_model, print_inspection
    from .trainer.argument_types import read_field

    with errors_end_command({ValueError: 2, OSError: 2}):
        inspection = inspect_model(
            build_without_weights(model),
            sparsity,
            dense_modules=dense_modules,
            sparsity_overrides=read_field("sparsity_overrides", sparsity_overrides),
        )
    if as_json:
        typer.echo(inspection.to_json())
    else:
        print_inspection(inspection, Console(), every=every)


@app.command()
def sensitivity(
    script: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- SCRIPT ITS_OPTIONS", help="After --: the training script, as its run was trained."),
    ] = None,
    phase: Annotated[str | None, typer.Option(help="Whose model to prune; default: the first phase's.")] = None,
    out: Annotated[str | None, typer.Option(help="Folder of sensitivity.json and .png; default: the run's.")] = None,
    sparsities: Annotated[str | None, typer.Option(help="Fractions to measure; default: 0.1 to 0.9.")] = None,
    metric: Annotated[str | None, typer.Option(help="Score that decides: loss, or one of the script's own.")] = None,
    tolerance: Annotated[float | None, typer.Option(help="How much worse it may get, a fraction; 0.05.")] = None,
    examples: Annotated[int | None, typer.Option(help="Validation examples to evaluate, at the most; 128.")] = None,
) -> None:
    """Prune without retraining, layer by layer and all at once: what each costs, and a sparsity to begin with."""
    from .sensitivity.command import fractions, sensitivity_command

    with errors_end_command({ValueError: 2}):
        options = {"phase": phase, "out": out, "metric": metric, "tolerance": tolerance, "examples": examples}
        status = sensitivity_command(script or [], {**options, "sparsities": fractions(sparsities)})
    raise typer.Exit(status)


@app.command()
def compare(
    context: typer.Context,
    script: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="-- SCRIPT ITS_OPTIONS",  # in the usage line, which every wrong call prints
            help="After --: a training script built on DSDTrainer, and its arguments.",
        ),
    ] = None,
    arms: Annotated[
        list[str] | None, typer.Option(help="dsd dense early random iterative sparse ema swa; default: dsd dense.")
    ] = None,
    arm: Annotated[
        list[str] | None, typer.Option(help="Your own: 's50=--sparsity 0.5', any difference in arguments; repeatable.")
    ] = None,
    baseline: Annotated[str | None, typer.Option(help="The arm that all are compared with; default: dense.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds.")] = 3,
    first_seed: Annotated[int, typer.Option(min=0, help="The seeds count up from here.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder of the runs, seed-S/ARM, and of comparison.json.")] = Path(
        "runs/compare"
    ),
    num_processes: Annotated[int | None, typer.Option("--num_processes", help="Passed to accelerate launch.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at once, each with its share of the GPUs or cores.")] = 1,
    metric: Annotated[
        str | None, typer.Option(help="Score to compare; default: the script's own headline. Also: loss, eval_...")
    ] = None,
    smaller_is_better: Annotated[
        bool | None,
        typer.Option("--smaller-is-better/--greater-is-better", help="Default: as the script says, or by --metric."),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Scored split to compare; default: test, else the one that the script scored.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Remove runs of another recipe and train anew.")] = False,
    collect: Annotated[bool, typer.Option("--collect", help="Train nothing, compare the runs in --out.")] = False,
) -> None:
    """Train DSD and its controls with several seeds, and say in one table whether DSD is worth it."""
    from .compare.arms import BASELINE
    from .compare.command import collect_command, run_command
    from .trainer.script_arguments import expand_script

    status = 0
    if collect:
        with errors_end_command({ValueError: 2}):
            _refuse_training_options(context)
    else:
        seed_numbers = range(first_seed, first_seed + seeds)
        with errors_end_command({ValueError: 2}):
            script = expand_script(script or [])  # a recipe file's options are the comparison's recipe
        status = run_command(
            script,
            arms or [],
            arm or [],
            seed_numbers,
            out,
            baseline=baseline or BASELINE,
            num_processes=num_processes,
            at_once=jobs,
            force=force,
        )
    greater_is_better = None if smaller_is_better is None else not smaller_is_better
    without_runs = 2 if collect else 1
    runs = collect_command(
        out, split, metric, greater_is_better=greater_is_better, baseline=baseline, without_runs=without_runs
    )
    _write_report(out, runs=runs)
    raise typer.Exit(status)


_OF_TRAINING = ("script", "arms", "arm", "seeds", "first_seed", "num_processes", "jobs", "force")


def _refuse_training_options(context: typer.Context) -> None:
    sources = {name: context.get_parameter_source(name) for name in _OF_TRAINING}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if given:
        words = ", ".join("script" if name == "script" else f"--{name.replace('_', '-')}" for name in given)
        raise ValueError(f"--collect compares all runs that are in --out and trains none, so it takes no {words}")


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A run's output_dir, finished or not, or a comparison's --out.")],
    out: Annotated[Path | None, typer.Option(help="The page; default: FOLDER/report.html.")] = None,
    layer: Annotated[str | None, typer.Option(help="Whose weights to draw; default: the largest pruned one.")] = None,
) -> None:
    """Write a run or a comparison as one self-contained HTML page, and its figures as PNG."""
    _write_report(folder, out, layer=layer)


def _write_report(folder: Path, out: Path | None = None, **options: Any) -> None:
    from .report import write_report

    with errors_end_command({FileNotFoundError: 2, ValueError: 2}):
        path = write_report(folder, out, **options)
    Console().print(f"The report is in {escape(str(path))}.", highlight=False, soft_wrap=True)


@app.command()
def card(
    folder: Annotated[Path, typer.Argument(help="A card's folder, or a folder of cards, to render them all.")],
    comparison: Annotated[Path | None, typer.Option(help="Take the numbers from these runs, OUT/seed-S/ARM.")] = None,
    run: Annotated[Path | None, typer.Option(help="Make it the card of this finished run's model.")] = None,
    model: Annotated[
        Path | None, typer.Option(help="Put the model of this folder, such as RUN/phase-2-dense, into the card's.")
    ] = None,
    image_encoder: Annotated[
        bool,
        typer.Option("--image-encoder", help="Of a captioner: its pictures are read by the encoder extra's network."),
    ] = False,
) -> None:
    """Render README.md and STUDIES.md from results.json and your words.md; first take new numbers or a model."""
    from transformers.utils import logging

    from .hub.card_command import refresh_card

    logging.disable_progress_bar()  # of loading and saving the model
    with errors_end_command({FileNotFoundError: 2, ValueError: 2, ImportError: 2}):
        written = refresh_card(folder, comparison=comparison, run=run, model=model, packaged_encoder=image_encoder)
    for path in written:
        Console().print(f"Written to {escape(str(path))}.", highlight=False, soft_wrap=True)


@app.command("attach-encoder")
def attach_encoder(
    model: Annotated[Path, typer.Argument(help="Folder of a captioner trained on EfficientNet-Lite0 vectors.")],
    out: Annotated[Path, typer.Argument(help="Folder for the captioner of pictures, with its code.")],
) -> None:
    """Give a captioner trained on image vectors the encoder that made them: picture in, caption out."""
    from transformers.utils import logging

    from .models.picture_captioner import save_picture_captioner

    logging.disable_progress_bar()  # of loading and saving
    with errors_end_command({ValueError: 2, OSError: 2, ImportError: 2}):
        save_picture_captioner(model, out)
    Console().print(f"{escape(str(out))} captions pictures", highlight=False, soft_wrap=True)


@app.command()
def publish(
    repo_id: Annotated[str, typer.Option("--repo_id", help="user/name; made if it does not exist.")],
    run_dir: Annotated[
        Path | None, typer.Argument(help="output_dir of a run that has finished its last phase.")
    ] = None,
    card: Annotated[Path | None, typer.Option(help="Instead of a run: a card's folder that holds a model.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Make the repository private.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List every file with its size, and end.")] = False,
    license: Annotated[str | None, typer.Option(help="Of the weights, as the Hub calls it: apache-2.0.")] = None,
    language: Annotated[list[str] | None, typer.Option(help="Code for the card, such as en; may be repeated.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Name for the card; default: from the run's command.")] = None,
    results: Annotated[
        Path | None, typer.Option(help="A card's folder, or its results.json: its words and studies stay.")
    ] = None,
    image_encoder: Annotated[
        bool,
        typer.Option(
            "--image-encoder", help="Add EfficientNet-Lite0 to a captioner of its vectors: it takes pictures."
        ),
    ] = False,
) -> None:
    """Publish a run on the Hub: main is its last model, branches are the earlier phases', and a card says it all.

    The token is HF_TOKEN's or the one of `hf auth login`. If it breaks off, run it again: nothing is sent twice.
    """
    from transformers.utils import logging

    from .hub import PublishError, publish_card
    from .hub import publish as publish_run

    logging.disable_progress_bar()  # of loading and saving the phases' models
    with errors_end_command({PublishError: 1, ValueError: 2, FileNotFoundError: 2, ImportError: 2}):
        of_the_run: dict[str, Any] = {"--results": results, "--license": license, "--language": language}
        of_the_run |= {"--dataset": dataset, "--image-encoder": image_encoder}
        if (run_dir is None) == (card is None):
            raise ValueError("give a run's folder, or --card with the folder of a card, and not both")
        if card is not None:
            if given := [name for name, value in of_the_run.items() if value]:
                raise ValueError(f"{given[0]} is for a run: of a card its words.md and its model say it; leave it out")
            publish_card(card, repo_id, private=private or None, dry_run=dry_run)
        elif run_dir is not None:
            publish_run(
                run_dir,
                repo_id,
                private=private or None,
                dry_run=dry_run,
                results=results,
                license=license,
                language=language,
                dataset=dataset,
                image_encoder=image_encoder,
            )
