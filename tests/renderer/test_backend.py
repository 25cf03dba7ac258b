"""What a proof of LLVM leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from noisewalk.renderer import backend as module
from noisewalk.renderer.backend import Backend, BackendError, choose_backend, survey


def test_a_proof_that_a_busy_machine_cut_short_is_tried_again(
    llvm_backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRJIT_LIBLLVM_PATH", llvm_backend.llvm)
    monkeypatch.setattr(module, "find_llvm", lambda: [llvm_backend.llvm])
    with monkeypatch.context() as busy:
        busy.setattr(module, "PROBE_SECONDS", 0.01)
        with pytest.raises(BackendError, match="no picture after"):
            choose_backend("llvm_ad_rgb", tmp_path)
    assert choose_backend("llvm_ad_rgb", tmp_path).llvm == llvm_backend.llvm
    with monkeypatch.context() as busy:
        busy.setattr(module, "PROBE_SECONDS", 0.01)
        assert choose_backend("llvm_ad_rgb", tmp_path).llvm == llvm_backend.llvm  # what worked is remembered
        assert not any(proof.works for proof in survey(tmp_path) if proof.variant == "llvm_ad_rgb")
        with pytest.raises(BackendError):  # the survey tried again
            choose_backend("llvm_ad_rgb", tmp_path)
    assert choose_backend("llvm_ad_rgb", tmp_path).llvm == llvm_backend.llvm


def test_a_library_that_crashes_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = tmp_path / "count"
    crash = f"import os, sys; open({str(count)!r}, 'a').write('x'); os.abort()"
    monkeypatch.setattr(module, "PROBE", crash)
    monkeypatch.setattr(module, "find_llvm", lambda: [str(tmp_path / "libLLVM.so")])
    for _ in range(2):
        with pytest.raises(BackendError, match="killed by signal 6"):
            choose_backend("llvm_ad_rgb", tmp_path)
    assert count.read_text() == "x"
