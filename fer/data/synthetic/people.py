"""The appearance of drawn people: head, skin, hair, beard, clothes, glasses, and hands or objects that hide the face.

It does not depend on the emotion, except that a dropped jaw lengthens the head.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageColor, ImageDraw

from fer.data.synthetic.drawing import (
    DARK,
    UNIT_ARCH,
    UNIT_CIRCLE,
    UNIT_X,
    WHITE,
    Colour,
    Pen,
    blend_colours,
    fit_parabola,
    hsv_to_rgb,
    make_band,
    make_closed_spline,
)

_SKIN = ("ffe2cb", "f7ceac", "e8b88e", "d0986a", "ac744c", "805236", "6c4632")
_HAIR = ("201c20", "3a2822", "62402a", "8a8688", "96502c", "ba8a4e", "e4c484", "d8d4d0")
SKIN_TONES = [ImageColor.getrgb(f"#{code}") for code in _SKIN]
HAIR_COLOURS = [ImageColor.getrgb(f"#{code}") for code in _HAIR]


@dataclass(frozen=True)
class Person:
    """The colours and proportions of a person, in head units (see `Pen`)."""

    skin: Colour
    hair: Colour
    head: Float[np.ndarray, "n 2"]  # silhouette
    eye_offset: float  # from the centre of the face to an eye
    eye_level: float
    mouth_level: float

    def shade(self, share: float) -> Colour:
        return blend_colours(self.skin, DARK, share)


def sample_person(jaw_drop: float, rng: np.random.Generator) -> Person:
    """Return a random person; `jaw_drop` (0..1) lengthens the head."""
    tone = rng.uniform(0, len(SKIN_TONES) - 1.001)
    n_colours = len(HAIR_COLOURS) if tone < 3 else 4
    hair = blend_colours(
        HAIR_COLOURS[int(rng.random() * n_colours)], HAIR_COLOURS[int(rng.random() * n_colours)], rng.uniform(0, 0.3)
    )
    if rng.random() < 0.05:
        hair = hsv_to_rgb(rng.random(), 0.5, 0.8)
    cheek, jaw, chin, bottom = rng.uniform((0.88, 0.58, 0.2, 1.12), (1.0, 0.82, 0.4, 1.26))
    bottom += 0.12 * jaw_drop
    sides = [(0.6, -1.26), (1.0, -0.8), (cheek + 0.03, -0.1), (cheek, 0.42), (jaw, 0.8 * bottom), (chin, bottom + 0.05)]
    head = make_closed_spline([(0, -1.3), *sides])
    skin = blend_colours(SKIN_TONES[int(tone)], SKIN_TONES[int(tone) + 1], tone % 1)
    return Person(skin, hair, head, *rng.uniform((0.37, -0.12, 0.62), (0.46, 0.0, 0.7)))


def draw_backdrop(image: Image.Image, rng: np.random.Generator) -> None:
    draw = ImageDraw.Draw(image, "RGBA")
    side = image.width
    hue, saturation, value = rng.uniform((0, 0.08, 0.3), (1, 0.45, 0.95))
    draw.rectangle((0, 0, side, side), fill=hsv_to_rgb(hue, saturation, value))
    for _ in range(rng.integers(5)):
        x, y, radius, brightening = rng.uniform((0, 0, 0.1 * side, -0.3), (side, side, 0.5 * side, 0.3))
        colour = hsv_to_rgb(hue + rng.normal(0, 0.06), saturation, max(value + brightening, 0.1))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(*colour, 150))


def draw_back_hair(pen: Pen, person: Person, rng: np.random.Generator) -> float:
    """Draw the hair behind the head and return how far down it falls."""
    length = float(rng.choice((-1.0, 0.5, 1.1, 1.7), p=(0.5, 0.15, 0.2, 0.15)))
    rx, flare, bun_chance = rng.uniform((1.02, -0.1, 0), (1.25, 0.2, 1))
    if length > 0:
        sides = make_closed_spline(
            [(0, -1.45), (0.7, -1.4), (rx, -0.9), (rx + 0.05, 0), (rx + flare, length), (0.3, length + 0.1)]
        )
        pen.fill(sides, blend_colours(person.hair, DARK, 0.25), depth=0.0)
    if bun_chance < 0.12:
        pen.disc((flare, -1.42), 0.42, 0.36, person.hair, depth=0.0)
    return length


def draw_body(pen: Pen, person: Person, rng: np.random.Generator) -> None:
    collar = rng.uniform(1.38, 1.55)
    pen.fill(np.array([(-0.42, 0.5), (0.42, 0.5), (0.5, 1.9), (-0.5, 1.9)]), person.shade(0.22), depth=0.0)
    shoulders = [(-0.5, collar), (0, collar + 0.2), (0.5, collar), (1.5, 1.75), (1.9, 3), (-1.9, 3), (-1.5, 1.75)]
    pen.fill(np.array(shoulders), _sample_cloth_colour(rng), depth=0.0)


def draw_beard(pen: Pen, person: Person, rng: np.random.Generator) -> None:
    beard, moustache, alpha, height, rx, ry = rng.uniform((0, 0, 60, 0.2, 0.26, 0.1), (1, 1, 400, 0.6, 0.38, 0.16))
    colour = (*blend_colours(person.hair, DARK, 0.15), min(int(alpha), 255))
    x, y = person.head.T
    if beard < 0.15:
        edge = person.mouth_level - 0.22 - height * (x * x - 0.1)
        pen.fill(np.stack([x, np.maximum(y, edge)], axis=1), colour, depth=0.0)
    if moustache < (0.7 if beard < 0.15 else 0.06):
        y = person.mouth_level - 0.02
        pen.fill(make_band(rx * UNIT_X, y - ry * UNIT_ARCH**0.7 - 0.02, y - 0.05 * UNIT_ARCH), colour)


def draw_front_hair(pen: Pen, person: Person, length: float, rng: np.random.Generator) -> None:
    style = rng.choice(
        ("bald", "crop", "swept", "parted", "fringe", "spiky", "curly", "hat"),
        p=(0.07, 0.13, 0.2, 0.16, 0.18, 0.1, 0.1, 0.06),
    )
    hairline, volume, fringe_level = rng.uniform((-0.88, 1.03, -0.5), (-0.7, 1.14, -0.25))
    tilt, colour, hat_colour = rng.choice((-1, 1)), person.hair, _sample_cloth_colour(rng)
    t = np.linspace(0.93, -0.93, 25)
    match style:
        case "bald":
            return
        case "swept":
            y = hairline + 0.3 * tilt * t + 0.35 * t**2
        case "parted":
            y = hairline - 0.1 + 0.6 * np.abs(t - 0.25 * tilt) ** 0.8
        case "fringe":
            y = fringe_level + 0.12 * t**2 + 0.04 * np.cos(9 * t)
        case "spiky":
            y = hairline + 0.14 * np.abs((4 * t + 0.5) % 1 * 2 - 1) + 0.3 * t**4
        case "hat":
            y, colour, volume = np.full_like(t, hairline + 0.15), hat_colour, volume + 0.06
        case _:
            y = hairline + 0.45 * t**4
    scalp = person.head[person.head[:, 1] < (0.0 if length > 0 else -0.25)] * volume
    scalp = scalp[np.argsort(np.arctan2(scalp[:, 0], -scalp[:, 1]))]
    if style == "curly":
        for curl_x, curl_y in scalp[::3]:
            pen.disc((curl_x, curl_y), 0.24, 0.24, colour, depth=0.0)
    pen.fill(np.concatenate([scalp, np.stack([t, y], axis=1)]), colour)
    if style == "hat":
        pen.fill(make_band(t * 1.06, y - 0.2, y), blend_colours(colour, DARK, 0.25))
    else:
        shine = make_band(t * 0.6 + 0.2 * tilt, -1.1 + 0.15 * t**2, -1.0 + 0.1 * t**2)
        pen.fill(shine, blend_colours(colour, WHITE, 0.15))


def draw_glasses(pen: Pen, person: Person, rng: np.random.Generator) -> None:
    chance, exponent, size, width, value = rng.uniform((0, 0.45, 0.25, 0.03, 0.05), (1, 1, 0.32, 0.05, 0.5))
    colour = hsv_to_rgb(rng.random(), 0.4, value)
    if chance > 0.22:
        return
    rim = np.sign(UNIT_CIRCLE) * np.abs(UNIT_CIRCLE) ** exponent * (size, size * 0.88)
    level = person.eye_level
    for side in (-1, 1):
        lens = rim + np.array([side * person.eye_offset, level + 0.03])
        pen.fill(lens, (*blend_colours(colour, DARK, 0.6), 225) if chance < 0.03 else (*WHITE, 35))
        pen.line(lens, colour, width)
        pen.line(np.array([(side * (person.eye_offset + size), level), (side * 0.95, level - 0.04)]), colour, width)
    bridge_x = person.eye_offset - size
    pen.line(fit_parabola((-bridge_x, level), (0, level - 0.04), (bridge_x, level)), colour, width)


def draw_occlusion(pen: Pen, person: Person, rng: np.random.Generator) -> None:
    chance, angle, x, y, radius = rng.uniform((0, 0, -0.7, -0.5, 0.12), (1, 2 * np.pi, 0.7, 1.1, 0.3))
    cloth = _sample_cloth_colour(rng)
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    if chance < 0.07:  # fingers of a hand
        for finger in (-1.5, -0.5, 0.5, 1.5):
            tip = (x, y) + finger * 0.17 * across + 0.07 * abs(finger) * along
            for width, colour in ((0.2, person.shade(0.35)), (0.16, person.shade(0.05))):
                pen.line(np.stack([tip, tip + 2.5 * along]), colour, width, depth=0.0)
                pen.disc((tip[0], tip[1]), width / 2, width / 2, colour, depth=0.0)
    elif chance < 0.12:  # an object held in front of the face
        end = 3 * along
        corners = np.stack([-radius * across, end - radius * across, end + radius * across, radius * across])
        pen.fill(np.array([x, y]) + corners, cloth, depth=0.0)


def _sample_cloth_colour(rng: np.random.Generator) -> Colour:
    return hsv_to_rgb(*rng.uniform((0, 0.1, 0.25), (1, 0.7, 0.9)))
