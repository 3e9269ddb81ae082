"""The predictor: images in, apparent expressions of their faces out."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from fer.data.media.images import UndecodableError
from fer.nn import devices
from fer.runtime.errors import InputError
from fer.runtime.parallel import ordered_map
from fer.serving.face_finder import DetectedFace, FaceFinderSettings, FaceMode, find_faces
from fer.serving.inputs import ImageInput, ImageLike, InputLoader, input_from_image, inputs_from_images
from fer.serving.outputs import FacePrediction, ImageResult, results_table
from fer.serving.package import bundle
from fer.serving.statuses import FAILED_STATUSES, status_for_reason

if TYPE_CHECKING:
    import pandas

IMAGE_BATCH = 128  # images whose faces share a batch
KEPT_IMAGE_BATCH = 16  # the same if the images are kept, since a 4K frame takes 25 MB


class Predictor:
    """A package applied to images: it finds their faces and predicts their apparent expressions.

    Probabilities are calibrated. If the package was made with `package.prior: valid`, they are also corrected to the
    class frequencies of the validation fold; `package.manifest.prior_factors` has the factors, otherwise None.
    """

    def __init__(self, package: bundle.ModelPackage, faces: FaceMode = "auto", detector: str = "haar") -> None:
        self.package = package
        self.face_settings = FaceFinderSettings(package.manifest.size, package.manifest.align, faces, detector)

    @classmethod
    def load(cls, folder: Path | str = "data/package", faces: FaceMode = "auto", detector: str = "haar") -> "Predictor":
        """Load the package in `folder` on the GPU, if there is one, or on the device that `FER_DEVICE` names.

        Args:
            faces: Whether images are face crops, see `find_faces`.
            detector: "haar" or the path of a YuNet model.

        Raises:
            InputError: A file of the package is missing or damaged.
        """
        return cls(bundle.load_package(Path(folder), devices.default_device()), faces, detector)

    def __repr__(self) -> str:
        manifest = self.package.manifest
        networks, emotions = list(manifest.vote), list(manifest.emotions)
        return f"Predictor(round={manifest.round}, networks={networks}, emotions={emotions}, size={manifest.size})"

    def __call__(
        self, images: ImageLike | Iterable[ImageLike], frames_per_second: float | None = None
    ) -> "pandas.DataFrame":
        """Return a table with a row for each face, and for each image without a face.

        The columns are those of `result_columns`, the statuses are explained in `STATUS_MEANINGS`.

        Args:
            images: One image or an iterable of images. A path can also be a folder, archive, pattern, video or camera.
            frames_per_second: The rate at which videos are sampled; None uses every frame.

        Raises:
            InputError: An item is not an image, or the detector is not available.
        """
        results = self.stream(inputs_from_images(images, InputLoader(frames_per_second)))
        return results_table(results, self.package.manifest.emotions, self.package.manifest.id)

    def predict_image(self, image: ImageLike) -> list[FacePrediction]:
        """Return the faces in one image, the largest first.

        Raises:
            InputError: The image is missing, unreadable or of another type, or the detector is not available.
        """
        result, faces = _detect_faces(input_from_image(image, "image"), self.face_settings, keep_image=False)
        if result.status in FAILED_STATUSES:
            raise InputError(f"{result.input.source}: {result.detail}")
        return self.predict_faces(faces)

    def stream(self, inputs: Iterable[ImageInput], keep_images: bool = False) -> Iterator[ImageResult]:
        """Yield the result of each input, in order, computed on all cores; `keep_images` keeps the image in it.

        Memory holds at most `IMAGE_BATCH` images and a few per core, however many there are.

        Raises:
            InputError: The detector is not available.
        """
        detect = partial(_detect_faces, settings=self.face_settings, keep_image=keep_images)
        # Threads need no copies of frames, and processes fail in scripts without `if __name__ == "__main__"`.
        # Threads that ignore warnings undo each other's filters, so the filters are restored at the end.
        with warnings.catch_warnings():
            detections = ordered_map(detect, inputs, threads=True)
            while batch := list(islice(detections, KEPT_IMAGE_BATCH if keep_images else IMAGE_BATCH)):
                predictions = iter(self.predict_faces([face for _, faces in batch for face in faces]))
                for result, faces in batch:
                    yield replace(result, faces=list(islice(predictions, len(faces))))

    def predict_faces(self, detected_faces: Sequence[DetectedFace]) -> list[FacePrediction]:
        """Return the prediction for each face; all faces form one batch."""
        size = self.package.manifest.size
        faces = np.array([detected.face for detected in detected_faces], dtype=np.uint8).reshape(-1, size, size)
        return [self._make_prediction(*pair) for pair in zip(detected_faces, self.package(faces), strict=True)]

    def _make_prediction(self, detected: DetectedFace, probs: Float[np.ndarray, " classes"]) -> FacePrediction:
        manifest = self.package.manifest
        probabilities = dict(zip(manifest.emotions, probs.astype(np.float64).round(6).tolist(), strict=True))
        label = max(probabilities, key=probabilities.__getitem__)
        confidence = probabilities[label]
        accepted = confidence >= manifest.thresholds[label]
        return FacePrediction(detected.box, detected.face, probabilities, label, confidence, accepted)


def _detect_faces(
    input: ImageInput, settings: FaceFinderSettings, keep_image: bool
) -> tuple[ImageResult, list[DetectedFace]]:
    """Return the result of an image, still without predictions, and its faces."""
    image, result_input = input.image, input if keep_image else replace(input, image=None)
    try:
        if image is None or isinstance(image, UndecodableError):
            raise image or ValueError("the image of this input was not kept")
        faces = find_faces(image, settings)
    except UndecodableError as error:
        return ImageResult(result_input, status_for_reason(error.reason), str(error), []), []
    except OSError as error:
        return ImageResult(result_input, "unreadable", error.strerror or str(error), []), []
    return ImageResult(result_input, "ok" if faces else "no_face", "", []), faces
