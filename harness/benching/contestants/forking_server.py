"""The bytes service in the shape of the Python originals: socketserver's ForkingTCPServer, a child per
client.
"""

import socketserver
import sys


class Stars(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(b"*" * int(self.rfile.readline()))


class Server(socketserver.ForkingTCPServer):
    allow_reuse_address = True
    request_queue_size = 4096


Server(("127.0.0.1", int(sys.argv[1])), Stars).serve_forever()
