"""All sources as one table: what each face is, what fold it is in, and why some can't be used."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int, UInt8

from fer import params
from fer.duplicates import PRECEDENCE, blank, clusters, contradictory, copies, in_cluster_of, outvoted
from fer.errors import InputError
from fer.labels import COLUMNS, codes
from fer.splits import blocks, carve, over_budget


def unify(
    supplied: pd.DataFrame,
    faces: UInt8[np.ndarray, "n size size"],
    emotions: Sequence[str],
    rules: params.Unify,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """The table, the hidden truth and the report, all in the order of `faces`.

    `supplied` has the columns id, source, emotion, fold, group and truth, as the owners have them, "" where they have
    none. Official test and validation folds keep their members. Then, in this order: blank faces, faces with a twin in
    a fold of higher precedence, contradictory labels and repeated copies are excluded; missing folds are carved out of
    the training faces; labels beyond the budget are hidden.

    Raises:
        InputError: a fold, or an emotion among the training faces, has no faces.
    """
    seeds = np.random.SeedSequence(seed).spawn(3)
    table = supplied.assign(reason="")
    known = table["emotion"].isin(emotions)
    outside = (table["emotion"] != "") & ~known
    label = codes(table["emotion"].where(known, ""), emotions)
    fold, notes = owners_folds(table, known.to_numpy())
    cluster = clusters(faces)
    as_supplied = fold.copy()

    def exclude(mask: Bool[np.ndarray, " n"], reason: str) -> None:
        table.loc[mask, "reason"] = reason
        fold[mask] = "excluded"

    exclude(outside.to_numpy(), "emotion is not among those of params.yaml")
    usable = np.isin(fold, ["train", "unlabelled"])
    exclude(usable & blank(faces), "blank picture")
    for position, higher in enumerate(PRECEDENCE):
        twins = in_cluster_of(fold == higher, cluster) & np.isin(fold, PRECEDENCE[max(position + 1, 2) :])
        exclude(twins, f"same picture as a {higher} face")
    if rules.contradictions != "keep":
        rule = contradictory if rules.contradictions == "exclude" else outvoted
        exclude(rule(fold == "train", cluster, label), "same picture with contradictory labels")
    for name in ("train", "unlabelled"):
        exclude(copies(fold == name, cluster), f"copy of another {name} face")

    group = (table["source"] + "/" + table["group"]).where(table["group"] != "", "")
    block = blocks(cluster, list(group))
    for name, share, stream in (("test", rules.test, seeds[0]), ("valid", rules.valid, seeds[1])):
        generator = np.random.default_rng(stream)
        for source in table["source"].unique():
            of_source = (table["source"] == source).to_numpy()
            training = of_source & (fold == "train")
            if training.any() and not (of_source & (fold == name)).any():
                held_out = carve(training, label, block, share, generator)
                fold[held_out] = name
                notes.append(f"{source} has no {name} part: {held_out.sum()} of its training faces are held out")

    truth = table["truth"].where(fold == "unlabelled", "")
    if rules.label_budget is not None:
        hidden = over_budget(fold == "train", label, rules.label_budget, np.random.default_rng(seeds[2]))
        truth = truth.mask(hidden, table["emotion"])
        fold[hidden] = "unlabelled"
        table.loc[hidden, "reason"] = "label hidden by unify.label_budget"
    table["emotion"] = table["emotion"].mask(outside | (fold == "unlabelled"), "")
    table["fold"] = fold
    table["twin_in_train"] = in_cluster_of(as_supplied == "train", cluster) & np.isin(fold, ["test", "valid"])
    check_folds(table, emotions)
    report = {
        "faces": len(table),
        "folds": counts(table["fold"]),
        "emotions": {name: counts(table.loc[table["fold"] == name, "emotion"]) for name in ("train", "valid", "test")},
        "sources": {name: counts(part["fold"]) for name, part in table.groupby("source", sort=False)},
        "excluded": counts(table.loc[table["fold"] == "excluded", "reason"]),
        "labels_hidden": int((table["reason"] == "label hidden by unify.label_budget").sum()),
        "identical_twins_as_supplied": twins_as_supplied(as_supplied, cluster),
        "notes": notes,
    }
    return table[list(COLUMNS)], pd.DataFrame({"id": table["id"], "emotion": truth}), report


def owners_folds(table: pd.DataFrame, known: Bool[np.ndarray, " n"]) -> tuple[np.ndarray, list[str]]:
    """Each face's fold as its owner has it; a validation part is the test part where there is no other."""
    fold = np.where(known, table["fold"].replace("", "train"), "unlabelled").astype(object)
    notes = []
    for source in table["source"].unique():
        of_source = (table["source"] == source).to_numpy()
        if (of_source & (fold == "valid")).any() and not (of_source & (fold == "test")).any():
            fold[of_source & (fold == "valid")] = "test"
            notes.append(f"{source} has a validation but no test part: the former is the test part")
    return fold, notes


def twins_as_supplied(fold: np.ndarray, cluster: Int[np.ndarray, " n"]) -> dict[str, int]:
    """How many faces of each fold have a pixel-identical twin in a fold of lower precedence."""
    found = {}
    for position, higher in enumerate(PRECEDENCE):
        for lower in PRECEDENCE[position + 1 :]:
            found[f"{higher}_in_{lower}"] = int(((fold == higher) & in_cluster_of(fold == lower, cluster)).sum())
    return found


def counts(names: pd.Series) -> dict[str, int]:
    return {str(name): int(count) for name, count in names.value_counts().sort_index().items()}


def check_folds(table: pd.DataFrame, emotions: Sequence[str]) -> None:
    for fold in ("train", "valid", "test"):
        if not (table["fold"] == fold).any():
            raise InputError(f"the {fold} fold has no faces; add a labelled source to `sources` in params.yaml")
    if absent := [name for name in emotions if not ((table["fold"] == "train") & (table["emotion"] == name)).any()]:
        raise InputError(
            f"no training face is labelled {', '.join(absent)}; add a source that has some, or change `emotions`"
        )
