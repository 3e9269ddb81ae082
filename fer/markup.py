"""Pieces of an HTML page. Every text that is given is escaped."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from PIL import Image

PLOT = {"scale": 0.75, "least": 0.6}  # of the pictures in metrics/, whose words are larger than a page's


def paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def bullets(texts: Iterable[str]) -> str:
    """A list; nothing where there are no texts."""
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f"<ul>{items}</ul>" if items else ""


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[object]], words: Sequence[str] = ()) -> str:
    """A table whose first column names the rows. The columns `words` are for reading, the others hold figures."""
    kinds = [' class="words"' if name in words else "" for name in head]
    heads = "".join(f'<th scope="col"{kind}>{escape(name)}</th>' for name, kind in zip(head, kinds, strict=True))
    body = ""
    for first, *rest in rows:
        cells = "".join(f"<td{kind}>{_text(value)}</td>" for value, kind in zip(rest, kinds[1:], strict=True))
        body += f'<tr><th scope="row">{_text(first)}</th>{cells}</tr>'
    # what scrolls must be reached by the keyboard, too
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def picture(path: Path, alt: str, scale: float = 1.0, least: float = 0.0) -> str:
    """A PNG, in the page itself, at `scale` of its size; where that is too wide, at `least` of it or more."""
    with Image.open(path, formats=("PNG",)) as image:
        width, height = (round(scale * side) for side in image.size)
    data = base64.b64encode(path.read_bytes()).decode()
    return (
        f'<figure><div><img src="data:image/png;base64,{data}" width="{width}" height="{height}" '
        f'style="min-width: {round(least * width)}px" alt="{escape(alt)}"></div></figure>'
    )


def _text(value: object) -> str:
    return escape(f"{value:,}" if isinstance(value, int) else str(value))
