"""Labelled Faces in the Wild: people in the news (Huang, Ramesh, Berg and Learned-Miller, 2007). An unlabelled pool.

A folder is a person, who is the group. The plain, funneled and deep-funneled versions share the layout. Their images
show 250 x 250 pixels around a face, so the largest face is detected. Copies often nest the folder in one of its name.
"""

import re
from collections.abc import Iterator

from fer.data.media.folders import File, Folder, SkippedItem
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record, read_files

LAYOUT = "lfw/, lfw_funneled/ or lfw-deepfunneled/ with <Name>/<Name>_0001.jpg"
LICENSE_TERMS = "no licence: images of news agencies, used for research by custom; redistribution not allowed"

_SAMPLE_PEOPLE = 3


def matches(root: Folder) -> bool:
    people = _find_people_folder(root).folders()[:_SAMPLE_PEOPLE]
    return any(
        re.fullmatch(rf"{re.escape(person.name)}_\d{{4}}\.jpg", file.name)
        for person in people
        for file in person.files()
    )


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    people = _find_people_folder(root)

    def make_record(image: File) -> Record | SkippedItem:
        person, *rest_of_path = image.id.removeprefix(f"{people.id}/").split("/")
        if rest_of_path:
            return Record(image.id, image, group=person, face_mode="one")
        return SkippedItem(image.id, "file name", "allowed <Name>/<Name>_0001.jpg, in the folder of a person")

    return read_files(people, make_record)


def _find_people_folder(root: Folder) -> Folder:
    return root.folder(root.name) or root
