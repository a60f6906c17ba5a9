// The upper service on libuv: a peer of the bench where libuv1-dev is installed. One loop, one thread.
#include <uv.h>

#include <cstdlib>
#include <new>

struct connection {
    uv_tcp_t stream;
    uv_write_t request;
    char bytes[16384];
};

connection& of(void* stream) {
    return *static_cast<connection*>(static_cast<uv_handle_t*>(stream)->data);
}

void close_it(connection& one) {
    uv_close(reinterpret_cast<uv_handle_t*>(&one.stream),
             [](uv_handle_t* stream) { delete static_cast<connection*>(stream->data); });
}

void on_room(uv_handle_t* stream, std::size_t, uv_buf_t* room) {
    *room = uv_buf_init(of(stream).bytes, sizeof of(stream).bytes);
}

void on_bytes(uv_stream_t* stream, ssize_t count, const uv_buf_t*);

void on_sent(uv_write_t* request, int error) {
    connection& one = of(request->handle);
    if (error != 0) return close_it(one);
    uv_read_start(request->handle, on_room, on_bytes);
}

void on_bytes(uv_stream_t* stream, ssize_t count, const uv_buf_t*) {
    connection& one = of(stream);
    if (count == 0) return;
    if (count < 0) return close_it(one);
    for (char* c = one.bytes; c < one.bytes + count; ++c)
        if (*c >= 'a' && *c <= 'z') *c = static_cast<char>(*c - 'a' + 'A');
    uv_buf_t reply = uv_buf_init(one.bytes, static_cast<unsigned>(count));
    const int sent = uv_try_write(stream, &reply, 1);
    if (sent == count) return;
    if (sent < 0 && sent != UV_EAGAIN) return close_it(one);
    const int gone = sent < 0 ? 0 : sent;
    reply = uv_buf_init(one.bytes + gone, static_cast<unsigned>(count - gone));
    uv_read_stop(stream);  // one reply at a time: memory is bounded
    uv_write(&one.request, stream, &reply, 1, on_sent);
}

int main(int, char* argv[]) {
    uv_loop_t* const loop = uv_default_loop();
    uv_tcp_t listener;
    sockaddr_in here;
    uv_tcp_init(loop, &listener);
    uv_ip4_addr("127.0.0.1", std::atoi(argv[1]), &here);
    if (uv_tcp_bind(&listener, reinterpret_cast<sockaddr*>(&here), 0) != 0) return 1;
    const auto on_client = [](uv_stream_t* at, int error) {
        if (error != 0) return;
        auto* const one = new connection;
        uv_tcp_init(at->loop, &one->stream);
        one->stream.data = one;
        auto* const stream = reinterpret_cast<uv_stream_t*>(&one->stream);
        if (uv_accept(at, stream) != 0) return close_it(*one);
        uv_read_start(stream, on_room, on_bytes);
    };
    if (uv_listen(reinterpret_cast<uv_stream_t*>(&listener), 4096, on_client) != 0) return 1;
    return uv_run(loop, UV_RUN_DEFAULT);
}
