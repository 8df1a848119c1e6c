"""A data set of photographs made into one of faces: found, turned until the eyes are level, cut and resized.

Every face is framed by a model's contract (`Preprocessing.crop_aligned`), as a recognizer frames it, but for the
turning. The folders of classes and splits stay as they are, so the result is read like the source.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

from tqdm import tqdm

from kerafer.data.align.faces import CHOICES, FORMATS, NO_FACE, Job
from kerafer.data.align.folder import AlignedFolder, outputs, pictures
from kerafer.data.threads import chunks
from kerafer.files import one_at_a_time
from kerafer.preprocess import Preprocessing
from kerafer.vision.detect import FaceDetector, MTCNNDetector

PART = 16
"""Pictures that are read, searched and noted in the journal together, always the same ones."""

Part = Sequence[tuple[str, str]]
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class AlignReport:
    """What became of the pictures of a folder.

    Args:
        folder: where the faces, `manifest.csv` and `align.json` are.
        pictures: how many files were pictures by their suffix.
        aligned: pictures whose face was written.
        no_face: pictures in which no face was found.
        unreadable: files that are no picture, or damaged.
        errors: pictures that could be read but not aligned.
        other_files: files passed over for their suffix.
        problems: the first 100 files that were unreadable or not aligned, each with the reason.
    """

    folder: Path
    pictures: int
    aligned: int
    no_face: int
    unreadable: int
    errors: int
    other_files: int
    problems: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "folder": str(self.folder), "problems": list(self.problems)}


@one_at_a_time("dst")
def align_faces(
    src: str | Path,
    dst: str | Path,
    *,
    contract: Preprocessing,
    size: int | None = None,
    choose: str = "center",
    no_face: str = "skip",
    format: str = "png",  # noqa: A002 - it is what the files' format is called everywhere
    detector: FaceDetector | None = None,
    workers: int = 1,
    progress: bool = False,
) -> AlignReport:
    """Find, align and crop the face of every picture of a folder.

    `dst` gets a picture with the same relative path for each, and

    * `manifest.csv`: a row for each picture: its box, eyes, angle and the number of faces, or why there is none;
      `kerafer.data.align.faces.COLUMNS` names the columns, and `status` is aligned, no_face, unreadable or error;
    * `align.json`: settings, versions and counts;
    * `journal.jsonl`: what was finished when. A run that was stopped at any moment goes on from there when it is
      called again, and ends with the same files.

    Args:
        src: folder of pictures, nested in any way, such as `train/happy/1.jpg`.
        dst: folder to write: new, empty, or to go on with.
        contract: how a face is framed (`face_scale`, `face_shift`), and at which size it is written (`resize`).
        size: side in pixels to write, instead of the contract's `resize`.
        choose: which of several faces is taken: `"center"`, the largest with its distance from the picture's centre
            weighed against it, since a data set's subject is near the centre; or `"largest"`, or `"surest"`.
        no_face: `"skip"` writes nothing for a picture without a face, `"whole"` writes it whole, resized.
        format: `"png"`, or `"jpg"` (quality 95, colour at full resolution).
        detector: finds the faces and their eyes; MTCNN, 16 pictures of one size at a time, by default.
        workers: processes, each with its own detector and one thread of TensorFlow. With more than one, a script
            that calls this needs `if __name__ == "__main__":`, and the detector is sent by pickle.
        progress: whether to show a progress bar.

    Returns:
        The report.

    Raises:
        ValueError: if an argument is wrong, the folders lie in one another, or `dst` holds something else.
        FileNotFoundError: if `src` is no folder.
        OSError: if a picture cannot be written, or a worker died; called again, the alignment goes on.

    Example:
        >>> import tempfile, kerafer
        >>> from PIL import Image
        >>> from kerafer.data.samples import portrait
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "photos" / "happy").mkdir(parents=True)
        >>> Image.fromarray(portrait()).save(folder / "photos" / "happy" / "hopper.png")
        >>> contract = kerafer.model_spec("ean").preprocessing
        >>> align_faces(folder / "photos", folder / "faces", contract=contract).aligned
        1
        >>> Image.open(folder / "faces" / "happy" / "hopper.png").size
        (48, 48)
    """
    src, dst = Path(src), Path(dst)
    _check(src, dst, size, choose, no_face, format, workers)
    side = contract.resize if size is None else (size, size)
    contract = replace(contract, size=side, resize=side)
    detector = MTCNNDetector(batch=PART) if detector is None else detector
    names, listing, other_files = pictures(src)
    if not names:
        raise ValueError(f"`src` must hold pictures (.jpg, .png and others). Received: {src}, with {other_files} files")
    settings = {
        "pictures": listing,
        **{name: list(side) if name == "size" else getattr(contract, name) for name in FRAMING},
        **{"choose": choose, "no_face": no_face, "format": format, "detector": _described(detector)},
    }
    folder = AlignedFolder(dst, settings)
    pairs = list(zip(names, outputs(names, format), strict=True))
    parts = [[pairs[i] for i in part] for part in chunks(len(pairs), PART)]
    pending = [part for part in parts if any(source not in folder.rows for source, _ in part)]
    job = Job(src, dst, contract, choose, no_face, format, detector)
    with tqdm(
        total=len(names), initial=len(names) - sum(map(len, pending)), unit="picture", disable=not progress
    ) as bar:
        for rows in _results(job, pending, min(workers, len(pending))):
            folder.add(rows)
            bar.update(len(rows))
    found = Counter(folder.rows[name]["status"] for name in names)
    counts = {status: found[status] for status in ("aligned", "no_face", "unreadable", "error")}
    folder.finish(names, counts)
    bad = [folder.rows[name] for name in names if folder.rows[name]["status"] in ("unreadable", "error")]
    return AlignReport(
        folder=dst,
        pictures=len(names),
        aligned=counts["aligned"],
        no_face=counts["no_face"],
        unreadable=counts["unreadable"],
        errors=counts["error"],
        other_files=other_files,
        problems=tuple(_problem(row) for row in bad[:100]),
    )


FRAMING = ("size", "face_scale", "face_shift")


def _problem(row: dict[str, Any]) -> str:
    return row["reason"] if row["source"] in row["reason"] else f"{row['source']}: {row['reason']}"


def _check(src: Path, dst: Path, size: int | None, choose: str, no_face: str, suffix: str, workers: int) -> None:
    if not src.is_dir():
        raise FileNotFoundError(f"There is no folder {src}. Give the folder of the pictures.")
    inner, outer = dst.resolve(), src.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise ValueError(f"`dst` and `src` must not lie in one another. Received: src={src}, dst={dst}")
    if size is not None and size < 1:
        raise ValueError(f"`size` must be a positive number of pixels. Received: size={size!r}")
    if workers < 1:
        raise ValueError(f"`workers` must be at least 1. Received: workers={workers!r}")
    given = {"choose": (choose, CHOICES), "no_face": (no_face, NO_FACE), "format": (suffix, tuple(FORMATS))}
    for name, (value, allowed) in given.items():
        if value not in allowed:
            raise ValueError(f"`{name}` must be one of {', '.join(allowed)}. Received: {name}={value!r}")


def _described(detector: FaceDetector) -> dict[str, Any]:
    plain = {k: v for k, v in vars(detector).items() if not k.startswith("_")}
    return {"name": type(detector).__name__, **{k: v for k, v in plain.items() if isinstance(v, (int, float, str))}}


def _results(job: Job, parts: list[Part], workers: int) -> Iterator[Rows]:
    """Yield the rows of each part, as they are finished."""
    if workers <= 1:
        yield from map(job.run, parts)
        return
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start, initargs=(job,))
    waiting: deque[Future[Rows]] = deque()
    try:
        for part in parts:
            waiting.append(pool.submit(_work, part))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise OSError(
            "A worker died, perhaps for want of memory, or because the script that calls this has no "
            "`if __name__ == '__main__':`. Run it again, with fewer workers: it goes on where it was."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_job: list[Job] = []  # a worker's own, so that its detector is loaded once


def _start(job: Job) -> None:
    """Make a process ready to work."""
    import cv2

    os.environ.update(TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1")  # read when TensorFlow starts
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is told, and ends the workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _job.append(job)


def _end_with_parent() -> None:
    # a parent that is killed tells nobody, and its workers would wait for ever
    parent_process().join()
    os._exit(1)


def _work(part: Part) -> Rows:
    return _job[0].run(part)
