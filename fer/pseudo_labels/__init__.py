"""Which unlabelled faces to learn from, and with what label and weight."""

from typing import TYPE_CHECKING

from fer.runtime.public_api import lazy_exports

if TYPE_CHECKING:
    from fer.pseudo_labels.params import list_policies as list_policies
    from fer.pseudo_labels.params import make_policy as make_policy
    from fer.pseudo_labels.policy import collect_evidence as collect_evidence
    from fer.pseudo_labels.selection import select as select
    from fer.pseudo_labels.selection import thresholds as thresholds

_HOMES = {
    "collect_evidence": "fer.pseudo_labels.policy",
    "list_policies": "fer.pseudo_labels.params",
    "make_policy": "fer.pseudo_labels.params",
    "select": "fer.pseudo_labels.selection",
    "thresholds": "fer.pseudo_labels.selection",
}
__getattr__, __dir__ = lazy_exports(__name__, _HOMES)
__all__ = ["collect_evidence", "list_policies", "make_policy", "select", "thresholds"]
