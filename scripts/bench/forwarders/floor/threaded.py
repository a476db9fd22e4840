"""The other floor: the threaded forwarder people write in Python, two threads a connection.

Usage: python3 threaded.py LISTEN_PORT TARGET_PORT
"""

import socket
import sys
import threading

BUFFER = 65536


def copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(BUFFER):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def serve(client: socket.socket, target_port: int) -> None:
    with client:
        try:
            target = socket.create_connection(("127.0.0.1", target_port))
        except OSError:
            return
        with target:
            for end in (client, target):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            upward = threading.Thread(target=copy, args=(client, target), daemon=True)
            upward.start()
            copy(target, client)
            upward.join()


def main() -> None:
    listen_port, target_port = int(sys.argv[1]), int(sys.argv[2])
    with socket.create_server(("127.0.0.1", listen_port), backlog=511) as server:
        while True:
            client, _ = server.accept()
            threading.Thread(target=serve, args=(client, target_port), daemon=True).start()


main()
