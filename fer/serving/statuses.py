"""What can become of a picture that is looked at, in a word each."""

STATUS_MEANINGS = {
    "ok": "a face, and what it is taken for",
    "no_face": "the picture or frame was searched, and no face was found",
    "missing": "no such file, nothing that fits the pattern, or no camera of that number",
    "unreadable": "damaged, empty, locked, or neither a picture nor a video",
    "too_large": "more than 200 MB or 50 million pixels",
    "incomplete": "the video ends early; the frames before have rows of their own",
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
    """The status of a picture that can't be looked at for this reason of an `UndecodableError`."""
    return _STATUS_BY_REASON.get(reason, "unreadable")
