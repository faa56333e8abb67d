"""A network between device and gateway, to listen to and to cut: a relay on 127.0.0.2."""

import selectors
import socket
import threading

NETWORK_HOST, GATEWAY_HOST = "127.0.0.2", "127.0.0.1"


class Network:
    """Relays TCP and UDP from 127.0.0.2 to 127.0.0.1, same port, and keeps all that passed.

    Attributes:
        sent: bytes of each TCP connection from the device, in order of connecting.
        received: bytes of each TCP connection to the device.
        datagrams: every datagram from the device, delivered or not.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.sent: list[bytearray] = []
        self.received: list[bytearray] = []
        self.datagrams: list[bytes] = []
        self._is_cut = False
        self._selector = selectors.DefaultSelector()
        self._pairs: dict[socket.socket, tuple[socket.socket, bytearray]] = {}
        self._tcp = socket.create_server((NETWORK_HOST, port), backlog=16)
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._udp.bind((NETWORK_HOST, port))
        self._out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._wake, self._waker = socket.socketpair()
        for sock in (self._tcp, self._udp, self._wake):
            self._selector.register(sock, selectors.EVENT_READ)
        self._lock = threading.Lock()
        self._is_over = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """What the device is told as the gateway's address."""
        return f"{NETWORK_HOST}:{self.port}"

    def capture(self) -> bytes:
        """Return all that passed so far, one after the other."""
        with self._lock:
            return b"".join([*map(bytes, self.sent), *map(bytes, self.received), *self.datagrams])

    def cut(self) -> None:
        """Break all connections; let nothing through until join()."""
        with self._lock:
            self._is_cut = True
            for sock in list(self._pairs):
                self._drop(sock)

    def join(self) -> None:
        """Let everything through again."""
        with self._lock:
            self._is_cut = False

    def close(self) -> None:
        """End the relay."""
        self._is_over = True
        self._waker.send(b"x")
        self._thread.join()
        with self._lock:
            for sock in [*self._pairs, self._tcp, self._udp, self._out, self._wake, self._waker]:
                sock.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._is_over:
            for key, _ in self._selector.select():
                with self._lock:
                    self._serve(key.fileobj)  # type: ignore[arg-type]

    def _serve(self, sock: socket.socket) -> None:
        if sock is self._tcp:
            self._accept()
        elif sock is self._udp:
            datagram = sock.recv(65_536)
            self.datagrams.append(datagram)
            if not self._is_cut:
                self._out.sendto(datagram, (GATEWAY_HOST, self.port))
        elif sock in self._pairs:
            peer, log = self._pairs[sock]
            try:
                data = sock.recv(65_536)
                log += data
                if data:
                    peer.sendall(data)
                    return
            except OSError:
                pass
            self._drop(sock)

    def _accept(self) -> None:
        device, _ = self._tcp.accept()
        try:
            if self._is_cut:
                raise ConnectionRefusedError
            gateway = socket.create_connection((GATEWAY_HOST, self.port))
        except OSError:
            device.close()
            return
        self.sent.append(bytearray())
        self.received.append(bytearray())
        self._pairs[device] = (gateway, self.sent[-1])
        self._pairs[gateway] = (device, self.received[-1])
        for sock in (device, gateway):
            self._selector.register(sock, selectors.EVENT_READ)

    def _drop(self, sock: socket.socket) -> None:
        if sock not in self._pairs:
            return
        peer, _ = self._pairs.pop(sock)
        self._pairs.pop(peer, None)
        for end in (sock, peer):
            self._selector.unregister(end)
            end.close()
