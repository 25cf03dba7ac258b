"""References of a whole walk: which frames have one, and how they are rendered ahead of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from noisewalk.app.console import StopSignal, Talk
from noisewalk.app.machines import connect
from noisewalk.app.options import ResolvedOptions
from noisewalk.app.session import Session
from noisewalk.renderer.reference import Accumulation

Show = Callable[[float, str], None]


def measured_frames(options: ResolvedOptions) -> list[int]:
    """Numbers of the frames that are measured: those with pictures; with clean targets all of them."""
    return list(range(options.frames)) if options.targets == "clean" else pictured_frames(options)


def pictured_frames(options: ResolvedOptions) -> list[int]:
    """Numbers of the frames whose pictures are written: the first, every `reference_every`-th and the last."""
    return sorted({*range(0, options.frames, options.reference_every), options.frames - 1})


def render_references(
    session: Session, frames: list[int], talk: Talk, stop: StopSignal, cluster: str | None = None
) -> None:
    """Makes sure that the cache has the references of these frames, rendered here or by a cluster."""
    spp = session.options.reference_spp
    session.references.make_room_for(len(frames))
    if session.options.targets == "clean":
        missing = sum(session.references.accumulation(session.camera(i), spp).spp < spp for i in frames)
        talk.note(f"clean targets: {len(frames)} references of {spp} spp, {missing} of them yet to be rendered")
    render = _render_here if cluster is None else partial(_render_there, cluster)
    with talk.progress() as progress:
        task = progress.add_task("references", total=len(frames), note="")

        def show(complete: float, note: str) -> None:
            progress.update(task, completed=complete, note=note)

        render(session, frames, show, talk, stop)
        show(len(frames), f"{spp} spp")


def _render_here(session: Session, frames: list[int], show: Show, talk: Talk, stop: StopSignal) -> None:
    spp = session.options.reference_spp
    for done, index in enumerate(frames):

        def shown(rendered: int, done: int = done, index: int = index) -> None:
            show(done + min(1.0, rendered / spp), f"frame {index}: {rendered}/{spp} spp")
            stop.check()

        session.reference(session.camera(index), shown)


def _render_there(address: str, session: Session, frames: list[int], show: Show, talk: Talk, stop: StopSignal) -> None:
    cluster = connect(address)
    from noisewalk.app.cluster_references import Task, render_passes

    references, spp = session.references, session.options.reference_spp
    growing: dict[Accumulation, int] = {}  # and the number of their last pass
    complete = 0

    def tasks() -> Iterator[Task]:
        nonlocal complete
        for frame in frames:
            accumulation = references.accumulation(session.camera(frame), spp)
            first, missing = accumulation.passes, references.pass_spp(accumulation.spp, spp)
            if missing:
                growing[accumulation] = first + len(missing) - 1
            else:
                complete += 1
            yield from (Task(accumulation, first + number, pass_spp) for number, pass_spp in enumerate(missing))

    def done(task: Task) -> None:
        nonlocal complete
        if growing[task.accumulation] == task.number:
            del growing[task.accumulation]
            task.accumulation.save()
            complete += 1
        show(complete, f"{len(growing)} views in hand")

    try:
        render_passes(cluster, session, tasks(), done, talk, stop)
    finally:
        for accumulation in growing:
            accumulation.save()  # as far as it is rendered
        cluster.close()
