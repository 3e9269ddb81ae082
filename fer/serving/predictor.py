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
from fer.serving.face_finder import DetectedFace, FaceFinderSettings, FaceMode, find_faces
from fer.serving.inputs import ImageInput, InputLoader, inputs_from_images
from fer.serving.outputs import FacePrediction, ImageResult, results_table
from fer.serving.package import bundle
from fer.serving.statuses import status_for_reason

IMAGE_BATCH = 128  # pictures whose faces go through the networks together
KEPT_IMAGE_BATCH = 16  # the same where the pictures are kept: a frame of 4K takes 25 MB


@dataclass(frozen=True, slots=True)
class DetectionResult:
    input: ImageInput
    status: str
    detail: str
    faces: Sequence[DetectedFace]


class Predictor:
    """A package that looks at pictures."""

    def __init__(self, package: bundle.ModelPackage, faces: FaceMode = "auto", detector: str = "haar") -> None:
        self.package = package
        self.face_settings = FaceFinderSettings(package.manifest.size, package.manifest.align, faces, detector)

    @classmethod
    def load(cls, folder: Path | str = "data/package", faces: FaceMode = "auto", detector: str = "haar") -> "Predictor":
        """The predictor in `folder`, on the GPU if there is one; `FER_DEVICE` decides otherwise.

        `faces` says whether pictures are faces already: see `looking.find`. `detector` is haar, or the path of a YuNet
        model.

        Raises:
            InputError: a file of the package is missing, damaged or not the one that was packaged.
        """
        return cls(bundle.load_package(Path(folder), inference.default_device()), faces, detector)

    def __call__(self, images: object, frames_per_second: float | None = None) -> pd.DataFrame:
        """A table of the faces in `images`: see `inputs.given`, `rows.columns` and `statuses.MEANING`.

        `frames_per_second` frames of a video are looked at, or all.

        Raises:
            InputError: something among the images is no image, or the detector can't be had.
        """
        seen = self.stream(inputs_from_images(images, InputLoader(frames_per_second)))
        return results_table(seen, self.package.manifest.emotions, self.package.manifest.id)

    def predict_image(self, image: UInt8[np.ndarray, "height width 3"]) -> list[FacePrediction]:
        """The faces in one picture (red, green, blue), the largest first.

        Raises:
            InputError: the detector can't be had.
        """
        return self.predict_faces(find_faces(image, self.face_settings))

    def stream(self, inputs: Iterable[ImageInput], keep_images: bool = False) -> Iterator[ImageResult]:
        """What is seen in each of `inputs`, in order, on all cores; with `keep_images`, with the picture.

        Memory holds `BATCH` pictures and a few for each core, however many there are.

        Raises:
            InputError: the detector can't be had.
        """
        look = partial(_detect_faces, settings=self.face_settings, keep_image=keep_images)
        # Frames need not be copied to threads, and scripts without `if __name__ == "__main__"` can start no processes.
        # Threads that ignore warnings undo each other's filters, so these are put back in the end.
        with warnings.catch_warnings():
            looked = ordered_map(look, inputs, threads=True)
            while batch := list(islice(looked, KEPT_IMAGE_BATCH if keep_images else IMAGE_BATCH)):
                predictions = iter(self.predict_faces([found for each in batch for found in each.faces]))
                for each in batch:
                    yield ImageResult(each.input, each.status, each.detail, list(islice(predictions, len(each.faces))))

    def predict_faces(self, detected_faces: Sequence[DetectedFace]) -> list[FacePrediction]:
        """What each face is taken for; all of them go through the networks together."""
        about = self.package.manifest
        faces = np.array([each.face for each in detected_faces], dtype=np.uint8).reshape(-1, about.size, about.size)
        return [self._prediction(each, probs) for each, probs in zip(detected_faces, self.package(faces), strict=True)]

    def _prediction(self, found: DetectedFace, probs: Float[np.ndarray, " classes"]) -> FacePrediction:
        about = self.package.manifest
        by_emotion = dict(zip(about.emotions, probs.astype(np.float64).round(6).tolist(), strict=True))
        label = max(by_emotion, key=by_emotion.__getitem__)
        confidence = by_emotion[label]
        return FacePrediction(
            found.box, found.face, by_emotion, label, confidence, confidence >= about.thresholds[label]
        )


def _detect_faces(input: ImageInput, settings: FaceFinderSettings, keep_image: bool) -> DetectionResult:
    picture, kept = input.image, input if keep_image else replace(input, image=None)
    try:
        if picture is None or isinstance(picture, UndecodableError):
            raise picture or ValueError("the picture was not kept")
        found = find_faces(picture, settings)
    except UndecodableError as error:
        return DetectionResult(kept, status_for_reason(error.reason), str(error), [])
    except OSError as error:
        return DetectionResult(kept, "unreadable", error.strerror or str(error), [])
    return DetectionResult(kept, "ok" if found else "no_face", "", found)
