"""Pen, curves and colours for drawing a turned and tilted head."""

from functools import cache

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

Colour = tuple[int, ...]  # red, green, blue and, unless opaque, alpha: 0..255
Xy = tuple[int | float, int | float]

DARK, WHITE = (38, 28, 32), (250, 248, 244)
_ANGLES = np.linspace(0, 2 * np.pi, 25)
UNIT_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
UNIT_X = np.sin(np.linspace(-np.pi / 2, np.pi / 2, 19))  # positions across an eye or a mouth, denser in the corners
UNIT_ARCH = 1 - UNIT_X * UNIT_X
_T = np.linspace(0, 1, 9)
_PARABOLA = np.stack([(1 - _T) * (1 - 2 * _T), 4 * _T * (1 - _T), _T * (2 * _T - 1)], axis=1)


class Pen:
    """A pen in head units: the head is 2 wide, (0, 0) is its centre, y points down.

    `depth` is how far forward a shape lies: 0 on the silhouette, 1 on the face, more on the nose. A greater
    depth moves a shape further when the head turns.
    """

    def __init__(self, image: Image.Image, yaw: float, pitch: float, tilt: float, scale: float, centre: Xy) -> None:
        """Angles are in radians, `scale` in pixels a unit, `centre` in pixels."""
        self._draw = ImageDraw.Draw(image, "RGBA")
        self._cos_yaw, self._sin_yaw, self._sin_pitch = np.cos(yaw), np.sin(yaw), np.sin(pitch)
        self._scale, self._centre = scale, centre
        self._rotation = scale * np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])

    def fill(self, points: Float[np.ndarray, "n 2"], colour: Colour, depth: float = 1.0) -> None:
        self._draw.polygon(self._project(points, depth), fill=colour)

    def line(self, points: Float[np.ndarray, "n 2"], colour: Colour, width: float, depth: float = 1.0) -> None:
        self._draw.line(
            self._project(points, depth), fill=colour, width=max(1, round(width * self._scale)), joint="curve"
        )

    def disc(self, centre: Xy, rx: float, ry: float, colour: Colour, depth: float = 1.0) -> None:
        self.fill(UNIT_CIRCLE * (rx, ry) + centre, colour, depth)

    def _project(self, points: Float[np.ndarray, "n 2"], depth: float) -> list[float]:
        if depth:
            x, y = points.T
            front = depth * np.sqrt((1 - x * x - y * y / 2).clip(0))
            points = np.stack([x * self._cos_yaw + front * self._sin_yaw, y + front * self._sin_pitch], axis=1)
        return (points @ self._rotation + self._centre).ravel().tolist()


def fit_parabola(start: Xy, middle: Xy, end: Xy) -> Float[np.ndarray, "n 2"]:
    """Return points of the parabola through three points."""
    return _PARABOLA @ np.array([start, middle, end])


def make_band(
    x: Float[np.ndarray, " n"], upper: Float[np.ndarray, " n"], lower: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "m 2"]:
    """Return the outline of the area between two curves over the same x."""
    return np.stack([np.concatenate([x, x[::-1]]), np.concatenate([upper, lower[::-1]])], axis=1)


def make_closed_spline(right: list[Xy]) -> Float[np.ndarray, "n 2"]:
    """Return the uniform cubic B-spline of the points `right` and their mirror image, clockwise from the top."""
    controls = np.array([*right, *((-x, y) for x, y in reversed(right))])
    return _make_spline_basis(len(controls)) @ controls


def blend_colours(colour: Colour, admixture: Colour, share: float) -> Colour:
    """Return `colour` with a share (0..1) of `admixture`."""
    return tuple(round(a + share * (b - a)) for a, b in zip(colour, admixture, strict=True))


def hsv_to_rgb(hue: float, saturation: float, value: float) -> Colour:
    """Return the colour of a hue (0..1, cyclic), saturation and value (0..1)."""
    wheel = np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1
    return tuple(int(c) for c in 255 * min(value, 1.0) * (1 - saturation + saturation * wheel.clip(0, 1)))


@cache
def _make_spline_basis(n_controls: int) -> Float[np.ndarray, "n controls"]:
    t = np.arange(6)[:, None] / 6
    sixfold = np.concatenate([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1)
    weights = np.pad(sixfold / 6, ((0, 0), (0, n_controls - 4)))
    return np.concatenate([np.roll(weights, k, axis=1) for k in range(n_controls)])
