"""Is a wrong result reported? Files edited while a stage runs, two runs at once, and the same bytes for the same seed.

    python -m tests.robustness.lies [--out FOLDER]

In a small project `dvc repro` trains while a parameter, code or data is edited, or a second `dvc repro` begins. The
labels and pixels of the test fold are replaced, which may change no network, pseudo-label or choice of a round. Every
network is trained for a few steps twice, and once with a break and a resumption: the weights have to be the same bytes.
"""

import argparse
import hashlib
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import torch

from fer.nn import weights
from fer.nn.devices import to_device
from fer.params import load_params
from fer.training import checkpoint, loop
from fer.training.examples import LabelledSet
from fer.training.params import Recipe
from tests.robustness import harness
from tests.robustness.harness import ROOT, call, make_project, start

NAMES = weights.list_models()
SIDE, FACES, EPOCHS = 48, 8, 2  # two steps an epoch
TRAIN_STAGE = "train@simple_cnn-0"
SELECTION_OUTPUTS = ("data/models", "data/pseudo_labels")  # what follows from selection, and from no test face


class PowerCutError(Exception):
    pass


def short_recipe(name: str) -> Recipe:
    """Return the recipe of params.yaml, shortened and without ImageNet weights."""
    params = load_params(ROOT / "params.yaml")
    recipe = params.train.with_overrides(params.networks[name]).model_copy(update={"epochs": EPOCHS, "batch": 4})
    if recipe.transfer is None:
        return recipe
    phases = [phase.model_copy(update={"epochs": 1}) for phase in recipe.transfer.phases[:2]]
    shortened = recipe.transfer.model_copy(update={"pretrained": False, "phases": phases})
    return recipe.model_copy(update={"transfer": shortened})


def trained_weights_hash(name: str, seed: int = 0, cut_at: int | None = None) -> str:
    """Return the hash of the weights after four steps; with `cut_at` that step fails and the training is resumed."""
    params, recipe = load_params(ROOT / "params.yaml"), short_recipe(name)
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (FACES, SIDE, SIDE), dtype=np.uint8)
    targets = np.eye(7, dtype=np.float32)[np.arange(FACES) % 7]
    faces = LabelledSet(pixels, targets, np.ones(FACES, dtype=np.float32))

    def trained(path: Path, cut_at: int | None) -> torch.nn.Module:
        torch.manual_seed(seed)
        input_px = recipe.transfer.input_px if recipe.transfer else None
        facts = weights.ModelConfig(
            network=name, emotions=tuple(params.emotions), size=SIDE, dropout=recipe.dropout, input_px=input_px
        )
        network, steps = to_device(facts.build(), torch.device("cpu")), 0

        def count(module: torch.nn.Module, inputs: object) -> None:
            nonlocal steps
            if module.training:
                if steps == cut_at:
                    raise PowerCutError
                steps += 1

        network.register_forward_pre_hook(count)
        loop.train_network(
            network,
            faces,
            faces,
            recipe=recipe,
            transforms=params.transform_sets[params.transforms],
            seed=seed,
            precision="fp32",
            name=name,
            epoch_faces=FACES,
            checkpoint=path,
        )
        return network

    with tempfile.TemporaryDirectory() as folder:
        path, every = Path(folder) / "kept", checkpoint.SAVE_INTERVAL_SECONDS
        if cut_at is not None:
            checkpoint.SAVE_INTERVAL_SECONDS = -1
            try:
                trained(path, cut_at)
            except PowerCutError:
                pass
            finally:
                checkpoint.SAVE_INTERVAL_SECONDS = every
            if not path.is_file():
                raise RuntimeError(f"{name}: no checkpoint was kept")
        state = trained(path, None).state_dict()
    return hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in state.values())).hexdigest()


def start_training(folder: Path) -> "subprocess.Popen[str]":
    """Start `dvc repro` of a long training and return once the training has begun."""
    path = folder / "params.yaml"
    path.write_text(path.read_text().replace("epochs: 2\n", "epochs: 400\n", 1), encoding="utf-8")
    process = start(folder, ["dvc", "repro", "--force", "--single-item", TRAIN_STAGE])
    deadline = time.monotonic() + 120
    while training_seconds(process.pid) < 6 and time.monotonic() < deadline:
        time.sleep(0.2)
    return process


def training_seconds(parent: int) -> float:
    """Return the processor time of the training that the process `parent` started; importing torch takes 3 s."""
    children = psutil.Process(parent).children(recursive=True)
    return max(
        (process.cpu_times().user for process in children if "pipeline.train" in " ".join(process.cmdline())),
        default=0.0,
    )


def check_edit(folder: Path, name: str, change: Callable[[str], str], message_start: str) -> list[str]:
    path = folder / name
    process, original = start_training(folder), path.read_text(encoding="utf-8")
    path.write_text(change(original), encoding="utf-8")
    output = "".join(process.communicate())
    path.write_text(original, encoding="utf-8")
    good = process.returncode and f"{message_start}: changed while this stage ran" in output
    print(f"{'ok' if good else 'LOST'}: {name} is edited while {TRAIN_STAGE} runs", flush=True)
    return [] if good else [f"{name} edited while {TRAIN_STAGE} runs: {output[-300:]}"]


def check_two_runs(folder: Path) -> list[str]:
    process = start_training(folder)
    output = call(folder, "dvc", "repro", "--force", "--single-item", TRAIN_STAGE, fails=True)
    process.kill()
    process.communicate()
    good = "busy" in output or "lock" in output
    print(f"{'ok' if good else 'LOST'}: of two `dvc repro` the second says so", flush=True)
    return [] if good else [f"a second dvc repro says {output[-300:]}"]


def check_test_fold(folder: Path) -> list[str]:
    """Return the files of networks and pseudo-labels that change when the test faces become noise with other labels."""
    table = pd.read_csv(folder / "data/unified/table.csv", dtype=str, keep_default_na=False)
    test = (table["fold"] == "test").to_numpy()

    def content(path: Path) -> bytes:
        """Return the file's bytes, of an array without the rows of the test fold, which no stage reads."""
        return np.load(path)[~test].tobytes() if path.suffix == ".npy" else path.read_bytes()

    contents = {
        path: content(path) for folder_name in SELECTION_OUTPUTS for path in sorted((folder / folder_name).rglob("*.*"))
    }
    random = np.random.default_rng(0)
    table.loc[test, "emotion"] = random.permutation(table.loc[test, "emotion"].to_numpy())
    table.to_csv(folder / "data/unified/table.csv", index=False)
    faces = np.load(folder / "data/unified/faces.npy")
    faces[test] = random.integers(0, 256, faces[test].shape, dtype=np.uint8)
    np.save(folder / "data/unified/faces.npy", faces)
    call(folder, "dvc", "commit", "--force", "--quiet", "unify")
    call(folder, "dvc", "repro", "--quiet")
    changed = [path.name for path, earlier in contents.items() if content(path) != earlier]
    print(f"{'LOST' if changed else 'ok'}: {len(contents)} files follow from no test face", flush=True)
    return [f"{name} follows from the test fold" for name in changed]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for lies.json, with the figures")
    args = parser.parse_args()
    begun, lost = time.monotonic(), list[str]()
    for name in NAMES:
        hashes = [trained_weights_hash(name), trained_weights_hash(name), trained_weights_hash(name, cut_at=2)]
        lost += [f"{name}: the same seed gave other weights"] if len(set(hashes)) > 1 else []
        print(f"{'ok' if len(set(hashes)) == 1 else 'LOST'}: {name}, twice and resumed: {hashes[0][:12]}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = make_project(Path(scratch) / "project")
        lost += check_test_fold(folder)
        lost += check_edit(
            folder, "params.yaml", lambda text: text.replace("seed: 0", "seed: 1", 1), "seed in params.yaml"
        )
        lost += check_edit(folder, "fer/training/loop.py", lambda text: text + "\n", "fer/training/loop.py")
        lost += check_edit(folder, "data/unified/table.csv", lambda text: text + "\n", "data/unified/table.csv")
        lost += check_two_runs(folder)
    tried = {"networks": len(NAMES), "edits": 3, "runs at once": 1, "test folds replaced": 1}
    harness.report(args.out, "lies", tried, lost, begun)


if __name__ == "__main__":
    main()
