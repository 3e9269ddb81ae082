"""Atomic files and folders, JSON, CSV, arrays, and texts for spreadsheets."""

import contextlib
from pathlib import Path

import pytest

from fer.core.files import (
    atomic_write,
    atomic_write_folder,
    escape_formula,
    read_array,
    read_json,
    unescape_formula,
    write_json,
)
from fer.runtime.errors import InputError


def test_a_failure_leaves_only_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "kept.txt"
    path.write_text("old")
    with contextlib.suppress(RuntimeError), atomic_write(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_only_the_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / "old").touch()
    with contextlib.suppress(RuntimeError), atomic_write_folder(folder) as part:
        (part / "half").touch()
        raise RuntimeError
    assert [file.name for file in folder.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [folder]


def test_success_replaces_the_whole_folder_and_creates_its_parents(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    for name in ("old", "new"):
        with atomic_write_folder(folder) as part:
            (part / name).touch()
    assert [file.name for file in folder.iterdir()] == ["new"]
    assert list((tmp_path / "a").iterdir()) == [folder]


def test_json_is_rounded_and_refuses_nan(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"b": 1 / 3, "a": [2, None, "text"]})
    assert path.read_text().index('"b"') < path.read_text().index('"a"')
    assert read_json(path) == {"b": 0.333333, "a": [2, None, "text"]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert read_json(path)["b"] == 0.333333


def test_json_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        read_json(tmp_path / "deep.json")


def npy_header(text: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00\x76\x00" + text.ljust(118)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\x93NUMPY", b"PK\x03\x04", b"PK\x05\x06" + bytes(18), b"no array", b"\x80\x04K\x01."),
        *(npy_header(b"{'descr': ("), npy_header(b"1L\n  2\n 3")),
    ],
)
@pytest.mark.parametrize("mmap", [False, True])
def test_a_file_without_an_array_is_reported(tmp_path: Path, content: bytes, mmap: bool) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.npy: not an array \(.+\); recreate it"):
        read_array(path, mmap)
    with pytest.raises(InputError, match=r"y\.npy: no such file"):
        read_array(tmp_path / "y.npy", mmap)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "'=1", "plain", "it's", "", "1-1"])
def test_formulas_are_escaped_and_unescaped(text: str) -> None:
    assert escape_formula(text) == ("'" + text if text.lstrip("'")[:1] in tuple("=+-@\t") else text)
    assert unescape_formula(escape_formula(text)) == text
