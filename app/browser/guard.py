"""viser's server with bounds: pages of this server only, uploads of bounded size, no public tunnel.

viser has no public interface for these. So this file uses private names of viser (see the version in pyproject.toml).
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

import rich
import viser
from viser import _messages as messages
from viser.infra import ClientId, WebsockClientConnection

from noisewalk.app.errors import UsageError

MAX_UPLOAD_BYTES = 64 * 2**20
MAX_UPLOADS = 2  # of one visitor at once
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


class Server(viser.ViserServer):
    """Listens on host and port. Raises UsageError if that is not possible."""

    def __init__(self, host: str, port: int) -> None:
        require_free(host, port)
        rich.reconfigure(quiet=True)  # viser prints on standard output, where only results belong
        super().__init__(host, port, verbose=False)
        self._local = is_loopback(host)
        self._websock_server.on_client_connect(self._refuse_other_sites)

    def request_share_url(self, verbose: bool = True) -> None:
        """Does nothing. viser would open a tunnel from the internet to this port for any visitor who asks."""

    async def _refuse_other_sites(self, connection: WebsockClientConnection) -> None:
        """Refuses pages of other sites. Browsers let any page connect to this port.

        It also refuses a page whose name was made to lead to this machine (DNS rebinding).
        """
        websocket = self._websock_server._live_connections[connection.client_id]
        assert websocket.request
        headers = websocket.request.headers
        origin, host = headers.get("Origin"), headers.get("Host", "")
        own_page = origin is None or urlsplit(origin).netloc == host
        if not own_page or (self._local and urlsplit(f"//{host}").hostname not in LOCAL_NAMES):
            await websocket.close(1008, "another site's page")


def bound_uploads(client: viser.ClientHandle) -> None:
    """Drops uploads of more than MAX_UPLOAD_BYTES, and says so. viser takes any size, also more than announced."""
    gui, connection = client.gui, client._websock_connection
    uploads = gui._current_file_upload_states

    def start(client_id: ClientId, message: messages.FileTransferStartUpload) -> None:
        if message.size_bytes > MAX_UPLOAD_BYTES or len(uploads) >= MAX_UPLOADS:
            body = f"{message.size_bytes / 2**20:.0f} MiB: the most is {MAX_UPLOAD_BYTES >> 20}, {MAX_UPLOADS} at once"
            client.add_notification("Not taken", body, color="red")
            # Otherwise the page would wait forever.
            connection.queue_message(
                messages.FileTransferPartAck(message.source_component_uuid, message.transfer_uuid, 0, 0)
            )
        else:
            gui._handle_file_transfer_start(client_id, message)

    def part(client_id: ClientId, message: messages.FileTransferPart) -> None:
        upload = uploads.get(message.transfer_uuid)
        if upload and upload["transferred_bytes"] + len(message.content) > upload["total_bytes"]:
            del uploads[message.transfer_uuid]
        gui._handle_file_transfer_part(client_id, message)

    connection.unregister_handler(messages.FileTransferStartUpload, gui._handle_file_transfer_start)
    connection.unregister_handler(messages.FileTransferPart, gui._handle_file_transfer_part)
    connection.register_handler(messages.FileTransferStartUpload, start)
    connection.register_handler(messages.FileTransferPart, part)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def require_free(host: str, port: int) -> None:
    """Raises UsageError if the port is not free. viser would take the next one, or hang at a foreign host."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for family, _, _, _, address in found:
            socket.create_server(address[:2], family=family).close()
    except (OSError, UnicodeError) as error:
        cause = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot listen on {host}:{port}: {cause}") from error
