"""Unification of all sources in one table: the fold and label of each face, and why some faces are excluded."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int, UInt8

from fer.core.labels import encode_labels
from fer.core.table import TABLE_COLUMNS
from fer.data.curation.duplicates import (
    FOLD_PRECEDENCE,
    cluster_exact_duplicates,
    expand_to_clusters,
    find_blank,
    find_copies,
    find_label_conflicts,
    find_minority_labels,
)
from fer.data.curation.near_duplicates import cluster_near_duplicates
from fer.data.curation.params import Unify
from fer.data.curation.splits import beyond_budget, group_ids, hold_out
from fer.runtime.errors import InputError


def unify(
    records: pd.DataFrame,
    faces: UInt8[np.ndarray, "n size size"],
    emotions: Sequence[str],
    settings: Unify,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Return the table and the hidden truth, both in the order of `faces`, and the report.

    Official test and validation folds keep their faces. Missing ones are held out from the training faces, except
    those labelled by a rule; labels beyond the budget are hidden.

    Args:
        records: The columns id, source, emotion, votes, by_rule, fold, group and truth, "" where the owner gives none;
            the sources in order of preference.
        emotions: The emotions to learn; faces with other labels are excluded.
        settings: The section `unify` of params.yaml.

    Raises:
        InputError: An id is duplicated, a fold or an emotion among the training faces has no faces, or, with
            `settings.leaks` "stop", a training or unlabelled face duplicates a test or validation face.
    """
    seeds = np.random.SeedSequence(seed).spawn(3)
    table = records.assign(reason="")
    label = encode_labels(table["emotion"].where(table["emotion"].isin(emotions), ""), emotions)
    by_rule = (table["by_rule"] == "yes").to_numpy()
    fold, notes = assign_official_folds(table, by_rule)
    supplied_fold = fold.copy()
    identical = cluster_exact_duplicates(faces)
    is_blank = find_blank(faces)
    cluster = cluster_near_duplicates(faces, identical, is_blank)
    check_unique_ids(table)
    if settings.leaks == "stop":
        check_leaks(table, fold, cluster)
    group = (table["source"] + "/" + table["group"]).where(table["group"] != "", "")
    exact_cluster = np.where(group != "", cluster.max(initial=-1) + 1 + identical, cluster)
    for mask, reason in iter_exclusions(table, fold, label, cluster, exact_cluster, is_blank, settings):
        table.loc[mask, "reason"] = reason
        fold[mask] = "excluded"

    group_id = group_ids(cluster, group.tolist())
    for name, share, stream in (("test", settings.test, seeds[0]), ("valid", settings.valid, seeds[1])):
        generator = np.random.default_rng(stream)
        for source in table["source"].unique():
            in_source = (table["source"] == source).to_numpy()
            training = in_source & (fold == "train") & ~by_rule
            if training.any() and not (in_source & (fold == name)).any():
                held_out = hold_out(training, label, group_id, share, generator)
                fold[held_out] = name
                notes.append(f"{source} has no {name} part: {held_out.sum()} of its training faces are held out")
    same_group = (fold == "unlabelled") & (group != "") & expand_to_clusters(np.isin(fold, ["test", "valid"]), group_id)
    table.loc[same_group, "reason"] = "of one group with a held-out face"
    fold[same_group] = "excluded"

    truth = table["truth"].where(fold == "unlabelled", "")
    if settings.label_budget is not None:
        hidden = beyond_budget(fold == "train", label, settings.label_budget, np.random.default_rng(seeds[2]))
        # Faces of one group can be near duplicates: the pool must not repeat a training face.
        twin = hidden & expand_to_clusters((fold == "train") & ~hidden, cluster)
        fold[hidden], fold[twin] = "unlabelled", "excluded"
        table.loc[hidden, "reason"] = "label hidden by unify.label_budget"
        table.loc[twin, "reason"] = "same picture as a train face"
        truth = truth.mask(hidden & ~twin, table["emotion"])
    unlabelled = (label < 0) | (fold == "unlabelled")
    table["emotion"], table["votes"] = table["emotion"].mask(unlabelled, ""), table["votes"].mask(unlabelled, "")
    table["fold"] = fold
    # A face that was held out from training would otherwise count as its own twin.
    official = np.isin(fold, ["test", "valid"]) & (supplied_fold != "train")
    table["twin_in_train"] = official & expand_to_clusters(supplied_fold == "train", cluster)
    check_folds(table, emotions)
    report = summarize_table(table) | {
        "identical_twins_as_supplied": count_twins(supplied_fold, identical),
        "similar_twins_as_supplied": count_twins(supplied_fold, cluster),
        "notes": notes,
    }
    return table[list(TABLE_COLUMNS)], pd.DataFrame({"id": table["id"], "emotion": truth}), report


def iter_exclusions(
    table: pd.DataFrame,
    fold: np.ndarray,
    label: Int[np.ndarray, " n"],
    cluster: Int[np.ndarray, " n"],
    exact_cluster: Int[np.ndarray, " n"],
    is_blank: Bool[np.ndarray, " n"],
    settings: Unify,
) -> Iterator[tuple[Bool[np.ndarray, " n"], str]]:
    """Yield masks of faces to exclude, with the reason; the caller must exclude them in `fold` before the next step.

    Duplicates are resolved first by fold: a test face is in no other fold. Then by source: the face of the source named
    first is used, whatever the other sources say. Then by label within `exact_cluster`, where faces of a group are
    duplicates only if identical: other expressions of one person or film can be near duplicates.
    """
    source_number, sources = pd.factorize(table["source"])
    yield np.isin(fold, ["train", "unlabelled"]) & is_blank, "blank picture"
    for position, higher in enumerate(FOLD_PRECEDENCE):
        lower = np.isin(fold, FOLD_PRECEDENCE[max(position + 1, 2) :])
        yield lower & expand_to_clusters(fold == higher, cluster), f"same picture as a {higher} face"
    for number, source in enumerate(sources):
        in_test = expand_to_clusters((fold == "test") & (source_number == number), cluster)
        yield in_test & (fold == "valid") & (source_number != number), "same picture as a test face"
        for name in FOLD_PRECEDENCE[:3]:
            in_source = expand_to_clusters((fold == name) & (source_number == number), cluster)
            yield in_source & (fold == name) & (source_number > number), f"same picture as a face of {source}"
    yield (table["emotion"] != "").to_numpy() & (label < 0), "emotion is not among those of params.yaml"
    if settings.contradictions != "keep":
        find_contradictions = find_label_conflicts if settings.contradictions == "exclude" else find_minority_labels
        yield find_contradictions(fold == "train", exact_cluster, label), "same picture with contradictory labels"
    for name in ("train", "unlabelled"):
        yield find_copies(fold == name, exact_cluster), f"copy of another {name} face"


def assign_official_folds(table: pd.DataFrame, by_rule: Bool[np.ndarray, " n"]) -> tuple[np.ndarray, list[str]]:
    """Return the owner's fold of each face, and notes; a validation fold without a test fold becomes the test fold.

    Faces labelled by a rule are training faces, whatever the owner's fold.
    """
    supplied = table["fold"].replace("", "train").mask(by_rule, "train")
    fold = np.where(table["emotion"] != "", supplied, "unlabelled").astype(object)
    notes = []
    for source in table["source"].unique():
        in_source = (table["source"] == source).to_numpy()
        if (in_source & (fold == "valid")).any() and not (in_source & (fold == "test")).any():
            fold[in_source & (fold == "valid")] = "test"
            notes.append(f"{source} has a validation but no test part: the former is the test part")
    return fold, notes


def check_unique_ids(table: pd.DataFrame) -> None:
    duplicates = np.flatnonzero(table.duplicated(["source", "id"]))
    if len(duplicates):
        source, id = table.loc[duplicates[0], ["source", "id"]]
        raise InputError(f"{source}: two faces have the id {id!r}; rename one")


def check_leaks(table: pd.DataFrame, fold: np.ndarray, cluster: Int[np.ndarray, " n"]) -> None:
    held_out = np.isin(fold, ["test", "valid"])
    leaks = np.flatnonzero(~held_out & expand_to_clusters(held_out, cluster))
    if len(leaks):
        twin = np.flatnonzero(held_out & (cluster == cluster[leaks[0]]))[0]
        leaked, held_out_face = (f"{table.loc[row, 'source']}/{table.loc[row, 'id']}" for row in (leaks[0], twin))
        raise InputError(
            f"{len(leaks)} training or unlabelled faces duplicate a test or validation face (first: {leaked} and "
            f"{held_out_face}); remove them, or set unify.leaks to exclude in params.yaml"
        )


def summarize_table(table: pd.DataFrame) -> dict[str, Any]:
    """Return the counts of faces by fold, emotion, source and reason of exclusion, for the report."""
    excluded = table[table["fold"] == "excluded"]
    return {
        "faces": len(table),
        "folds": count_values(table["fold"]),
        "emotions": {
            name: count_values(table.loc[table["fold"] == name, "emotion"]) for name in ("train", "valid", "test")
        },
        "sources": {name: count_values(part["fold"]) for name, part in table.groupby("source", sort=False)},
        "excluded": count_values(excluded["reason"]),
        "excluded_by_source": {
            name: count_values(part["reason"]) for name, part in excluded.groupby("source", sort=False)
        },
        "labels_hidden": int((table["reason"] == "label hidden by unify.label_budget").sum()),
    }


def count_twins(fold: np.ndarray, cluster: Int[np.ndarray, " n"]) -> dict[str, int]:
    """Return how many faces of each fold have a twin, a face of the same cluster, in a fold of lower precedence."""
    counts = {}
    for position, higher in enumerate(FOLD_PRECEDENCE):
        for lower in FOLD_PRECEDENCE[position + 1 :]:
            counts[f"{higher}_in_{lower}"] = int(((fold == higher) & expand_to_clusters(fold == lower, cluster)).sum())
    return counts


def count_values(values: pd.Series) -> dict[str, int]:
    return {str(value): int(count) for value, count in values.value_counts().sort_index().items()}


def check_folds(table: pd.DataFrame, emotions: Sequence[str]) -> None:
    for fold in ("train", "valid", "test"):
        if not (table["fold"] == fold).any():
            raise InputError(f"the {fold} fold has no faces; add a labelled source to `sources` in params.yaml")
    if absent := [name for name in emotions if not ((table["fold"] == "train") & (table["emotion"] == name)).any()]:
        raise InputError(
            f"no training face is labelled {', '.join(absent)}; add a source that has some, or change `emotions`"
        )


def summarize_source_report(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return an ingest report without its examples, which may name people, so that it can be shared."""
    keys = ("reader", "terms", "pictures", "pictures_with_a_face", "faces", "mean", "std")
    counts = {
        kind: {reason: summary["count"] for reason, summary in report[kind].items()} for kind in ("dropped", "left_out")
    }
    return {key: report[key] for key in keys} | counts | {"notes": report["notes"]}
