"""CelebA, images of 10,177 celebrities (Liu, Luo, Wang and Tang, 2015). An unlabelled pool.

The images are aligned but show 178 x 218 pixels around a face, so the largest face is detected. If
`identity_CelebA.txt` exists (lines such as `000001.jpg 2880`), the person is the group.
"""

from collections.abc import Iterator

from fer.data.media import folders
from fer.data.media.folders import File, Folder, Note
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record

LAYOUT = "img_align_celeba/000001.jpg, also in Img/; identity_CelebA.txt, also in Anno/"
LICENSE_TERMS = "for non-commercial research; redistribution not allowed"

_IMAGE_FOLDERS = ("img_align_celeba", "Img/img_align_celeba")
_IDENTITY_FILES = ("identity_CelebA.txt", "Anno/identity_CelebA.txt")


def matches(root: Folder) -> bool:
    return root.folder(*_IMAGE_FOLDERS) is not None


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    table = root.file(*_IDENTITY_FILES)
    people: dict[str, str] = {}
    invalid_lines = []
    for number, line in folders.read_lines(table) if table else ():
        image, *person = line.split()
        if len(person) == 1 and image not in people:
            people[image] = person[0]
        else:
            invalid_lines.append(number)
    n_unknown = 0
    for item in folders.walk_media(root.folder(*_IMAGE_FOLDERS)):
        if isinstance(item, File):
            n_unknown += item.name not in people
            yield Record(item.id, item, group=people.get(item.name, ""), face_mode="one")
        else:
            yield item
    if table and invalid_lines:
        count, first = len(invalid_lines), invalid_lines[0]
        yield Note(f"{table.id}: {count} lines are invalid or repeat an image; the first is line {first}")
    if table and n_unknown:
        yield Note(f"{n_unknown} images are not in {table.id}, so the person is unknown")
