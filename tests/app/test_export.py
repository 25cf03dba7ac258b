"""`noisewalk export`: weights for other programs."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from noisewalk.app.__main__ import main
from noisewalk.app.denoise.pfm import read_pfm
from noisewalk.denoiser.features import tone_map
from noisewalk.denoiser.online import OnlineDenoiser
from noisewalk.denoiser.onnx_file import INPUTS
from noisewalk.denoiser.precision import full_precision
from noisewalk.denoiser.trainer import TrainingSettings
from noisewalk.renderer.frame import Frame, NoisyPair


def noise(height: int, width: int) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(height)
    return [3.0 * torch.rand(height, width, 3, generator=random) ** 2 for _ in range(3)]


@pytest.mark.parametrize("model", ["kernel", "adaptive-oidn"])
def test_onnx_gives_what_we_give_at_any_size(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with OnlineDenoiser(TrainingSettings(model, iterations=2), "cpu", "lockstep") as denoiser:
        frame = Frame(*noise(40, 48))
        denoiser.submit(denoiser.prepare(NoisyPair(frame, Frame(*noise(40, 48)[::-1]))))
        denoiser.save(tmp_path / "weights.safetensors", {"scene": "noise"})
        assert main(["export", str(tmp_path), "-o", str(tmp_path / "scene.onnx")]) == 0
        said = capsys.readouterr().err
        assert "opset 17" in said and "not in it" in said
        session = onnxruntime.InferenceSession(tmp_path / "scene.onnx", providers=["CPUExecutionProvider"])
        for height, width in ((40, 48), (33, 57), (1, 2)):
            images = noise(height, width)
            planes = dict(zip(INPUTS, (image.permute(2, 0, 1)[None].numpy() for image in images), strict=True))
            (theirs,) = session.run(None, planes)
            frame = Frame(*images)
            with full_precision():
                ours = denoiser.denoise(denoiser.prepare(NoisyPair(frame, frame), remember=False))
            np.testing.assert_allclose(theirs[0].transpose(1, 2, 0), ours.numpy(), rtol=1e-3, atol=1e-4)
    properties = {one.key: one.value for one in onnx.load(tmp_path / "scene.onnx").metadata_props}
    assert json.loads(properties["noisewalk"])["scene"] == "noise"


def test_a_weights_file_says_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with OnlineDenoiser(TrainingSettings("paper"), "cpu", "lockstep") as denoiser:
        denoiser.save(tmp_path / "w.safetensors", {"scene": "kitchen", "scene_hash": "abc"})
    assert main(["export", "--about", str(tmp_path / "w.safetensors"), "--json"]) == 0
    known = json.loads(capsys.readouterr().out)
    assert known["model"] == "paper" and known["scene"] == "kitchen" and known["steps"] == 0 and known["licence"]
    assert len(known["sha256"]) == 64
    assert main(["export", "--about", str(tmp_path / "w.safetensors")]) == 0
    assert ["scene", "kitchen"] in [line.split() for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (["export"], "needs RUN and -o FILE"),
        (["export", "nowhere", "-o", "w.onnx"], "nowhere: no such file"),
        (["export", "nowhere", "-o", "w.pt"], "w.pt: can be .safetensors, .onnx, .tza"),
        (["export", "--about", "nowhere"], "nowhere: no such file"),
    ],
)
def test_what_cannot_be_exported_is_one_line(words: list[str], cause: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    printed = capsys.readouterr().err
    assert cause in printed and printed.count("\n") == 1


def write_pfm(file: Path, image: torch.Tensor) -> None:
    height, width = image.shape[:2]
    file.write_bytes(f"PF\n{width} {height}\n-1.0\n".encode() + image.flip(0).contiguous().numpy().tobytes())


def test_open_image_denoise_runs_what_was_learned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its own program, with our weights, makes the same picture; with its own weights, another one."""
    import pyoidn

    library = Path(pyoidn.__file__).parent / "oidn"
    program = library / "bin" / "oidnDenoise"
    color, albedo, normal = noise(40, 56)
    frame = Frame(color, albedo.clamp(0, 1), normal.clamp(0, 1))
    for name, image in (("c", frame.color), ("a", frame.albedo), ("n", frame.normal)):
        write_pfm(tmp_path / f"{name}.pfm", image)
    settings = TrainingSettings("adaptive-oidn", iterations=4, learning_rate=1e-3)
    with OnlineDenoiser(settings, "cpu", "lockstep") as denoiser, full_precision():
        prepared = denoiser.prepare(NoisyPair(frame, replace(frame, color=color.flip(0))), remember=False)
        denoiser.submit(prepared)
        denoiser.save(tmp_path / "weights.safetensors", {"scene": "noise"})
        ours = denoiser.denoise(denoiser.prepare(NoisyPair(frame, frame), remember=False))
    assert main(["export", str(tmp_path), "-o", str(tmp_path / "scene.tza")]) == 0
    assert "history is not in it" in capsys.readouterr().err
    pictures = []
    for weights in (["-w", tmp_path / "scene.tza"], []):
        files = ("--hdr", "c.pfm", "--alb", "a.pfm", "--nrm", "n.pfm", "-o", "out.pfm")
        environment = os.environ | {"LD_LIBRARY_PATH": str(library / "lib")}
        subprocess.run([program, *files, *weights], cwd=tmp_path, env=environment, check=True, capture_output=True)
        pictures.append(read_pfm(tmp_path / "out.pfm").channels)
    theirs, untrained = (torch.from_numpy(np.stack([one[c] for c in "RGB"], axis=-1)) for one in pictures)
    difference = (tone_map(theirs) - tone_map(ours)).abs()
    print(f"largest {difference.max():.2g}, mean {difference.mean():.2g}")
    # Weights in the archive are float16.
    assert difference.max() < 0.01 and difference.mean() < 0.1 * (tone_map(untrained) - tone_map(ours)).abs().mean()
