"""How networks that were trained alike compare: the figures of each, of their votes and of the reports, in one table.

Nothing here is chosen by the test fold: rows are in the order of the validation accuracy, and so are the best networks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from fer.core.formatting import markdown_table
from fer.evaluation.evaluate import HeldOutFaces
from fer.predictions import metrics
from fer.predictions.ensembles import average_probs, calibrate_ensemble

FROM_SCRATCH, FROM_IMAGENET, ENSEMBLE_KIND = NETWORK_KINDS = "from scratch", "from ImageNet weights", "vote"
BEST_COUNT = 3
COMPARED_METRICS = ("accuracy", "macro_f1", "ece")
_ALL, _BEST = "vote of all", "vote of the best three"
FER2013, _SIX = "FER-2013", "six emotions of FER+, RAF-DB, CK+, TFEID and DISFA"
REPORTED_ACCURACIES = {  # what the reports found themselves, and on what
    "shallow": (0.41, FER2013),
    "deeper": (0.56, FER2013),
    "se": (0.61, FER2013),
    "improved_se": (0.623, FER2013),
    "resnet50v2": (0.612, FER2013),
    "inception_v3": (0.61, FER2013),
    "vgg_khaireddin": (0.733, f"{FER2013}, PublicTest"),  # others test on PrivateTest, which chose its epoch
    "separable_se_residual": (0.652, FER2013),
    "cnn": (0.752, _SIX),
    "cnn_se": (0.799, _SIX),
    "cnn_se_residual": (0.789, _SIX),
    "resnet18": (0.798, _SIX),
    _BEST: (0.67, f"{FER2013}; of mobilenet, inception_v3 and xception"),
}


@dataclass(frozen=True)
class Cost:
    """What a network costs."""

    parameters: int
    macs: int  # multiply-accumulates for one face
    steps: int  # batches learnt from
    train_faces_per_second: float


@dataclass(frozen=True)
class JobResult:
    """What one network, trained from one seed, says of the measured faces, calibrated, and what it cost."""

    probs: Float[np.ndarray, "n classes"]
    single_crop: Float[np.ndarray, "n classes"] | None  # of the plain view alone, where that is among the views
    cost: Cost


def calibrate_logits(
    logits: Float[np.ndarray, "n views classes"], held_out: HeldOutFaces, seed: int
) -> Float[np.ndarray, "n classes"]:
    """The probabilities of the measured faces as `evaluate` calibrates them."""
    return calibrate_ensemble(
        {ENSEMBLE_KIND: logits}, held_out.labels, ~held_out.test, seed, {ENSEMBLE_KIND: 1.0}
    ).ensemble_probs


def measure_ensemble(
    members: Mapping[str, JobResult], held_out: HeldOutFaces, emotions: Sequence[str], bins: int
) -> dict[str, float]:
    """`FIGURES` of the voters' soft vote on either fold, as "valid_accuracy" and so on, and "test_single_crop"."""
    weights = dict.fromkeys(members, 1.0)
    probs = average_probs({name: run.probs for name, run in members.items()}, weights)
    found: dict[str, float] = {}
    for fold, rows in (("valid", ~held_out.test), ("test", held_out.test)):
        told = metrics.compute_metrics(probs[rows], held_out.labels[rows], emotions, bins)
        found |= {f"{fold}_{figure}": told[figure] for figure in COMPARED_METRICS}
    crops = {name: run.single_crop for name, run in members.items() if run.single_crop is not None}
    if len(crops) == len(members):
        found["test_single_crop"] = float(
            (average_probs(crops, weights).argmax(axis=1) == held_out.labels)[held_out.test].mean()
        )
    return found


def build_leaderboard(
    runs: Mapping[str, Mapping[int, JobResult]],
    kinds: Mapping[str, str],
    held_out: HeldOutFaces,
    emotions: Sequence[str],
    bins: int,
) -> pd.DataFrame:
    """A row for each network of `runs`, by name and seed, and for the votes of all and of the best `BEST` of them.

    Figures are means over the seeds, which are the same for all, and "…_sd" their standard deviations, missing where
    there is one seed. A vote costs what its voters cost together.
    """

    def row(name: str, kind: str, voters: Sequence[str]) -> dict[str, Any]:
        seeds = list(runs[voters[0]])
        found = pd.DataFrame(
            [
                measure_ensemble({voter: runs[voter][seed] for voter in voters}, held_out, emotions, bins)
                for seed in seeds
            ]
        )
        first = [runs[voter][seeds[0]].cost for voter in voters]
        paces = [np.mean([run.cost.train_faces_per_second for run in runs[voter].values()]) for voter in voters]
        reported, reported_on = REPORTED_ACCURACIES.get(name, (np.nan, ""))
        return (
            {"network": name, "kind": kind, "voters": " ".join(voters) if kind == ENSEMBLE_KIND else ""}
            | {cost: sum(getattr(one, cost) for one in first) for cost in ("parameters", "macs", "steps")}
            | {"train_faces_per_second": 1 / sum(1 / pace for pace in paces), "seeds": len(seeds)}
            | dict(found.mean())
            | {f"{figure}_sd": deviation for figure, deviation in found.std(ddof=1).items()}
            | {"reported_accuracy": reported, "reported_on": reported_on}
        )

    def ordered(rows: list[dict[str, Any]]) -> pd.DataFrame:
        return pd.DataFrame(rows).sort_values("valid_accuracy", ascending=False, kind="stable", ignore_index=True)

    rows = [row(name, kinds[name], [name]) for name in runs]
    ranked = list(ordered(rows)["network"])
    if len(ranked) > 1:
        rows.append(row(_ALL, ENSEMBLE_KIND, ranked))
    if len(ranked) > BEST_COUNT:
        rows.append(row(_BEST, ENSEMBLE_KIND, ranked[:BEST_COUNT]))
    return ordered(rows)


def format_leaderboard(table: pd.DataFrame, n_train: int, held_out: HeldOutFaces) -> str:
    """`standings` for a README, with a line on the faces; shares are in percent."""
    caption = (
        f"Trained on {n_train:,} faces; measured on {(~held_out.test).sum():,} validation and {held_out.test.sum():,} "
        "test faces. Mean ± standard deviation over the seeds; in the order of the validation accuracy."
    )
    columns = {
        "network": [
            f"{name}: {voters.replace(' ', ', ')}" if name == _BEST else name
            for name, voters in zip(table["network"], table["voters"], strict=True)
        ],
        "parameters": [f"{count:,}" for count in table["parameters"]],
        "MACs, millions": [f"{macs / 1e6:,.1f}" for macs in table["macs"]],
        "training, faces/s": [f"{pace:,.0f}" for pace in table["train_faces_per_second"]],
        "steps": [f"{steps:,}" for steps in table["steps"]],
        "seeds": [str(seeds) for seeds in table["seeds"]],
    }
    for key, fold in (("valid", "validation"), ("test", "test")):
        for figure, word in zip(COMPARED_METRICS, ("accuracy", "macro F1", "ECE"), strict=True):
            columns[f"{fold} {word}, %"] = _format_percents(table, f"{key}_{figure}")
    if "test_single_crop" in table:
        columns["test accuracy, single crop, %"] = _format_percents(table, "test_single_crop")
    columns["its report, %"] = [
        f"{100 * accuracy:.3g} ({on})" if on else ""
        for accuracy, on in zip(table["reported_accuracy"], table["reported_on"], strict=True)
    ]
    rows = zip(*columns.values(), strict=True)
    return f"{caption}\n\n{markdown_table(list(columns), rows, left_columns=(0, len(columns) - 1))}\n"


def _format_percents(table: pd.DataFrame, figure: str) -> list[str]:
    return [
        f"{100 * mean:.1f}" + ("" if np.isnan(deviation) else f" ± {100 * deviation:.1f}")
        for mean, deviation in zip(table[figure], table[f"{figure}_sd"], strict=True)
    ]
