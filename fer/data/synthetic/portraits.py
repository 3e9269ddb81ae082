"""Drawn portraits: one person showing one emotion."""

import numpy as np
from jaxtyping import Float
from PIL import Image

from fer.data.synthetic import people
from fer.data.synthetic.drawing import (
    DARK,
    UNIT_ARCH,
    UNIT_CIRCLE,
    UNIT_X,
    WHITE,
    Pen,
    blend_colours,
    fit_parabola,
    make_band,
)
from fer.data.synthetic.expressions import ActionUnits, sample_expression
from fer.data.synthetic.people import Person

CANVAS_PX = 192  # side in pixels; the simulated camera downscales it

IRIS_COLOURS = ((78, 52, 38), (58, 94, 138), (84, 118, 76), (44, 36, 36))


def draw_portrait(emotion: str, intensity: float, rng: np.random.Generator) -> Image.Image:
    """Return a random person showing `emotion`, RGB, `CANVAS_PX` a side; intensity 0 is a face at rest, 1 is full."""
    units = sample_expression(emotion, intensity, rng)
    person = people.sample_person(units[27], rng)
    image = Image.new("RGB", (CANVAS_PX, CANVAS_PX))
    people.draw_backdrop(image, rng)
    yaw, pitch, tilt = rng.normal(0, (0.18, 0.09, 0.09)).clip(-0.4, 0.4)
    x, y = CANVAS_PX * rng.uniform((0.47, 0.45), (0.53, 0.51))
    pen = Pen(image, yaw, pitch, tilt, CANVAS_PX * rng.uniform(0.37, 0.43), (x, y))
    hair_length = people.draw_back_hair(pen, person, rng)
    people.draw_body(pen, person, rng)
    _draw_head(pen, person, units, rng)
    people.draw_beard(pen, person, rng)
    _draw_nose(pen, person, units, rng)
    _draw_mouth(pen, person, units, rng)
    _draw_eyes(pen, person, units, rng)
    _draw_brows(pen, person, units, rng)
    people.draw_front_hair(pen, person, hair_length, rng)
    people.draw_glasses(pen, person, rng)
    people.draw_occlusion(pen, person, rng)
    return image


def _draw_head(pen: Pen, person: Person, units: ActionUnits, rng: np.random.Generator) -> None:
    side, edge = rng.choice((-1, 1)), rng.uniform(0.3, 1.1)
    shadow, blush = rng.uniform((10, 10), (50, 60))
    for ear in (-0.97, 0.97):
        pen.disc((ear, 0.05), 0.13, 0.22, person.shade(0.15), depth=0.0)
    pen.fill(person.head, person.skin, depth=0.0)
    abs_x, y = np.abs(person.head[:, 0]), person.head[:, 1]
    shadow_x = np.where(side * person.head[:, 0] > 0, abs_x, np.minimum(abs_x, edge - 0.2 * y * y))
    pen.fill(np.stack([side * shadow_x, y], axis=1), (*DARK, int(shadow)), depth=0.0)
    pen.line(np.concatenate([person.head, person.head[:1]]), person.shade(0.3), 0.02, depth=0.0)
    for cheek in (-0.56, 0.56):
        pen.disc((cheek, 0.36 - 0.05 * units[6]), 0.22, 0.15, (230, 90, 90, int(blush + 25 * units[6])))


def _draw_nose(pen: Pen, person: Person, units: ActionUnits, rng: np.random.Generator) -> None:
    rx, tip, furrow = rng.uniform((0.11, 0.24, -0.5), (0.19, 0.34, 0.35))
    rx, tip = rx * (1 + 0.25 * units[9]), tip - 0.07 * units[9]
    side = rng.choice((-1, 1))
    pen.fill(np.array([(side * 0.04, -0.12), (side * rx, tip), (0, tip + 0.05)]), (*DARK, 26), depth=1.15)
    pen.line(fit_parabola((-rx, tip - 0.05), (0, tip + 0.09), (rx, tip - 0.05)), person.shade(0.42), 0.04, depth=1.15)
    for side in (-1, 1):
        pen.disc((side * rx * 0.5, tip + 0.01), 0.03, 0.02, person.shade(0.6), depth=1.15)
        fold = fit_parabola((side * (rx + 0.05), tip - 0.02), (side * 0.38, tip + 0.12), (side * 0.43, 0.58))
        _draw_wrinkle(pen, person, fold, 0.7 * units[12] + 0.8 * units[10] + 0.5 * units[9] + furrow)
        nostril = fit_parabola((side * rx, tip - 0.17), (side * (rx + 0.06), tip - 0.1), (side * (rx + 0.04), tip))
        _draw_wrinkle(pen, person, nostril, units[9])
    for height in (-0.1, 0.0, 0.1):
        _draw_wrinkle(pen, person, fit_parabola((-0.11, height), (0, height + 0.05), (0.11, height)), units[9])


def _draw_mouth(pen: Pen, person: Person, units: ActionUnits, rng: np.random.Generator) -> None:
    rx, lip_height, redness = rng.uniform((0.33, 0.035, 0.3), (0.42, 0.08, 0.85))
    x = rx * (1 + 0.3 * units[12] + 0.35 * units[20] - 0.25 * units[24] - 0.5 * units[27]) * UNIT_X
    bend = -0.24 * units[12] + 0.22 * units[15] + 0.06 * units[20]
    closed = person.mouth_level + bend * (UNIT_X * UNIT_X - 0.35) - (0.05 * units[17] + 0.08 * units[10]) * UNIT_ARCH
    arc = UNIT_ARCH ** (0.5 - 0.28 * min(units[16], 1))
    upper = closed - arc * (0.012 + 0.06 * units[25] * (1 + units[10]) + 0.1 * units[27] + 0.05 * units[16])
    lower = closed + arc * (0.012 + 0.13 * units[25] * (1 + units[12]) + 0.34 * units[27] + 0.08 * units[16])
    lip = lip_height * max(0.15, 1 - 0.7 * units[24] - 0.2 * units[12]) * UNIT_ARCH**0.6
    colour = blend_colours(person.shade(0.1), (186, 52, 66), redness)
    pen.fill(make_band(x * 1.06, upper - lip, lower + 1.3 * lip), colour)
    pen.fill(make_band(x, upper, lower), (92, 26, 36))
    gap = float(np.max(lower - upper))
    if gap > 0.08:
        tongue = np.maximum(upper, lower - 0.4 * gap * UNIT_ARCH)
        pen.fill(make_band(x * 0.85, tongue, np.maximum(lower - 0.02, tongue)), (204, 94, 98))
        pen.fill(make_band(x, upper, np.minimum(lower, upper + 0.09 + 0.05 * units[12] - 0.03 * units[27])), WHITE)
        if units[16] + units[20] > 0.4:
            pen.fill(make_band(x, np.maximum(upper, lower - 0.08), lower), WHITE)
    pen.line(np.stack([x * 1.04, upper if gap > 0.08 else closed], axis=1), blend_colours(colour, DARK, 0.75), 0.04)
    for side in (-1, 1):
        pen.disc((side * x[-1] * 1.07, closed[-1]), 0.03, 0.035, person.shade(0.5))
    chin = person.mouth_level + 0.25
    _draw_wrinkle(pen, person, fit_parabola((-0.13, chin + 0.04), (0, chin), (0.13, chin + 0.04)), units[17])


def _draw_eyes(pen: Pen, person: Person, units: ActionUnits, rng: np.random.Generator) -> None:
    rx, ry, iris, lash, bag = rng.uniform((0.2, 0.115, 0.095, 0.035, 0), (0.25, 0.15, 0.12, 0.06, 0.3))
    slant, gaze_x, gaze_y = rng.normal(0, (0.02, 0.035, 0.015))
    colour = IRIS_COLOURS[rng.integers(len(IRIS_COLOURS))]
    top = ry * max(0.1, 1 + 0.7 * units[5] - 0.4 * units[7] - 0.2 * units[9] - 0.1 * units[6] - 0.95 * units[43])
    bottom = 0.85 * ry * (1 + 0.25 * units[5] - 0.45 * units[7] - 0.95 * units[6] - 0.2 * units[9] - 0.3 * units[43])
    arc = UNIT_ARCH**0.6
    for side in (-1, 1):
        centre, u = side * person.eye_offset, (1 + side * UNIT_X) / 2
        lid = 1 - 0.45 * max(0.0, units[1] - units[2]) * u - 0.4 * max(0.0, units[4] - units[1]) * (1 - u)
        x, level = centre + rx * UNIT_X, person.eye_level - slant * side * UNIT_X
        upper = level - top * arc * lid
        lower = np.maximum(level + bottom * arc, upper + 0.02)
        pen.fill(make_band(x, upper, lower), WHITE)
        for radius, shade in ((iris, colour), (iris * 0.5, (20, 16, 20))):
            ring = UNIT_CIRCLE * radius + (centre + gaze_x, person.eye_level - 0.01 + gaze_y)
            ring[:, 1] = ring[:, 1].clip(np.interp(ring[:, 0], x, upper), np.interp(ring[:, 0], x, lower))
            pen.fill(ring, shade)
        if top + bottom > 0.12:
            pen.disc((centre + gaze_x - 0.03, person.eye_level - 0.04 + gaze_y), 0.026, 0.026, WHITE)
        pen.line(np.stack([x, upper], axis=1), DARK, lash)
        pen.line(np.stack([x, lower], axis=1), person.shade(0.45), 0.02)
        pen.line(np.stack([x, upper - 0.07], axis=1)[4:-4], person.shade(0.25), 0.02)
        bag_line = np.stack([x, np.maximum(lower, person.eye_level) + 0.08 - 0.02 * UNIT_X * UNIT_X], axis=1)[3:-3]
        _draw_wrinkle(pen, person, bag_line, bag + 0.5 * units[7] + 0.6 * units[6])


def _draw_brows(pen: Pen, person: Person, units: ActionUnits, rng: np.random.Generator) -> None:
    width, rise, arch, share, furrow = rng.uniform((0.07, 0.26, 0, 0.4, -0.3), (0.13, 0.34, 0.05, 0.9, 0.1))
    level, colour = person.eye_level - rise, blend_colours(person.hair, DARK, share)
    inner_x, outer_x = person.eye_offset - 0.24 - 0.06 * units[4], person.eye_offset + 0.27
    inner_y = level - 0.21 * units[1] + 0.18 * units[4] + 0.05 * units[9]
    middle_y = level - arch - 0.1 * units[1] - 0.15 * units[2] + 0.09 * units[4] + 0.04 * units[9]
    outer_y = level + 0.03 + 0.05 * units[1] - 0.2 * units[2] - 0.04 * units[4]
    for side in (-1, 1):
        spine = fit_parabola((side * inner_x, inner_y), (side * person.eye_offset, middle_y), (side * outer_x, outer_y))
        ry = width / 2 * (1 - 0.7 * np.linspace(0, 1, len(spine)) ** 2)
        pen.fill(make_band(spine[:, 0], spine[:, 1] - ry, spine[:, 1] + ry), colour)
        _draw_wrinkle(pen, person, np.array([(side * 0.06, level - 0.02), (side * 0.07, level + 0.16)]), units[4] - 0.2)
    strength = 0.5 * units[1] + 0.3 * units[2] + furrow
    for row in (level - 0.2, level - 0.3):
        _draw_wrinkle(pen, person, fit_parabola((-0.4, row), (0, row - 0.05), (0.4, row)), strength)


def _draw_wrinkle(pen: Pen, person: Person, points: Float[np.ndarray, "n 2"], strength: float) -> None:
    if strength > 0.1:
        pen.line(points, person.shade(0.5 * min(strength, 1)), 0.035)
