"""Files that a scene needs are found as Mitsuba finds them, and are in the hash. Messages are single lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noisewalk.renderer.backend import Backend
from noisewalk.renderer.bundled import SceneError
from noisewalk.renderer.scene import open_scene

XML = """<scene version="3.0.0">
  <path value="sub"/>
  <integrator type="path"/>
  <sensor type="perspective"><float name="fov" value="60"/>
    <transform name="to_world"><lookat origin="0, 0, 4" target="0, 0, 0" up="0, 1, 0"/></transform>
    <film type="hdrfilm"><integer name="width" value="8"/><integer name="height" value="8"/></film></sensor>
  BODY
</scene>"""
BITMAP = '<texture name="{}" type="bitmap"><string name="filename" value="{}"/>{}</texture>'
DIFFUSE = '<bsdf type="diffuse">{}</bsdf>'
TRILINEAR = '<string name="filter_type" value="trilinear"/>'
ENVMAP = '<emitter type="envmap"><string name="filename" value="sky.exr"/></emitter>'
DEPENDENT = f"""<include filename="included.xml"/>
  <emitter type="point"><spectrum name="intensity" filename="lamp.spd"/></emitter>
  {ENVMAP}
  <shape type="obj"><string name="filename" value="mesh.obj"/><bsdf type="blendbsdf">
    {BITMAP.format("weight", "both.png", "")}
    <bsdf type="conductor"><string name="material" value="ours"/></bsdf>
    <bsdf type="plastic">{BITMAP.format("diffuse_reflectance", "nested.png", "")}</bsdf></bsdf></shape>
  <shape type="cube"><bsdf type="null"/><medium name="interior" type="heterogeneous">
    <volume name="sigma_t" type="gridvolume"><string name="filename" value="fog.vol"/></volume></medium></shape>"""


def write_numbers(file: Path, value: float) -> None:
    import mitsuba as mi

    if file.suffix == ".exr":
        mi.Bitmap(np.full((4, 8, 3), value, np.float32)).write(str(file))
    else:
        mi.VolumeGrid(np.full((2, 2, 2, 1), value, np.float32)).write(str(file))


def scene_folder(folder: Path, body: str) -> Path:
    """A scene that needs one file of each kind, in its own folder and in `sub`."""
    (folder / "sub").mkdir(parents=True)
    (folder / "data" / "ior").mkdir(parents=True)
    for name in ("both.png", "sub/both.png", "sub/nested.png", "sub/deep.png"):
        Image.new("RGB", (4, 4), (200, 100, 50)).save(folder / name)
    for name in ("lamp.spd", "data/ior/ours.eta.spd", "data/ior/ours.k.spd"):
        (folder / name).write_text("400 1\n500 1.2\n700 2\n")
    (folder / "sub" / "mesh.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1/1 2/1 3/1\n")
    write_numbers(folder / "sky.exr", 1)
    write_numbers(folder / "sub" / "fog.vol", 1)
    included = f'<shape type="sphere">{DIFFUSE.format(BITMAP.format("reflectance", "deep.png", ""))}</shape>'
    (folder / "sub" / "included.xml").write_text(f'<scene version="3.0.0">{included}</scene>')
    (folder / "main.xml").write_text(XML.replace("BODY", body))
    return folder / "main.xml"


def changed(file: Path) -> None:
    if file.suffix == ".png":
        Image.new("RGB", (4, 4), (1, 2, 3)).save(file)
    elif file.suffix in (".exr", ".vol"):
        write_numbers(file, 2)
    else:
        file.write_text(file.read_text().replace("1", "1.5", 1) if file.suffix != ".xml" else file.read_text() + "\n")


def test_every_file_is_found_and_decides_the_hash(
    tmp_path: Path, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = scene_folder(tmp_path / "scene", DEPENDENT)
    monkeypatch.chdir(tmp_path)
    before = open_scene("scene/main.xml", backend.variant)
    assert open_scene(str(file), backend.variant).content_hash == before.content_hash
    same = []
    for dependency in sorted(file.parent.rglob("*.*")):
        kept = dependency.read_bytes()
        changed(dependency)
        assert dependency.read_bytes() != kept
        if open_scene(str(file), backend.variant).content_hash == before.content_hash:
            same.append(str(dependency.relative_to(file.parent)))
        dependency.write_bytes(kept)
    assert same == ["both.png"]  # the one in the <path> is found first
    assert open_scene(str(file), backend.variant).content_hash == before.content_hash


def test_what_is_found_is_what_mitsuba_finds(tmp_path: Path, backend: Backend) -> None:
    import mitsuba as mi

    file = scene_folder(tmp_path / "scene", DEPENDENT)
    bare = mi.load_file(str(file))
    resolver = mi.file_resolver()  # type: ignore[operator]
    folders = [str(resolver[index]) for index in range(len(resolver))]
    scene = open_scene(str(file), backend.variant)
    pictures = [np.array(mi.render(opened, spp=64, seed=3)) for opened in (bare, scene.mi_scene)]
    assert np.abs(pictures[0].mean() - pictures[1].mean()) < 0.05 * pictures[0].mean()
    assert [str(resolver[index]) for index in range(len(resolver))] == folders


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('<shape type="obj"><string name="filename" value="no.obj"/></shape>', "obj file not found: no.obj"),
        (DIFFUSE.format(BITMAP.format("reflectance", "no.png", "")), "bitmap file not found: no.png"),
        ('<emitter type="constant"><spectrum name="radiance" filename="no.spd"/></emitter>', "no.spd"),
        ('<include filename="no.xml"/>', "no.xml"),
        ('<path value="nowhere"/>', "nowhere"),
        (DIFFUSE.format('<rgb name="reflectance" value="#ffff6a"/>'), 'write <rgb value="1 1 0.1441"/>'),
        (DIFFUSE.format(BITMAP.format("reflectance", "both.png", TRILINEAR)), 'write "bilinear"'),
        ('<emitter type="constant"><srgb name="radiance" value="1 1 1"/></emitter>', "write <rgb"),
        ('<emitter type="constant"><blackbody name="radiance" temperature="5000"/></emitter>', "blackbody"),
        ('<emitter type="sky"/>', 'write "sunsky"'),
        (
            '<shape type="cube"><bsdf type="roughplastic"><string name="distribution" value="phong"/></bsdf></shape>',
            'write "beckmann" or "ggx"',
        ),
    ],
)
def test_what_cannot_be_opened_is_said_in_one_line(tmp_path: Path, backend: Backend, body: str, said: str) -> None:
    file = scene_folder(tmp_path / "scene", body)
    with pytest.raises(SceneError) as raised:
        open_scene(str(file), backend.variant)
    text = str(raised.value)
    assert said in text and str(file) in text and "\n" not in text


def test_properties_that_mitsuba_does_not_know_are_left_out_and_said_once(
    tmp_path: Path, backend: Backend, capfd: pytest.CaptureFixture[str]
) -> None:
    ball = '<shape type="sphere"><bsdf type="plastic"><float name="ext_eta" value="1"/></bsdf></shape>'
    sun = '<emitter type="sunsky"><float name="sun_radius_scale" value="2"/></emitter>'
    body = 5 * ball + sun
    file = scene_folder(tmp_path / "scene", body)
    xml = file.read_text().replace('type="path"/>', 'type="path"><boolean name="fancy" value="true"/></integrator>')
    file.write_text(xml)
    warnings = open_scene(str(file), backend.variant).warnings
    assert len(warnings) == 3 and all(str(file) in line and "\n" not in line for line in warnings)
    by_name = {name: line for line in warnings for name in ("ext_eta", "sun_radius_scale", "fancy") if name in line}
    assert "bsdf 'plastic' does not know 'ext_eta': left out (and 4 times more)" in by_name["ext_eta"]
    assert "sun_aperture" in by_name["sun_radius_scale"] and "integrator 'path'" in by_name["fancy"]
    assert "".join(capfd.readouterr()) == ""
    known = scene_folder(tmp_path / "known", body.replace('<float name="ext_eta" value="1"/>', ""))
    assert len(open_scene(str(known), backend.variant).warnings) == 1


def opened_or_named(file: Path, damaged: Path, variant: str) -> bool:
    """Whether the scene opens. If it does not, the message is one line that names the scene and the damaged file."""
    try:
        open_scene(str(file), variant)
    except SceneError as error:
        assert str(file) in str(error) and damaged.name in str(error) and "\n" not in str(error)
        return False
    return True


@pytest.mark.parametrize("kept", [0.0, 0.02, 0.3, 0.9, 0.999])
def test_an_exr_that_is_cut_short_is_named(tmp_path: Path, backend: Backend, kept: float) -> None:
    file = tmp_path / "main.xml"
    file.write_text(XML.replace("BODY", ENVMAP).replace('<path value="sub"/>', ""))
    write_numbers(tmp_path / "sky.exr", 1)
    whole = (tmp_path / "sky.exr").read_bytes()
    assert opened_or_named(file, tmp_path / "sky.exr", backend.variant)
    (tmp_path / "sky.exr").write_bytes(whole[: int(kept * len(whole))])
    # Read by Mitsuba, such files abort the program, though not every time.
    assert not any(opened_or_named(file, tmp_path / "sky.exr", backend.variant) for _ in range(10))


PLY = """ply
format {} 1.0
comment two triangles
element vertex 4
property float x
property float y
property float z
element face 2
property list uchar int vertex_indices
end_header
"""


@pytest.mark.parametrize("form", ["ascii", "binary_little_endian", "binary_big_endian"])
@pytest.mark.parametrize(("last", "opens"), [(3, True), (4, False), (999_999_999, False), (-1, False)])
def test_a_face_without_its_vertices_is_named(
    tmp_path: Path, backend: Backend, form: str, last: int, opens: bool
) -> None:
    file = tmp_path / "main.xml"
    ply = '<shape type="ply"><string name="filename" value="mesh.ply"/></shape>'
    file.write_text(XML.replace("BODY", ply).replace('<path value="sub"/>', ""))
    corners, faces = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)], [(0, 1, 2), (0, 2, last)]
    if form == "ascii":
        rows = [" ".join(map(str, row)) for row in (*corners, *((3, *face) for face in faces))]
        body = ("\n".join(rows) + "\n").encode()
    else:
        order = ">" if "big" in form else "<"
        triangles = np.array([(3, face) for face in faces], [("length", "u1"), ("face", f"{order}i4", 3)])
        body = np.array(corners, f"{order}f4").tobytes() + triangles.tobytes()
    (tmp_path / "mesh.ply").write_bytes(PLY.format(form).encode() + body)
    assert opened_or_named(file, tmp_path / "mesh.ply", backend.variant) == opens


def test_bytes_that_are_wrong_anywhere_in_a_mesh_never_end_the_program(tmp_path: Path, backend: Backend) -> None:
    file = tmp_path / "main.xml"
    ply = '<shape type="ply"><string name="filename" value="mesh.ply"/></shape>'
    file.write_text(XML.replace("BODY", ply).replace('<path value="sub"/>', ""))
    grid = np.arange(1200, dtype="<f4").reshape(400, 3) % 7
    triangles = np.zeros(500, [("length", "u1"), ("face", "<i4", 3)])
    triangles["length"], triangles["face"] = 3, np.arange(1500).reshape(500, 3) % 400
    header = PLY.format("binary_little_endian").replace("vertex 4", "vertex 400").replace("face 2", "face 500")
    whole = header.encode() + grid.tobytes() + triangles.tobytes()
    generator = np.random.default_rng(0)
    opened = 0
    for _ in range(60):
        damaged = np.frombuffer(whole, np.uint8).copy()
        places = generator.integers(0, generator.choice([len(header), len(whole)]), generator.choice([1, 3, 10]))
        damaged[places] = generator.integers(0, 256, len(places))
        (tmp_path / "mesh.ply").write_bytes(damaged.tobytes())
        opened += opened_or_named(file, tmp_path / "mesh.ply", backend.variant)
    assert 0 < opened < 60
