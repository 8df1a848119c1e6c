"""Tiny data sets in the exact layout of each kind, made of drawn pictures."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from kerafer.data.samples import write_synthetic_csv
from kerafer.labels import CANONICAL, LABELS_7

NUMBER = {name: i for i, name in enumerate(CANONICAL)}
AFFECTNET_HEADER = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
)
FERPLUS_HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


@dataclass(frozen=True)
class Layout:
    """A data set on disk: its kind, path, and by split the canonical labels and files in the order of reading."""

    kind: str
    path: Path
    labels: dict[str, list[int]]
    files: dict[str, list[Path]]
    class_names: tuple[str, ...] = LABELS_7

    @property
    def source(self) -> str:
        return f"{self.kind}:{self.path}"


def picture(seed: int, size: tuple[int, int] = (52, 44), gray: bool = False) -> Image.Image:
    """Draw a picture of (height, width) that no other seed gives."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (4, 4) if gray else (4, 4, 3)).astype(np.uint8)
    return Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC)


def save(path: Path, seed: int, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(seed, **options).save(path)
    return path


def rafdb(root: Path) -> Layout:
    lines, labels, files = [], {"train": [], "test": []}, {"train": [], "test": []}
    own = ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral")
    for split, count in (("train", 9), ("test", 7)):
        for i in range(count):
            lines.append(f"{split}_{i + 1:05}.jpg {i % 7 + 1}")
            path = root / "basic/Image/aligned" / f"{split}_{i + 1:05}_aligned.jpg"
            files[split].append(save(path, len(lines)))
            labels[split].append(NUMBER[own[i % 7]])
    listed = root / "basic/EmoLabel/list_patition_label.txt"
    listed.parent.mkdir(parents=True)
    listed.write_text("\n".join(lines) + "\n")
    return Layout("rafdb", root, labels, files)


AFFECTNET = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt")


def affectnet_lists(root: Path) -> Layout:
    labels, files = {"train": [], "val": []}, {"train": [], "val": []}
    (root / "Manually_Annotated_file_lists").mkdir(parents=True)
    for split, name, first in (("train", "training.csv", 0), ("val", "validation.csv", 50)):
        lines = [AFFECTNET_HEADER]
        for number in range(11):
            relative = f"{first + number}/{number:08x}.jpg"
            path = save(root / "Manually_Annotated_Images" / relative, first + number)
            box = "4,6,30,40" if number < 8 else "NULL,NULL,NULL,NULL"
            lines.append(f"{relative},{box},1.5;2.5;3.5,{number},-0.2,0.3")
            if number < 8:
                labels[split].append(NUMBER[AFFECTNET[number]])
                files[split].append(path)
        (root / "Manually_Annotated_file_lists" / name).write_text("\n".join(lines) + "\n")
    return Layout("affectnet8", root, labels, files, CANONICAL)


def affectnet_folders(root: Path) -> Layout:
    labels, files = {"train": [], "val": []}, {"train": [], "val": []}
    for split, first in (("train", 0), ("val", 20)):
        for number in range(9):
            path = save(root / f"{split}_set/images/{number}.jpg", first + number)
            annotation = root / f"{split}_set/annotations/{number}_exp.npy"
            annotation.parent.mkdir(exist_ok=True)
            np.save(annotation, np.array(str(number) if number % 2 else [number]))  # both are in use
            if number < 8:
                labels[split].append(NUMBER[AFFECTNET[number]])
                files[split].append(path)
    return Layout("affectnet8", root, labels, files, CANONICAL)


def caers(root: Path) -> Layout:
    labels, files = {"train": [], "test": []}, {"train": [], "test": []}
    own = ("Anger", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
    canonical = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
    for split, count in (("train", 2), ("test", 1)):
        for folder, name in zip(own, canonical, strict=True):
            for i in range(count):
                seed = 100 * (split == "test") + 10 * NUMBER[name] + i
                files[split].append(save(root / split / folder / f"{i + 1:04}.png", seed))
                labels[split].append(NUMBER[name])
    return Layout("caers", root, labels, files)


def kdef(root: Path) -> Layout:
    labels, files = {"train": [], "test": []}, {"train": [], "test": []}
    own = {"AF": "fear", "AN": "angry", "DI": "disgust", "HA": "happy", "NE": "neutral", "SA": "sad", "SU": "surprise"}
    for i, person in enumerate(("F01", "F02", "M05", "M06")):  # of ten folds, fold 0 holds woman 1 and man 6
        split = "test" if person in {"F01", "M06"} else "train"
        for code, name in own.items():
            path = root / "KDEF" / f"A{person}" / f"A{person}{code}S.JPG"
            files[split].append(save(path, 10 * i + NUMBER[name]))
            labels[split].append(NUMBER[name])
        save(root / "KDEF" / f"A{person}" / f"A{person}HAHL.JPG", 90 + i)
    return Layout("kdef", root, labels, files)


def folder(root: Path) -> Layout:
    labels, files = {"test": [], "train": []}, {"test": [], "train": []}
    for split, count in (("train", 3), ("test", 1)):
        for name, called in (("angry", "Anger"), ("contempt", "contempt"), ("happy", "happiness")):
            for i in range(count):
                seed = 100 * (split == "test") + 10 * NUMBER[name] + i
                files[split].append(save(root / split / called / f"{i}.jpg", seed))
                labels[split].append(NUMBER[name])
    (root / "train" / "notes.txt").write_text("no picture")
    return Layout("folder", root, labels, files, CANONICAL)


def csv(root: Path) -> Layout:
    labels, files = {"train": [], "test": []}, {"train": [], "test": []}
    lines = ["path,label,split,x,y,width,height"]
    for i, (label, name) in enumerate([("happy", "happy"), ("6", "neutral"), ("Anger", "angry"), ("2", "fear")] * 2):
        split = "train" if i < 5 else "test"
        lines.append(f"faces/{i}.jpg,{label},{split},4,6,30,40")
        files[split].append(save(root / f"faces/{i}.jpg", i))
        labels[split].append(NUMBER[name])
    (root / "list.csv").write_text("\n".join(lines) + "\n")
    return Layout("csv", root / "list.csv", labels, files)


def ferplus(root: Path) -> Layout:
    root.mkdir(exist_ok=True)
    write_synthetic_csv(root / "fer2013.csv", train=5, public=3, private=2)
    votes = [
        "10,0,0,0,0,0,0,0,0,0",  # neutral
        "2,5,1,1,1,0,0,0,0,0",  # happy: half of all votes, more than half without the single ones
        "5,5,0,0,0,0,0,0,0,0",  # no majority
        "0,0,0,0,0,0,0,0,8,2",  # unknown
        "0,0,0,0,0,0,0,9,1,0",  # contempt
        "0,0,7,0,0,0,0,0,0,3",  # surprise
        "0,0,0,0,0,0,0,0,0,10",  # no face
        "0,0,0,2,8,0,0,0,0,0",  # angry
        "0,0,0,1,1,1,7,0,0,0",  # fear
        "1,1,1,1,1,1,1,1,1,1",  # no majority
    ]
    usages = ["Training"] * 5 + ["PublicTest"] * 3 + ["PrivateTest"] * 2
    lines = [f"{usage},fer{i:07}.png,{row}" for i, (usage, row) in enumerate(zip(usages, votes, strict=True))]
    (root / "fer2013new.csv").write_text("\n".join([FERPLUS_HEADER, *lines]) + "\n")
    expected = {"train": ("neutral", "happy", "contempt"), "public": ("surprise", "angry"), "private": ("fear",)}
    labels = {split: [NUMBER[name] for name in names] for split, names in expected.items()}
    return Layout("ferplus", root, labels, {}, CANONICAL)


LAYOUTS: dict[str, Callable[[Path], Layout]] = {
    "rafdb": rafdb,
    "affectnet_lists": affectnet_lists,
    "affectnet_folders": affectnet_folders,
    "caers": caers,
    "kdef": kdef,
    "folder": folder,
    "csv": csv,
    "ferplus": ferplus,
}
FILES = tuple(name for name in LAYOUTS if name != "ferplus")
"""The layouts whose pictures are files."""
