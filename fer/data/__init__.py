"""From a dataset, images or videos to one array of faces and one table."""

from typing import TYPE_CHECKING

from fer.runtime.public_api import lazy_exports

if TYPE_CHECKING:
    from fer.data.ingest.read_source import list_readers as list_readers
    from fer.data.ingest.read_source import read_source as read_source

__getattr__, __dir__ = lazy_exports(
    __name__, {"list_readers": "fer.data.ingest.read_source", "read_source": "fer.data.ingest.read_source"}
)
__all__ = ["list_readers", "read_source"]
