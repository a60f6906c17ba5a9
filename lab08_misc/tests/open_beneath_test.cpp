// The quick check of open_beneath.hpp, in a temporary directory: `make unit`.
#include "../open_beneath.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace {

/// TEMPORARY/secret and TEMPORARY/directory/..., of which only what is in the directory may be served.
struct OpenBeneath : testing::Test {
    std::filesystem::path temporary;
    unique_fd directory;

    OpenBeneath() {
        std::string pattern = testing::TempDir() + "open_beneath_XXXXXX";
        if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error{"mkdtemp"};
        temporary = pattern;
        std::filesystem::create_directories(temporary / "directory/inner");
        std::ofstream{temporary / "secret"} << "secret";
        std::ofstream{temporary / "directory/plain"} << "plain";
        std::ofstream{temporary / "directory/inner/deep"} << "deep";
        std::filesystem::create_symlink("inner/deep", temporary / "directory/link_in");
        std::filesystem::create_symlink("../secret", temporary / "directory/link_out");
        std::filesystem::create_symlink(temporary, temporary / "directory/directory_out");
        directory = unique_fd{check("open", open((temporary / "directory").c_str(), O_PATH | O_DIRECTORY))};
    }
    void TearDown() override { std::filesystem::remove_all(temporary); }

    /// Returns the text of the file that `name` leads to, or the reason why it is not served.
    std::string text(const std::string& name) const {
        try {
            const unique_fd file = open_beneath(directory, name);
            std::string bytes(100, '\0');
            const auto count = read(file.get(), bytes.data(), bytes.size());
            if (count == -1) return "not open for reading";
            bytes.resize(static_cast<std::size_t>(count));
            return bytes;
        } catch (const not_served& error) {
            return std::string{"not served: "} + error.what();
        }
    }

    bool refused(const std::string& name) const { return text(name).starts_with("not served: "); }
};

TEST_F(OpenBeneath, ServesWhatIsInside) {
    EXPECT_EQ(text("plain"), "plain");
    EXPECT_EQ(text("inner/deep"), "deep");
    EXPECT_EQ(text("./inner/../plain"), "plain");
    EXPECT_EQ(text("link_in"), "deep");
}

TEST_F(OpenBeneath, RefusesEveryWayOut) {
    EXPECT_TRUE(refused("../secret"));
    EXPECT_TRUE(refused("inner/../../secret"));
    EXPECT_TRUE(refused(temporary / "secret"));
    EXPECT_TRUE(refused("link_out"));
    EXPECT_TRUE(refused("directory_out/secret"));
    EXPECT_TRUE(refused("/etc/passwd"));
}

TEST_F(OpenBeneath, RefusesWhatIsNotThere) {
    EXPECT_EQ(text("nothing"), "not served: No such file or directory");
    EXPECT_TRUE(refused(""));
    EXPECT_TRUE(refused("plain/more"));
    EXPECT_TRUE(refused(std::string("plain\0more", 10))) << "a name does not end at a NUL byte";
}

TEST_F(OpenBeneath, RefusesWhatIsNoPlainFile) {
    EXPECT_TRUE(refused("inner"));
    EXPECT_TRUE(refused("."));
    ASSERT_EQ(mkfifo((temporary / "directory/fifo").c_str(), 0600), 0);
    // An open that waits for the FIFO's writer waits for ever. This ends the test.
    alarm(10);
    EXPECT_TRUE(refused("fifo"));
    alarm(0);
}

TEST_F(OpenBeneath, KeepsNothingOpen) {
    const auto descriptors = [] {
        const std::filesystem::directory_iterator open_now{"/proc/self/fd"};
        return std::distance(begin(open_now), end(open_now));
    };
    const auto before = descriptors();
    for (int times = 0; times < 10; ++times) {
        text("plain");
        text("inner");
        text("../secret");
    }
    EXPECT_EQ(descriptors(), before);
}

}  // namespace
