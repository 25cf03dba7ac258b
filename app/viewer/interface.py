"""ImGui: context, fonts, colors and the default layout. It draws everything over the picture."""

from __future__ import annotations

from importlib.resources import files

from imgui_bundle import imgui, implot

from noisewalk.app.flying.viewer import Viewer
from noisewalk.app.viewer.display import Area
from noisewalk.app.viewer.graphs import draw_graphs
from noisewalk.app.viewer.overlays import draw_overlays
from noisewalk.app.viewer.panels import draw_controls, draw_menu

FONT_SIZE = 15.0
CONTROLS, GRAPHS = "Controls", "Graphs"
CONTROLS_WIDTH, GRAPHS_HEIGHT = 310.0, 196.0  # at scale 1
ROOMY = (760.0, 480.0)  # in a smaller window, controls or graphs fold: the picture stays


class Interface:
    """Owns the ImGui and ImPlot contexts. scale: of text and widgets, 2 on a display with twice the usual density."""

    def __init__(self, scale: float, layout: str) -> None:
        self._scale = scale
        self._context = imgui.create_context()
        self._plots = implot.create_context()
        io = imgui.get_io()
        io.config_flags |= imgui.ConfigFlags_.docking_enable
        io.config_windows_move_from_title_bar_only = True
        io.set_ini_filename("")
        io.set_log_filename("")
        if layout:
            imgui.load_ini_settings_from_memory(layout)
        self._arrange = not layout
        font = files("imgui_bundle") / "assets" / "fonts" / "Roboto" / "Roboto-Regular.ttf"
        io.fonts.add_font_from_file_ttf(str(font), FONT_SIZE)
        _style(scale)

    def draw(self, viewer: Viewer) -> Area:
        """Draws all windows of one frame. Returns the area of the picture, in ImGui's units."""
        display = imgui.get_main_viewport()
        imgui.get_style().font_scale_main = viewer.text_scale
        if not viewer.panels_shown:
            area = Area(display.pos.x, display.pos.y, display.size.x, display.size.y)
        else:
            self._arrange |= draw_menu(viewer)
            area = self._dock(display)
            if display.size.x >= ROOMY[0] * self._scale:
                draw_controls(CONTROLS, viewer)
            if display.size.y >= ROOMY[1] * self._scale:
                draw_graphs(GRAPHS, viewer)
        draw_overlays(viewer, area)
        return area

    def close(self) -> None:
        """Frees the contexts."""
        implot.destroy_context(self._plots)
        imgui.destroy_context(self._context)

    def _dock(self, display: imgui.Viewport) -> Area:
        space = imgui.get_id("space")
        flags = imgui.DockNodeFlags_.passthru_central_node | imgui.DockNodeFlags_.no_docking_over_central_node
        if self._arrange:
            self._arrange = False
            _default_layout(space, display.work_size, self._scale)
        imgui.dock_space_over_viewport(space, display, flags)
        node = imgui.internal.dock_builder_get_central_node(space)
        return Area(node.pos.x, node.pos.y, max(1.0, node.size.x), max(1.0, node.size.y))


def _default_layout(space: int, size: imgui.ImVec2, scale: float) -> None:
    """Controls to the right, graphs below, the picture in the rest."""
    builder = imgui.internal
    builder.dock_builder_remove_node(space)
    builder.dock_builder_add_node(space, imgui.internal.DockNodeFlagsPrivate_.dock_space)
    builder.dock_builder_set_node_size(space, size)
    width = min(0.5, CONTROLS_WIDTH * scale / max(size.x, 1.0))
    height = min(0.5, GRAPHS_HEIGHT * scale / max(size.y, 1.0))
    right = builder.dock_builder_split_node(space, imgui.Dir.right, width)
    below = builder.dock_builder_split_node(right.id_at_opposite_dir, imgui.Dir.down, height)
    builder.dock_builder_dock_window(CONTROLS, right.id_at_dir)
    builder.dock_builder_dock_window(GRAPHS, below.id_at_dir)
    builder.dock_builder_finish(space)


def _style(scale: float) -> None:
    imgui.style_colors_dark()
    style = imgui.get_style()
    style.window_rounding = style.frame_rounding = style.popup_rounding = style.grab_rounding = 3.0
    style.window_border_size = 0.0
    style.frame_padding, style.item_spacing = imgui.ImVec2(7, 3), imgui.ImVec2(7, 5)
    style.window_padding = imgui.ImVec2(9, 8)
    colors = {
        imgui.Col_.window_bg: (0.105, 0.11, 0.122, 1.0),
        imgui.Col_.popup_bg: (0.13, 0.135, 0.15, 0.98),
        imgui.Col_.menu_bar_bg: (0.13, 0.135, 0.15, 1.0),
        imgui.Col_.title_bg: (0.085, 0.09, 0.1, 1.0),
        imgui.Col_.title_bg_active: (0.085, 0.09, 0.1, 1.0),
        imgui.Col_.tab: (0.105, 0.11, 0.122, 1.0),
        imgui.Col_.tab_selected: (0.16, 0.18, 0.21, 1.0),
        imgui.Col_.tab_dimmed: (0.105, 0.11, 0.122, 1.0),
        imgui.Col_.tab_dimmed_selected: (0.16, 0.18, 0.21, 1.0),
        imgui.Col_.frame_bg: (0.18, 0.19, 0.21, 1.0),
        imgui.Col_.frame_bg_hovered: (0.23, 0.25, 0.28, 1.0),
        imgui.Col_.frame_bg_active: (0.26, 0.29, 0.33, 1.0),
        imgui.Col_.header: (0.17, 0.185, 0.21, 1.0),
        imgui.Col_.header_hovered: (0.22, 0.26, 0.31, 1.0),
        imgui.Col_.header_active: (0.24, 0.3, 0.37, 1.0),
        imgui.Col_.button: (0.22, 0.245, 0.28, 1.0),
        imgui.Col_.button_hovered: (0.27, 0.33, 0.4, 1.0),
        imgui.Col_.button_active: (0.24, 0.42, 0.6, 1.0),
        imgui.Col_.slider_grab: (0.36, 0.6, 0.84, 0.5),  # the number behind it stays legible
        imgui.Col_.slider_grab_active: (0.47, 0.7, 0.93, 0.6),
        imgui.Col_.check_mark: (0.47, 0.7, 0.93, 1.0),
        imgui.Col_.text: (0.9, 0.91, 0.92, 1.0),
        imgui.Col_.text_disabled: (0.6, 0.62, 0.65, 1.0),
        imgui.Col_.modal_window_dim_bg: (0.0, 0.0, 0.0, 0.45),
        imgui.Col_.separator: (0.2, 0.215, 0.24, 1.0),
    }
    for name, color in colors.items():
        style.set_color_(name, imgui.ImVec4(*color))
    style.scale_all_sizes(scale)
    style.font_scale_dpi = scale
    plot = implot.get_style()
    plot.set_color_(implot.Col_.frame_bg, imgui.ImVec4(0, 0, 0, 0))
    plot.set_color_(implot.Col_.plot_bg, imgui.ImVec4(0.08, 0.085, 0.095, 1.0))
    plot.set_color_(implot.Col_.plot_border, imgui.ImVec4(0.2, 0.215, 0.24, 1.0))
    plot.set_color_(implot.Col_.legend_bg, imgui.ImVec4(0.08, 0.085, 0.095, 0.8))
    plot.plot_padding = imgui.ImVec2(6 * scale, 6 * scale)
    plot.label_padding = imgui.ImVec2(4 * scale, 3 * scale)
    plot.plot_min_size = imgui.ImVec2(60 * scale, 40 * scale)
