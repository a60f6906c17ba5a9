// The quick check of open_beneath.hpp, in a temporary folder: `make unit`.
#include "../open_beneath.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace {

/// TEMPORARY/secret and TEMPORARY/folder/..., of which only what is in the folder may be served.
struct OpenBeneath : testing::Test {
    std::filesystem::path temporary;
    unique_fd folder;

    OpenBeneath() {
        std::string pattern = testing::TempDir() + "open_beneath_XXXXXX";
        if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error{"mkdtemp"};
        temporary = pattern;
        std::filesystem::create_directories(temporary / "folder/inner");
        std::ofstream{temporary / "secret"} << "secret";
        std::ofstream{temporary / "folder/plain"} << "plain";
        std::ofstream{temporary / "folder/inner/deep"} << "deep";
        std::filesystem::create_symlink("inner/deep", temporary / "folder/link_in");
        std::filesystem::create_symlink("../secret", temporary / "folder/link_out");
        std::filesystem::create_symlink(temporary, temporary / "folder/folder_out");
        folder = unique_fd{check("open", open((temporary / "folder").c_str(), O_PATH | O_DIRECTORY))};
    }
    void TearDown() override { std::filesystem::remove_all(temporary); }

    /// Returns the text of the file that `name` leads to, or the reason why it is not served.
    std::string text(const std::string& name) const {
        try {
            const unique_fd file = open_beneath(folder, name);
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
    EXPECT_TRUE(refused("folder_out/secret"));
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
    ASSERT_EQ(mkfifo((temporary / "folder/fifo").c_str(), 0600), 0);
    alarm(10);  // a server that waits for the FIFO's writer waits for ever: that ends this test
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
