"""Scenes that are opened and freed while another thread renders one."""

from __future__ import annotations

import gc
import threading
from typing import Any

import torch

from noisewalk.renderer.backend import Backend
from noisewalk.renderer.path_tracer import PathTracer
from noisewalk.renderer.scene import Scene, open_scene
from tests.renderer.helpers import view


def test_scenes_come_and_go_on_another_thread(tiny_scene: Scene, backend: Backend) -> None:
    # Mitsuba's objects in a circle are freed by the garbage collector, on whatever thread it runs.
    cycles: list[Any] = []
    for _ in range(2):
        cycle: list[Any] = [open_scene("cornell", tiny_scene.variant)]
        cycle.append(cycle)
        cycles.append(cycle)
    camera = view(tiny_scene, 16, 16)
    expected = PathTracer(tiny_scene, 16, 16, 1, 0).render_pair(camera, 0).a.color.clone()
    pictures: list[torch.Tensor] = []
    stop = threading.Event()

    def render() -> None:
        backend.activate()
        tracer = PathTracer(tiny_scene, 16, 16, 1, 0)
        while not stop.is_set():
            pictures.append(tracer.render_pair(camera, 0).a.color.clone())

    thread = threading.Thread(target=render)
    thread.start()
    while cycles:
        seen = len(pictures)
        cycles.pop()
        del cycle
        gc.collect()
        cycle = [open_scene("cornell", tiny_scene.variant)]
        while thread.is_alive() and len(pictures) < seen + 3:
            stop.wait(0.01)
    stop.set()
    thread.join()
    assert len(pictures) >= 6
    assert all(torch.equal(picture, expected) for picture in pictures)
