"""Layers by their names, files by theirs."""

from __future__ import annotations

from pathlib import Path

import pytest

from noisewalk.app.denoise.layers import find_roles, parse_choice
from noisewalk.app.denoise.sequence import ShotFrame, find_shot, missing_numbers
from noisewalk.app.errors import UsageError


def rgb(*names: str) -> list[str]:
    return [f"{name}.{component}" if name else component for name in names for component in "RGB"]


@pytest.mark.parametrize(
    ("channels", "choice", "expected"),
    [
        (rgb("", "albedo"), "", "color: RGB, albedo: albedo"),
        (rgb("", "albedo"), "albedo=none", "color: RGB"),
        (rgb("", "albedo", "tint"), "albedo=tint", "color: RGB, albedo: tint"),
        (rgb("path"), "", "color: path"),
        (rgb("A.Combined", "B.Combined"), "color=B.Combined", "color: B.Combined"),
        (["Y"], "", "color: RGB"),
        (rgb("S.Noisy Image", "S.Combined"), "", "color: S.Noisy Image (into S.Combined)"),
        (rgb("S.Noisy Image"), "", "color: S.Noisy Image"),
        ([*rgb(""), "N.X", "N.Y", "N.Z", "Ns.X", "Ns.Y", "Ns.Z", "Z"], "", "color: RGB, normal: Ns, depth: Z"),
        (["Depth.Z", *rgb("RGBA"), "u.X", "u.Y"], "", "color: RGBA, depth: Depth"),
    ],
)
def test_layers_are_found_by_name(channels: list[str], choice: str, expected: str) -> None:
    assert str(find_roles("x.exr", channels, parse_choice(choice) if choice else {})) == expected


@pytest.mark.parametrize(
    ("channels", "choice", "cause"),
    [
        (rgb("A.Combined", "B.Combined"), {}, "A.Combined and B.Combined could both be color"),
        (rgb("x", "y"), {}, "which layer is the color"),
        (["Z"], {}, "which layer is the color"),
        (rgb(""), {"albedo": "tint"}, "no layer is called 'tint'"),
        (["R", "G"], {}, "which layer is the color"),
    ],
)
def test_what_is_not_clear_is_asked(channels: list[str], choice: dict[str, str], cause: str) -> None:
    with pytest.raises(UsageError, match=cause):
        find_roles("x.exr", channels, choice)


def test_of_several_views_one_must_be_chosen() -> None:
    channels = rgb("left", "right")
    with pytest.raises(UsageError, match="has the views left, right"):
        find_roles("x.exr", channels, {}, ["left", "right"])
    assert find_roles("x.exr", channels, {"color": "left"}, ["left", "right"]).color.name == "left"


def test_a_choice_names_what_it_is_for() -> None:
    with pytest.raises(UsageError, match="needs ROLE=NAME"):
        parse_choice("colour=x")


def found(folder: Path, names: str, *frames: str, half: tuple[str, ...] = ()) -> list[tuple[str, str | None]]:
    for name in names.split():
        (folder / name).touch()
    shot = find_shot([str(folder / frame) for frame in frames], [str(folder / one) for one in half])
    return [(frame.file.name, frame.half.name if frame.half else None) for frame in shot]


def test_frames_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    names = "s.9.exr s.10.exr s.notes.txt s.100.exr"
    assert [name for name, _ in found(tmp_path, names, "")] == ["s.9.exr", "s.10.exr", "s.100.exr"]
    assert [name for name, _ in found(tmp_path, "", "s.%d.exr")] == ["s.9.exr", "s.10.exr", "s.100.exr"]
    assert [name for name, _ in found(tmp_path, "", "s.##.exr")] == ["s.10.exr", "s.100.exr"]
    assert [name for name, _ in found(tmp_path, "", "s.100.exr", "s.?.exr")] == ["s.100.exr", "s.9.exr"]


@pytest.mark.parametrize(
    ("names", "frames", "half", "expected"),
    [
        ("a_1.exr b_1.exr a_2.exr b_2.exr", "", (), [("a_1.exr", "b_1.exr"), ("a_2.exr", "b_2.exr")]),
        ("x.h0.1.exr x.h1.1.exr", "x.h0.*.exr", (), [("x.h0.1.exr", "x.h1.1.exr")]),
        ("half1-3.exr half2-3.exr", "", (), [("half1-3.exr", "half2-3.exr")]),
        ("cA.exr cB.exr c.exr", "", (), [("cA.exr", "cB.exr")]),
        ("p2.exr p1.exr q1.exr q2.exr", "p#.exr", ("q#.exr",), [("p1.exr", "q1.exr"), ("p2.exr", "q2.exr")]),
        ("one.exr two.exr", "one.exr", ("two.exr",), [("one.exr", "two.exr")]),
        ("alpha_1.exr beta_1.exr", "", (), [("alpha_1.exr", None), ("beta_1.exr", None)]),
    ],
)
def test_second_halves_are_found(
    tmp_path: Path, names: str, frames: str, half: tuple[str, ...], expected: list[tuple[str, str]]
) -> None:
    assert found(tmp_path, names, frames, half=half) == expected


@pytest.mark.parametrize(
    ("names", "frames", "half", "cause"),
    [
        ("", "", (), "holds no EXR file"),
        ("", "x.exr", (), "no such file"),
        ("", "x.##.exr", (), "no such file"),
        ("", "nowhere/x.##.exr", (), "there is no folder"),
        ("a_1.exr b_1.exr a_2.exr", "", (), "a_2.exr: has no second half"),
        ("p1.exr p2.exr q1.exr", "p#.exr", ("q#.exr",), "p2.exr: no half with the number 2"),
        ("p.exr q.exr r.exr", "p.exr", ("q.exr", "r.exr"), "2 halves for 1 frames"),
        ("p.exr", "p.exr", ("p.exr",), "its own half"),
    ],
)
def test_shots_with_something_missing_are_refused(
    tmp_path: Path, names: str, frames: str, half: tuple[str, ...], cause: str
) -> None:
    with pytest.raises(UsageError, match=cause):
        found(tmp_path, names, frames, half=half)


def test_features_may_lie_in_files_beside_the_color(tmp_path: Path) -> None:
    for name in ["color_01.exr", "color2_01.exr", "albedo_01.exr", "normal_01.exr", "mvec_01.exr", "ref_01.exr"]:
        (tmp_path / name).touch()
    (frame,) = find_shot([str(tmp_path)], None)
    assert frame.half == tmp_path / "color2_01.exr"
    assert {name: file.name for name, file in frame.features.items()} == {
        "albedo": "albedo_01.exr",
        "normal": "normal_01.exr",
        "motion": "mvec_01.exr",
    }


def test_gaps_in_the_numbers_are_seen() -> None:
    numbered = [ShotFrame(Path(f"s.{number:03d}.exr")) for number in (7, 8, 11)]
    assert missing_numbers(numbered) == [9, 10]
    assert missing_numbers([ShotFrame(Path("still.exr"))]) == []
