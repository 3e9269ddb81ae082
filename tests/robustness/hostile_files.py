"""Hostile files, by the reader that they are made for."""

import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save

from fer.params import load_params
from fer.training.checkpoint import _checksum

PWNED = "../pwned"  # what code that ran would leave; a path from the project's folder
EMOTIONS = ("angry", "happy")
Files = dict[str, bytes]  # by their paths in the project's folder


class Payload:
    """An object that runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {PWNED}",)


def encode_image(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise_image(side: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8))


GOOD_PNG = encode_image(noise_image(48), "PNG")
GOOD_JPEG = encode_image(noise_image(48), "JPEG")


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def make_png(width: int, height: int, *extra: bytes, rows: int = 0, colour: int = 0) -> bytes:
    """Return a PNG with these sides in its header, but only `rows` rows of pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    content = zlib.compress(bytes(rows * (1 + width * {0: 1, 2: 3, 6: 4}[colour])), 9)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", head)
        + b"".join(extra)
        + png_chunk(b"IDAT", content)
        + png_chunk(b"IEND", b"")
    )


def make_zip(members: Files, method: int = zipfile.ZIP_DEFLATED, **attributes: Any) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            for key, value in attributes.items():
                setattr(info, key, value)
            archive.writestr(info, content)
    return file.getvalue()


def make_tar(*members: tuple[str, bytes, dict[str, Any]], mode: str = "w", form: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode, format=form) as archive:  # type: ignore[call-overload]
        for name, content, attributes in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in attributes.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def hostile_images() -> dict[str, bytes]:
    """Return files that are named .png, whatever their format."""
    tiff = bytearray(encode_image(noise_image(48), "TIFF"))
    return {
        "60,000 x 60,000 pixels promised": make_png(60_000, 60_000, rows=1),
        "60,000 x 60,000 pixels there": make_png(60_000, 60_000, rows=20_000),
        "7,000 x 7,000 pixels with transparency": make_png(7000, 7000, rows=7000, colour=6),
        "50,000,000 pixels in one row": make_png(50_000_000, 1, rows=1),
        "50,000,000 pixels in one column": make_png(1, 50_000_000, rows=50_000_000),
        "no pixels": make_png(0, 0),
        "texts that unpack to gigabytes": make_png(
            48, 48, *[png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(60_000_000), 9))] * 20, rows=48
        ),
        "a colour profile that unpacks to gigabytes": make_png(
            48, 48, png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(200_000_000), 9)), rows=48
        ),
        "Exif that points at itself": encode_image(
            noise_image(48), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0"
        ),
        "half a PNG": GOOD_PNG[: len(GOOD_PNG) // 2],
        "half a JPEG": GOOD_JPEG[: len(GOOD_JPEG) // 2],
        "a JPEG without an end": GOOD_JPEG[:-2],
        "TIFF with directories in a circle": bytes(tiff[:-4]) + struct.pack("<I", 8),
        "TIFF of 4,294,967,295 strips": b"II*\0\x08\0\0\0\x01\0\x11\x01\x04\0\xff\xff\xff\xff\x08\0\0\0\0\0\0\0",
        "a GIF": encode_image(noise_image(48), "GIF"),
        "PostScript that a viewer would run": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(touch) run\n",
        "SVG with a script": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        "SVG that reads a file": b"<!DOCTYPE s [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><svg>&x;</svg>",
        "PNG and zip at once": GOOD_PNG + make_zip({"../../pwned": b"x"}),
        "JPEG and script at once": GOOD_JPEG + b"<?php system('touch pwned'); ?><script>alert(1)</script>",
        "a pickle": pickle.dumps(Payload()),
        "FITS of compressed gigabytes": b"SIMPLE  =                    T".ljust(2880)
        + gzip.compress(bytes(50_000_000)),
        "an ICO of many sizes": encode_image(noise_image(64), "ICO"),
        "a WEBP of which most is missing": encode_image(noise_image(48), "WEBP")[:80],
        "an empty file": b"",
        "zeros": bytes(5_000_000),
    }


def hostile_archives() -> dict[str, tuple[str, bytes]]:
    """Return archives with their file names; each readable one also holds a good image."""
    good = ("good.png", GOOD_PNG, {})
    deep = "a/" * 30_000 + "x.png"
    many_files: Files = {"good.png": GOOD_PNG} | {f"{number}.png": b"" for number in range(3_000)}
    bad_name = make_zip({"good.png": GOOD_PNG, "\u00e9\u00e9.png": GOOD_PNG}).replace(
        "\u00e9\u00e9".encode(), b"\xff\xfe\xff\xfe"
    )
    link = {"type": tarfile.SYMTYPE, "linkname": "../outside"}
    return {
        "zip slip": (
            "x.zip",
            make_zip({"../../pwned.png": GOOD_PNG, "..\\..\\pwned.png": GOOD_PNG, "good.png": GOOD_PNG}),
        ),
        "zip with absolute names": (
            "x.zip",
            make_zip({"/tmp/pwned.png": GOOD_PNG, "C:\\pwned.png": GOOD_PNG, "good.png": GOOD_PNG}),
        ),
        "zip with links": (
            "x.zip",
            make_zip({"x.png": b"/etc/passwd"}, external_attr=0o120777 << 16),
        ),
        "zip bomb": ("x.zip", make_zip({"bomb.png": bytes(150_000_000), "good.png": GOOD_PNG})),
        "zip bomb of a video": ("x.zip", make_zip({"bomb.mp4": bytes(150_000_000), "good.png": GOOD_PNG})),
        "zip in zip in zip": (
            "x.zip",
            make_zip({"y.zip": make_zip({"z.zip": make_zip({"bomb.png": bytes(99_000_000)})}), "good.png": GOOD_PNG}),
        ),
        "zip of folders 30,000 deep": ("x.zip", make_zip({deep: GOOD_PNG, "good.png": GOOD_PNG})),
        "zip of 3,000 empty pictures": ("x.zip", make_zip(many_files)),
        "zip with a name that is no text": ("x.zip", bad_name),
        "zip with names to fool a terminal": (
            "x.zip",
            make_zip({"\x1b]0;pwned\x07\x1b[2J\nerror: x.png": b"no", "good.png": GOOD_PNG}),
        ),
        "zip with names of formulas": ("x.zip", make_zip({"=cmd|'/c calc'!A0.png": GOOD_PNG, "@SUM(1).png": b"no"})),
        "zip that names no place": ("x.zip", make_zip({"good.png": GOOD_PNG})[:-10] + b"\xff" * 10),
        "zip with wrong lengths": (
            "x.zip",
            make_zip({"good.png": GOOD_PNG}).replace(struct.pack("<I", len(GOOD_PNG)), b"\xff\xff\xff\x7f"),
        ),
        "zip packed by LZMA, damaged": ("x.zip", _corrupt(make_zip({"good.png": GOOD_PNG * 9}, zipfile.ZIP_LZMA))),
        "zip packed by bzip2, damaged": ("x.zip", _corrupt(make_zip({"good.png": GOOD_PNG * 9}, zipfile.ZIP_BZIP2))),
        "tar slip": ("x.tar", make_tar(("../../pwned.png", GOOD_PNG, {}), ("/tmp/pwned.png", GOOD_PNG, {}), good)),
        "tar with a link and what goes through it": (
            "x.tar",
            make_tar(("d", b"", link), ("d/pwned.png", GOOD_PNG, {}), good),
        ),
        "tar with a hard link": (
            "x.tar",
            make_tar(("h.png", b"", {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"}), good),
        ),
        "tar with devices": (
            "x.tar",
            make_tar(
                ("z.png", b"", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5}),
                ("f.png", b"", {"type": tarfile.FIFOTYPE}),
                ("b.png", b"", {"type": tarfile.BLKTYPE, "devmajor": 8}),
                good,
            ),
        ),
        "tar of folders 30,000 deep": ("x.tar", make_tar((deep, GOOD_PNG, {}), good)),
        "tar with a size that is no number": (
            "x.tar",
            make_tar(("x.png", GOOD_PNG, {"pax_headers": {"size": "many"}}), good),
        ),
        "tar with a sparse map that is none": (
            "x.tar",
            make_tar(("x.png", GOOD_PNG, {"pax_headers": {"GNU.sparse.map": "a,b", "GNU.sparse.size": "x"}}), good),
        ),
        "tar bomb": ("x.tar.gz", make_tar(("bomb.png", bytes(150_000_000), {}), good, mode="w:gz")),
        "tgz that is a bomb of zeros": ("x.tgz", gzip.compress(bytes(150_000_000))),
        "tgz cut short": ("x.tgz", make_tar(good, mode="w:gz")[:60]),
        "no archive": ("x.zip", b"PK\x03\x04" + os.urandom(2000)),
    }


def _corrupt(data: bytes) -> bytes:
    """Return the data with inverted bytes in the middle."""
    middle = len(data) // 3
    return data[:middle] + bytes(255 - byte for byte in data[middle : middle + 50]) + data[middle + 50 :]


def riff_chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def make_avi(width: int, height: int, jpegs: list[bytes]) -> bytes:
    """Return a video of these JPEGs, whatever their sides."""
    count = len(jpegs)
    head = riff_chunk(b"avih", struct.pack("<14I", 200_000, 0, 0, 16, count, 0, 1, 0, width, height, 0, 0, 0, 0))
    strh = struct.pack("<4s4sIHHIIIIIIIIHHHH", b"vids", b"MJPG", 0, 0, 0, 0, 1, 5, 0, count, 0, 0, 0, 0, 0, 0, 0)
    strf = struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, b"MJPG", width * height * 3, 0, 0, 0, 0)
    stream = riff_chunk(b"LIST", b"strl" + riff_chunk(b"strh", strh) + riff_chunk(b"strf", strf))
    movie = riff_chunk(b"LIST", b"movi" + b"".join(riff_chunk(b"00dc", jpeg) for jpeg in jpegs))
    return riff_chunk(b"RIFF", b"AVI " + riff_chunk(b"LIST", b"hdrl" + head + stream) + movie)


def hostile_videos(port: int) -> dict[str, bytes]:
    """Return files that are named .avi, whatever their format; none may open `other.mp4` beside it."""
    small, large = (
        encode_image(noise_image(64), "JPEG"),
        encode_image(Image.new("L", (12_000, 12_000)), "JPEG"),
    )
    film = make_avi(64, 64, [small] * 5)
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{}\n#EXT-X-ENDLIST\n"
    session = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {} RTP/AVP 96\n"
    return {
        "frames of 144,000,000 pixels": make_avi(12_000, 12_000, [large] * 3),
        "frames of 144,000,000 pixels, declared as small": make_avi(64, 64, [large] * 3),
        "large frames after small ones": make_avi(64, 64, [small] * 5 + [large] * 3),
        "half a video": film[: len(film) // 2],
        "a video whose length is a lie": film.replace(struct.pack("<I", 5), struct.pack("<I", 0x7FFFFFFF)),
        "a playlist of an address": playlist.format(f"http://127.0.0.1:{port}/x.ts").encode(),
        "a playlist of a file": playlist.format("other.mp4").encode(),
        "a list of files": b"ffconcat version 1.0\n" + b"file other.mp4\n" * 3,
        "a session to listen to": session.format(port).encode(),
        "text": b"no video",
        "an empty video": b"",
        "a picture": GOOD_PNG,
    }


def hostile_csv_files() -> dict[str, bytes]:
    """Return contents of fer2013.csv, with one good row if the file is readable."""
    head = b"emotion,pixels,Usage\n"
    pixels = b" ".join([b"7"] * 2304)
    row = b"3," + pixels + b",Training\n"
    return {
        "formulas": head + row + b"=cmd|'/c calc'!A0," + pixels + b",Training\n",
        "a field of 50,000,000 bytes": head + row + b"3," + b"7" * 50_000_000 + b",Training\n",
        "one line of 150,000,000 bytes": b"emotion,pixels,Usage," + b"x" * 150_000_000,
        "NULs": head + row + b"3\0,\0" + pixels + b",Trai\0ning\n" + bytes(9999) + b"\n",
        "UTF-16": (head + row).decode().encode("utf-16"),
        "UTF-32": (head + row).decode().encode("utf-32"),
        "Latin-1": head + row + "3,é,Training\n".encode("latin-1"),
        "a quote that is never closed": head + row + b'3,"7 7 7\n' * 100,
        "no line ends": (head + row).replace(b"\n", b"\r"),
        "100,000 columns": b",".join([b"pixels"] * 14_000) + b"\n" + row,
        "numbers beyond all bounds": head + row + b"3," + b"9" * 9000 + b" " + pixels + b",Training\n",
        "an emotion of 4,000 digits": head + row + b"9" * 4000 + b"," + pixels + b",Training\n",
        "escape sequences": head + row + b"\x1b[2J\x1b]0;x\x07," + pixels + b",Training\n",
        "a head alone": head,
        "nothing": b"",
        "bytes of all kinds": bytes(range(256)) * 400,
    }


def hostile_label_files() -> dict[str, Files]:
    """Return label files of other layouts, with their images."""
    raf = "basic/EmoLabel/list_patition_label.txt"
    raf_images = {
        "basic/Image/aligned/train_00001_aligned.jpg": GOOD_JPEG,
        "basic/Image/aligned/test_00001_aligned.jpg": GOOD_JPEG,
    }
    good = b"train_00001.jpg 5\ntest_00001.jpg 5\n"
    yolo = {"train/images/a.jpg": GOOD_JPEG, "train/labels/a.txt": b"1 0.5 0.5 1 1\n"}
    npy = {
        "train_set/images/0.jpg": GOOD_JPEG,
        "train_set/images/1.jpg": GOOD_JPEG,
        "train_set/annotations/1_exp.npy": _npy(1),
    }
    deep = b"names: " + b"[" * 20_000
    merges = b"a0: &a0 {x: happy}\n" + b"".join(
        b"a%d: &a%d {<<: [*a%d, *a%d]}\n" % (n, n, n - 1, n - 1) for n in range(1, 28)
    )
    return {
        "names that lead out": raf_images | {raf: good + b"../../../outside/kept.jpg 5\n/etc/passwd 5\n"},
        "names of formulas": raf_images | {raf: good + b"=cmd|'/c_calc'!A0.jpg 5\n"},
        "a list of zeros": raf_images | {raf: good + bytes(90_000) + b"\n"},
        "a list of one long line": raf_images | {raf: good + b"x" * 200_000},
        "labels that are pickles": npy | {"train_set/annotations/0_exp.npy": _pickled_npy()},
        "an array of 8,000,000,000,000 bytes": npy | {"train_set/annotations/0_exp.npy": _huge_npy()},
        "data.yaml that builds objects": yolo
        | {"data.yaml": b"names: !!python/object/apply:os.system ['touch ../pwned']\n"},
        "data.yaml nested 20,000 deep": yolo | {"data.yaml": deep},
        "data.yaml of merges that double": yolo | {"data.yaml": merges + b"names: [angry, happy]\n"},
        "boxes that are no numbers": {
            "label/label.lst": b"a.jpg 0 nan inf 1e400 -7 30.1 3\nb.jpg 0 1 1 40 40 30.1 3\n",
            "image/origin/a.jpg": GOOD_JPEG,
            "image/origin/b.jpg": encode_image(noise_image(200), "JPEG"),
        },
        "a truth.csv of other files": {"a.png": GOOD_PNG, "truth.csv": b"file,emotion\n../../outside/kept.jpg,happy\n"},
    }


def _npy(value: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array(value))
    return file.getvalue()


def _pickled_npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([Payload()], dtype=object), allow_pickle=True)
    return file.getvalue()


def _huge_npy() -> bytes:
    file = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (1_000_000, 1_000_000)}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


def hostile_params() -> dict[str, bytes]:
    """Return contents of params.yaml."""
    text = Path("params.yaml").read_text(encoding="utf-8")
    assert load_params()

    def with_(key: str, value: str) -> bytes:
        lines = text.splitlines()
        (place,) = [number for number, line in enumerate(lines) if line.startswith(f"{key}:")]
        return "\n".join([*lines[:place], f"{key}: {value}", *lines[place + 1 :]]).encode()

    laughs = "lol0: &l0 [lol, lol]\n" + "".join(f"lol{n}: &l{n} [*l{n - 1}, *l{n - 1}]\n" for n in range(1, 30))
    merges = "m0: &m0 {x: 1}\n" + "".join(f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}]}}\n" for n in range(1, 26))
    return {
        "a tag that runs a command": with_("seed", "!!python/object/apply:os.system ['touch ../pwned']"),
        "a tag that makes a name": with_("seed", "!!python/name:os.system"),
        "a tag that makes a module": with_("seed", "!!python/module:os"),
        "aliases that explode in a message": laughs.encode() + with_("seed", "*l29"),
        "merges that explode": merges.encode() + text.encode(),
        "an alias of itself": with_("seed", "&a [*a]"),
        "lists 20,000 deep": with_("seed", "[" * 20_000),
        "a key that is a list": text.encode() + b"\n? [a, b]\n: 1\n",
        "a key in two lines": text.encode() + b'\n"a\\nerror: all is well": 1\n',
        "escape sequences": with_("seed", r'"\e[2J\e]0;x\a"'),
        "a day that is none": with_("seed", "2002-99-99"),
        "a whole number that is none": with_("seed", "!!int many"),
        "a number of 10,000 digits": with_("seed", "9" * 10_000),
        "a moment that is none": with_("seed", "!!timestamp never"),
        "a source that leads out": with_("sources", "[../../outside]"),
        "a source that is absolute": with_("sources", "[/etc]"),
        "a source that is a command": with_("sources", '["$(touch ../pwned)/../good"]'),
        "a network that leads out": with_("ensemble", "[../../outside]"),
        "another kind of reader": text.replace("readers: {}", "readers: {good: os}").encode(),
        "no text": bytes(range(256)),
        "UTF-16": text.encode("utf-16"),
        "NULs": text.encode() + bytes(100),
        "150,000,000 bytes": b"# " + b"x" * 150_000_000,
        "two documents": text.encode() + b"\n---\nseed: 1\n",
    }


def hostile_review_sheets() -> dict[str, tuple[str, bytes]]:
    """Return review sheets with their file names; the face of the table is good/face.png."""
    head = b"source,id,correction\n"
    row = b"good,face.png,happy\n"
    task = {"data": {"source": "good", "face": "face.png"}, "annotations": []}
    big = {"result": [{"from_name": "emotion", "value": {"choices": ["\ud800" * 1000]}}]}
    return {
        "formulas": ("s.csv", head + row + b"=cmd|'/c calc'!A0,face.png,happy\n"),
        "a field of 50,000,000 bytes": ("s.csv", head + row + b"good," + b"x" * 50_000_000 + b",happy\n"),
        "NULs": ("s.csv", head + row + b"good\0,fa\0ce.png,ha\0ppy\n"),
        "escape sequences": ("s.csv", head + b"good,\x1b[2J\x1b]0;x\x07,happy\n"),
        "an id in two lines": ("s.csv", head + b'good,"face\nerror: all is well",happy\n'),
        "UTF-16 without its end": ("s.csv", (head + row).decode().encode("utf-16")[:-1]),
        "UTF-32": ("s.csv", (head + row).decode().encode("utf-32")),
        "Latin-1": ("s.csv", head + "good,é,happy\n".encode("latin-1")),
        "a quote that is never closed": ("s.csv", head + b'good,"face.png,happy\n' * 50),
        "a workbook": ("s.csv", make_zip({"xl/workbook.xml": b"<x/>"})),
        "lists 100,000 deep": ("s.json", b"[" * 100_000),
        "objects 100,000 deep": ("s.json", b'{"data":' * 100_000),
        "no tasks": ("s.json", b'["data", null, 7, {"data": 7, "annotations": 7}]'),
        "a number of 10,000 digits": ("s.json", b"[" + b"9" * 10_000 + b"]"),
        "answers that are no text": ("s.json", json.dumps([task | {"annotations": [big]}]).encode()),
        "annotations that are none": ("s.json", json.dumps([task | {"annotations": [[], 7]}]).encode()),
        "a pickle": ("s.json", pickle.dumps(Payload())),
    }


def hostile_packages(package: Path) -> dict[str, Files]:
    """Return the files of packages in which one file is replaced."""
    name = "simple_cnn"
    whole = {path.relative_to(package).as_posix(): path.read_bytes() for path in package.rglob("*") if path.is_file()}
    manifest, model = json.loads(whole["package.json"]), json.loads(whole[f"{name}/model.json"])
    weights, facts = f"{name}/weights.safetensors", f"{name}/model.json"
    pickled = io.BytesIO()
    torch.save({"weights": Payload()}, pickled)
    header = json.dumps({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode()

    def with_(**changed: bytes) -> Files:
        files = whole | {
            {"manifest": "package.json", "weights": weights, "facts": facts}[key]: changed[key] for key in changed
        }
        if "weights" in changed and "manifest" not in changed:  # an attacker writes the right hash
            import hashlib

            manifest_with_hash = manifest | {"weights_sha256": {name: hashlib.sha256(changed["weights"]).hexdigest()}}
            files["package.json"] = json.dumps(manifest_with_hash).encode()
        return files

    def as_json(content: Any, **changed: Any) -> bytes:
        return json.dumps(content | changed).encode()

    large = {"emotions": manifest["emotions"], "size": 512, "network": "shallow"}
    outside = {key: {"../../outside": manifest[key][name]} for key in ("vote", "temperatures", "weights_sha256")}
    return {
        "weights that are a pickle": with_(weights=pickled.getvalue()),
        "weights that are a bare pickle": with_(weights=pickle.dumps(Payload())),
        "weights that promise 4 TB": with_(weights=struct.pack("<Q", len(header)) + header),
        "weights whose header is declared as huge": with_(weights=b"\xff" * 64),
        "weights whose head is nested deeply": with_(weights=struct.pack("<Q", 90_000) + b'{"a":' * 18_000),
        "weights of another network": with_(weights=save({"a": torch.zeros(3)})),
        "weights of complex numbers": with_(weights=_as_complex(package / weights)),
        "no weights": with_(weights=b""),
        "a network that would take 8 GB": with_(manifest=as_json(manifest, size=512), facts=as_json(model, **large)),
        "a network that leads out": with_(manifest=as_json(manifest, **outside)),
        "a network that is a module": with_(facts=as_json(model, network="os")),
        "a package nested deeply": with_(manifest=b'{"round":' * 100_000),
        "a package that is a list": with_(manifest=b"[]"),
        "a package with numbers of 10,000 digits": with_(manifest=b'{"round": ' + b"9" * 10_000 + b"}"),
        "a package with emotions that are a number": with_(manifest=as_json(manifest, emotions=7)),
        "a package with temperatures of nearly zero": with_(manifest=as_json(manifest, temperatures={name: 5e-324})),
        "a package that is a pickle": with_(manifest=pickle.dumps(Payload())),
        "a package in two lines of error": with_(facts=as_json(model, network="a\nerror: all is well")),
        "facts nested deeply": with_(facts=b"[" * 100_000),
        "facts that are text": with_(facts=b'"x"'),
    }


def _as_complex(path: Path) -> bytes:
    from safetensors.torch import load_file

    return save({key: tensor.to(torch.complex64) for key, tensor in load_file(path).items()})


def hostile_checkpoints() -> dict[str, bytes]:
    """Return checkpoints of an interrupted training with the fingerprint x. Their checksum is right."""
    tensors = {"0": torch.zeros(2, 2), "1": torch.zeros(2)}

    def checkpoint(state: str, fingerprint: str = "x") -> bytes:
        return save(tensors, {"fingerprint": fingerprint, "crc": _checksum(tensors), "state": state})

    def training(network: str, optimizer: str) -> bytes:
        metadata = '["metadata", {"pairs": []}]'
        return checkpoint(f'{{"pairs": [{metadata}, ["network", {network}], ["optimizer", {optimizer}]]}}')

    def tensor(number: str, channels_last: str = "false") -> str:
        return f'{{"tensor": "{number}", "channels_last": {channels_last}}}'

    network = f'{{"pairs": [["weight", {tensor("0")}], ["bias", {tensor("1")}]]}}'
    pickled = io.BytesIO()
    torch.save({"state": Payload()}, pickled)
    return {
        "a pickle": pickle.dumps(Payload()),
        "what torch.save writes": pickled.getvalue(),
        "no metadata": save(tensors),
        "no checksum": save(tensors, {"fingerprint": "x", "state": "{}"}),
        "a state nested deeply": checkpoint("[" * 100_000),
        "a state that is a list": checkpoint("[]"),
        "a state without its parts": checkpoint('{"pairs": [["metadata", {"pairs": []}]]}'),
        "a state of tensors that are not there": checkpoint(f'{{"pairs": [["metadata", {tensor("9")}]]}}'),
        "a state of pairs that are none": checkpoint('{"pairs": [7]}'),
        "a state with keys that are lists": checkpoint('{"pairs": [[[], 7]]}'),
        "a state that is no JSON": checkpoint("x"),
        "a tensor in a layout of four dimensions": training(tensor("1", "true"), "7"),
        "a network that is a number": training("7", "7"),
        "a network of other shapes": training(f'{{"pairs": [["weight", {tensor("1")}]]}}', "7"),
        "an optimizer that is a number": training(network, "7"),
        "an optimizer without groups": training(network, '{"pairs": [["param_groups", 7], ["state", []]]}'),
        "another fingerprint": checkpoint("{}", "y"),
        "half a file": checkpoint("{}")[:40],
        "nothing": b"",
        "bytes of all kinds": bytes(range(256)) * 9,
    }


def hostile_arrays() -> dict[str, bytes]:
    """Return contents of faces.npy."""
    return {
        "a pickle": pickle.dumps(Payload()),
        "objects": _pickled_npy(),
        "8,000,000,000,000 bytes promised": _huge_npy(),
        "a head that is code": b"\x93NUMPY\x01\x00\x76\x00" + b"__import__('os').system('touch ../pwned')".ljust(118),
        "a head that does not end": b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': (".ljust(118),
        "a head nested deeply": b"\x93NUMPY\x01\x00\x60\x27" + b"(" * 10_080,
        "sides beyond all bounds": _npy(0)[:10]
        + b"{'descr': '|u1', 'fortran_order': False, 'shape': (9, %d, 9)}" % 10**30,
        "an archive of arrays": make_zip({"a.npy": _npy(0)}),
        "half a head": _npy(0)[:20],
    }


def hostile_stdin() -> dict[str, bytes]:
    """Return lines of standard input for `fer predict -`."""
    return {
        "NULs": b"a\0b\n\0\n",
        "a name of 100,000 bytes": b"x" * 100_000 + b"\n",
        "a camera of 5,000 digits": b"9" * 5000 + b"\n",
        "a camera of 30 digits": b"9" * 30 + b"\n",
        "a camera in other digits": "９９\n".encode(),
        "names that are no text": b"\xff\xfe\xfd\n",
        "patterns that are none": b"[\n[!\n**[\n*/[a-\n",
        "escape sequences": b"\x1b[2J\x1b]0;x\x07\n",
        "options": b"--help\n-o\n",
        "addresses": b"http://127.0.0.1:1/x.jpg\nfile:///etc/passwd\nrtsp://127.0.0.1/x.mp4\n",
        "a home": b"~/x.jpg\n$HOME\n`touch ../pwned`\n$(touch ../pwned)\n",
    }
