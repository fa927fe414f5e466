import numpy as np
import pytest

from orbital_train.report.camera import Camera, looking_at
from orbital_train.report.earth import globe, world_map
from tests.unit.report import skies

FROM_X = Camera(right=np.array([0.0, 1.0, 0.0]), up=np.array([0.0, 0.0, 1.0]), towards=np.array([1.0, 0.0, 0.0]))


def test_the_earth_hides_what_is_behind_or_within_it():
    r_m = 6_378_137.0 * np.array([[2, 0, 0], [-2, 0, 0], [-2, 1.01, 0], [0.5, 0, 0], [0.1, 0, 1.2]])
    assert FROM_X.hidden(r_m).tolist() == [False, True, False, True, False]
    at, depth = FROM_X.project(r_m)
    assert at[2].tolist() == pytest.approx([1.01, 0.0])
    assert depth.tolist() == pytest.approx([2, -2, -2, 0.5, 0.1])


@pytest.mark.parametrize("turn_deg", range(0, 360, 30))
def test_the_camera_sees_day_and_night_north_up_and_no_orbit_edge_on(turn_deg: int):
    turn = np.radians(turn_deg)
    normal = np.array([np.sin(turn), -np.cos(turn), 0.0])  # a polar orbit
    camera = looking_at(skies.SUN, normal[None])
    axes = np.stack([camera.right, camera.up, camera.towards])
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1.0)
    assert camera.up[2] > 0.7
    assert abs(float(camera.towards @ normal)) > 0.45
    assert abs(float(camera.towards @ skies.SUN)) < 0.9


def test_the_globe_is_bright_by_day_and_dark_by_night():
    image = globe(FROM_X, sun=np.array([0.0, 1.0, 0.0]), sidereal_rad=0.0, pixels=100)
    assert image[50, 90, :3].mean() > 2 * image[50, 10, :3].mean()
    assert (image[50, 50, 3], image[2, 2, 3]) == (1.0, 0.0)


def test_land_and_sea_are_where_they_are():
    image = world_map(sun=np.array([1.0, 0.0, 0.0]), sidereal_rad=0.0)  # noon in Greenwich, at an equinox
    assert image.shape == (360, 720, 3)

    def colour(latitude_deg: float, longitude_deg: float) -> np.ndarray:
        return image[int((latitude_deg + 90) * 2), int((longitude_deg + 180) * 2)]

    congo, atlantic = colour(0, 22), colour(0, -25)
    assert congo[0] > congo[2]  # land is warmer in colour
    assert atlantic[2] > atlantic[0]
    assert colour(0, 170).mean() < 0.5 * atlantic.mean()  # night in the Pacific
