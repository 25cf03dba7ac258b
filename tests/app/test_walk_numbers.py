"""What a walk's rows come to."""

from __future__ import annotations

from typing import Any

from noisewalk.app.walk.numbers import EMPTY, STAGES, decibels, numbers_of, psnr_curves, summary


def row(frame: int, **measured: float) -> dict[str, str]:
    names = (*EMPTY, "noise_floor", "psnr_estimate", "psnr_at_least")
    known: dict[str, Any] = {"frame": frame, "skipped_steps": 1} | {f"{stage}_ms": 10.0 for stage in STAGES}
    return {name: str(value) for name, value in (dict.fromkeys(names, "") | known | measured).items()}


def measured(frame: int, corrected: float, floor: float, **more: float) -> dict[str, str]:
    noisy = {"psnr_noisy": 18.0, "psnr_noisy_corrected": 18.5, "psnr_shown": corrected - 1}
    return row(
        frame,
        **noisy,
        psnr_shown_corrected=corrected,
        noise_floor=floor,
        psnr_estimate=26.0,
        psnr_at_least=22.0,
        **more,
    )


def test_a_bound_is_marked_and_left_out_of_means() -> None:
    rows = [measured(0, 25.0, 30.0), row(1), measured(2, 35.0, 30.0)]
    numbers = numbers_of(rows)
    assert numbers["estimate_minus_psnr_db"] == 1.0 and numbers["skipped_steps"] == 3
    told = summary({"run": "r", "state": "complete"} | numbers)
    assert "denoised > 35.00 dB, noisy average 18.50 dB, estimated: at least 22.00 dB" in told
    assert "good to 30.0 dB, noisier than the denoised picture" in told
    assert psnr_curves(rows)["denoised, at least"] == [(0, 25.0), (2, 35.0)]
    assert decibels(rows[0]) == "denoised 25.00 dB, noisy average 18.50 dB, estimated: at least 22.00 dB"
    assert "noisier" not in summary({"run": "r", "state": "complete"} | numbers_of(rows[:2]))


def test_both_targets_have_their_means() -> None:
    twin = {"psnr_clean_targets": 24.0, "psnr_clean_targets_corrected": 24.5}
    rows = [measured(0, 25.0, 30.0, **twin), measured(1, 35.0, 30.0, **twin)]
    mean = numbers_of(rows)["mean_of_last_measured"]
    assert mean["psnr_shown_corrected"] == 25.0 and mean["psnr_clean_targets"] == 24.0 and mean["frames"] == 2
    assert "mean of the last 2 frames: noisy targets 25.00 dB" in summary({"run": "r", "state": "x"} | numbers_of(rows))


def test_a_walk_that_measured_nothing_says_so() -> None:
    numbers = numbers_of([])
    assert numbers["last_measured"] is None and numbers["median_ms"]["render"] is None
    assert summary({"run": "r", "state": "interrupted"} | numbers).endswith("goes on from here")
    assert psnr_curves([row(0)]) == {}
