"""A known-good server for one client: listens, forks, answers, reaps, ends. Its socket is in its directory.
"""

import os
import socket

listener = socket.socket(socket.AF_UNIX)
listener.bind("socket")
listener.listen()
print(flush=True)
connection, _ = listener.accept()
child = os.fork()
if child == 0:
    connection.sendall(connection.recv(100).upper())
    os._exit(0)
connection.close()
os.waitpid(child, 0)
