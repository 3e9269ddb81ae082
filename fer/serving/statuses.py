"""The statuses of an image after prediction."""

STATUS_MEANINGS = {
    "ok": "a face and its predicted emotion",
    "no_face": "no face was detected in the image or frame",
    "missing": "no such file or camera, or no match for the pattern",
    "unreadable": "damaged, empty, locked, or neither an image nor a video",
    "too_large": "more than 200 MB or 50 million pixels",
    "incomplete": "the video ends early; the frames before that have rows",
}
FAILED_STATUSES = frozenset(STATUS_MEANINGS) - {"ok", "no_face"}
_STATUS_BY_REASON = {
    "missing": "missing",
    "no camera": "missing",
    "too many bytes": "too_large",
    "too many pixels": "too_large",
    "damaged video": "incomplete",
}


def status_for_reason(reason: str) -> str:
    """Return the status of an image with this `UndecodableError.reason`."""
    return _STATUS_BY_REASON.get(reason, "unreadable")
