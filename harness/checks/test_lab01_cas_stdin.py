"""What is true of lab01: compare and swap, line by line, through a pipe."""

from labkit import Lab, check, expect

LARGEST = (1 << 64) - 1

REGISTER = {
    "never_swaps": "The register keeps its first value: store the new one if the present value is the "
    "expected one.",
    "zero_not_stored": "0 is a value like any other: as the new value it is stored, too.",
    "always_swaps": "The new value was stored although the present one was not the expected one.",
    "new_value_returned": "The reply is the value before the swap, not the one after it.",
    "not_zero_first": "The register starts at 0.",
    "compared_in_part": "Only a part of OLD and of the present value were compared: all 64 bits have to be "
    "equal.",
    "no_request_seen": "A request was not seen as one: two numbers, parted by blanks.",
}
SYNTAX = {
    "blanks_missed": "Blanks are space, tab, CR, VT and FF, any number of them: before, between and after "
    "the numbers.",
    "garbage_accepted": "Only blanks may follow the second number.",
    "sign_accepted": "A number is digits and nothing else: no sign, no 0x, no point.",
    "numbers_not_parted": "Between the two numbers there has to be a blank.",
    "two_numbers_needed": "One number is no request.",
    "nul_ends_line": "A zero byte is a byte of the line like any other, and no blank.",
    "more_blanks": "A byte that is no blank was skipped like one. The five blanks are space, tab, CR, VT and "
    "FF, and a byte order mark is no part of a request.",
}
RANGE = {
    "wrapped": "A number above 2^64 - 1 was cut to 64 bits silently.",
    "largest_refused": "2^64 - 1 is the largest number allowed, and was refused.",
    "stored_half": "One number was out of range, but the register was changed.",
    "octal": "A leading zero means nothing: 007 is 7, 010 is 10, and a hundred zeros in front are still "
    "allowed.",
    "syntax_comes_first": "A line that is no request at all is Bad Syntax, however large its numbers.",
}
STREAM = {
    "last_line_lost": "The last line may come without its newline. It is still a line.",
    "block_boundary": "A line that lies across two blocks of the input was treated as two lines.",
    "copied_each_time": "The time grows with the square of a line's length: for each block, all that "
    "has come of the line was copied, or looked through, again.",
    "middle_lost": "The program looked at the beginning and the end of a long line, but not at everything "
    "between them.",
    "not_flushed": "The replies have to be written before a read that waits: a user may be waiting for "
    "them.",
    "read_failure_unnoticed": "The input could not be read, and that was taken for its end: read returns -1 "
    "for a failure, and 0 for the end.",
    "failure_unnoticed": "The replies could not be written, and the program did not say so: the last bytes "
    "are written by a flush, and that can fail, too.",
}
DRIVER = {
    "matched_whole": "The expression is matched at the start of the line only: `1 2 x` passes here.",
    "regex_overflow": "std::regex matches by recursion, and a long line overflows the stack: refuse such a "
    "line before.",
}


def drawn(lab: Lab) -> int:
    """A value that no program knows beforehand, and every kind of register can hold."""
    return lab.secret.randrange(100, 1 << 31)


def asked(
    lab: Lab, program: str, requests: list[tuple[str, str]], cause: str | dict[str, str] | None = None
) -> None:
    """Gives the lines to the program, and expects the reply that stands behind each.

    Before several lines the register goes to a drawn value and back: no table of lines has a reply to these.
    """
    if len(requests) > 1:
        there = drawn(lab)
        requests = [(f"0 {there}", "0"), (f"{there} 0", str(there)), *requests]
    lines = "".join(line + "\n" for line, _ in requests)
    replies = "".join(reply + "\n" for _, reply in requests)
    run = lab.run(program, input=lines.encode("latin-1"))
    run.expect_status().expect_output(replies.encode(), cause=cause)


@check(points=8, read="one-line-one-reply", causes=REGISTER)
def test_a_line_is_answered_with_the_value_before(lab: Lab) -> None:
    """A client that knows the present value may change it. The reply is the value that was there before."""
    first = lab.run("stdin_cas", input=b"5 5\n").expect_status()
    first.expect_output(
        b"0\n", cause=lambda: "no_request_seen" if first.stdout == b"Bad Syntax\n" else "not_zero_first"
    )
    asked(lab, "stdin_cas", [("0 7", "0")], cause="new_value_returned")
    value = drawn(lab)
    for cause, second, third in (("never_swaps", value, value), ("zero_not_stored", 0, 0)):
        run = lab.run("stdin_cas", input=f"0 {value}\n{value} {second}\n{third} {third}\n".encode())
        run.expect_status().expect_output(f"0\n{value}\n{third}\n".encode(), cause=cause)
    asked(lab, "stdin_cas", [("0 7", "0"), ("7 8", "7"), ("8 0", "8"), ("0 0", "0")], cause="never_swaps")


@check(points=12, read="compare-and-swap", causes=REGISTER)
def test_a_wrong_guess_changes_nothing(lab: Lab) -> None:
    """A client that does not know the present value learns it, and the value does not change."""
    asked(lab, "stdin_cas", [("1 2", "0")], cause="no_request_seen")
    asked(
        lab,
        "stdin_cas",
        [("1 2", "0"), ("2 3", "0"), ("0 7", "0"), ("0 8", "7"), ("8 9", "7")],
        cause="always_swaps",
    )
    for value in (0, lab.random.randrange(LARGEST)):
        near = [(f"{value ^ 1 << bit} 5", str(value)) for bit in range(64)]
        asked(lab, "stdin_cas", [(f"0 {value}", "0"), *near], cause="compared_in_part")


@check(points=10, read="the-protocol", causes=SYNTAX)
def test_blanks_of_every_kind_part_the_numbers(lab: Lab) -> None:
    """Space, tab, CR, VT, FF: so a line that ends in CR LF, as telnet sends it, is a request."""
    one, two, three, four = (drawn(lab) for _ in range(4))
    lines = [
        (f"0 {one}\r", "0"),
        (f"{one}\t{two}", str(one)),
        (f"  {two}   {three}  ", str(two)),
        (f"\v{three}\f{four}\t", str(three)),
        (f"{four}\r\v\f 5", str(four)),
        ("5 5", "5"),
    ]
    asked(lab, "stdin_cas", lines, cause="blanks_missed")


@check(points=12, read="the-protocol", causes=SYNTAX)
def test_what_is_no_request_is_bad_syntax(lab: Lab) -> None:
    """Two numbers, blanks, and nothing else: every other line has one answer, and the register stays."""
    other = sorted({chr(byte) for byte in range(256)} - set("0123456789 \t\r\v\f\n"))
    for cause, lines in (
        ("two_numbers_needed", ("", " ", "1", "0 ", " 0")),
        ("garbage_accepted", ("0 1 x", "0 1x", "0 1 2", "0 1,", "0 1\xa0")),
        ("sign_accepted", ("-0 1", "+0 1", "0 -1", "0 +1", "0x0 1", "0.0 1", "0 1e3", "0 1_0")),
        ("numbers_not_parted", ("0,1", "0-1", "0\xa01", "0x1")),
        ("nul_ends_line", ("0 1\0", "\x000 1", "0\x001", "0 1\0 2")),
        ("more_blanks", tuple(place.format(byte) for byte in other for place in ("{}0 1", "0{}1", "0 1{}"))),
    ):
        refused = [(line.replace("1", str(drawn(lab))), "Bad Syntax") for line in lines]
        asked(lab, "stdin_cas", [*refused, ("0 0", "0")], cause=cause)
    marked = lab.run("stdin_cas", input=b"\xef\xbb\xbf0 %d\n0 0\n" % drawn(lab)).expect_status()
    marked.expect_output(b"Bad Syntax\n0\n", cause="more_blanks")


@check(points=15, read="numbers", causes=RANGE)
def test_a_number_is_at_most_64_bits(lab: Lab) -> None:
    """2^64 - 1 is a value, 2^64 is out of range: said, not wrapped, and nothing is stored."""
    asked(
        lab,
        "stdin_cas",
        [(f"0 {LARGEST}", "0"), (f"{LARGEST} 1", str(LARGEST)), ("1 1", "1")],
        cause="largest_refused",
    )
    beyond = [f"0 {LARGEST + 1}", f"{LARGEST + 1} 5", "0 " + "9" * 1000, f"{2 * LARGEST + 2} 7"]
    asked(lab, "stdin_cas", [(line, "Out of Range") for line in beyond], cause="wrapped")
    # An overflow that is looked for by "the new value is smaller" is missed by many of these.
    drawn = [lab.random.randint(LARGEST + 1, 1000 * LARGEST) for _ in range(300)]
    asked(lab, "stdin_cas", [(f"0 {number}", "Out of Range") for number in drawn], cause="wrapped")
    half = [
        ("0 3", "0"),
        (f"3 {LARGEST + 1}", "Out of Range"),
        (f"{LARGEST + 1} 5", "Out of Range"),
        ("3 3", "3"),
    ]
    asked(lab, "stdin_cas", half, cause="stored_half")
    asked(
        lab,
        "stdin_cas",
        [(f"{LARGEST + 1}", "Bad Syntax"), (f"1 {LARGEST + 1} x", "Bad Syntax")],
        cause="syntax_comes_first",
    )


@check(points=5, read="numbers", causes=RANGE)
def test_leading_zeros_mean_nothing(lab: Lab) -> None:
    """007 is 7, and the reply says 7."""
    zeros, value = "0" * 100, drawn(lab)
    asked(
        lab,
        "stdin_cas",
        [(f"000 00{value}", "0"), (f"{value} 010", str(value)), (f"{zeros}10 {zeros}", "10"), ("0 08", "0")],
        cause="octal",
    )


@check(points=5, read="the-end", causes=STREAM)
def test_the_last_line_may_lack_its_newline(lab: Lab) -> None:
    """At the end of the input a line without a newline is a line. An empty input gets no reply."""
    value = drawn(lab)
    run = lab.run("stdin_cas", input=b"0 %d\n%d 8" % (value, value)).expect_status()
    run.expect_output(b"0\n%d\n" % value, cause="last_line_lost")
    for blanks in (b" ", b"\t\r"):
        run = lab.run("stdin_cas", input=b"0 7\n" + blanks).expect_status()
        run.expect_output(b"0\nBad Syntax\n", cause="last_line_lost")
    lab.run("stdin_cas", input=b"").expect_status().expect_output(b"")
    lab.run("stdin_cas", input=b"\n").expect_status().expect_output(b"Bad Syntax\n")
    lab.run("stdin_cas", "word").expect_status(2).expect_match("^usage: stdin_cas", stream="stderr")


@check(points=3, read="the-end", causes=STREAM)
def test_replies_that_cannot_be_written_are_told(lab: Lab) -> None:
    """The disk may be full, or the descriptor closed. The exit status has to say that replies are missing: so
    it does if the input cannot be read."""
    for requests in (b"0 7\n", b"0 0\n" * 100_000):
        run = lab.run("stdin_cas", input=requests, closed=(1,)).expect_status(1, cause="failure_unnoticed")
        run.expect_match(r"^stdin_cas: write: Bad file descriptor$", "failure_unnoticed", stream="stderr")
    # The first write may be longer than the room, or a later one, or the last.
    for count, room in ((30_000, 20_001), (100_000, 150_001), (100_000, 199_999)):
        run = lab.run("stdin_cas", input=b"0 0\n" * count, room=room).expect_status(1, "failure_unnoticed")
        run.expect_match(r"^stdin_cas: write: File too large$", "failure_unnoticed", stream="stderr")
    run = lab.run("stdin_cas", closed=(0,)).expect_status(1, cause="read_failure_unnoticed")
    run.expect_match(r"^stdin_cas: read: Bad file descriptor$", "read_failure_unnoticed", stream="stderr")
    for requests in (b"0 7\n", b"0 7\n7 8"):
        run = lab.run("stdin_cas", input=requests, broken=True).expect_status(1, "read_failure_unnoticed")
        run.expect_match(r"^stdin_cas: read: Connection reset", "read_failure_unnoticed", stream="stderr")


@check(points=5, read="blocks", causes=STREAM)
def test_a_block_may_end_anywhere(lab: Lab) -> None:
    """Twenty thousand lines of every length: some lie across the blocks in which they are read."""
    value, lines, replies = 0, [], []
    for _ in range(20_000):
        new = lab.random.randrange(10 ** lab.random.randint(1, 19))
        guess = value if lab.random.random() < 0.8 else lab.random.randrange(10)
        lines.append(f"{' ' * lab.random.randrange(4)}{guess} {new}")
        replies.append(str(value))
        value = new if guess == value else value
    text = "".join(line + "\n" for line in lines)
    run = lab.run("stdin_cas", input=text.encode()).expect_status()
    run.expect_output("".join(reply + "\n" for reply in replies).encode(), cause="block_boundary")


@check(points=5, read="blocks", causes=STREAM)
def test_a_reply_comes_before_the_next_line_is_typed(lab: Lab) -> None:
    """Output in blocks is fast, but a user must not wait for it: before the program waits for input, it
    writes its replies."""
    program = lab.start("stdin_cas", stdin=True)
    seven, eight = drawn(lab), drawn(lab)
    program.type(f"0 {seven}\n")
    program.expect_text("0\n", cause="not_flushed")
    program.type("0 0\n")
    program.expect_at_rest()
    written = program.stdout.text == f"0\n{seven}\n"
    expect(written, "the reply was written before it waits", cause="not_flushed")
    program.expect_text(f"{seven}\n")
    program.type(f"{seven} ")
    program.type(f"{eight}\n{eight} 9\n9")
    program.expect_text(f"{seven}\n{eight}\n", cause="not_flushed")
    program.type(" 9\n")
    program.expect_text("9\n", cause="not_flushed")
    program.type("9 9")
    program.expect_at_rest()
    program.type("\n9 9\n")
    program.expect_text("9\n9\n", cause={"bytes": "block_boundary", "answer": "not_flushed"})
    # It fills a block of any size that is a power of two: the last read is as full as the ones before.
    program.type_at_once("9 9\n" * 16384)
    program.expect_text("9\n" * 16384, cause="not_flushed")
    program.end_input()
    program.expect_exit(0)


@check(points=5, read="blocks", causes=STREAM)
def test_ten_million_lines_are_no_trouble(lab: Lab) -> None:
    """Forty megabytes of requests: each gets its reply."""
    lines = lab.file("lines", b"0 1\n1 0\n" * 5_000_000)
    run = lab.run("stdin_cas", input=lines).expect_status()
    expect(
        run.stdout == b"0\n1\n" * 5_000_000,
        "ten million replies are right",
        otherwise=f"{len(run.stdout)} other bytes",
    )


@check(points=5, read="blocks", causes=STREAM | RANGE, hidden=True)
def test_a_line_of_a_hundred_megabytes_is_no_trouble(lab: Lab) -> None:
    """A line of a hundred megabytes takes time and memory, and gets its reply like any other."""
    long = b"0" * 50_000_000 + b" " * 50_000_000
    one, two = (b"%d" % drawn(lab) for _ in range(2))
    second = one + b" " * 70_000 + two + b"\n"
    lines = lab.file("long", long + one + b"\n" + second + b"9" * 1_000_000 + b" 1\n" + two + b" 9")
    lab.run("stdin_cas", input=lines, busy="copied_each_time").expect_status().expect_output(
        b"0\n" + one + b"\nOut of Range\n" + two + b"\n", cause="block_boundary"
    )
    # What stands in the middle counts, too.
    zeros = b"0" * 50_000_000
    lines = lab.file("long", b"0 7\n" + zeros + b"x" + zeros + b" 1\n" + zeros + b"9" + zeros + b" 1\n7 8")
    lab.run("stdin_cas", input=lines).expect_status().expect_output(
        b"0\nBad Syntax\nOut of Range\n7\n", cause="middle_lost"
    )


@check(points=5, read="another-driver", causes=REGISTER | DRIVER)
def test_the_other_driver_answers_the_same(lab: Lab) -> None:
    """The same service by a regular expression: a correct request gets the same reply."""
    lines = [
        ("0 7", "0"),
        ("\t7\v 8\r", "7"),
        ("0 9", "8"),
        (f"8 {LARGEST}", "8"),
        (f"{LARGEST} 007", str(LARGEST)),
        ("7 7", "7"),
    ]
    asked(lab, "stdin_cas_regex", lines)
    asked(
        lab,
        "stdin_cas_regex",
        [("", "Bad Syntax"), ("1", "Bad Syntax"), ("x 1 2", "Bad Syntax"), ("-1 2", "Bad Syntax")],
    )
    asked(
        lab,
        "stdin_cas_regex",
        [(f"0 {LARGEST + 1}", "Out of Range"), (f"{LARGEST + 1} 1", "Out of Range"), ("0 0", "0")],
    )


@check(points=5, read="another-driver", causes=DRIVER)
def test_the_other_driver_matches_at_the_start_only(lab: Lab) -> None:
    """An expression without an anchor at its end matches the beginning of a line: `1 2 x` passes. And no line
    makes the program crash."""
    asked(
        lab,
        "stdin_cas_regex",
        [("0 2 x", "0"), ("2 3 4 5", "2"), ("3 4x", "3"), ("4 4", "4")],
        cause="matched_whole",
    )
    value = b"%d" % drawn(lab)
    before, behind = b"0 " + value + b"\n", b"\n" + value + b" 8\n"
    for long in (b"1" * 1_000_000 + b" 2", b" " * 1_000_000, b"0 1" + b" " * 200_000):
        run = lab.run("stdin_cas_regex", input=before + long + behind).expect_status(
            0, cause="regex_overflow"
        )
        run.expect_output(b"0\nLine too long\n" + value + b"\n", cause="regex_overflow")
    # Where the limit stands is the program's own. Below it, it has to be able to do the match.
    for length in (2_000, 5_000, 20_000, 50_000, 100_000, 200_000, 500_000):
        line = b"1" * length + b" 2"
        run = lab.run("stdin_cas_regex", input=before + line + behind).expect_status(
            0, cause="regex_overflow"
        )
        wanted = rf"\A0\n(?:Line too long|Out of Range)\n{value.decode()}\n\Z"
        run.expect_match(wanted, cause="regex_overflow")
