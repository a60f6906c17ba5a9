// The upper service on Asio: a peer of the bench where libasio-dev is installed. One loop, one thread.
#include <array>
#include <asio.hpp>
#include <cstdlib>
#include <memory>
#include <span>

using asio::ip::tcp;

struct connection : std::enable_shared_from_this<connection> {
    explicit connection(tcp::socket peer) : socket{std::move(peer)} {}

    void receive() {
        const auto on_bytes = [self = shared_from_this()](std::error_code error, std::size_t count) {
            if (!error) self->reply(count);
        };
        socket.async_read_some(asio::buffer(bytes), on_bytes);
    }

    void reply(std::size_t count) {
        for (char& c : std::span{bytes}.first(count))
            if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
        const auto on_sent = [self = shared_from_this()](std::error_code error, std::size_t) {
            if (!error) self->receive();
        };
        asio::async_write(socket, asio::buffer(bytes, count), on_sent);
    }

    tcp::socket socket;
    std::array<char, 16384> bytes;
};

void accept_all(tcp::acceptor& listener) {
    listener.async_accept([&listener](std::error_code error, tcp::socket peer) {
        if (!error) std::make_shared<connection>(std::move(peer))->receive();
        accept_all(listener);
    });
}

int main(int, char* argv[]) {
    asio::io_context loop{1};
    const auto port = static_cast<unsigned short>(std::atoi(argv[1]));
    tcp::acceptor listener{loop, {asio::ip::address_v4::loopback(), port}};
    accept_all(listener);
    loop.run();
}
