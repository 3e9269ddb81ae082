"""From pictures to what their faces are taken for."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8

from fer.data.media.images import UndecodableError
from fer.nn import inference
from fer.runtime.parallel import ordered_map
from fer.serving.face_finder import Faces, Found, Rules, find
from fer.serving.inputs import Input, Inputs, given
from fer.serving.outputs import Prediction, Seen, table
from fer.serving.package import bundle
from fer.serving.statuses import status_of

BATCH = 128  # pictures whose faces go through the networks together
KEPT = 16  # the same where the pictures are kept: a frame of 4K takes 25 MB


@dataclass(frozen=True, slots=True)
class Looked:
    input: Input
    status: str
    detail: str
    found: Sequence[Found]


class Predictor:
    """A package that looks at pictures."""

    def __init__(self, package: bundle.Package, faces: Faces = "auto", detector: str = "haar") -> None:
        self.package = package
        self.rules = Rules(package.about.size, package.about.align, faces, detector)

    @classmethod
    def load(cls, folder: Path | str = "data/package", faces: Faces = "auto", detector: str = "haar") -> "Predictor":
        """The predictor in `folder`, on the GPU if there is one; `FER_DEVICE` decides otherwise.

        `faces` says whether pictures are faces already: see `looking.find`. `detector` is haar, or the path of a YuNet
        model.

        Raises:
            InputError: a file of the package is missing, damaged or not the one that was packaged.
        """
        return cls(bundle.load(Path(folder), inference.device()), faces, detector)

    def __call__(self, images: object, per_second: float | None = None) -> pd.DataFrame:
        """A table of the faces in `images`: see `inputs.given`, `rows.columns` and `statuses.MEANING`.

        `per_second` frames of a video are looked at, or all.

        Raises:
            InputError: something among the images is no image, or the detector can't be had.
        """
        seen = self.stream(given(images, Inputs(per_second)))
        return table(seen, self.package.about.emotions, self.package.about.id)

    def look(self, picture: UInt8[np.ndarray, "height width 3"]) -> list[Prediction]:
        """The faces in one picture (red, green, blue), the largest first.

        Raises:
            InputError: the detector can't be had.
        """
        return self.predictions(find(picture, self.rules))

    def stream(self, inputs: Iterable[Input], keep: bool = False) -> Iterator[Seen]:
        """What is seen in each of `inputs`, in order, on all cores; with `keep`, with the picture.

        Memory holds `BATCH` pictures and a few for each core, however many there are.

        Raises:
            InputError: the detector can't be had.
        """
        look = partial(_look, rules=self.rules, keep=keep)
        # Frames need not be copied to threads, and scripts without `if __name__ == "__main__"` can start no processes.
        # Threads that ignore warnings undo each other's filters, so these are put back in the end.
        with warnings.catch_warnings():
            looked = ordered_map(look, inputs, threads=True)
            while batch := list(islice(looked, KEPT if keep else BATCH)):
                predictions = iter(self.predictions([found for each in batch for found in each.found]))
                for each in batch:
                    yield Seen(each.input, each.status, each.detail, list(islice(predictions, len(each.found))))

    def predictions(self, found: Sequence[Found]) -> list[Prediction]:
        """What each face is taken for; all of them go through the networks together."""
        about = self.package.about
        faces = np.array([each.face for each in found], dtype=np.uint8).reshape(-1, about.size, about.size)
        return [self._prediction(each, probs) for each, probs in zip(found, self.package(faces), strict=True)]

    def _prediction(self, found: Found, probs: Float[np.ndarray, " classes"]) -> Prediction:
        about = self.package.about
        by_emotion = dict(zip(about.emotions, probs.astype(np.float64).round(6).tolist(), strict=True))
        label = max(by_emotion, key=by_emotion.__getitem__)
        confidence = by_emotion[label]
        return Prediction(found.box, found.face, by_emotion, label, confidence, confidence >= about.thresholds[label])


def _look(input: Input, rules: Rules, keep: bool) -> Looked:
    picture, kept = input.picture, input if keep else replace(input, picture=None)
    try:
        if picture is None or isinstance(picture, UndecodableError):
            raise picture or ValueError("the picture was not kept")
        found = find(picture, rules)
    except UndecodableError as error:
        return Looked(kept, status_of(error.reason), str(error), [])
    except OSError as error:
        return Looked(kept, "unreadable", error.strerror or str(error), [])
    return Looked(kept, "ok" if found else "no_face", "", found)
