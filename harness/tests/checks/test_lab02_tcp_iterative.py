"""The check by which the harness itself is tested: one conversation, and the end."""

from labkit import Lab, check


@check(points=60, read="first-server")
def test_the_server_answers(lab: Lab) -> None:
    """What goes in comes back in upper case."""
    server = lab.server("upper_server")
    ann = server.connect("ann")
    ann.send(b"hello, world\n")
    ann.expect(b"HELLO, WORLD\n")
    ann.half_close()
    ann.expect_eof()


@check(points=40, read="first-server", hidden=True)
def test_the_server_ends(lab: Lab) -> None:
    """SIGINT ends it."""
    lab.server("upper_server").stop()
