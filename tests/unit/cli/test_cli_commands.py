import subprocess
import sys
from pathlib import Path

import pytest

from tests import small
from tests.unit.cli.command import run


def loaded_modules(code: str, *arguments: str | Path) -> set[str]:
    show = "; import sys; print('modules', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code + show, *arguments], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    "code",
    [
        "import orbital_train, orbital_train.cli.main, orbital_train.cli.tables, orbital_train.cli.run_directory",
        "import orbital_train.config.load, orbital_train.config.build, orbital_train.cli.plan",
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(code: str):
    loaded = loaded_modules(code)
    assert "orbital_train" in loaded
    assert loaded & {"torch", "ray", "matplotlib", "jinja2"} == set()


def test_planning_loads_neither_torch_nor_ray(tmp_path: Path):
    code = "import sys; from orbital_train.cli.main import app; app(['plan', sys.argv[1]], standalone_mode=False)"
    loaded = loaded_modules(code, small.write_recipe(tmp_path))
    assert loaded & {"torch", "ray"} == set()
    assert "matplotlib" in loaded  # it draws


def test_plan_exports_what_others_read_and_what_it_reads_itself(tmp_path: Path):
    recipe, first, again = small.write_recipe(tmp_path), tmp_path / "first", tmp_path / "again"
    exports = ["--export", "ion", "--export", "hdtn"]
    assert run("plan", recipe, "--out", first, *exports).exit_code == 0
    for name in ("contacts.ion", "contacts.json"):
        flown = again / name
        result = run("plan", recipe, "--set", f"links.plan={first / 'plan' / name}", "--out", flown, *exports)
        assert (result.exit_code, result.stderr) == (0, "")
        assert (flown / "plan" / "contacts.ion").read_bytes() == (first / "plan" / "contacts.ion").read_bytes()
        assert (flown / "plan" / "contacts.json").read_bytes() == (first / "plan" / "contacts.json").read_bytes()
        assert not (flown / "plan" / "opportunities.parquet").exists()


def test_recipes_are_listed():
    result = run("recipes")
    assert result.exit_code == 0
    paths = [Path(line) for line in result.stdout.splitlines() if not line.startswith(" ")]
    assert "quickstart.toml" in [path.name for path in paths]
    assert all(path.is_file() for path in paths)


def test_without_a_command_the_help_is_shown():
    result = run()
    assert all(command in result.output for command in ("plan", "train", "compare", "report", "recipes"))
