"""`noisewalk variants SCENE`: figure 6 of the paper. Its network learns with each loss on the same walk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch

from noisewalk.app.compare.comparison import Comparison, measure_walks, milestones, walk_here
from noisewalk.app.compare.contenders import Contender, NoisyAverage
from noisewalk.app.compare.scores import FORMULAS, Row
from noisewalk.app.console import Talk
from noisewalk.app.files import new_folder
from noisewalk.app.online_model import OnlineModel
from noisewalk.app.options import WalkOptions
from noisewalk.app.pictures import side_by_side, write_psnr_plot
from noisewalk.app.session import Session
from noisewalk.denoiser.losses import hdr_loss
from noisewalk.denoiser.paper import PAPER, VARIANTS
from noisewalk.renderer.bundled import find_scene
from noisewalk.renderer.files import written_aside

# Lehtinen et al. 2018, figure 6, in dB. It is one picture of another scene. Its input is a single rendering of 8 spp.
PAPER_PSNR = {"noisy": 11.32, "l2": 25.46, "l2-t-input": 25.39, "l2-t-both": 15.50, "hdr": 29.05, "paper": 30.09}
NOTE = "the paper's dB are of another scene: compare the order. T(y) as target is wrong on purpose, and too dark"


def variants(options: WalkOptions, talk: Talk) -> int:
    """Walks once, and trains all variants on it. Writes what a comparison writes, curves.png and strip.png.

    Returns the exit code.
    """
    find_scene(options.scene)
    folder = new_folder(options.out, "variants")
    every = options.reference_every
    measured = sorted({*milestones(options.frames), *range(every, options.frames + 1, every)})
    walk = replace(options, model=PAPER.name)
    about = {"title": "noisewalk variants", "paper_psnr": PAPER_PSNR}
    done = measure_walks(partial(walk_here, [walk], _contenders, talk), measured, folder, about, talk)
    if done.rows:
        _write_pictures(done)
        talk.note(variant_table(done.rows))
    talk.note(f"{done.about['state']}: {folder / 'report.html'}, curves.png, strip.png\n" + "\n".join(FORMULAS))
    talk.result(done.result() | {"paper_psnr": PAPER_PSNR})
    return done.exit_code


def variant_table(rows: Sequence[Row]) -> str:
    """The last measured frame as a table: each variant beside the paper's dB."""
    settings = {
        v.name: (
            "L_HDR" if v.loss is hdr_loss else "L2",
            "T(x)" if v.tone_mapped_input else "x",
            "T(y)" if v.tone_mapped_target else "y",
        )
        for v in VARIANTS
    }
    lines = [
        f"{rows[-1].scene} after frame {rows[-1].frame} ({NOTE})",
        f"  {'':<12}{'loss':<7}{'input':<7}{'target':<7}{'PSNR':>7}{'paper':>9}{'brightness':>13}",
    ]
    for row in (row for row in rows if row.frame == rows[-1].frame):
        loss, shown, target = settings.get(row.method, ("", "", ""))
        numbers = f"{row.psnr:>7.2f}{PAPER_PSNR[row.method]:>9.2f}{row.brightness:>13.3f}"
        lines.append(f"  {row.method:<12}{loss:<7}{shown:<7}{target:<7}{numbers}")
    return "\n".join(lines)


def _contenders(session: Session) -> Iterator[Contender]:
    yield NoisyAverage()
    for variant in VARIANTS:
        yield OnlineModel(variant.name, session, {"model": variant.name})


def _write_pictures(done: Comparison) -> None:
    page, last = done.pages[-1], {row.method: row for row in done.rows}
    tiles = [
        (name, f"{last[name].psnr:.2f} dB" if name in last else "", torch.from_numpy(image))
        for name, image in page.images.items()
    ]
    with written_aside(done.folder / "strip.png") as temporary:
        side_by_side(f"{page.scene} after frame {page.frame}", tiles).save(temporary, format="PNG")
    curves = {name: [(row.frame, row.psnr) for row in done.rows if row.method == name] for name in last}
    title = f"{page.scene}, {done.about['sizes'][page.scene]}, 2 x {done.about['settings']['spp']} spp"
    write_psnr_plot(done.folder / "curves.png", curves, title)
