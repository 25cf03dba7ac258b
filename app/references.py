"""References of a whole walk: which frames have one, and rendering them ahead of time."""

from __future__ import annotations

from noisewalk.app.console import StopSignal, Talk
from noisewalk.app.options import ResolvedOptions
from noisewalk.app.session import Session


def measured_frames(options: ResolvedOptions) -> list[int]:
    """Those whose pictures are kept; with clean targets all, since all have a reference."""
    return list(range(options.frames)) if options.targets == "clean" else pictured_frames(options)


def pictured_frames(options: ResolvedOptions) -> list[int]:
    """The first frame, every `reference_every`-th and the last: writing pictures takes longer than measuring."""
    return sorted({*range(0, options.frames, options.reference_every), options.frames - 1})


def render_references(session: Session, frames: list[int], talk: Talk, stop: StopSignal) -> None:
    """Makes sure that the cache has the references of these frames."""
    spp = session.options.reference_spp
    session.references.make_room_for(len(frames))
    if session.options.targets == "clean":
        missing = sum(session.references.accumulation(session.camera(i), spp).spp < spp for i in frames)
        talk.note(f"clean targets: {len(frames)} references of {spp} spp, {missing} of them yet to be rendered")
    with talk.progress() as progress:
        task = progress.add_task("references", total=len(frames), note="")
        for done, index in enumerate(frames):

            def show(rendered: int, done: int = done, index: int = index) -> None:
                fraction = min(1.0, rendered / spp)
                progress.update(task, completed=done + fraction, note=f"frame {index}: {rendered}/{spp} spp")
                stop.check()

            session.reference(session.camera(index), show)
        progress.update(task, completed=len(frames), note=f"{spp} spp")
