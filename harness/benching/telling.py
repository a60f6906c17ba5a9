"""Results as tables on the terminal, as bench.json and as plots."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .measures import Result

UNITS = {
    "per_second": "a second",
    "us": "µs each",
    "ns": "ns each",
    "seconds": "s each",
    "kib": "KiB each",
    "mib_per_second": "MiB/s",
    "cpu_seconds_per_gib": "CPU s per GiB",
}


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _spread(result: Result, figure: str) -> str:
    return f"{result.spread(figure):.0%}" if len(result.samples) > 1 else "–"


def _of(results: list[Result], table: str) -> list[Result]:
    return [result for result in results if result.point.table == table]


def print_tables(results: list[Result], console: Console) -> None:
    """A table for each load: the best first, everybody in relation to it."""
    groups: dict[tuple[object, ...], list[Result]] = {}
    for result in results:
        point = result.point
        groups.setdefault((point.table, point.size, point.connections, point.idle), []).append(result)
    for (name, size, connections, idle), group in groups.items():
        told = [result for result in group if result.samples]
        if connections:
            _print_load(
                console,
                f"{name}: {connections} active" + (f", {idle} silent" if idle else "") + f", {size} bytes",
                told,
            )
        else:
            _print_small(console, str(name), told)
        for result in group:
            if result.trouble:
                console.print(
                    f"  {result.point.scheme}: not measured: {result.trouble}", style="yellow", markup=False
                )


def _print_load(console: Console, title: str, told: list[Result]) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("scheme", no_wrap=True)
    for column in ("requests/s", "±", "of best", "p50 ms", "p99 ms", "CPU µs"):
        table.add_column(column, justify="right")
    told = sorted(told, key=lambda result: -result.median("per_second"))
    for result in told:
        limit = "*" if result.median("client_share") > 0.9 else ""
        table.add_row(
            result.point.scheme,
            _number(result.median("per_second")) + limit,
            _spread(result, "per_second"),
            f"{result.median('per_second') / told[0].median('per_second'):.2f}",
            f"{result.median('p50_ms'):.3f}",
            f"{result.median('p99_ms'):.3f}",
            _number(result.median("cpu_us")),
        )
    console.print(table)
    if any(result.median("client_share") > 0.9 for result in told):
        console.print("  * load_client used a whole CPU: the server may be able to do more", style="dim")


def _print_small(console: Console, title: str, told: list[Result]) -> None:
    figures = sorted({figure for result in told for figure in result.samples[0]})
    table = Table(title=title, title_justify="left")
    table.add_column("", no_wrap=True)
    for figure in figures:
        table.add_column(UNITS[figure], justify="right")
        table.add_column("±", justify="right")
        table.add_column("of first", justify="right")
    first = {
        figure: next(result.median(figure) for result in told if figure in result.samples[0])
        for figure in figures
    }
    for result in told:
        row = [result.point.scheme]
        for figure in figures:
            if figure not in result.samples[0]:
                row += ["", "", ""]
                continue
            share = result.median(figure) / first[figure] if first[figure] else 0.0
            row += [_number(result.median(figure)), _spread(result, figure), f"{share:.3g}"]
        table.add_row(*row)
    console.print(table)


def write_json(results: list[Result], path: Path, settings: dict[str, object]) -> None:
    """Everything that was measured, every round of it; written whole or not at all."""
    about = {"kernel": platform.release(), "machine": platform.machine(), "cpus": os.cpu_count()} | settings
    temporary = path.with_suffix(".new")
    temporary.write_text(
        json.dumps({"about": about, "results": [result.as_json() for result in results]}, indent=1)
    )
    temporary.replace(path)


def draw(results: list[Result], folder: Path) -> list[Path]:
    """The plots; none if matplotlib is missing."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        return []
    drawn: list[Path] = []

    def save(name: str, title: str, x: str, y: str) -> None:
        pyplot.title(title)
        pyplot.xlabel(x)
        pyplot.ylabel(y)
        pyplot.grid(alpha=0.3)
        pyplot.tight_layout()
        pyplot.savefig(folder / name, dpi=120)
        pyplot.close()
        drawn.append(folder / name)

    def lines(name: str, table: str, axis: str, figure: str, title: str, x: str, y: str) -> None:
        told = [result for result in _of(results, table) if result.samples]
        size = min((result.point.size for result in told), default=0)
        told = [result for result in told if result.point.size == size]
        if not told:
            return
        pyplot.figure(figsize=(8, 5))
        for number, scheme in enumerate(dict.fromkeys(result.point.scheme for result in told)):
            own = sorted(
                (r for r in told if r.point.scheme == scheme), key=lambda r: int(getattr(r.point, axis))
            )
            pyplot.errorbar(
                [getattr(result.point, axis) for result in own],
                [result.median(figure) for result in own],
                yerr=[result.spread(figure) * result.median(figure) for result in own],
                marker="osv^D<>ph*X"[number % 11],
                color=pyplot.get_cmap("tab20")(number * 2 % 20 + number // 10),
                capsize=2,
                label=scheme,
            )
        pyplot.xscale("symlog" if axis == "idle" else "log")
        pyplot.yscale("log")
        ticks = sorted({getattr(result.point, axis) for result in told})
        pyplot.xticks(ticks, [str(tick) for tick in ticks])
        pyplot.minorticks_off()
        pyplot.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))
        save(name, title, x, y)

    def bars(name: str, own: list[Result], figure: str, title: str, x: str) -> None:
        own = sorted((result for result in own if result.samples), key=lambda result: -result.median(figure))
        if own:
            pyplot.figure(figsize=(8, 5))
            pyplot.barh([result.point.scheme for result in own], [result.median(figure) for result in own])
            save(name, title, x, "")

    clients, rate, wait = "connections at once", "requests/s", "p99, ms"
    lines(
        "connections_throughput.png",
        "a connection a request",
        "connections",
        "per_second",
        "A connection for each request",
        clients,
        rate,
    )
    lines(
        "connections_p99.png",
        "a connection a request",
        "connections",
        "p99_ms",
        "A connection for each request",
        clients,
        wait,
    )
    lines(
        "kept_throughput.png",
        "kept connections",
        "connections",
        "per_second",
        "Kept connections, all active",
        clients,
        rate,
    )
    lines(
        "kept_p99.png",
        "kept connections",
        "connections",
        "p99_ms",
        "Kept connections, all active",
        clients,
        wait,
    )
    lines(
        "idle_throughput.png",
        "a few active among silent ones",
        "idle",
        "per_second",
        "15 active connections among silent ones",
        "silent connections",
        rate,
    )
    bars(
        "memory.png",
        _of(results, "memory of a silent connection"),
        "kib",
        "Memory of the server for each silent connection",
        "KiB",
    )
    each = _of(results, "a connection a request")
    some = 15 if any(result.point.connections == 15 for result in each) else None
    bars(
        "cpu.png",
        [r for r in each if r.point.connections == some],
        "cpu_us",
        "CPU of the machine, without the client's, for each connection",
        "µs",
    )
    return drawn
