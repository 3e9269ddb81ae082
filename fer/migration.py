"""What a `params.yaml` of an older version of the project lacks, and what to write so that it means what it meant."""

from collections.abc import Mapping
from typing import Any

import yaml

POLICIES = {
    "fixed": {"threshold": 0.8},
    "precision": {"target": 0.9, "confidence": 0.9, "fallback": 0.95},
    "top_k": {"faces": 500},
    "quota": {"share": 0.3},
    "flexmatch": {"threshold": 0.95},
    "freematch": {},
    "ada_cm": {"factor": 0.97},
    "softmatch": {},
}
ADDED: dict[str, dict[str, Any]] = {  # since 0.1.0, by section, with values that leave results as they were
    "ingest": {
        "detector": "haar",
        "align": False,
        "min_face_px": 32,
        "min_brightness": 20,
        "frames_per_second": 1.0,
        "ferplus": "majority",
        "ckplus_frames": 3,
        "kdef_views": ["straight"],
        "disfa_rules": False,
    },
    "unify": {"leaks": "exclude"},
    "train": {"targets": "labels", "mixup": 0.0},
    "pseudo_label": {"alignment": "none", "agreement": [], "policies": POLICIES},
    "retrain": {"online": {"policy": "none", "threshold": 0.95, "share": 0.5, "alignment": "valid"}},
}


def to_write(content: Mapping[str, Any]) -> dict[str, Any]:
    """The values to write, by their dotted keys: of those that are new, or mean something else, since `content`."""
    found = {
        f"{section}.{key}": value
        for section, added in ADDED.items()
        if isinstance(given := content.get(section), dict)
        for key, value in added.items()
        if key not in given
    }
    networks, labelling = content.get("networks"), content.get("pseudo_label")
    if isinstance(networks, list):  # those that are trained and vote, before each had a recipe
        found |= {"ensemble": networks, "networks": {name: {} for name in networks}}
    if isinstance(labelling, dict) and isinstance(before := labelling.get("policy"), dict):
        found["pseudo_label.policy"] = "fixed"  # the only kind there was
        found["pseudo_label.policies"] = POLICIES | {"fixed": {"threshold": before.get("threshold")}}
    return found


def in_words(found: Mapping[str, Any]) -> str:
    """Those values as lines of YAML, by their sections."""
    lines: dict[str, list[str]] = {}
    for key, value in found.items():
        section, _, name = key.rpartition(".")
        text = yaml.safe_dump({name: value}, default_flow_style=True, sort_keys=False, width=10**6).strip()[1:-1]
        lines.setdefault(f" in {section}" if section else "", []).append(f"`{text}`")
    each = (f"{', '.join(texts)}{section}" for section, texts in lines.items())
    return f"of an older version of the project; to have what it had, write {'; '.join(each)}"
