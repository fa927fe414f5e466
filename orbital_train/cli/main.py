"""``orbital-train``: the commands, and how errors are told. Heavy imports happen inside the commands that need them."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO, get_args

import typer
from rich.console import Console

from orbital_train.errors import InputError, InputWarning

if TYPE_CHECKING:
    from orbital_train.config.recipe import SkyRecipe

app = typer.Typer(
    help="Train models across compute in orbit.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console()

RecipeArgument = Annotated[Path, typer.Argument(metavar="RECIPE", help="A TOML file.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe, with a dotted name.")
]
OutOption = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Directory to write; it must be empty.")]
ImportOption = Annotated[
    list[str] | None,
    typer.Option("--import", metavar="MODULE", help="A module of which the recipe may name functions."),
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Continue the run in --out exactly where it stopped.")]


@app.command()
def plan(
    recipe: RecipeArgument,
    set_: SetOption = None,
    out: OutOption = None,
    export: Annotated[
        list[str] | None,
        typer.Option("--export", metavar="FORMAT", help="Write the contacts for other programs too: ion, hdtn."),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option("--policy", metavar="NAME[,NAME]", help="Tabulate these policies instead, or all; write nothing."),
    ] = None,
) -> None:
    """Compute windows and schedule, print and draw them; nothing is trained.

    A recipe with a fleet and its links alone, and no schedule, is planned as far as its windows: also a million
    satellites.
    """
    with _told(recipe):
        from orbital_train.cli.run_directory import free_directory
        from orbital_train.config.load import load_plan
        from orbital_train.config.recipe import Recipe

        loaded = load_plan(recipe, set_ or ())
        if policy is not None:
            _tabulate(loaded, policy, out, export)
            return
        where, exports = out or free_directory(f"{loaded.name}-plan"), _exports(export)
        if isinstance(loaded, Recipe):
            from orbital_train.cli import plan as planning

            planning.plan(loaded, where, console, exports)
        else:
            from orbital_train.cli.sky_plan import plan_sky

            plan_sky(loaded, where, console, exports)


def _tabulate(recipe: SkyRecipe, policy: str, out: Path | None, export: list[str] | None) -> None:
    from orbital_train.cli.policy_table import chosen, tabulate
    from orbital_train.config.recipe import Recipe

    names = chosen(policy)
    for option, value in (("--out", out), ("--export", export)):
        if value:
            raise InputError(option, str(value), "--policy prints tables and writes nothing: leave one of them out")
    if not isinstance(recipe, Recipe):
        raise InputError("--policy", policy, "the recipe has no [schedule] to simulate")
    tabulate(recipe, names, console)


@app.command()
def train(
    recipe: RecipeArgument,
    set_: SetOption = None,
    out: OutOption = None,
    resume: ResumeOption = False,
    fork: Annotated[
        str | None,
        typer.Option("--fork", metavar="RUN_DIR[@CUT]", help="Start from a checkpoint of another run of this plan."),
    ] = None,
    faults: Annotated[
        Path | None,
        typer.Option(
            "--faults", metavar="FILE", help="Repeat a run: its plan/faults.jsonl, for the recipe's own faults."
        ),
    ] = None,
    import_: ImportOption = None,
) -> None:
    """Plan a recipe, then train it."""
    with _told(recipe):
        from orbital_train.cli import training
        from orbital_train.cli.faults import read_faults
        from orbital_train.cli.run_directory import free_directory
        from orbital_train.cli.work import importable
        from orbital_train.config.load import load_recipe

        loaded = load_recipe(recipe, set_ or ())
        out = _out(out, loaded.name, resume) or free_directory(loaded.name)
        imports = importable(import_ or ())
        if fork is not None:
            if faults:
                raise InputError(
                    "--faults", str(faults), "changes the plan, which --fork takes over: leave one of them out"
                )
            from orbital_train.cli.fork import fork as start_from

            start_from(loaded, fork, out, imports, resume=resume)
        given = read_faults(faults, resume=resume)
        resume = resume or fork is not None
        training.train(loaded, out, resume=resume, console=console, imports=imports, faults=given)
        _show([out], out)


@app.command()
def compare(
    recipe: RecipeArgument,
    against: Annotated[
        list[str] | None, typer.Option("--against", metavar="NAME", help="A baseline; the recipe's own list otherwise.")
    ] = None,
    set_: SetOption = None,
    out: OutOption = None,
    resume: ResumeOption = False,
    import_: ImportOption = None,
) -> None:
    """Train a recipe and its baselines, and write one report."""
    with _told(recipe):
        from orbital_train.cli import compare as comparing
        from orbital_train.cli.run_directory import free_directory
        from orbital_train.cli.work import importable
        from orbital_train.config.load import load_recipe, with_values
        from orbital_train.config.tables.compare import BaselineName

        loaded = load_recipe(recipe, set_ or ())
        for name in against or ():
            if name not in get_args(BaselineName):
                raise InputError("--against", name, f"must be one of {', '.join(get_args(BaselineName))}")
        if against:
            loaded = with_values(loaded, {"compare.baselines": list(against)})
        out = _out(out, loaded.name, resume) or free_directory(f"{loaded.name}-compare")
        imports = importable(import_ or ())
        comparing.compare(loaded, loaded.compare.baselines, out, resume=resume, console=console, imports=imports)
        _show([out], out)


@app.command()
def report(
    run_dirs: Annotated[list[Path], typer.Argument(metavar="RUN_DIR...", help="Runs, or one comparison.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Where to write; the first RUN_DIR.")] = None,
) -> None:
    """Rebuild a report from run directories."""
    with _told(None):
        _show(run_dirs, out or run_dirs[0])


@app.command()
def sample(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A finished run.")],
    prompt: Annotated[str, typer.Option("--prompt", help="How the text begins.")],
    tokens: Annotated[int, typer.Option("--tokens", help="How many more.")] = 200,
    temperature: Annotated[float, typer.Option("--temperature", help="0 takes the likeliest token.")] = 0.8,
    seed: Annotated[int, typer.Option("--seed", help="Of the draws.")] = 0,
    import_: ImportOption = None,
) -> None:
    """Let the trained model of a run continue a text."""
    with _told(None):
        from orbital_train.cli.sample import continue_text
        from orbital_train.cli.work import importable

        imports = importable(import_ or ())
        print(continue_text(run_dir, prompt, tokens=tokens, temperature=temperature, seed=seed, imports=imports))


@app.command()
def checkpoints(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A run, or an arm of a comparison.")],
    prune: Annotated[
        int | None, typer.Option("--prune", metavar="N", help="Remove all but the N newest whole ones first.")
    ] = None,
) -> None:
    """List the checkpoints of a run, and verify every byte of them; exit code 1 if one is not whole."""
    with _told(None):
        from orbital_train.cli.checkpoint_table import prune_checkpoints, show_checkpoints

        if prune is not None:
            prune_checkpoints(run_dir, prune, console)
        if not show_checkpoints(run_dir, console):
            raise typer.Exit(1)


@app.command()
def recipes() -> None:
    """List the recipes that ship."""
    from orbital_train.cli.tables import recipe_lines

    for line in recipe_lines():
        print(line)


def _exports(forms: list[str] | None) -> tuple[str, ...]:
    from orbital_train.windows.exchange.files import EXPORTS

    for form in forms or ():
        if form not in EXPORTS:
            raise InputError("--export", form, f"must be one of {', '.join(EXPORTS)}")
    return tuple(dict.fromkeys(forms or ()))


def _out(out: Path | None, name: str, resume: bool) -> Path | None:
    if resume and out is None:
        raise InputError("--out", None, f"--resume needs the directory of the run, as --out runs/{name}")
    return out


def _show(paths: list[Path], out: Path) -> None:
    from orbital_train.report.build import build_report
    from orbital_train.report.console import console_table
    from orbital_train.report.runs import read_comparison

    console.print(console_table(read_comparison(paths)))
    console.print(f"report: {build_report(paths, out)}")


@contextmanager
def _told(recipe: Path | None) -> Iterator[None]:
    """Tell warnings and wrong input in one line each; exit codes as in ``docs/architecture.md``."""
    where = f"{recipe}: " if recipe is not None else ""

    def tell(
        message: Warning | str, category: type[Warning], *_: object, file: TextIO | None = None, **__: object
    ) -> None:
        if issubclass(category, InputWarning):
            print(f"warning: {where}{message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", InputWarning)
        warnings.showwarning = tell
        try:
            yield
        except InputError as error:
            print(f"orbital-train: {where}{error}", file=sys.stderr)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except RuntimeError as error:
            _tell_known(error)
            raise


def _tell_known(error: RuntimeError) -> None:
    """Faults of a run that have a type are told in one line, without a traceback."""
    from orbital_train.cli.training import Stopped
    from orbital_train.cluster.failures import CannotWrite, WorkerLost

    if isinstance(error, WorkerLost | CannotWrite | Stopped):
        print(f"orbital-train: {error}", file=sys.stderr)
        raise typer.Exit(error.exit_code if isinstance(error, Stopped) else 1) from None


def main() -> None:
    """Entry point."""
    app()
