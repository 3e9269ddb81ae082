"""Where the disk is full, a file that is not whole is an error: also where numpy or OpenCV say nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from fer.core.files import write_array
from fer.core.store import concatenate_faces
from fer.serving.annotate import annotation_writer
from fer.serving.inputs import ImageInput
from fer.serving.outputs import ImageResult

resource = pytest.importorskip("resource", reason="file sizes can be limited on POSIX systems only")


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file may become larger than `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


FACES = np.arange(20_000, dtype=np.uint32).view(np.uint8).reshape(-1, 20, 20)


@pytest.mark.parametrize("missing", [0, 1, 4_000, 79_000])
@pytest.mark.parametrize("how", ["write_array", "concatenate"])
def test_an_array_is_whole_or_an_error(tmp_path: Path, missing: int, how: str) -> None:
    np.save(tmp_path / "part.npy", FACES)
    room = (tmp_path / "part.npy").stat().st_size - missing

    def written() -> bytes:
        if how == "write_array":
            write_array(tmp_path / "out.npy", FACES)
        else:
            concatenate_faces([tmp_path / "part.npy"], tmp_path / "out.npy")
        return (tmp_path / "out.npy").read_bytes()

    with room_for(room):
        if missing:
            with pytest.raises(OSError, match="File too large"):
                written()
        else:
            assert written() == (tmp_path / "part.npy").read_bytes()


@pytest.mark.parametrize("size", [100, 20_000])
def test_a_video_is_whole_or_an_error(tmp_path: Path, size: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 64, 64, 3), dtype=np.uint8)

    def written() -> None:
        with annotation_writer(tmp_path, None) as annotate:
            for number, picture in enumerate(noise):
                annotate(
                    ImageResult(ImageInput("x.avi", picture, "x.avi", number, number / 25, 25.0), "no_face", "", ())
                )

    with room_for(size), pytest.raises(OSError, match="not written completely; check for a full disk"):
        written()
    assert list(tmp_path.iterdir()) == []
