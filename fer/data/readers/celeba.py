"""CelebA, photographs of 10,177 celebrities (Liu, Luo, Wang and Tang, 2015). An unlabelled pool.

The pictures are aligned, but show 178 x 218 pixels around a face, so that the largest face is taken. The person is the
group where `identity_CelebA.txt` is there: `000001.jpg 2880`.
"""

from collections.abc import Iterator

from fer.data.media import folders
from fer.data.media.folders import File, Folder
from fer.data.media.issues import Note
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record

LAYOUT = "img_align_celeba/000001.jpg, also in Img/; identity_CelebA.txt, also in Anno/"
LICENSE_TERMS = "for non-commercial research; may not be passed on"

_IMAGE_FOLDERS = ("img_align_celeba", "Img/img_align_celeba")
_IDENTITY_FILES = ("identity_CelebA.txt", "Anno/identity_CelebA.txt")


def matches(root: Folder) -> bool:
    return _find_image_folder(root) is not None


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    table = next(filter(None, map(root.file, _IDENTITY_FILES)), None)
    people, wrong = _read_identities(table) if table else ({}, [])
    unknown = 0
    for item in folders.walk_media(_find_image_folder(root)):
        if isinstance(item, File):
            unknown += item.name not in people
            yield Record(item.id, item, group=people.get(item.name, ""), face_mode="one")
        else:
            yield item
    if table and wrong:
        yield Note(f"{table.id}: {len(wrong)} lines do not tell the person of a new picture; the first is {wrong[0]}")
    if table and unknown:
        yield Note(f"{unknown} pictures are not in {table.id}, so that nothing tells whom they show")


def _read_identities(table: File) -> tuple[dict[str, str], list[int]]:
    """The person on each picture, and the numbers of the lines that tell none."""
    people: dict[str, str] = {}
    wrong = []
    for number, line in folders.read_lines(table):
        picture, *person = line.split()
        if len(person) == 1 and picture not in people:
            people[picture] = person[0]
        else:
            wrong.append(number)
    return people, wrong


def _find_image_folder(root: Folder) -> Folder | None:
    return next(filter(None, map(root.folder, _IMAGE_FOLDERS)), None)
