"""Damaged files that abort the whole program inside Mitsuba are found before it reads them, and named.

Of the formats that Mitsuba reads, two do that. An EXR that cannot be decoded ends a worker thread of its library. A PLY
with a vertex index beyond the last vertex is read past the end of the memory. The others raise errors.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from noisewalk.renderer.bundled import SceneError
from noisewalk.renderer.exr import MAGIC, ExrError, read_exr

_NAMES = {
    "i1": ("char", "int8"),
    "u1": ("uchar", "uint8"),
    "i2": ("short", "int16"),
    "u2": ("ushort", "uint16"),
    "i4": ("int", "int32"),
    "u4": ("uint", "uint32"),
    "f2": ("float16",),
    "f4": ("float", "float32"),
    "f8": ("double", "float64"),
}
_PLY_TYPES = {name: kind for kind, names in _NAMES.items() for name in names}
_PLY_HEADER = re.compile(rb"ply\s.*?\nend_header\r?\n", re.DOTALL)
_ELEMENT = re.compile(r"element\s+(\w+)\s+(\d+)\s((?:(?!element).)*)", re.DOTALL)
_PROPERTY = re.compile(r"^property\s+(?:list\s+(\w+)\s+)?(\w+)\s+(\w+)\s*$", re.MULTILINE)


def refuse_damaged(scene_file: Path, file: Path) -> None:
    """Raises SceneError if `file`, which `scene_file` names, would abort Mitsuba. Files of other formats pass."""
    try:
        with open(file, "rb") as stream:
            start = stream.read(len(MAGIC))
        if start == MAGIC:
            read_exr(file)
    except (ExrError, OSError) as error:
        raise SceneError(f"{scene_file}: {error}") from error
    if start.startswith(b"ply"):
        _refuse_missing_vertices(scene_file, file)


def _refuse_missing_vertices(scene_file: Path, file: Path) -> None:
    whole = file.read_bytes()
    header = _PLY_HEADER.match(whole)
    if not header:
        return
    try:
        vertices, triangles = _vertices_and_triangles(whole, header[0].decode("latin-1"))
    except (ValueError, LookupError, TypeError):
        return  # Mitsuba says what is wrong
    if triangles.size and not 0 <= triangles.min() <= triangles.max() < vertices:
        wrong = min(triangles.min(), 0) or triangles.max()
        raise SceneError(f"{scene_file}: {file}: damaged: a face names vertex {wrong:.0f}, and there are {vertices}")


def _vertices_and_triangles(whole: bytes, header: str) -> tuple[int, np.ndarray]:
    """The number of vertices, and the vertex indices of all triangles, (triangles, 3), read as Mitsuba does.

    Raises ValueError, LookupError or TypeError where the file is not of this kind or too short.
    """
    body, place, byte_order = whole, len(header), ">" if "binary_big_endian" in header else "<"
    if is_text := "format ascii" in header:
        body, place = np.array(whole[place:].split(), np.float64).tobytes(), 0
    rows: dict[str, Any] = {}
    for element, count, properties in _ELEMENT.findall(header):
        row = _row(properties, "" if is_text else byte_order)
        rows[element] = np.frombuffer(body, row, int(count), place) if int(count) else np.zeros(0, row)
        place += rows[element].nbytes
    faces = rows["face"]
    newer = "vertex_indices" in (faces.dtype.names or ())
    return len(rows["vertex"]), faces["vertex_indices" if newer else "vertex_index"]


def _row(properties: str, byte_order: str) -> np.dtype:
    """The type of one row of an element. Without a byte order it is text, read as float64."""
    fields: list[Any] = []
    for length_kind, kind, name in _PROPERTY.findall(properties):
        own, length = ((byte_order + _PLY_TYPES[one]) if byte_order else "f8" for one in (kind, length_kind or kind))
        fields += [(f"{name} length", length), (name, own, (3,))] if length_kind else [(name, own)]
    return np.dtype(fields)  # lists have three members: Mitsuba takes triangles only
