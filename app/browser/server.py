"""`noisewalk SCENE --browser`: the main loop. It does the same as the window's, for all visitors."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

import viser

from noisewalk.app.browser.axes import KEY_SPEED, Axes
from noisewalk.app.browser.downloads import Downloads
from noisewalk.app.browser.guard import Server, bound_uploads, is_loopback
from noisewalk.app.browser.panel import Panel
from noisewalk.app.browser.visitor import Visitor
from noisewalk.app.browser.wheel import Wheel
from noisewalk.app.console import StopSignal, Talk
from noisewalk.app.flying.engine import Engine
from noisewalk.app.flying.preferences import Preferences
from noisewalk.app.flying.viewer import Viewer
from noisewalk.app.options import WalkOptions
from noisewalk.renderer.bundled import find_scene

TICK_SECONDS = 1 / 30
PANEL_SECONDS, GRAPH_SECONDS = 0.25, 1.0


def browse(options: WalkOptions, host: str, port: int, talk: Talk) -> int:
    """Serves the scene until Ctrl-C. Returns the exit code. Raises UsageError if it cannot listen there."""
    find_scene(options.scene)
    news = threading.Event()
    viewer = Viewer(Engine(options, news.set), Preferences())
    server = Server(host, port)
    try:
        browser = Browser(server, viewer)
        _greet(talk, host, server.get_port())
        try:
            with StopSignal("closing; once more to stop at once") as stop:
                viewer.engine.start()
                while not (stop.requested or viewer.engine.status.phase == "failed"):
                    news.wait(TICK_SECONDS)
                    news.clear()
                    browser.tick(time.monotonic())
        finally:
            ended = viewer.close()  # after a defect in the program too: what was learned must not be lost
            browser.close()
    finally:
        server.stop()
    talk.result({"visitors": browser.visitors_so_far, "steps": viewer.picture.steps if viewer.picture else 0})
    return viewer.exit_code(ended, stop.requested)


class Browser:
    """Joins viewer and visitors. viser's threads call all methods except `tick` and `close`; `tick` does the work."""

    def __init__(self, server: Server, viewer: Viewer) -> None:
        self._server, self._viewer = server, viewer
        self._downloads = Downloads(viewer)
        self._wheel = Wheel()
        self._orders: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._visitors: dict[int, Visitor] = {}
        self._panels: dict[int, Panel] = {}
        self._axes: Axes | None = None
        self._axes_of: tuple[object, float] | None = None
        self._placed = False  # whether the pilot's browser has the camera's view
        self._shown_number = -1
        self._due = {"panel": 0.0, "graph": 0.0}
        self.visitors_so_far = 0
        server.gui.configure_theme(
            control_layout="collapsible",
            control_width="large",
            dark_mode=True,
            show_logo=False,
            show_share_button=False,
        )
        server.gui.set_panel_label("noisewalk")
        self._opening: viser.GuiMarkdownHandle | None = server.gui.add_markdown("opening ...")
        server.on_client_connect(self._connected)
        server.on_client_disconnect(self._disconnected)

    def tick(self, now: float) -> None:
        """To be called once for every turn of the main loop."""
        while not self._orders.empty():
            self._orders.get()()
        self._wheel.tick(now)
        self._viewer.tick(None, now)
        self._tell_news()
        if self._viewer.scene is None:
            return
        self._follow_scene()
        self._steer(now)
        self._show(now)

    def close(self) -> None:
        """Ends all threads of visitors, and deletes their files."""
        for visitor in self._visitors.values():
            visitor.leave()
        self._downloads.close()

    async def _connected(self, client: viser.ClientHandle) -> None:
        bound_uploads(client)
        self._orders.put(lambda: self._enter(client))

    async def _disconnected(self, client: viser.ClientHandle) -> None:
        self._orders.put(lambda: self._leave(client.client_id))

    def _enter(self, client: viser.ClientHandle) -> None:
        if client.client_id not in self._server.get_clients():
            return
        self.visitors_so_far += 1
        visitor = self._visitors[client.client_id] = Visitor(client, lambda: self._viewer.picture)
        self._viewer.views.append(visitor.view)
        self._wheel.join(client.client_id, time.monotonic())
        if self._axes is not None:
            self._place(client.client_id)
            self._visitors[client.client_id].wake()

    def _leave(self, number: int) -> None:
        visitor = self._visitors.pop(number, None)
        if visitor is None:
            return
        visitor.leave()
        self._viewer.views = [view for view in self._viewer.views if view is not visitor.view]
        self._panels.pop(number, None)
        before = self._wheel.pilot
        self._wheel.leave(number, time.monotonic())
        self._changed_hands(before)

    def _order(self, number: int, action: Callable[[], None]) -> None:
        """Takes an order from the visitor who flies. Orders of others are ignored."""

        def carry_out() -> None:
            if number != self._wheel.pilot:
                return
            self._wheel.moved(time.monotonic())
            before = self._viewer.camera.pose
            action()
            if self._viewer.camera.pose is not before:
                self._placed = False

        self._orders.put(carry_out)

    def _hand_over(self) -> None:
        before = self._wheel.pilot
        self._wheel.hand_over(time.monotonic())
        self._changed_hands(before)

    def _changed_hands(self, before: int | None) -> None:
        if self._wheel.pilot not in (None, before):
            self._placed = False

    def _current_axes(self) -> tuple[object, float]:
        return self._viewer.scene, self._viewer.camera.speed

    def _follow_scene(self) -> None:
        """Follows a new scene or speed. viser's keys have one speed, so its world grows or shrinks instead."""
        current = self._current_axes()
        if self._axes_of == current:
            return
        scene = self._viewer.scene
        assert scene
        if self._opening is not None:
            self._opening.remove()
            self._opening = None
        start = next(iter(scene.views.values()))[0]
        self._axes = Axes(start, self._viewer.camera.speed * scene.distance / KEY_SPEED)
        self._axes_of = current
        self._server.scene.set_up_direction(tuple(self._axes.up))
        place, camera = self._axes.place(start, scene.distance), self._server.initial_camera
        camera.position, camera.look_at, camera.up = place
        for number in self._visitors:
            self._place(number)

    def _place(self, number: int) -> None:
        assert self._axes and self._viewer.scene
        self._visitors[number].place(self._axes, self._viewer.camera.pose, self._viewer.scene.distance)

    def _steer(self, now: float) -> None:
        """Lets the pilot's browser move the camera, unless a path plays."""
        number = self._wheel.pilot
        if number is None or self._viewer.flight.playing:
            self._placed = False  # until the camera rests, or a visitor comes
            return
        if not self._placed:
            self._placed = True
            self._place(number)
        assert self._axes
        pose = self._visitors[number].steered(self._axes)
        if pose is not None:
            self._viewer.camera.pose = pose
            self._wheel.moved(now)

    def _show(self, now: float) -> None:
        picture = self._viewer.picture
        if picture is not None and picture.number != self._shown_number:
            self._shown_number = picture.number
            for visitor in self._visitors.values():
                visitor.wake()
        if now >= self._due["panel"]:
            self._due["panel"] = now + PANEL_SECONDS
            for number, visitor in self._visitors.items():
                if number not in self._panels:
                    self._panels[number] = self._panel(number, visitor)
                self._panels[number].refresh(number == self._wheel.pilot, self._wheel.pilot, self._wheel.asking)
        if now >= self._due["graph"]:
            self._due["graph"] = now + GRAPH_SECONDS
            curves = self._viewer.engine.series.curves()
            for panel in self._panels.values():
                panel.draw(curves)

    def _panel(self, number: int, visitor: Visitor) -> Panel:
        return Panel(
            visitor,
            self._viewer,
            self._downloads,
            do=lambda action: self._order(number, action),
            ask=lambda: self._orders.put(lambda: self._wheel.ask(number)),
            hand_over=lambda: self._order(number, self._hand_over),
        )

    def _tell_news(self) -> None:
        """Sends the messages that the window shows as toasts."""
        viewer = self._viewer
        toasts, viewer.toasts = viewer.toasts, []
        errors, viewer.errors = viewer.errors, []
        for visitor in self._visitors.values():
            for text, _ in toasts:
                visitor.notify(self._downloads.without_folder(text), error=False)
            for text in errors:
                visitor.notify(self._downloads.without_folder(text), error=True)


def _greet(talk: Talk, host: str, port: int) -> None:
    shown = f"[{host}]" if ":" in host else host
    talk.note(f"open http://{shown}:{port}")
    if is_loopback(host):
        talk.note(
            f"from another machine: ssh -L {port}:localhost:{port} THIS-MACHINE, and there open http://localhost:{port}"
        )
    else:
        talk.warn(f"whoever reaches port {port} of {host} can fly, train, upload weights and download what was learned")
