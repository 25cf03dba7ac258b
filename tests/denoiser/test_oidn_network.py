"""Open Image Denoise's network in PyTorch gives what the library gives; its weights go to a file and come back."""

import math
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from noisewalk.denoiser import oidn_network, tza
from noisewalk.denoiser.features import tone_map
from noisewalk.denoiser.guide import best_open_image_denoise, open_image_denoise, prefiltered
from noisewalk.denoiser.oidn_network import OidnUNet, exposure, inverse_transfer, library_tensors, transfer
from noisewalk.denoiser.planes import from_planes, to_planes

pytest.importorskip("pyoidn")


def pictures(height: int, width: int, brightness: float = 1.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Color, albedo and normal (H, W, 3): noise with a bright half and fireflies."""
    random = torch.Generator().manual_seed(height * 1000 + width)
    color, albedo, normal = torch.rand(3, height, width, 3, generator=random)
    color[:, width // 2 :] *= 20.0
    color[height // 3, width // 3] = 3000.0
    return color * brightness, albedo, 2.0 * normal - 1.0


def ours(large: bool, *images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        network = OidnUNet.from_tensors(library_tensors(large))
        return from_planes(oidn_network.denoise(network, *map(to_planes, images)))[0]


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("size", [(64, 48), (37, 51), (5, 7)])
@pytest.mark.parametrize("brightness", [1e-3, 1.0, 1e4])
def test_the_network_gives_what_the_library_gives(large, size, brightness):
    images = pictures(*size, brightness)
    theirs = open_image_denoise(*images, clean_aux=large)
    difference = (tone_map(ours(large, *images)) - tone_map(theirs)).abs()
    assert difference.mean() < 1e-5
    assert difference.max() < 1e-2


def test_black_stays_black_as_in_the_library():
    black = torch.zeros(32, 32, 3)
    theirs = open_image_denoise(black, black, black)
    assert torch.allclose(ours(False, black, black, black), theirs, atol=1e-5)


def test_networks_of_other_modes_differ():
    assert (
        oidn_network.difference_from_library(OidnUNet.from_tensors(library_tensors()), clean_aux=True)
        > 100 * oidn_network.SAME
    )


def test_transfer_function_and_its_inverse():
    radiance = torch.logspace(-8, 4.8, 200, dtype=torch.float64)
    assert torch.allclose(inverse_transfer(transfer(radiance)), radiance, rtol=1e-3)
    assert float(transfer(torch.tensor(65504.0))) == pytest.approx(1.0)
    # By hand: 0.18 lies in the logarithmic part.
    assert float(transfer(torch.tensor(0.18, dtype=torch.float64))) == pytest.approx(
        (1.92653254e-01 * math.log(0.18 + 6.26026094e-03) + 9.98620152e-01) * 0.318967163, rel=1e-5
    )


def test_exposure_is_of_the_geometric_mean_of_bins():
    color = torch.ones(1, 3, 32, 48)
    color[..., :16, :16] = 4.0
    color[..., 16:, 32:] = 0.0  # dark bins do not count
    assert float(exposure(color)) == pytest.approx(0.18 / 4.0 ** (1 / 5))
    assert float(exposure(torch.zeros(1, 3, 20, 20))) == 1.0


def test_prefiltering_takes_noise_out_of_features():
    random = torch.Generator().manual_seed(1)
    albedo = torch.full((48, 48, 3), 0.5) + 0.1 * torch.randn(48, 48, 3, generator=random)
    assert prefiltered(albedo, "albedo").std() < 0.3 * albedo.std()
    best = best_open_image_denoise(albedo, albedo, torch.zeros(48, 48, 3))
    assert best.isfinite().all() and (best - 0.5).abs().mean() < (albedo - 0.5).abs().mean()


def test_archives_go_to_a_file_and_come_back(tmp_path):
    tensors = {"a.weight": torch.randn(2, 3, 3, 3), "a.bias": torch.randn(2)}
    tza.write_tza(tmp_path / "a.tza", tensors)
    data = (tmp_path / "a.tza").read_bytes()
    back = tza.read_tza(data)
    assert all(torch.equal(back[name], tensor.half().float()) for name, tensor in tensors.items())
    (found,) = tza.archives_in(b"head" + tza.MAGIC + b"no archive" + data + b"tail")
    assert found.keys() == tensors.keys()
    # Tensors lie on 64-byte boundaries, the first one right behind the header.
    assert np.frombuffer(data, "<f2", 54, 64) == pytest.approx(tensors["a.weight"].half().numpy().ravel())


@pytest.mark.parametrize("cut", [3, 12, 100, -1])
def test_damaged_archives_are_named_as_such(tmp_path, cut):
    tza.write_tza(tmp_path / "a.tza", {"a.weight": torch.randn(2, 3, 3, 3)})
    with pytest.raises(tza.ArchiveError, match="archive"):
        tza.read_tza((tmp_path / "a.tza").read_bytes()[:cut])
    with pytest.raises(tza.ArchiveError, match="damaged"):
        tza.read_tza(tza.MAGIC + struct.pack("<Q", 2**60))


def test_the_library_itself_runs_weights_that_we_write(tmp_path):
    """Changed weights, given back to Open Image Denoise's own command."""
    folder = oidn_network.library_file().parents[1]
    program = folder / "bin" / "oidnDenoise"
    if not program.exists():
        pytest.skip("the package has no oidnDenoise here")
    tensors = {name: tensor * 1.01 for name, tensor in library_tensors().items()}
    tza.write_tza(tmp_path / "w.tza", tensors)
    images = pictures(32, 48)
    for name, image in zip(("hdr", "alb", "nrm"), images, strict=True):
        write_pfm(tmp_path / f"{name}.pfm", image)
    inputs = [part for name in ("hdr", "alb", "nrm") for part in (f"--{name}", str(tmp_path / f"{name}.pfm"))]
    command = [str(program), *inputs, "-w", str(tmp_path / "w.tza"), "-o", str(tmp_path / "out.pfm"), "-d", "cpu"]
    # Wheels lose the executable bit of programs: the loader starts them.
    environment = {"LD_LIBRARY_PATH": str(folder / "lib")}
    program.stat()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    halved = {name: tensor.half().float() for name, tensor in tensors.items()}
    with torch.no_grad():
        expected = from_planes(oidn_network.denoise(OidnUNet.from_tensors(halved), *map(to_planes, images)))[0]
    assert (tone_map(read_pfm(tmp_path / "out.pfm")) - tone_map(expected)).abs().mean() < 1e-5


def write_pfm(file: Path, image: torch.Tensor) -> None:
    height, width = image.shape[:2]
    file.write_bytes(f"PF\n{width} {height}\n-1.0\n".encode() + image.flip(0).contiguous().numpy().tobytes())


def read_pfm(file: Path) -> torch.Tensor:
    _, size, _, data = file.read_bytes().split(b"\n", 3)
    width, height = map(int, size.split())
    return torch.from_numpy(np.frombuffer(data, "<f4").reshape(height, width, 3).copy()).flip(0)
