"""The network is that of the paper."""

from __future__ import annotations

import pytest
import torch

from noisewalk.denoiser.unet import UNet


def test_parameter_count_is_the_papers() -> None:
    assert sum(p.numel() for p in UNet(9).parameters()) == 997_251


def test_layers_are_the_papers() -> None:
    shapes = {name.removesuffix(".weight"): tuple(p.shape) for name, p in UNet(9).named_parameters() if p.dim() == 4}
    encoder = {"enc_conv0": (48, 9, 3, 3)} | {f"enc_conv{i}": (48, 48, 3, 3) for i in range(1, 7)}
    decoder = {"dec_conv5a": (96, 96, 3, 3), "dec_conv5b": (96, 96, 3, 3)}
    for level in (4, 3, 2):
        decoder |= {f"dec_conv{level}a": (96, 144, 3, 3), f"dec_conv{level}b": (96, 96, 3, 3)}
    last = {"dec_conv1a": (64, 105, 3, 3), "dec_conv1b": (32, 64, 3, 3), "dec_conv1c": (3, 32, 3, 3)}
    assert shapes == encoder | decoder | last


def test_a_narrow_network_has_the_papers_proportions() -> None:
    wide, narrow = ([p for p in UNet(9, features=n).parameters() if p.dim() == 1] for n in (48, 12))
    assert [4 * len(bias) for bias in narrow[:-1]] == [len(bias) for bias in wide[:-1]]


def test_activations_shrink_to_a_thirty_second_and_come_back() -> None:
    network, seen = UNet(9), {}
    for name, layer in network.named_children():
        layer.register_forward_hook(lambda _, __, out, name=name: seen.update({name: tuple(out.shape[1:])}))
    network(torch.zeros(1, 9, 64, 96))
    assert seen["enc_conv1"] == (48, 64, 96) and seen["enc_conv5"] == (48, 4, 6) and seen["enc_conv6"] == (48, 2, 3)
    assert seen["dec_conv5b"] == (96, 4, 6) and seen["dec_conv2b"] == (96, 32, 48) and seen["dec_conv1c"] == (3, 64, 96)


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (32, 64), (33, 31), (257, 129)])
def test_any_frame_size_goes_in_and_comes_out(size: tuple[int, int]) -> None:
    out = UNet(9)(torch.rand(2, 9, *size))
    assert out.shape == (2, 3, *size) and out.isfinite().all()


def test_padding_does_not_change_frames_that_need_none() -> None:
    torch.manual_seed(0)
    network, image = UNet(9), torch.rand(1, 9, 64, 64)
    bigger = torch.nn.functional.pad(image, (0, 32, 0, 32), mode="replicate")
    cut = torch.nn.functional.pad(image[..., :50, :50], (0, 14, 0, 14), mode="replicate")
    torch.testing.assert_close(network(image[..., :50, :50]), network(cut)[..., :50, :50])
    assert not torch.equal(network(bigger)[..., :64, :64], network(image))


def test_he_initialisation_keeps_the_signal() -> None:
    torch.manual_seed(0)
    network = UNet(9)
    weight = network.dec_conv3b.weight
    assert weight.std().item() == pytest.approx((2 / (1 + 0.1**2) / (96 * 9)) ** 0.5, rel=0.02)
    assert all((p == 0).all() for name, p in network.named_parameters() if name.endswith("bias"))
