"""Which files are a shot: its frames in order, the second half of each, and files with features beside them."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from noisewalk.app.errors import UsageError

SUFFIXES = (".exr", ".pfm")
# Words in file names, between . _ and -: of a first half, and of its second half.
HALF_WORDS = {
    "h0": "h1",
    "half0": "half1",
    "half1": "half2",
    "seed0": "seed1",
    "seed1": "seed2",
    "a": "b",
    "A": "B",
    "color": "color2",  # data set of Choi et al. 2024, "Online Neural Denoising with Cross-Regression"
}
# Tungsten with two_buffer_variance writes color.exr, colorA.exr and colorB.exr; LuxCore and oidnDenoise a file for each
# layer.
COLOR_WORDS = ("color", "hdr", "rgb", "RGB", "beauty", "RGB_IMAGEPIPELINE")
FEATURE_WORDS = {
    "albedo": ("albedo", "alb", "ALBEDO"),
    "normal": ("normal", "nrm", "AVG_SHADING_NORMAL", "SHADING_NORMAL"),
    "position": ("position", "POSITION"),
    "depth": ("depth", "DEPTH", "linearZ"),
    "motion": ("mvec", "motion"),
}
_NOT_COLOR = {word for words in FEATURE_WORDS.values() for word in words} | {"ref"}


@dataclass(frozen=True)
class ShotFrame:
    """One frame: the file of its first half (or of all of it), of its second half, and of features in other files."""

    file: Path
    half: Path | None = None
    features: Mapping[str, Path] = field(default_factory=dict)

    @property
    def number(self) -> int | None:
        """The frame's number: the last one in the file's name."""
        digits = re.findall(r"\d+", self.file.stem)
        return int(digits[-1]) if digits else None


def find_shot(frames: Sequence[str], halves: Sequence[str] | None) -> list[ShotFrame]:
    """The frames that files, folders and patterns name, in order. Raises UsageError where there are none, or a half of
    some is missing.
    """
    files = _files(frames)
    if halves:
        paired = _paired(files, _files(halves))
    else:
        paired = {file: _second_half(file) for file in _first_halves(files)}
        if any(paired.values()) and not all(paired.values()):
            missing = next(file for file, half in paired.items() if half is None)
            raise UsageError(f"{missing}: has no second half, as other frames have (--half names them)")
    return [ShotFrame(file, half, features_beside(file)) for file, half in paired.items()]


def missing_numbers(shot: Sequence[ShotFrame]) -> list[int]:
    """Numbers between the first frame and the last that no frame has."""
    numbers = {frame.number for frame in shot if frame.number is not None}
    return sorted(set(range(min(numbers), max(numbers) + 1)) - numbers) if len(numbers) == len(shot) else []


def _files(words: Sequence[str]) -> list[Path]:
    found = [file for word in words for file in _expanded(word)]
    if repeated := next((file for file in found if found.count(file) > 1), None):
        raise UsageError(f"{repeated}: is named twice")
    return found


def _expanded(word: str) -> list[Path]:
    path = Path(word)
    if path.is_dir():
        found = [file for file in path.iterdir() if file.suffix.lower() in SUFFIXES]
        if not found:
            raise UsageError(f"{path}: holds no EXR file")
        return sorted(_frames_among(found), key=_natural)
    if path.exists():
        return [path]
    name = re.escape(path.name)
    name, hashes = re.subn(r"(\\#)+", lambda run: rf"\d{{{len(run[0]) // 2},}}", name)
    name, percents = re.subn(r"%0?(\d*)d", lambda run: rf"\d{{{run[1] or 1},}}", name)
    if hashes or percents:
        matching = [file for file in _folder(path).iterdir() if re.fullmatch(name, file.name)]
    else:
        matching = [Path(file) for file in glob.glob(word)]
    if not matching:
        raise UsageError(f"{word}: no such file")
    return sorted(matching, key=_natural)


def _folder(path: Path) -> Path:
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}")
    return path.parent


def _natural(file: Path) -> list[tuple[int, str]]:
    """Sorts frame 9 before frame 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", file.name) if part]


def _frames_among(files: Iterable[Path]) -> list[Path]:
    """The files of a folder without features of others, and without means of two halves that are there."""
    files = list(files)
    halves = {file for file in files if file.with_stem(file.stem + "A") in files}
    frames = [file for file in files if file not in halves and not _NOT_COLOR & set(_words(file))]
    return frames or files


def _first_halves(files: list[Path]) -> list[Path]:
    """The files without the second halves of others among them."""
    second = {half for file in files if (half := _second_half(file)) is not None}
    return [file for file in files if file not in second]


def _paired(files: list[Path], halves: list[Path]) -> dict[Path, Path | None]:
    """The second half of each file: the one with its number or, if numbers do not tell, the one at its place."""
    by_number = {ShotFrame(half).number: half for half in halves}
    numbers = [ShotFrame(file).number for file in files]
    if len(by_number) == len(halves) and len(set(numbers)) == len(files) and None not in numbers:
        for file, number in zip(files, numbers, strict=True):
            if number not in by_number:
                raise UsageError(f"{file}: no half with the number {number} is there")
        pairs: dict[Path, Path | None] = {file: by_number[n] for file, n in zip(files, numbers, strict=True)}
    elif len(files) == len(halves):
        pairs = dict(zip(files, halves, strict=True))
    else:
        raise UsageError(f"{halves[0]}: {len(halves)} halves for {len(files)} frames")
    if same := next((file for file, half in pairs.items() if half == file), None):
        raise UsageError(f"{same}: is named as its own half")
    return pairs


def _second_half(file: Path) -> Path | None:
    for first, second in HALF_WORDS.items():
        for candidate in _with_word(file, first, second):
            if candidate.exists():
                return candidate
    if file.stem.endswith("A"):
        candidate = file.with_stem(file.stem[:-1] + "B")
        return candidate if candidate.exists() else None
    return None


def features_beside(file: Path) -> dict[str, Path]:
    """The files beside a color file with its features, by role."""
    found = {}
    for feature, words in FEATURE_WORDS.items():
        candidates = (c for old in COLOR_WORDS for new in words for c in _with_word(file, old, new))
        if existing := next((c for c in candidates if c.exists()), None):
            found[feature] = existing
    return found


def _with_word(file: Path, old: str, new: str) -> list[Path]:
    """The files whose names have another word instead of one. A number or an A at the end of the word stays."""
    parts = re.split(r"([._-])", file.stem)
    changed = []
    for index, part in enumerate(parts):
        match = re.fullmatch(rf"{old}(\d*[AB]?)", part)
        if match and (part == old or old in COLOR_WORDS):
            changed.append(file.with_stem("".join([*parts[:index], new + match[1], *parts[index + 1 :]])))
    return changed


def _words(file: Path) -> list[str]:
    return [re.sub(r"\d+[AB]?$", "", part) for part in re.split(r"[._-]", file.stem)]
