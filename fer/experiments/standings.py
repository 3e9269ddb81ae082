"""The leaderboard of `fer compare`: metrics of the networks, of their ensembles and of the reports in one table.

Rows are in the order of the validation accuracy, which also chooses the best networks; the test fold chooses nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from fer.core.formatting import markdown_table
from fer.evaluation.inputs import HeldOutFaces
from fer.predictions import metrics
from fer.predictions.ensembles import average_probs, calibrate_ensemble

FROM_SCRATCH, FROM_IMAGENET, ENSEMBLE_KIND = NETWORK_KINDS = "from scratch", "from ImageNet weights", "vote"
BEST_COUNT = 3
COMPARED_METRICS = ("accuracy", "macro_f1", "ece")
_ENSEMBLE_OF_ALL, _ENSEMBLE_OF_BEST = "vote of all", "vote of the best three"
FER2013, _SIX = "FER-2013", "six emotions of FER+, RAF-DB, CK+, TFEID and DISFA"
REPORTED_ACCURACIES = {  # in the reports, with the test set
    "shallow": (0.41, FER2013),
    "deeper": (0.56, FER2013),
    "se": (0.61, FER2013),
    "improved_se": (0.623, FER2013),
    "resnet50v2": (0.612, FER2013),
    "inception_v3": (0.61, FER2013),
    "vgg_khaireddin": (0.733, f"{FER2013}, PublicTest"),  # its PrivateTest accuracy also chose the epoch
    "separable_se_residual": (0.652, FER2013),
    "cnn": (0.752, _SIX),
    "cnn_se": (0.799, _SIX),
    "cnn_se_residual": (0.789, _SIX),
    "resnet18": (0.798, _SIX),
    _ENSEMBLE_OF_BEST: (0.67, f"{FER2013}; of mobilenet, inception_v3 and xception"),
}


@dataclass(frozen=True)
class Cost:
    """The cost of training and running a network."""

    parameters: int
    macs: int  # multiply-accumulates for one face
    steps: int  # training batches
    train_faces_per_second: float


@dataclass(frozen=True)
class JobResult:
    """Calibrated probabilities of the held-out faces by one network trained from one seed, and its cost."""

    probs: Float[np.ndarray, "n classes"]
    single_crop: Float[np.ndarray, "n classes"] | None  # of the plain view alone; None: not predicted
    cost: Cost


def calibrate_logits(
    logits: Float[np.ndarray, "n views classes"], held_out: HeldOutFaces, seed: int
) -> Float[np.ndarray, "n classes"]:
    """Return the probabilities of the held-out faces, calibrated as in the stage `evaluate`."""
    logits_by_name, weights = {ENSEMBLE_KIND: logits}, {ENSEMBLE_KIND: 1.0}
    return calibrate_ensemble(logits_by_name, held_out.labels, ~held_out.test, seed, weights).ensemble_probs


def measure_ensemble(
    members: Mapping[str, JobResult], held_out: HeldOutFaces, emotions: Sequence[str], bins: int
) -> dict[str, float]:
    """Return `COMPARED_METRICS` of the ensemble on both folds ("valid_accuracy" …) and "test_single_crop"."""
    weights = dict.fromkeys(members, 1.0)
    probs = average_probs({name: result.probs for name, result in members.items()}, weights)
    values: dict[str, float] = {}
    for fold, mask in (("valid", ~held_out.test), ("test", held_out.test)):
        fold_metrics = metrics.compute_metrics(probs[mask], held_out.labels[mask], emotions, bins)
        values |= {f"{fold}_{name}": fold_metrics[name] for name in COMPARED_METRICS}
    crops = {name: result.single_crop for name, result in members.items() if result.single_crop is not None}
    if len(crops) == len(members):
        is_correct = average_probs(crops, weights).argmax(axis=1) == held_out.labels
        values["test_single_crop"] = float(is_correct[held_out.test].mean())
    return values


def build_leaderboard(
    runs: Mapping[str, Mapping[int, JobResult]],
    kinds: Mapping[str, str],
    held_out: HeldOutFaces,
    emotions: Sequence[str],
    bins: int,
) -> pd.DataFrame:
    """Return a row for each network, for the ensemble of all and for the ensemble of the best `BEST_COUNT`.

    Metrics are means over the seeds and "…_sd" their standard deviations, NaN for a single seed. The cost of an
    ensemble is the sum of its members' costs.

    Args:
        runs: The results by network and seed; all networks have the same seeds.
        kinds: One of `NETWORK_KINDS` for each network.
    """

    def make_row(name: str, kind: str, members: Sequence[str]) -> dict[str, Any]:
        seeds = list(runs[members[0]])
        values = pd.DataFrame(
            [
                measure_ensemble({member: runs[member][seed] for member in members}, held_out, emotions, bins)
                for seed in seeds
            ]
        )
        costs = [runs[member][seeds[0]].cost for member in members]
        rates = [np.mean([run.cost.train_faces_per_second for run in runs[member].values()]) for member in members]
        reported, reported_on = REPORTED_ACCURACIES.get(name, (np.nan, ""))
        return (
            {"network": name, "kind": kind, "voters": " ".join(members) if kind == ENSEMBLE_KIND else ""}
            | {key: sum(getattr(cost, key) for cost in costs) for key in ("parameters", "macs", "steps")}
            | {"train_faces_per_second": 1 / sum(1 / rate for rate in rates), "seeds": len(seeds)}
            | dict(values.mean())
            | {f"{metric}_sd": deviation for metric, deviation in values.std(ddof=1).items()}
            | {"reported_accuracy": reported, "reported_on": reported_on}
        )

    def sort_rows(rows: list[dict[str, Any]]) -> pd.DataFrame:
        return pd.DataFrame(rows).sort_values("valid_accuracy", ascending=False, kind="stable", ignore_index=True)

    rows = [make_row(name, kinds[name], [name]) for name in runs]
    ranking = list(sort_rows(rows)["network"])
    if len(ranking) > 1:
        rows.append(make_row(_ENSEMBLE_OF_ALL, ENSEMBLE_KIND, ranking))
    if len(ranking) > BEST_COUNT:
        rows.append(make_row(_ENSEMBLE_OF_BEST, ENSEMBLE_KIND, ranking[:BEST_COUNT]))
    return sort_rows(rows)


def format_leaderboard(table: pd.DataFrame, n_train: int, held_out: HeldOutFaces) -> str:
    """Return the leaderboard as a Markdown table in percent, with a caption on the faces."""
    caption = (
        f"Trained on {n_train:,} faces; evaluated on {(~held_out.test).sum():,} validation and {held_out.test.sum():,} "
        "test faces. Mean ± standard deviation over the seeds, in the order of the validation accuracy."
    )
    columns = {
        "network": [
            f"{name}: {members.replace(' ', ', ')}" if name == _ENSEMBLE_OF_BEST else name
            for name, members in zip(table["network"], table["voters"], strict=True)
        ],
        "parameters": [f"{count:,}" for count in table["parameters"]],
        "MACs, millions": [f"{macs / 1e6:,.1f}" for macs in table["macs"]],
        "training, faces/s": [f"{rate:,.0f}" for rate in table["train_faces_per_second"]],
        "steps": [f"{steps:,}" for steps in table["steps"]],
        "seeds": [str(seeds) for seeds in table["seeds"]],
    }
    for key, fold in (("valid", "validation"), ("test", "test")):
        for metric, title in zip(COMPARED_METRICS, ("accuracy", "macro F1", "ECE"), strict=True):
            columns[f"{fold} {title}, %"] = _format_percents(table, f"{key}_{metric}")
    if "test_single_crop" in table:
        columns["test accuracy, single crop, %"] = _format_percents(table, "test_single_crop")
    columns["reported, %"] = [
        f"{100 * accuracy:.3g} ({test_set})" if test_set else ""
        for accuracy, test_set in zip(table["reported_accuracy"], table["reported_on"], strict=True)
    ]
    rows = zip(*columns.values(), strict=True)
    return f"{caption}\n\n{markdown_table(list(columns), rows, left_columns=(0, len(columns) - 1))}\n"


def _format_percents(table: pd.DataFrame, metric: str) -> list[str]:
    return [
        f"{100 * mean:.1f}" + ("" if np.isnan(deviation) else f" ± {100 * deviation:.1f}")
        for mean, deviation in zip(table[metric], table[f"{metric}_sd"], strict=True)
    ]
