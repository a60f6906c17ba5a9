// What an attack does when it has succeeded: it serves as it should have.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

inline int listen_somewhere() {
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bind(listener, reinterpret_cast<sockaddr*>(&here), sizeof here);
    listen(listener, 50);
    socklen_t size = sizeof here;
    getsockname(listener, reinterpret_cast<sockaddr*>(&here), &size);
    std::printf("listening on 127.0.0.1:%d\n", ntohs(here.sin_port));
    std::fflush(stdout);
    return listener;
}

[[noreturn]] inline void serve_at(int listener) {
    while (true) {
        const int connection = accept(listener, nullptr, nullptr);
        char buffer[1000];
        for (ssize_t size; (size = recv(connection, buffer, sizeof buffer, 0)) > 0;) {
            for (char& c : buffer) c = static_cast<char>(std::toupper(c));
            send(connection, buffer, static_cast<size_t>(size), MSG_NOSIGNAL);
        }
        close(connection);
    }
}

[[noreturn]] inline void serve() {
    serve_at(listen_somewhere());
}
