"""The table with the fold and label of every face, and CSV files with the same bytes for the same content.

Row i of the table belongs to face i in `faces.npy`, in every prediction and in every pseudo-label.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from fer.core.files import DECIMALS, atomic_write, escape_formula
from fer.core.labels import FOLDS
from fer.runtime.errors import InputError

TABLE_COLUMNS = ("id", "source", "fold", "emotion", "votes", "group", "twin_in_train", "reason")


def read_table(path: Path) -> pd.DataFrame:
    """Return the table that `unify` wrote, with `TABLE_COLUMNS`; missing text is "", `twin_in_train` is boolean.

    Raises:
        InputError: The table has other columns, or a face in a labelled fold has no label.
    """
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if tuple(table.columns) != TABLE_COLUMNS:
        raise InputError(
            f"{path}: columns are {', '.join(table.columns)}, not {', '.join(TABLE_COLUMNS)}; run `dvc repro`"
        )
    unlabelled = np.flatnonzero(table["fold"].isin(FOLDS[:3]) & (table["emotion"] == ""))
    if len(unlabelled):
        raise InputError(f"{path}: line {unlabelled[0] + 2} is in a labelled fold but has no emotion; run `dvc repro`")
    table["twin_in_train"] = table["twin_in_train"] == "True"
    return table


def read_truth(path: Path) -> pd.Series:
    """Return the emotion of each face with a hidden label, "" if unknown. Only `evaluate` may read it."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)["emotion"]


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a CSV file without an index, floats rounded to `DECIMALS`."""
    with atomic_write(path) as part:
        table.round(DECIMALS).to_csv(part, index=False, lineterminator="\n")


def escape_formulas(texts: pd.Series) -> pd.Series:
    """Return the texts, each escaped as by `escape_formula`."""
    return texts.map(escape_formula)
