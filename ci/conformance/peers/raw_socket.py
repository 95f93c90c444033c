"""The server of every socket tutorial: one client at a time, 1024 bytes at a time."""

import socket

with socket.create_server(("127.0.0.1", 0)) as listener:
    print(f"listening on tcp://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    while True:
        connection, _ = listener.accept()
        with connection:
            try:
                while data := connection.recv(1024):
                    connection.sendall(data.upper())
            except OSError as error:
                print(error, flush=True)
