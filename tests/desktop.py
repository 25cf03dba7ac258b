"""A desktop for tests: an Xvfb display. XTEST presses real keys and moves a real mouse on it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image
from Xlib import XK, X, Xatom, display
from Xlib.error import ConnectionClosedError
from Xlib.ext import xtest
from Xlib.protocol import event

WAIT_SECONDS = 120.0


def wait_for(what: Callable[[], Any], name: str, seconds: float = WAIT_SECONDS) -> Any:
    """Waits until `what` returns something true, and returns that. Fails after a time that is long on any machine."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := what():
            return result
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds:.0f} s in vain for {name}")


class Desktop:
    """An Xvfb server of its own. dpi 192 stands for a display of twice the usual density."""

    def __init__(self, width: int = 1280, height: int = 720, dpi: int = 96) -> None:
        read, write = os.pipe()
        self.server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{width}x{height}x24", "-nolisten", "tcp"],
            pass_fds=[write],
            stderr=subprocess.DEVNULL,
        )
        os.close(write)
        with os.fdopen(read) as stream:
            self.name = f":{stream.readline().strip()}"
        self.display = display.Display(self.name)
        self.root = self.display.screen().root
        resources = self.display.intern_atom("RESOURCE_MANAGER")
        self.root.change_property(resources, Xatom.STRING, 8, f"Xft.dpi:\t{dpi}\n".encode())
        self.display.sync()

    def close(self) -> None:
        """Takes the display away."""
        with suppress(ConnectionClosedError):
            self.display.close()
        self.server.terminate()
        self.server.wait()

    def window(self, title: str) -> Any:
        """Waits for the window with this text in its title, and gives it the focus."""
        window = wait_for(lambda: self._find(title), f"a window titled {title}")
        self.focus(window)
        return window

    def focus(self, window: Any) -> None:
        """Gives a window the keyboard: there is no window manager that does it."""
        window.set_input_focus(X.RevertToParent, X.CurrentTime)
        self.display.sync()

    def _find(self, title: str) -> Any:
        name = self.display.intern_atom("_NET_WM_NAME")
        for window in self.root.query_tree().children:
            text = window.get_full_text_property(name) if window.get_attributes().map_state == X.IsViewable else None
            if text and title in text:
                return window
        return None

    def key(self, *names: str, hold: float = 0.06) -> None:
        """Presses keys together, e.g. key("Control_L", "s"), and releases them."""
        codes = [self.display.keysym_to_keycode(XK.string_to_keysym(name)) for name in names]
        for code in codes:
            self._fake(X.KeyPress, code)
        time.sleep(hold)
        for code in reversed(codes):
            self._fake(X.KeyRelease, code)
        time.sleep(0.06)

    def type(self, text: str) -> None:
        """Types characters that need no modifier but Shift."""
        for character in text:
            names = {"/": "slash", ".": "period", "-": "minus", "_": "underscore", " ": "space"}
            name = names.get(character, character)
            shifted = character.isupper() or character in "_"
            self.key(*(("Shift_L",) if shifted else ()), "minus" if character == "_" else name, hold=0.03)

    def move(self, x: int, y: int) -> None:
        """Moves the mouse to a place on the display."""
        self._fake(X.MotionNotify, x=x, y=y)
        time.sleep(0.05)

    def drag(self, start: tuple[int, int], end: tuple[int, int], button: int = 1, *held: str) -> None:
        """Presses a button, moves and releases it, with keys held down."""
        codes = [self.display.keysym_to_keycode(XK.string_to_keysym(name)) for name in held]
        for code in codes:
            self._fake(X.KeyPress, code)
        self.move(*start)
        self._fake(X.ButtonPress, button)
        time.sleep(0.1)
        for step in range(1, 9):
            self.move(*(round(a + (b - a) * step / 8) for a, b in zip(start, end, strict=True)))
        self._fake(X.ButtonRelease, button)
        for code in codes:
            self._fake(X.KeyRelease, code)
        time.sleep(0.1)

    def click(self, x: int, y: int, button: int = 1) -> None:
        """Presses and releases a button; 4 and 5 are the wheel."""
        self.move(x, y)
        self._fake(X.ButtonPress, button)
        time.sleep(0.06)
        self._fake(X.ButtonRelease, button)
        time.sleep(0.06)

    def drop(self, window: Any, file: Path) -> None:
        """Drops a file by the XDND protocol, as a file manager does."""
        atom = self.display.intern_atom
        source = self.root.create_window(0, 0, 1, 1, 0, X.CopyFromParent)
        source.set_selection_owner(atom("XdndSelection"), X.CurrentTime)
        uri = atom("text/uri-list")
        self._send(window, "XdndEnter", [source.id, 5 << 24, uri, 0, 0])
        self._send(window, "XdndPosition", [source.id, 0, (200 << 16) | 200, X.CurrentTime, atom("XdndActionCopy")])
        self._send(window, "XdndDrop", [source.id, 0, X.CurrentTime, 0, 0])
        end = time.monotonic() + 20
        while time.monotonic() < end:
            while self.display.pending_events():
                asked = self.display.next_event()
                if asked.type != X.SelectionRequest:
                    continue
                asked.requestor.change_property(asked.property, asked.target, 8, f"{file.as_uri()}\r\n".encode())
                asked.requestor.send_event(
                    event.SelectionNotify(
                        time=asked.time,
                        requestor=asked.requestor,
                        selection=asked.selection,
                        target=asked.target,
                        property=asked.property,
                    )
                )
                self.display.sync()
                return
            time.sleep(0.02)
        raise AssertionError("nobody asked for what was dropped")

    def close_window(self, window: Any) -> None:
        """Closes the window as the cross in its corner does."""
        self._send(window, "WM_PROTOCOLS", [self.display.intern_atom("WM_DELETE_WINDOW"), X.CurrentTime, 0, 0, 0])

    def screenshot(self, file: Path | None = None) -> Image.Image:
        """The whole display; kept as PNG where a file is named."""
        size = self.root.get_geometry()
        raw = self.root.get_image(0, 0, size.width, size.height, X.ZPixmap, 0xFFFFFFFF).data
        image = Image.frombytes("RGB", (size.width, size.height), raw, "raw", "BGRX")
        if file is not None:
            image.save(file)
        return image

    def _send(self, window: Any, kind: str, data: list[int]) -> None:
        message = event.ClientMessage(window=window, client_type=self.display.intern_atom(kind), data=(32, data))
        window.send_event(message)
        self.display.sync()

    def _fake(self, kind: int, detail: int = 0, x: int = 0, y: int = 0) -> None:
        xtest.fake_input(self.display, kind, detail, x=x, y=y)
        self.display.sync()
