// A connected socket as a std::iostream: <<, >>, std::getline, read and write, over the network.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <iostream>
#include <span>
#include <streambuf>
#include <system_error>
#include <utility>

#include "posix.hpp"
#include "send_all.hpp"

/// What a stream reads from and writes to: one buffer for each direction. The stream calls underflow when
/// nothing is left to read, overflow when there is no room to write, sync for a flush. The socket's errors
/// are thrown as std::system_error; the stream catches them, and sets badbit.
class socket_buffer : public std::streambuf {
 public:
    /// The connection is lent: it stays open until its owner closes it.
    explicit socket_buffer(const unique_fd& connection) : connection_{connection} {
        setp(output_.data(), output_.data() + output_.size());
    }
    socket_buffer(const socket_buffer&) = delete;
    socket_buffer(socket_buffer&&) = delete;
    socket_buffer& operator=(const socket_buffer&) = delete;
    socket_buffer& operator=(socket_buffer&&) = delete;
    ~socket_buffer() override {
        try {
            socket_buffer::sync();
        } catch (const std::system_error&) {
            // Best effort: a destructor has no caller that could be told.
        }
    }

 protected:
    /// Waits for bytes; returns the first, or eof() if the other side will send no more.
    int_type underflow() override {
        // BEGIN SOLUTION: receive into input_, and show the streambuf with setg what has come.
        const auto received = check("recv", recv(connection_.get(), input_.data(), input_.size(), 0));
        setg(input_.data(), input_.data(), input_.data() + received);
        if (received > 0) return traits_type::to_int_type(input_.front());
        // END SOLUTION
        return traits_type::eof();
    }

    /// Sends the bytes that wait from pbase() to pptr(); returns 0.
    int sync() override {
        // BEGIN SOLUTION: send the bytes that wait, and only those; afterwards none waits.
        send_all(connection_, std::span{pbase(), pptr()});
        setp(output_.data(), output_.data() + output_.size());
        // END SOLUTION
        return 0;
    }

    /// Makes room for `c` by sending what is there, and takes it; eof() is no byte.
    int_type overflow(int_type c) override {
        // BEGIN SOLUTION: send the bytes that wait, then keep c for the next time.
        sync();
        if (!traits_type::eq_int_type(c, traits_type::eof())) sputc(traits_type::to_char_type(c));
        // END SOLUTION
        return traits_type::not_eof(c);
    }

 private:
    const unique_fd& connection_;
    std::array<char, 4096> input_;
    std::array<char, 4096> output_;
};

/// Owns a connected socket. As with a file, what is written leaves with a flush (std::flush, std::endl), when
/// the buffer is full, and at the end: flush before you wait for the answer.
class socket_stream : public std::iostream {
 public:
    explicit socket_stream(unique_fd connection)
        : std::iostream{nullptr}, connection_{std::move(connection)}, buffer_{connection_} {
        rdbuf(&buffer_);
    }

    const unique_fd& connection() const { return connection_; }

 private:
    unique_fd connection_;
    socket_buffer buffer_;
};
