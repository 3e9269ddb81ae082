"""Labelled Faces in the Wild: people in the news (Huang, Ramesh, Berg and Learned-Miller, 2007). An unlabelled pool.

A folder is a person and a group. The plain, the funneled and the deep-funneled form are laid out alike; each shows 250
x 250 pixels of a photograph around a face, so that the largest face is taken. Copies often have the folder twice, one
in the other.
"""

import re
from collections.abc import Iterator

from fer.data.media import folders
from fer.data.media.folders import File, Folder
from fer.data.media.issues import SkippedItem
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record

LAYOUT = "lfw/, lfw_funneled/ or lfw-deepfunneled/ with <Name>/<Name>_0001.jpg"
LICENSE_TERMS = "none granted: photographs of news agencies, by custom for research; may not be passed on"

_SAMPLE_PEOPLE = 3  # people


def matches(root: Folder) -> bool:
    people = _find_people_folder(root).folders()[:_SAMPLE_PEOPLE]
    return any(
        re.fullmatch(rf"{re.escape(who.name)}_\d{{4}}\.jpg", file.name) for who in people for file in who.files()
    )


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    people = _find_people_folder(root)
    for item in folders.walk_media(people):
        if not isinstance(item, File):
            yield item
            continue
        person, *inside = item.id.removeprefix(f"{people.id}/").split("/")
        if inside:
            yield Record(item.id, item, group=person, face_mode="one")
        else:
            yield SkippedItem(item.id, "file name", "allowed <Name>/<Name>_0001.jpg: in the folder of a person")


def _find_people_folder(root: Folder) -> Folder:
    return root.folder(root.name) or root
