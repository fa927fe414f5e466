from pathlib import Path

import pytest

from orbital_train.config import build
from orbital_train.config.load import dump_recipe, load_recipe
from orbital_train.config.sites import read_sites
from orbital_train.config.tables.sites import Site
from orbital_train.errors import InputError
from orbital_train.orbit.ephemeris import GroundSite
from tests import small

TABLE = """name,latitude_deg,longitude_deg,altitude_m,terminals
Kiruna,67.86,20.23,390,2
"Svalbard, north",78.23,15.41,,
"""


def written(folder: Path, text: str) -> Path:
    (folder / "sites.csv").write_text(text, encoding="utf-8")
    return folder / "sites.csv"


def test_columns_are_the_keys_of_a_site(tmp_path: Path):
    assert read_sites(written(tmp_path, TABLE)) == (
        Site(name="Kiruna", latitude_deg=67.86, longitude_deg=20.23, altitude_m=390.0, terminals=2),
        Site(name="Svalbard, north", latitude_deg=78.23, longitude_deg=15.41),
    )
    text = "\ufefflongitude_deg,name,latitude_deg\r\n10,Oslo,60\r\n"
    assert read_sites(written(tmp_path, text)) == (Site(name="Oslo", latitude_deg=60.0, longitude_deg=10.0),)


def test_a_table_comes_after_the_recipes_own_sites(tmp_path: Path):
    written(tmp_path, TABLE)
    own = 'ground_sites=[{name="Oslo", latitude_deg=59.9, longitude_deg=10.8}]'
    recipe = small.recipe(tmp_path, own, "ground_site_file=sites.csv")
    sites = build.ground_sites(recipe)
    assert [site.name for site in sites] == ["Oslo", "Kiruna", "Svalbard, north"]
    assert sites[1] == GroundSite("Kiruna", 67.86, 20.23, 390.0, 2)
    assert list(build.link_spec(recipe).site_links) == ["Oslo", "Kiruna", "Svalbard, north"]


def test_a_recipe_that_is_written_out_has_the_rows_of_its_table(tmp_path: Path):
    written(tmp_path, TABLE)
    recipe = small.recipe(tmp_path, "ground_site_file=sites.csv")
    (tmp_path / "sites.csv").unlink()
    (tmp_path / "again.toml").write_text(dump_recipe(recipe), encoding="utf-8")
    assert load_recipe(tmp_path / "again.toml") == recipe
    assert [site.name for site in recipe.ground_sites] == ["Kiruna", "Svalbard, north"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has no rows; expected a header with name, latitude_deg and longitude_deg"),
        (TABLE.splitlines()[0], "has no rows; expected a header with name, latitude_deg and longitude_deg"),
        (
            TABLE.replace("67.86", "167.86"),
            "line 2: latitude_deg = '167.86': must be less than or equal to 90",
        ),
        (
            TABLE.replace("67.86", "north"),
            "line 2: latitude_deg = 'north': must be a valid number, unable to parse string as a number",
        ),
        (
            TABLE.replace(",390,2", ",390,2.5"),
            "line 2: terminals = '2.5': must be a valid integer, unable to parse string as an integer",
        ),
        (TABLE.replace(",390,2", ",390,0"), "line 2: terminals = '0': must be greater than or equal to 1"),
        (TABLE.replace('"Svalbard, north"', " "), "line 3: name = ' ': must not be empty"),
        (
            TABLE.replace("terminals", "altitude_m"),
            "line 1: the column 'altitude_m' stands there more than once; accepted is one of each",
        ),
        (
            "name,latitude_deg,longitude_deg,medium,cloud_fraction\nOslo,60,10,radio,0.5\n",
            "line 2: cloud_fraction = '0.5': clouds stop only optical sites; leave it out",
        ),
        (TABLE.replace("15.41,,", ",,"), "line 3: longitude_deg is missing"),
        (TABLE.replace("78.23,15.41,,", "78.23"), "line 3: longitude_deg is missing"),
        (TABLE.replace(",390,2", ",390,2,7"), "line 2: has more fields than the header"),
        (
            TABLE.replace("terminals", "dishes"),
            "line 2: unknown column 'dishes'; accepted: name, latitude_deg, longitude_deg, altitude_m, terminals,"
            " medium, mask_deg, rate_gbps, uplink_gbps, cloud_fraction, cloudy_h",
        ),
        (TABLE.replace(' north"', " north"), "is not a CSV file: unexpected end of data"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, text: str, told: str):
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_sites(path)
    assert str(caught.value) == f"ground_site_file = {str(path)!r}: {told}"


def test_a_table_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(InputError) as caught:
        read_sites(tmp_path / "none.csv")
    assert caught.value.problem == "cannot be read: No such file or directory"
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError) as caught:
        read_sites(tmp_path / "binary.csv")
    assert caught.value.problem.startswith("is not a CSV file: 'utf-8' codec can't decode byte 0xff")
