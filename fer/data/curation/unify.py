"""All sources as one table: what each face is, what fold it is in, and why some can't be used."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int, UInt8

from fer.core.labels import TABLE_COLUMNS, encode_labels
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
    """The table, the hidden truth and the report, all in the order of `faces`.

    `records` has the columns id, source, emotion, votes, by_rule, fold, group and truth, as the owners have them, ""
    where they have none, the sources in order of preference. Official test and validation folds keep their members.
    Missing ones are carved out of the training faces, but for those labelled by a rule; labels beyond the budget are
    hidden.

    Raises:
        InputError: an id occurs twice, a fold or an emotion among the training faces has no faces, or, with
            `rules.leaks` "stop", a training or unlabelled face shares its picture with a test or validation face.
    """
    seeds = np.random.SeedSequence(seed).spawn(3)
    table = records.assign(reason="")
    label = encode_labels(table["emotion"].where(table["emotion"].isin(emotions), ""), emotions)
    by_rule = (table["by_rule"] == "yes").to_numpy()
    fold, notes = assign_official_folds(table, by_rule)
    as_supplied = fold.copy()
    identical = cluster_exact_duplicates(faces)
    cluster = cluster_near_duplicates(faces, identical)
    check_unique_ids(table)
    if settings.leaks == "stop":
        check_leaks(table, fold, cluster)
    group = (table["source"] + "/" + table["group"]).where(table["group"] != "", "")
    take = np.where(group != "", cluster.max(initial=-1) + 1 + identical, cluster)
    for mask, reason in iter_exclusions(table, fold, label, cluster, take, find_blank(faces), settings):
        table.loc[mask, "reason"] = reason
        fold[mask] = "excluded"

    block = group_ids(cluster, list(group))
    for name, share, stream in (("test", settings.test, seeds[0]), ("valid", settings.valid, seeds[1])):
        generator = np.random.default_rng(stream)
        for source in table["source"].unique():
            of_source = (table["source"] == source).to_numpy()
            training = of_source & (fold == "train") & ~by_rule
            if training.any() and not (of_source & (fold == name)).any():
                held_out = hold_out(training, label, block, share, generator)
                fold[held_out] = name
                notes.append(f"{source} has no {name} part: {held_out.sum()} of its training faces are held out")
    kin = (fold == "unlabelled") & (group != "") & expand_to_clusters(np.isin(fold, ["test", "valid"]), block)
    table.loc[kin, "reason"] = "of one group with a held-out face"
    fold[kin] = "excluded"

    truth = table["truth"].where(fold == "unlabelled", "")
    if settings.label_budget is not None:
        hidden = beyond_budget(fold == "train", label, settings.label_budget, np.random.default_rng(seeds[2]))
        twin = hidden & expand_to_clusters(
            (fold == "train") & ~hidden, cluster
        )  # takes of one person can be nearly alike
        fold[hidden], fold[twin] = "unlabelled", "excluded"
        table.loc[hidden, "reason"] = "label hidden by unify.label_budget"
        table.loc[twin, "reason"] = "same picture as a train face"
        truth = truth.mask(hidden & ~twin, table["emotion"])
    silent = (label < 0) | (fold == "unlabelled")
    table["emotion"], table["votes"] = table["emotion"].mask(silent, ""), table["votes"].mask(silent, "")
    table["fold"] = fold
    official = np.isin(fold, ["test", "valid"]) & (as_supplied != "train")  # one carved out of training is its own twin
    table["twin_in_train"] = official & expand_to_clusters(as_supplied == "train", cluster)
    check_folds(table, emotions)
    excluded = table[table["fold"] == "excluded"]
    report = {
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
        "identical_twins_as_supplied": count_twins(as_supplied, identical),
        "similar_twins_as_supplied": count_twins(as_supplied, cluster),
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
    """Faces to be excluded, and why; `fold` must be "excluded" for them before the next are asked for.

    What a picture is, is said first by its fold: one in a test part is in no other. Then by its source: what the one
    named first says of it holds, whatever the others say. Then by its label, where `exact_cluster` numbers the pictures: of one
    person or film another expression can be nearly the same picture, so faces of a group are told apart unless
    identical.
    """
    number, sources = pd.factorize(table["source"])
    yield np.isin(fold, ["train", "unlabelled"]) & is_blank, "blank picture"
    for position, higher in enumerate(FOLD_PRECEDENCE):
        lower = np.isin(fold, FOLD_PRECEDENCE[max(position + 1, 2) :])
        yield lower & expand_to_clusters(fold == higher, cluster), f"same picture as a {higher} face"
    for place, source in enumerate(sources):
        tested = expand_to_clusters((fold == "test") & (number == place), cluster)
        yield tested & (fold == "valid") & (number != place), "same picture as a test face"
        for name in FOLD_PRECEDENCE[:3]:
            known = expand_to_clusters((fold == name) & (number == place), cluster)
            yield known & (fold == name) & (number > place), f"same picture as a face of {source}"
    yield (table["emotion"] != "").to_numpy() & (label < 0), "emotion is not among those of params.yaml"
    if settings.contradictions != "keep":
        rule = find_label_conflicts if settings.contradictions == "exclude" else find_minority_labels
        yield rule(fold == "train", exact_cluster, label), "same picture with contradictory labels"
    for name in ("train", "unlabelled"):
        yield find_copies(fold == name, exact_cluster), f"copy of another {name} face"


def assign_official_folds(table: pd.DataFrame, by_rule: Bool[np.ndarray, " n"]) -> tuple[np.ndarray, list[str]]:
    """Each face's fold as its owner has it; a validation part is the test part where there is no other.

    A label that was derived by a rule is for training, whatever the owner's fold.
    """
    supplied = table["fold"].replace("", "train").mask(by_rule, "train")
    fold = np.where(table["emotion"] != "", supplied, "unlabelled").astype(object)
    notes = []
    for source in table["source"].unique():
        of_source = (table["source"] == source).to_numpy()
        if (of_source & (fold == "valid")).any() and not (of_source & (fold == "test")).any():
            fold[of_source & (fold == "valid")] = "test"
            notes.append(f"{source} has a validation but no test part: the former is the test part")
    return fold, notes


def check_unique_ids(table: pd.DataFrame) -> None:
    twice = np.flatnonzero(table.duplicated(["source", "id"]))
    if len(twice):
        source, id = table.loc[twice[0], ["source", "id"]]
        raise InputError(f"{source}: two faces have the id {id!r}; rename one")


def check_leaks(table: pd.DataFrame, fold: np.ndarray, cluster: Int[np.ndarray, " n"]) -> None:
    held_out = np.isin(fold, ["test", "valid"])
    leaks = np.flatnonzero(~held_out & expand_to_clusters(held_out, cluster))
    if len(leaks):
        twin = np.flatnonzero(held_out & (cluster == cluster[leaks[0]]))[0]
        one, other = (f"{table.loc[row, 'source']}/{table.loc[row, 'id']}" for row in (leaks[0], twin))
        raise InputError(
            f"{len(leaks)} training or unlabelled faces show the picture of a test or validation face, the first: "
            f"{one} and {other}; remove them, or set unify.leaks to exclude in params.yaml"
        )


def count_twins(fold: np.ndarray, cluster: Int[np.ndarray, " n"]) -> dict[str, int]:
    """How many faces of each fold have a twin, a face of the same cluster, in a fold of lower precedence."""
    found = {}
    for position, higher in enumerate(FOLD_PRECEDENCE):
        for lower in FOLD_PRECEDENCE[position + 1 :]:
            found[f"{higher}_in_{lower}"] = int(((fold == higher) & expand_to_clusters(fold == lower, cluster)).sum())
    return found


def count_values(names: pd.Series) -> dict[str, int]:
    return {str(name): int(count) for name, count in names.value_counts().sort_index().items()}


def check_folds(table: pd.DataFrame, emotions: Sequence[str]) -> None:
    for fold in ("train", "valid", "test"):
        if not (table["fold"] == fold).any():
            raise InputError(f"the {fold} fold has no faces; add a labelled source to `sources` in params.yaml")
    if absent := [name for name in emotions if not ((table["fold"] == "train") & (table["emotion"] == name)).any()]:
        raise InputError(
            f"no training face is labelled {', '.join(absent)}; add a source that has some, or change `emotions`"
        )


def summarize_source_report(report: Mapping[str, Any]) -> dict[str, Any]:
    """The report of a source without examples, which may name people; for a place that is shared."""
    told = {key: report[key] for key in ("reader", "terms", "pictures", "pictures_with_a_face", "faces", "mean", "std")}
    counts = {
        kind: {reason: found["count"] for reason, found in report[kind].items()} for kind in ("dropped", "left_out")
    }
    return told | counts | {"notes": report["notes"]}
