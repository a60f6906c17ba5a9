"""A known-good server for one client: listens, forks, answers, reaps, ends. It prints its port."""

import os
import socket

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
connection, _ = listener.accept()
child = os.fork()
if child == 0:
    connection.sendall(connection.recv(100).upper())
    os._exit(0)
connection.close()
os.waitpid(child, 0)
