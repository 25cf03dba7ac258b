"""Plots and pictures side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from noisewalk.app.pictures import write_psnr_plot


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("title", ["厨房", "キッチン 주방", "$x^{", "$a$ 50%", "🍳", "two\nlines", "\x07"])
def test_a_plot_takes_any_title_without_a_word(
    title: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    write_psnr_plot(tmp_path / "psnr.png", {"denoised": [(0, 20.0), (1, 21.0)]}, title)
    assert (tmp_path / "psnr.png").read_bytes().startswith(b"\x89PNG")
    assert capfd.readouterr() == ("", "") and not caplog.records
