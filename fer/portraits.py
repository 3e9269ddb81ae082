"""One drawn person showing one emotion.

Emotions are made of facial action units (Ekman and Friesen, Facial Action Coding System, 1978): they move brows, lids,
nose, cheeks and mouth and nothing else. Whatever else tells two portraits apart is drawn independently of the emotion.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

from fer.drawing import CIRCLE, DARK, WHITE, Colour, Pen, band, bend, blob, hsv, mix

Units = Mapping[int, float]

CANVAS = 192  # pixels a side; cameras reduce it

# The action units of each way to show an emotion, with their strength.
WAYS: dict[str, tuple[Units, ...]] = {
    "angry": (
        {4: 1.0, 5: 0.2, 7: 0.6, 17: 0.3, 24: 1.0},
        {4: 1.0, 5: 0.3, 7: 0.4, 10: 0.3, 16: 0.9, 25: 0.7},
        {4: 1.0, 5: 0.5, 10: 0.5, 16: 0.7, 27: 0.6},
    ),
    "disgust": (
        {4: 0.5, 7: 0.6, 9: 1.0, 10: 0.9, 15: 0.5, 17: 0.4},
        {4: 0.4, 7: 0.7, 9: 1.0, 10: 1.0, 15: 0.3, 25: 0.5},
        {4: 0.3, 7: 0.9, 9: 1.0, 10: 0.6, 15: 0.7, 24: 0.4, 43: 0.5},
    ),
    "fear": (
        {1: 1.0, 2: 0.5, 4: 0.5, 5: 1.0, 16: 0.3, 20: 1.0, 25: 0.3},
        {1: 1.0, 2: 0.6, 4: 0.4, 5: 0.9, 20: 0.8, 25: 0.8},
        {1: 1.0, 2: 0.3, 4: 0.7, 5: 1.0, 16: 0.3, 20: 0.7, 27: 0.4},
    ),
    "happy": ({6: 0.8, 12: 1.0}, {6: 1.0, 12: 1.0, 25: 0.8}, {1: 0.4, 2: 0.5, 6: 0.6, 12: 1.0, 25: 0.6, 27: 0.3}),
    "sad": (
        {1: 1.0, 4: 0.4, 15: 1.0, 17: 0.4, 43: 0.3},
        {1: 0.9, 4: 0.5, 7: 0.3, 15: 0.9, 17: 0.7},
        {1: 1.0, 4: 0.6, 6: 0.5, 15: 0.9, 20: 0.4, 25: 0.5, 43: 0.5},
    ),
    "surprise": (
        {1: 0.9, 2: 1.0, 5: 0.9, 27: 1.0},
        {1: 1.0, 2: 1.0, 5: 1.0, 25: 0.2, 27: 0.6},
        {1: 1.0, 2: 1.0, 5: 0.8, 27: 0.45},
    ),
    "neutral": ({},),
}
ACTION_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 15, 16, 17, 20, 24, 25, 27, 43)
UPPER = {1, 2, 4, 5, 7, 43}  # brows and lids: they and the rest need not tell the same strongly

SKINS = ((255, 226, 203), (247, 206, 172), (232, 184, 142), (208, 152, 106), (172, 116, 76), (128, 82, 54), (108, 70, 50))
HAIRS = ((32, 28, 32), (58, 40, 34), (98, 64, 42), (138, 134, 136), (150, 80, 44), (186, 138, 78), (228, 196, 132), (216, 212, 208))
IRISES = ((78, 52, 38), (58, 94, 138), (84, 118, 76), (44, 36, 36))
T = np.sin(np.linspace(-np.pi / 2, np.pi / 2, 19))  # across an eye or a mouth, denser in the corners
ARCH = 1 - T * T


@dataclass(frozen=True)
class Person:
    skin: Colour
    hair: Colour
    head: Float[np.ndarray, "n 2"]  # silhouette
    apart: float  # from the middle of the face to an eye
    eye_level: float
    mouth_level: float

    def shade(self, share: float) -> Colour:
        return mix(self.skin, DARK, share)


def portrait(emotion: str, intensity: float, rng: np.random.Generator) -> Image.Image:
    """A person showing `emotion`; RGB, `CANVAS` a side. Intensity 0 is a face at rest, 1 is unmistakable."""
    units = _expression(emotion, intensity, rng)
    person = _person(units, rng)
    image = Image.new("RGB", (CANVAS, CANVAS))
    _backdrop(image, rng)
    yaw, pitch, tilt = rng.normal(0, (0.18, 0.09, 0.09)).clip(-0.4, 0.4)
    x, y = CANVAS * rng.uniform((0.47, 0.45), (0.53, 0.51))
    pen = Pen(image, yaw, pitch, tilt, CANVAS * rng.uniform(0.37, 0.43), (x, y))
    length = _back_hair(pen, person, rng)
    _body(pen, person, rng)
    _head(pen, person, units, rng)
    _beard(pen, person, rng)
    _nose(pen, person, units, rng)
    _mouth(pen, person, units, rng)
    _eyes(pen, person, units, rng)
    _brows(pen, person, units, rng)
    _front_hair(pen, person, length, rng)
    _glasses(pen, person, rng)
    _occlusion(pen, person, rng)
    return image


def _expression(emotion: str, intensity: float, rng: np.random.Generator) -> dict[int, float]:
    """Strength of each action unit: one way to show the emotion, on a face that is never quite at rest."""
    way = WAYS[emotion][int(rng.random() * len(WAYS[emotion]))]
    brows, mouth = intensity * rng.uniform(0.65, 1.15, 2)
    units = {unit: way.get(unit, 0.0) * (brows if unit in UPPER else mouth) * rng.uniform(0.7, 1.1) for unit in ACTION_UNITS}
    for unit in (1, 2, 4, 5, 7, 12, 15, 17, 24):
        units[unit] += abs(rng.normal(0, 0.06))
    talks, blinks = rng.random(2)
    units[25] += (talks < 0.15) * rng.uniform(0, 0.5)
    units[43] += (blinks < 0.08) * rng.uniform(0.3, 1.0)
    return units


def _person(units: Units, rng: np.random.Generator) -> Person:
    tone = rng.uniform(0, len(SKINS) - 1.001)
    hairs = len(HAIRS) if tone < 3 else 4
    hair = mix(HAIRS[int(rng.random() * hairs)], HAIRS[int(rng.random() * hairs)], rng.uniform(0, 0.3))
    if rng.random() < 0.05:
        hair = hsv(rng.random(), 0.5, 0.8)
    cheek, jaw, chin, low = rng.uniform((0.88, 0.58, 0.2, 1.12), (1.0, 0.82, 0.4, 1.26))
    low += 0.12 * units[27]
    head = blob([(0, -1.3), (0.6, -1.26), (1.0, -0.8), (cheek + 0.03, -0.1), (cheek, 0.42), (jaw, 0.8 * low), (chin, low + 0.05)])
    skin = mix(SKINS[int(tone)], SKINS[int(tone) + 1], tone % 1)
    return Person(skin, hair, head, *rng.uniform((0.37, -0.12, 0.62), (0.46, 0.0, 0.7)))


def _backdrop(image: Image.Image, rng: np.random.Generator) -> None:
    draw = ImageDraw.Draw(image, "RGBA")
    hue, saturation, value = rng.uniform((0, 0.08, 0.3), (1, 0.45, 0.95))
    draw.rectangle((0, 0, CANVAS, CANVAS), fill=hsv(hue, saturation, value))
    for _ in range(rng.integers(5)):
        x, y, radius, lighter = CANVAS * rng.uniform((0, 0, 0.1, -0.3), (1, 1, 0.5, 0.3))
        colour = hsv(hue + rng.normal(0, 0.06), saturation, max(value + lighter / CANVAS, 0.1))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(*colour, 150))


def _back_hair(pen: Pen, person: Person, rng: np.random.Generator) -> float:
    """Draws the hair behind the head; returns how far down it falls."""
    length = float(rng.choice((-1.0, 0.5, 1.1, 1.7), p=(0.5, 0.15, 0.2, 0.15)))
    wide, flare, bun = rng.uniform((1.02, -0.1, 0), (1.25, 0.2, 1))
    if length > 0:
        sides = blob([(0, -1.45), (0.7, -1.4), (wide, -0.9), (wide + 0.05, 0), (wide + flare, length), (0.3, length + 0.1)])
        pen.fill(sides, mix(person.hair, DARK, 0.25), depth=0)
    if bun < 0.12:
        pen.disc((flare, -1.42), 0.42, 0.36, person.hair, depth=0)
    return length


def _body(pen: Pen, person: Person, rng: np.random.Generator) -> None:
    collar = rng.uniform(1.38, 1.55)
    pen.fill(np.array([(-0.42, 0.5), (0.42, 0.5), (0.5, 1.9), (-0.5, 1.9)]), person.shade(0.22), depth=0)
    shoulders = [(-0.5, collar), (0, collar + 0.2), (0.5, collar), (1.5, 1.75), (1.9, 3), (-1.9, 3), (-1.5, 1.75)]
    pen.fill(np.array(shoulders), _cloth(rng), depth=0)


def _head(pen: Pen, person: Person, units: Units, rng: np.random.Generator) -> None:
    side, edge = rng.choice((-1, 1)), rng.uniform(0.3, 1.1)
    dark, blush = rng.uniform((10, 10), (50, 60))
    for ear in (-0.97, 0.97):
        pen.disc((ear, 0.05), 0.13, 0.22, person.shade(0.15), depth=0)
    pen.fill(person.head, person.skin, depth=0)
    half, y = np.abs(person.head[:, 0]), person.head[:, 1]
    away = np.where(side * person.head[:, 0] > 0, half, np.minimum(half, edge - 0.2 * y * y))
    pen.fill(np.stack([side * away, y], axis=1), (*DARK, int(dark)), depth=0)
    pen.line(np.concatenate([person.head, person.head[:1]]), person.shade(0.3), 0.02, depth=0)
    for cheek in (-0.56, 0.56):
        pen.disc((cheek, 0.36 - 0.05 * units[6]), 0.22, 0.15, (230, 90, 90, int(blush + 25 * units[6])))


def _beard(pen: Pen, person: Person, rng: np.random.Generator) -> None:
    beard, moustache, dense, high, half, thick = rng.uniform((0, 0, 60, 0.2, 0.26, 0.1), (1, 1, 400, 0.6, 0.38, 0.16))
    colour = (*mix(person.hair, DARK, 0.15), min(int(dense), 255))
    x, y = person.head.T
    if beard < 0.15:
        pen.fill(np.stack([x, np.maximum(y, person.mouth_level - 0.22 - high * (x * x - 0.1))], axis=1), colour, depth=0)
    if moustache < (0.7 if beard < 0.15 else 0.06):
        y = person.mouth_level - 0.02
        pen.fill(band(half * T, y - thick * ARCH**0.7 - 0.02, y - 0.05 * ARCH), colour)


def _nose(pen: Pen, person: Person, units: Units, rng: np.random.Generator) -> None:
    wide, low, furrow = rng.uniform((0.11, 0.24, -0.5), (0.19, 0.34, 0.35))
    wide, low = wide * (1 + 0.25 * units[9]), low - 0.07 * units[9]
    side = rng.choice((-1, 1))
    pen.fill(np.array([(side * 0.04, -0.12), (side * wide, low), (0, low + 0.05)]), (*DARK, 26), depth=1.15)
    pen.line(bend((-wide, low - 0.05), (0, low + 0.09), (wide, low - 0.05)), person.shade(0.42), 0.04, depth=1.15)
    for side in (-1, 1):
        pen.disc((side * wide * 0.5, low + 0.01), 0.03, 0.02, person.shade(0.6), depth=1.15)
        fold = bend((side * (wide + 0.05), low - 0.02), (side * 0.38, low + 0.12), (side * 0.43, 0.58))
        _wrinkle(pen, person, fold, 0.7 * units[12] + 0.8 * units[10] + 0.5 * units[9] + furrow)
        _wrinkle(pen, person, bend((side * wide, low - 0.17), (side * (wide + 0.06), low - 0.1), (side * (wide + 0.04), low)), units[9])
    for height in (-0.1, 0.0, 0.1):
        _wrinkle(pen, person, bend((-0.11, height), (0, height + 0.05), (0.11, height)), units[9])


def _mouth(pen: Pen, person: Person, units: Units, rng: np.random.Generator) -> None:
    wide, lips, red = rng.uniform((0.33, 0.035, 0.3), (0.42, 0.08, 0.85))
    x = wide * (1 + 0.3 * units[12] + 0.35 * units[20] - 0.25 * units[24] - 0.5 * units[27]) * T
    corners = -0.24 * units[12] + 0.22 * units[15] + 0.06 * units[20]
    closed = person.mouth_level + corners * (T * T - 0.35) - (0.05 * units[17] + 0.08 * units[10]) * ARCH
    arc = ARCH ** (0.5 - 0.28 * min(units[16], 1))
    upper = closed - arc * (0.012 + 0.06 * units[25] * (1 + units[10]) + 0.1 * units[27] + 0.05 * units[16])
    lower = closed + arc * (0.012 + 0.13 * units[25] * (1 + units[12]) + 0.34 * units[27] + 0.08 * units[16])
    lip = lips * max(0.15, 1 - 0.7 * units[24] - 0.2 * units[12]) * ARCH**0.6
    colour = mix(person.shade(0.1), (186, 52, 66), red)
    pen.fill(band(x * 1.06, upper - lip, lower + 1.3 * lip), colour)
    pen.fill(band(x, upper, lower), (92, 26, 36))
    gap = float(np.max(lower - upper))
    if gap > 0.08:
        tongue = np.maximum(upper, lower - 0.4 * gap * ARCH)
        pen.fill(band(x * 0.85, tongue, np.maximum(lower - 0.02, tongue)), (204, 94, 98))
        pen.fill(band(x, upper, np.minimum(lower, upper + 0.09 + 0.05 * units[12] - 0.03 * units[27])), WHITE)
        if units[16] + units[20] > 0.4:
            pen.fill(band(x, np.maximum(upper, lower - 0.08), lower), WHITE)
    pen.line(np.stack([x * 1.04, upper if gap > 0.08 else closed], axis=1), mix(colour, DARK, 0.75), 0.04)
    for side in (-1, 1):
        pen.disc((side * x[-1] * 1.07, closed[-1]), 0.03, 0.035, person.shade(0.5))
    chin = person.mouth_level + 0.25
    _wrinkle(pen, person, bend((-0.13, chin + 0.04), (0, chin), (0.13, chin + 0.04)), units[17])


def _eyes(pen: Pen, person: Person, units: Units, rng: np.random.Generator) -> None:
    wide, tall, iris, lash, bags = rng.uniform((0.2, 0.115, 0.095, 0.035, 0), (0.25, 0.15, 0.12, 0.06, 0.3))
    slant, gaze_x, gaze_y = rng.normal(0, (0.02, 0.035, 0.015))
    colour = IRISES[rng.integers(len(IRISES))]
    top = tall * max(0.1, 1 + 0.7 * units[5] - 0.4 * units[7] - 0.2 * units[9] - 0.1 * units[6] - 0.95 * units[43])
    bottom = 0.85 * tall * (1 + 0.25 * units[5] - 0.45 * units[7] - 0.95 * units[6] - 0.2 * units[9] - 0.3 * units[43])
    arc = ARCH**0.6
    for side in (-1, 1):
        middle, outer = side * person.apart, (1 + side * T) / 2
        lid = 1 - 0.45 * max(0.0, units[1] - units[2]) * outer - 0.4 * max(0.0, units[4] - units[1]) * (1 - outer)
        x, corners = middle + wide * T, person.eye_level - slant * side * T
        upper = corners - top * arc * lid
        lower = np.maximum(corners + bottom * arc, upper + 0.02)
        pen.fill(band(x, upper, lower), WHITE)
        for radius, shade in ((iris, colour), (iris * 0.5, (20, 16, 20))):
            ring = CIRCLE * radius + (middle + gaze_x, person.eye_level - 0.01 + gaze_y)
            ring[:, 1] = ring[:, 1].clip(np.interp(ring[:, 0], x, upper), np.interp(ring[:, 0], x, lower))
            pen.fill(ring, shade)
        if top + bottom > 0.12:
            pen.disc((middle + gaze_x - 0.03, person.eye_level - 0.04 + gaze_y), 0.026, 0.026, WHITE)
        pen.line(np.stack([x, upper], axis=1), DARK, lash)
        pen.line(np.stack([x, lower], axis=1), person.shade(0.45), 0.02)
        pen.line(np.stack([x, upper - 0.07], axis=1)[4:-4], person.shade(0.25), 0.02)
        below = np.stack([x, np.maximum(lower, person.eye_level) + 0.08 - 0.02 * T * T], axis=1)[3:-3]
        _wrinkle(pen, person, below, bags + 0.5 * units[7] + 0.6 * units[6])


def _brows(pen: Pen, person: Person, units: Units, rng: np.random.Generator) -> None:
    thick, above, arch, dark, lines = rng.uniform((0.07, 0.26, 0, 0.4, -0.3), (0.13, 0.34, 0.05, 0.9, 0.1))
    level, colour = person.eye_level - above, mix(person.hair, DARK, dark)
    for side in (-1, 1):
        spine = bend(
            (side * (person.apart - 0.24 - 0.06 * units[4]), level - 0.21 * units[1] + 0.18 * units[4] + 0.05 * units[9]),
            (side * person.apart, level - arch - 0.1 * units[1] - 0.15 * units[2] + 0.09 * units[4] + 0.04 * units[9]),
            (side * (person.apart + 0.27), level + 0.03 + 0.05 * units[1] - 0.2 * units[2] - 0.04 * units[4]),
        )
        half = thick / 2 * (1 - 0.7 * np.linspace(0, 1, len(spine)) ** 2)
        pen.fill(band(spine[:, 0], spine[:, 1] - half, spine[:, 1] + half), colour)
        _wrinkle(pen, person, np.array([(side * 0.06, level - 0.02), (side * 0.07, level + 0.16)]), units[4] - 0.2)
    for row in (level - 0.2, level - 0.3):
        _wrinkle(pen, person, bend((-0.4, row), (0, row - 0.05), (0.4, row)), 0.5 * units[1] + 0.3 * units[2] + lines)


def _front_hair(pen: Pen, person: Person, length: float, rng: np.random.Generator) -> None:
    style = rng.choice(("bald", "crop", "swept", "parted", "fringe", "spiky", "curly", "hat"), p=(0.07, 0.13, 0.2, 0.16, 0.18, 0.1, 0.1, 0.06))
    line, volume, low = rng.uniform((-0.88, 1.03, -0.5), (-0.7, 1.14, -0.25))
    lean, colour, cloth = rng.choice((-1, 1)), person.hair, _cloth(rng)
    t = np.linspace(0.93, -0.93, 25)
    match style:
        case "bald":
            return
        case "swept":
            y = line + 0.3 * lean * t + 0.35 * t**2
        case "parted":
            y = line - 0.1 + 0.6 * np.abs(t - 0.25 * lean) ** 0.8
        case "fringe":
            y = low + 0.12 * t**2 + 0.04 * np.cos(9 * t)
        case "spiky":
            y = line + 0.14 * np.abs((4 * t + 0.5) % 1 * 2 - 1) + 0.3 * t**4
        case "hat":
            y, colour, volume = np.full_like(t, line + 0.15), cloth, volume + 0.06
        case _:
            y = line + 0.45 * t**4
    scalp = person.head[person.head[:, 1] < (0.0 if length > 0 else -0.25)] * volume
    scalp = scalp[np.argsort(np.arctan2(scalp[:, 0], -scalp[:, 1]))]
    if style == "curly":
        for x_, y_ in scalp[::3]:
            pen.disc((x_, y_), 0.24, 0.24, colour, depth=0)
    pen.fill(np.concatenate([scalp, np.stack([t, y], axis=1)]), colour)
    if style == "hat":
        pen.fill(band(t * 1.06, y - 0.2, y), mix(colour, DARK, 0.25))
    else:
        pen.fill(band(t * 0.6 + 0.2 * lean, -1.1 + 0.15 * t**2, -1.0 + 0.1 * t**2), mix(colour, WHITE, 0.15))


def _glasses(pen: Pen, person: Person, rng: np.random.Generator) -> None:
    kind, square, size, width, value = rng.uniform((0, 0.45, 0.25, 0.03, 0.05), (1, 1, 0.32, 0.05, 0.5))
    colour = hsv(rng.random(), 0.4, value)
    if kind > 0.22:
        return
    rim = np.sign(CIRCLE) * np.abs(CIRCLE) ** square * (size, size * 0.88)
    level = person.eye_level
    for side in (-1, 1):
        lens = rim + (side * person.apart, level + 0.03)
        pen.fill(lens, (*mix(colour, DARK, 0.6), 225) if kind < 0.03 else (*WHITE, 35))
        pen.line(lens, colour, width)
        pen.line(np.array([(side * (person.apart + size), level), (side * 0.95, level - 0.04)]), colour, width)
    inner = person.apart - size
    pen.line(bend((-inner, level), (0, level - 0.04), (inner, level)), colour, width)


def _occlusion(pen: Pen, person: Person, rng: np.random.Generator) -> None:
    kind, angle, x, y, half = rng.uniform((0, 0, -0.7, -0.5, 0.12), (1, 2 * np.pi, 0.7, 1.1, 0.3))
    cloth = _cloth(rng)
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    if kind < 0.07:  # the fingers of a hand
        for finger in (-1.5, -0.5, 0.5, 1.5):
            tip = (x, y) + finger * 0.17 * across + 0.07 * abs(finger) * along
            for width, colour in ((0.2, person.shade(0.35)), (0.16, person.shade(0.05))):
                pen.line(np.stack([tip, tip + 2.5 * along]), colour, width, depth=0)
                pen.disc((tip[0], tip[1]), width / 2, width / 2, colour, depth=0)
    elif kind < 0.12:  # something that is held before the face
        pen.fill((x, y) + np.stack([-half * across, 3 * along - half * across, 3 * along + half * across, half * across]), cloth, depth=0)


def _wrinkle(pen: Pen, person: Person, points: Float[np.ndarray, "n 2"], strength: float) -> None:
    if strength > 0.1:
        pen.line(points, person.shade(0.5 * min(strength, 1)), 0.035)


def _cloth(rng: np.random.Generator) -> Colour:
    return hsv(*rng.uniform((0, 0.1, 0.25), (1, 0.7, 0.9)))
