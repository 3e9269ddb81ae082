"""CPU time and memory of the search for exact and near duplicates, by the number of faces.

    python -m benchmarks.duplicates [--faces 10000 100000 1000000] [--out benchmarks/results]

Faces are smooth random images around one mean, 48 x 48, in a memory-mapped file. One in a hundred is a copy of an
earlier face, and one in a hundred is an earlier face saved as JPEG with quality 75 to 95 and other brightness.
"""

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.memory import peak_megabytes
from fer.core.store import open_faces
from fer.data.curation.duplicates import cluster_exact_duplicates, find_blank
from fer.data.curation.near_duplicates import cluster_near_duplicates

SIZE, COARSE_SIZE, CHUNK_FACES = 48, 12, 10_000


def write_faces(path: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Write the faces; return the row numbers of (copies, originals) and of (altered faces, originals)."""
    rng = np.random.default_rng(0)
    faces = np.lib.format.open_memmap(path, "w+", np.uint8, (count, SIZE, SIZE))
    spread = np.kron(np.eye(COARSE_SIZE, dtype=np.float32), np.ones((1, SIZE // COARSE_SIZE), dtype=np.float32))
    smooth = np.ones(9, dtype=np.float32) / 9
    spread = np.array([np.convolve(row, smooth, mode="same") for row in spread])
    mean = rng.normal(0, 40, (COARSE_SIZE, COARSE_SIZE)).astype(np.float32)
    for start in range(0, count, CHUNK_FACES):
        n = min(CHUNK_FACES, count - start)
        coarse = mean + rng.normal(0, 30, (n, COARSE_SIZE, COARSE_SIZE)).astype(np.float32)
        noise = rng.normal(0, 4, (n, SIZE, SIZE)).astype(np.float32)
        faces[start : start + n] = (128 + spread.T @ coarse @ spread + noise).clip(0, 255)
    late = rng.permutation(np.arange(count // 2, count))[: count // 50]
    early = rng.permutation(count // 2)[: len(late)]
    copies, altered = (np.stack(pair) for pair in zip(np.array_split(late, 2), np.array_split(early, 2), strict=True))
    faces[copies[0]] = faces[copies[1]]
    for row, original in altered.T:
        factor = rng.uniform(0.85, 1.15)
        buffer = io.BytesIO()
        brighter = (faces[original] * factor).clip(0, 255).astype(np.uint8)
        Image.fromarray(brighter).save(buffer, "JPEG", quality=int(rng.integers(75, 96)))
        faces[row] = np.asarray(Image.open(buffer))
    faces.flush()
    return copies, altered


def measure_search(count: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "faces.npy"
        with ProcessPoolExecutor(1) as process:  # its memory does not count
            copies, altered = process.submit(write_faces, path, count).result()
        faces = open_faces(path)
        start = time.process_time()
        exact_clusters = cluster_exact_duplicates(faces)
        middle = time.process_time()
        near_clusters = cluster_near_duplicates(faces, exact_clusters, find_blank(faces))
        end = time.process_time()
    return {
        "faces": count,
        "identical_cpu_seconds": middle - start,
        "alike_cpu_seconds": end - middle,
        "copies_found": float((exact_clusters[copies[0]] == exact_clusters[copies[1]]).mean()),
        "altered_found": float((near_clusters[altered[0]] == near_clusters[altered[1]]).mean()),
        "clusters_too_few": int(count - len(copies.T) - len(altered.T) - near_clusters.max() - 1),
        "peak_megabytes": peak_megabytes(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)  # for a process whose peak memory is measured
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.only:
        print(json.dumps(measure_search(args.only)))
        return
    from benchmarks import measuring  # it imports torch, which would add to the memory measured above

    command = [sys.executable, "-m", "benchmarks.duplicates", "--only"]
    runs = (subprocess.run([*command, str(count)], check=True, capture_output=True) for count in args.faces)
    tables = {"search of all faces": [json.loads(run.stdout) for run in runs]}
    measuring.write_results(args.out, "duplicates", "Search for exact and near duplicates", {}, tables)


if __name__ == "__main__":
    main()
