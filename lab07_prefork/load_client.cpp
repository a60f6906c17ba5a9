// How much can a server do? `-c` clients at once, each asking `-t` times, the next as soon as the last reply
// is there (a closed loop); then how many requests a second, how long they took, and what went wrong.
//
//   ./bytes_server                                in one terminal
//   ./load_client -c 15 -t 100 -b 4096 localhost  in another: 1500 connections, 4096 bytes each
//
// `-m upper` asks an upper server instead (`-m echo` one that sends the same bytes back), with -k over kept
// connections. `-q 1000` holds that many silent connections meanwhile. Look at p99 beside p50, and at the
// note about this client's own CPU: if it has used a whole CPU, the figures show the client's limit, and not
// the server's.
#include <err.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <exception>
#include <iostream>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "exchange.hpp"
#include "options.hpp"
#include "outcome.hpp"
#include "posix.hpp"
#include "workload.hpp"

/// Takes `word` out of the command line; returns whether it was there.
bool take_word(int& argc, char* argv[], std::string_view word) {
    char** const end = std::remove(argv, argv + argc, word);
    const bool found = end != argv + argc;
    argc = static_cast<int>(end - argv);
    argv[argc] = nullptr;
    return found;
}

/// Lets all clients make their requests. When nothing arrives for `patience` seconds, those under way fail.
outcome run(std::vector<exchange>& clients, const unique_fd& epoll, int patience) {
    outcome result;
    for (const exchange& one : clients) result.requests += one.left;
    result.served.reserve(result.requests);
    std::size_t left = result.requests;
    // With no events, the client begins.
    const auto go_on = [&](std::size_t tag, std::uint32_t events) {
        exchange& one = clients[tag];
        for (; one.left > 0; --one.left, --left, events = 0) {
            try {
                if (events == 0) return one.begin(epoll, tag);
                if (!one.advance(events)) return;
                result.served.add(exchange::clock::now() - one.begun());
                if (!one.kept()) one.disconnect();
            } catch (const std::exception& error) {
                one.disconnect();
                ++result.errors[error.what()];
            }
        }
    };
    const auto begun = exchange::clock::now();
    const double cpu_before = cpu_seconds();
    for (std::size_t tag = 0; tag < clients.size(); ++tag) go_on(tag, 0);

    std::array<epoll_event, 1024> events{};
    const bool terminal = isatty(STDERR_FILENO) != 0;
    auto last_news = begun;
    auto last_shown = begun;
    while (left > 0) {
        const int count = epoll_wait(epoll.get(), events.data(), events.size(), 200);
        // EINTR: this process was stopped and continued.
        if (count == -1 && errno == EINTR) continue;
        check("epoll_wait", count);
        const auto now = exchange::clock::now();
        if (count > 0) last_news = now;
        if (now - last_news > std::chrono::seconds{patience}) {
            result.errors["timed out"] += left;
            break;
        }
        for (const epoll_event& event : std::span{events}.first(static_cast<std::size_t>(count)))
            go_on(event.data.u64, event.events);
        if (terminal && now - last_shown > std::chrono::milliseconds{200}) {
            std::cerr << '\r' << result.requests - left << " of " << result.requests << " requests\x1b[K";
            last_shown = now;
        }
    }
    // The figures take the place of the progress.
    if (last_shown != begun) std::cerr << "\r\x1b[K";
    result.seconds = std::chrono::duration<double>{exchange::clock::now() - begun}.count();
    result.cpu = cpu_seconds() - cpu_before;
    return result;
}

int main(int argc, char* argv[]) try {
    const bool json = take_word(argc, argv, "--json");
    const options given{argc,
                        argv,
                        "pctbmqwi",
                        "[-p PORT] [-c CLIENTS] [-t TIMES] [-b BYTES] [-m bytes|upper|echo] [-k] [-q SILENT] "
                        "[-w SECONDS] [--json] HOST | -i HOST",
                        0,
                        1,
                        "k"};
    const std::string mode = given.text('m', "bytes");
    if (mode != "bytes" && mode != "upper" && mode != "echo")
        given.wrong("-m '" + mode + "': not bytes, upper or echo");
    if (mode == "bytes" && given.has('k')) given.wrong("-k: the bytes service closes after each reply");
    const std::string host = given.text('i', given.words.empty() ? "" : given.words.front());
    if (host.empty()) given.wrong("no HOST");
    const auto count = [&](char letter, int otherwise, int least, int most) {
        return static_cast<std::size_t>(given.number(letter, otherwise, least, most));
    };
    const std::size_t concurrent = count('c', 5, 1, 100'000);
    const std::size_t times = count('t', 500, 1, 100'000'000);
    const std::size_t silent = count('q', 0, 0, 100'000);
    const int patience = given.number('w', 30, 1, 86'400);

    workload work;
    work.upper = mode != "bytes";
    if (mode == "echo") work.first = 'A';
    work.keep = given.has('k');
    work.size = count('b', 3000, 1, 1 << 30);
    work.line = std::to_string(work.size) + "\n";
    work.server = find_server(host, given.port(work.upper ? 4444 : 2000));

    // Each connection needs a descriptor.
    rlimit descriptors{};
    check("getrlimit", getrlimit(RLIMIT_NOFILE, &descriptors));
    descriptors.rlim_cur = descriptors.rlim_max;
    check("setrlimit", setrlimit(RLIMIT_NOFILE, &descriptors));

    const unique_fd epoll{check("epoll_create1", epoll_create1(0))};
    const std::vector<unique_fd> silence = connect_all(silent, work, patience);
    std::vector<exchange> clients;
    if (work.keep) {
        for (unique_fd& one : connect_all(concurrent, work, patience)) {
            clients.emplace_back(work, std::move(one));
            clients.back().watch(epoll, clients.size() - 1);
        }
    }
    while (clients.size() < concurrent) clients.emplace_back(work);
    for (exchange& one : clients) one.left = times;
    outcome result = run(clients, epoll, patience);

    std::cout << (json ? result.as_json() : result.as_text());
    if (result.cpu > 0.9 * result.seconds)
        std::cerr << "load_client: this client used a whole CPU: the server may be able to do more\n";
    return result.failed() == 0 ? 0 : 1;
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
