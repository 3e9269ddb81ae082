"""On a full disk an incomplete file is an error, even if numpy or OpenCV report none."""

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
def file_size_limit(size: int) -> Iterator[None]:
    """Limit files to `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


FACES = np.arange(20_000, dtype=np.uint32).view(np.uint8).reshape(-1, 20, 20)


@pytest.mark.parametrize("missing", [0, 1, 4_000, 79_000])
@pytest.mark.parametrize("function", ["write_array", "concatenate"])
def test_an_incomplete_array_is_an_error(tmp_path: Path, missing: int, function: str) -> None:
    np.save(tmp_path / "part.npy", FACES)
    limit = (tmp_path / "part.npy").stat().st_size - missing

    def write() -> bytes:
        if function == "write_array":
            write_array(tmp_path / "out.npy", FACES)
        else:
            concatenate_faces([tmp_path / "part.npy"], tmp_path / "out.npy")
        return (tmp_path / "out.npy").read_bytes()

    with file_size_limit(limit):
        if missing:
            with pytest.raises(OSError, match="File too large"):
                write()
        else:
            assert write() == (tmp_path / "part.npy").read_bytes()


@pytest.mark.parametrize("size", [100, 20_000])
def test_an_incomplete_video_is_an_error(tmp_path: Path, size: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 64, 64, 3), dtype=np.uint8)

    def write() -> None:
        with annotation_writer(tmp_path, None) as annotate:
            for number, frame in enumerate(noise):
                annotate(ImageResult(ImageInput("x.avi", frame, "x.avi", number, number / 25, 25.0), "no_face", "", ()))

    with file_size_limit(size), pytest.raises(OSError, match="not written completely; check for a full disk"):
        write()
    assert list(tmp_path.iterdir()) == []
