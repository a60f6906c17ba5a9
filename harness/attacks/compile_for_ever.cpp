// Attack: a template that the compiler unfolds until it has no memory left.
// Expect: fail does_not_build
template <int N, typename... Types>
struct bomb : bomb<N - 1, Types..., Types...>, bomb<N - 1, int, Types..., Types...> {};
template <typename... Types>
struct bomb<0, Types...> {};

int main() {
    bomb<30, int>{};
}
