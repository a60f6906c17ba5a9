// Attacks by the dozen: what a judged program may not have. For each line `NAME` a child tries it, and the
// answer is "had" or "refused: ERRNO". `control NAME` does the same without the trick, which any program may.
#include "serve.hpp"

#include <dirent.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/swap.h>
#include <sys/uio.h>
#include <sys/un.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>

using std::string;

static bool opens(const string& name, int how = O_RDONLY) {
    const int file = open(name.c_str(), how | O_NONBLOCK, 0644);
    char byte;
    return file != -1 && ((how & O_ACCMODE) != O_RDONLY || read(file, &byte, 1) > 0);
}

static string content(const string& name) {
    std::stringstream text;
    text << std::ifstream{name}.rdbuf();
    return text.str();
}

static bool has_socket(int domain, int kind = SOCK_STREAM, int protocol = 0) {
    return socket(domain, kind, protocol) != -1;
}

static bool connects(const char* address, int port, int kind) {
    sockaddr_in there{};
    there.sin_family = AF_INET;
    there.sin_port = htons(static_cast<uint16_t>(port));
    inet_pton(AF_INET, address, &there.sin_addr);
    return connect(socket(AF_INET, kind, 0), reinterpret_cast<sockaddr*>(&there), sizeof there) == 0;
}

static int listener_of_its_own() {
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in here{};
    socklen_t size = sizeof here;
    here.sin_family = AF_INET;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bind(listener, reinterpret_cast<sockaddr*>(&here), sizeof here);
    listen(listener, 1);
    getsockname(listener, reinterpret_cast<sockaddr*>(&here), &size);
    return ntohs(here.sin_port);
}

/// The processes that can be seen, but its own and its parent.
static int others() {
    int found = 0;
    DIR* const list = opendir("/proc");
    while (const dirent* entry = readdir(list)) {
        const int pid = std::atoi(entry->d_name);
        found += pid > 1 && pid != getpid() && pid != getppid();
    }
    return found;
}

/// Whether the environment of a process other than these two is to be seen, and says anything.
static bool reads_environments(bool control) {
    if (control) return content("/proc/self/environ").find("PATH=") != string::npos;
    for (int pid = 1; pid < 5000; ++pid)
        if (pid != getpid() && pid != getppid() &&
            !content("/proc/" + std::to_string(pid) + "/environ").empty())
            return true;
    return false;
}

static bool clones(unsigned long flags) {
    const long child = syscall(SYS_clone, flags | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
    if (child == 0) _exit(0);
    return child > 0;
}

static bool clones_anew(uint64_t flags) {  // struct clone_args
    uint64_t arguments[8] = {flags, 0, 0, 0, SIGCHLD};
    const long child = syscall(SYS_clone3, arguments, sizeof arguments);
    if (child == 0) _exit(0);
    return child > 0;
}

static bool calls(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0) {
    return syscall(number, a, b, c, d, e) >= 0;
}

static bool raises(__rlimit_resource which) {
    rlimit limit{};
    getrlimit(which, &limit);
    limit.rlim_max += 1;
    limit.rlim_cur = limit.rlim_max;
    return limit.rlim_max != RLIM_INFINITY && setrlimit(which, &limit) == 0;
}

static bool lowers(__rlimit_resource which) {
    rlimit limit{};
    getrlimit(which, &limit);
    limit.rlim_cur -= limit.rlim_cur > 10 ? 1 : 0;
    return setrlimit(which, &limit) == 0;
}

static bool kills(int pid) {
    return kill(pid, 0) == 0;
}

static long address(const void* memory) {
    return reinterpret_cast<long>(memory);
}

static bool copies_from(int pid) {
    long here = 1, there = 2;
    iovec mine{&here, sizeof here}, theirs{&there, sizeof there};
    return process_vm_readv(pid, &mine, 1, &theirs, 1, 0) > 0;
}

static char ring[256];
static const char* const name = "labs";

// Each tries its trick, or with `true` what is beside it and allowed.
static const std::map<string, std::function<bool(bool)>> probes{
    {"secret", [](bool c) { return opens(c ? "/proc/self/status" : "@SECRET@"); }},
    {"reference", [](bool c) { return opens(c ? "/proc/self/exe" : "@REFERENCE@"); }},
    {"reference_by_its_directory",
     [](bool c) { return opendir(c ? "." : "@LABS@/lab02_tcp_iterative") != nullptr; }},
    {"results_read", [](bool c) { return opens(c ? "/proc/self/maps" : "@RESULTS@"); }},
    {"results_write",
     [](bool c) { return opens(c ? "results.json" : "@RESULTS@", O_RDWR | (c ? O_CREAT : 0)); }},
    {"passwords", [](bool c) { return opens(c ? "/etc/hosts" : "/etc/shadow"); }},
    {"root_of_init", [](bool c) { return opens(c ? "/proc/self/root/etc/hosts" : "/proc/1/root@SECRET@"); }},
    {"environments", reads_environments},
    {"command_of_init",
     [](bool c) {
         return content(c ? "/proc/self/cmdline" : "/proc/1/cmdline").find(c ? "upper" : "@LABS@") !=
                string::npos;
     }},
    {"descriptors_of_init",
     [](bool c) { return opendir(c ? "/proc/self/fd" : "/proc/1/fd") != nullptr && (c || getuid() == 0); }},
    {"inherited_descriptors", [](bool c) { return fcntl(c ? 0 : 9, F_GETFD) != -1; }},
    {"other_processes", [](bool c) { return c ? kills(getppid()) : others() > 0; }},
    {"system_write", [](bool c) { return opens(c ? "mine" : "/usr/bin/mine", O_RDWR | O_CREAT); }},
    {"settings_write", [](bool c) { return opens(c ? "mine" : "/etc/ld.so.preload", O_RDWR | O_CREAT); }},
    {"root_write", [](bool c) { return opens(c ? "mine" : "/mine", O_RDWR | O_CREAT); }},
    {"dev_write", [](bool c) { return opens(c ? "/dev/null" : "/dev/mine", O_RDWR | O_CREAT); }},
    {"home_write", [](bool c) { return opens(c ? "mine" : "/root/mine", O_RDWR | O_CREAT); }},
    {"own_program_write",
     [](bool c) {
         return opens(c ? "mine" : std::filesystem::read_symlink("/proc/self/exe").string(),
                      O_RDWR | (c ? O_CREAT : 0));
     }},
    {"kernel_settings",
     [](bool c) { return opens(c ? "mine" : "/proc/sys/kernel/core_pattern", O_RDWR | (c ? O_CREAT : 0)); }},
    {"sysrq", [](bool c) { return opens(c ? "mine" : "/proc/sysrq-trigger", O_WRONLY | (c ? O_CREAT : 0)); }},
    {"kernel_memory", [](bool c) { return opens(c ? "/dev/zero" : "/dev/mem"); }},
    {"kernel_log", [](bool c) { return opens(c ? "/dev/urandom" : "/dev/kmsg"); }},
    {"devices",
     [](bool c) { return c ? mkfifo("fifo", 0600) == 0 : mknod("disk", S_IFBLK | 0600, 0x0800) == 0; }},
    {"leaves_its_group",
     [](bool c) { return opens(c ? "mine" : "/sys/fs/cgroup/cgroup.procs", O_WRONLY | (c ? O_CREAT : 0)); }},
    {"user_namespace", [](bool c) { return c ? clones(0) : unshare(CLONE_NEWUSER) == 0; }},
    {"user_namespace_by_clone", [](bool c) { return clones(c ? 0 : CLONE_NEWUSER); }},
    {"user_namespace_by_clone3", [](bool c) { return c ? clones(0) : clones_anew(CLONE_NEWUSER); }},
    {"mount_namespace", [](bool c) { return c ? clones(0) : unshare(CLONE_NEWNS) == 0; }},
    {"network_namespace", [](bool c) { return c ? clones(0) : unshare(CLONE_NEWNET) == 0; }},
    {"pid_namespace", [](bool c) { return clones(c ? 0 : CLONE_NEWPID); }},
    {"ipc_namespace", [](bool c) { return clones(c ? 0 : CLONE_NEWIPC); }},
    {"uts_namespace", [](bool c) { return clones(c ? 0 : CLONE_NEWUTS); }},
    {"cgroup_namespace", [](bool c) { return clones(c ? 0 : CLONE_NEWCGROUP); }},
    {"namespace_of_init",
     [](bool c) { return c ? calls(SYS_getpid) : setns(open("/proc/1/ns/mnt", O_RDONLY), 0) == 0; }},
    {"mount",
     [](bool c) { return c ? mkdir("place", 0700) == 0 : mount("none", "/tmp", "tmpfs", 0, nullptr) == 0; }},
    {"remount",
     [](bool c) { return c ? chdir(".") == 0 : mount("none", "/", nullptr, MS_REMOUNT, nullptr) == 0; }},
    {"unmount", [](bool c) { return c ? rmdir("nothing") != 0 : umount("/proc") == 0; }},
    {"root_directory", [](bool c) { return c ? chdir(".") == 0 : chroot(".") == 0; }},
    {"vsock", [](bool c) { return has_socket(c ? AF_INET : AF_VSOCK); }},
    {"alg_socket", [](bool c) { return has_socket(c ? AF_UNIX : AF_ALG, c ? SOCK_STREAM : SOCK_SEQPACKET); }},
    {"packet_socket",
     [](bool c) { return has_socket(c ? AF_INET6 : AF_PACKET, c ? SOCK_STREAM : SOCK_RAW); }},
    {"raw_socket",
     [](bool c) { return has_socket(AF_INET, c ? SOCK_DGRAM : SOCK_RAW, c ? 0 : IPPROTO_ICMP); }},
    {"host_loopback",
     [](bool c) {
         return connects("127.0.0.1", c ? listener_of_its_own() : std::atoi("@PORT@"), SOCK_STREAM);
     }},
    {"outside", [](bool c) { return connects(c ? "127.0.0.1" : "192.0.2.1", 53, SOCK_DGRAM); }},
    {"io_uring", [](bool c) { return c ? eventfd(0, 0) != -1 : calls(425, 8, address(ring)); }},
    {"userfaultfd", [](bool c) { return c ? eventfd(0, 0) != -1 : calls(SYS_userfaultfd, 1); }},
    {"keyring", [](bool c) { return calls(c ? SYS_getuid : SYS_keyctl, 0, -3, 1); }},
    {"key",
     [](bool c) {
         return calls(c ? SYS_getuid : SYS_add_key, address("user"), address(name), address(name), 4, -4);
     }},
    {"key_request",
     [](bool c) {
         return calls(c ? SYS_getuid : SYS_request_key, address("user"), address(name), 0, -4) ||
                (!c && errno == ENOKEY);
     }},
    {"bpf",
     [](bool c) { return c ? calls(SYS_getuid) : calls(SYS_bpf, 0, address(ring), 72) || errno == EINVAL; }},
    {"perf",
     [](bool c) {
         return c ? calls(SYS_getuid)
                  : calls(SYS_perf_event_open, address(ring), 0, -1, -1, 0) || errno == EINVAL;
     }},
    {"fanotify", [](bool c) { return c ? eventfd(0, 0) != -1 : calls(SYS_fanotify_init, 0, 0); }},
    {"asynchronous_io",
     [](bool c) { return c ? eventfd(0, 0) != -1 : calls(SYS_io_setup, 8, address(ring)); }},
    {"hidden_file", [](bool c) { return c ? opens("mine", O_RDWR | O_CREAT) : memfd_create(name, 0) != -1; }},
    {"segment",
     [](bool c) { return c ? calls(SYS_getuid) : shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600) != -1; }},
    {"semaphores",
     [](bool c) { return calls(c ? SYS_getuid : SYS_semget, IPC_PRIVATE, 1, IPC_CREAT | 0600); }},
    {"message_queue",
     [](bool c) { return calls(c ? SYS_getuid : SYS_msgget, IPC_PRIVATE, IPC_CREAT | 0600); }},
    {"posix_message_queue",
     [](bool c) { return calls(c ? SYS_getuid : SYS_mq_open, address(name), O_CREAT | O_RDWR, 0600, 0); }},
    {"traces_init",
     [](bool c) { return c ? kills(getppid()) : ptrace(PTRACE_SEIZE, 1, nullptr, nullptr) == 0; }},
    {"traces_parent",
     [](bool c) { return c ? kills(getppid()) : ptrace(PTRACE_SEIZE, getppid(), nullptr, nullptr) == 0; }},
    {"is_traced",
     [](bool c) { return c ? kills(getppid()) : ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0; }},
    {"memory_of_init",
     [](bool c) { return open(c ? "/proc/self/mem" : "/proc/1/mem", c ? O_RDONLY : O_RDWR) != -1; }},
    {"copies_of_parent", [](bool c) { return c ? calls(SYS_getuid) : copies_from(getppid()); }},
    {"descriptor_of_init",
     [](bool c) { return c ? calls(SYS_dup, 0) : calls(438, static_cast<int>(syscall(434, 1, 0)), 0, 0); }},
    {"compares_processes",
     [](bool c) { return calls(c ? SYS_getuid : SYS_kcmp, getpid(), getppid(), 0, 0, 0); }},
    {"unreadable", [](bool c) { return prctl(PR_SET_DUMPABLE, c ? 1 : 0, 0, 0, 0) == 0; }},
    {"large_pipes",
     [](bool c) {
         int ends[2];
         return pipe(ends) == 0 && fcntl(ends[1], c ? F_GETPIPE_SZ : F_SETPIPE_SZ, 1 << 20) > 0;
     }},
    {"is_root", [](bool c) { return setuid(c ? getuid() : 0) == 0; }},
    {"group_root", [](bool c) { return setgid(c ? getgid() : 0) == 0; }},
    {"gives_files_away",
     [](bool c) {
         return opens("mine", O_RDWR | O_CREAT) &&
                chown("mine", c ? getuid() : 0, static_cast<gid_t>(-1)) == 0;
     }},
    {"more_processes", [](bool c) { return c ? lowers(RLIMIT_NPROC) : raises(RLIMIT_NPROC); }},
    {"larger_files", [](bool c) { return c ? lowers(RLIMIT_FSIZE) : raises(RLIMIT_FSIZE); }},
    {"more_time", [](bool c) { return c ? lowers(RLIMIT_CPU) : raises(RLIMIT_CPU); }},
    {"dumps", [](bool c) { return c ? lowers(RLIMIT_STACK) : raises(RLIMIT_CORE); }},
    {"first_in_line", [](bool c) { return setpriority(PRIO_PROCESS, 0, c ? 19 : -5) == 0; }},
    {"real_time",
     [](bool c) {
         const sched_param one{c ? 0 : 1};
         return sched_setscheduler(0, c ? SCHED_BATCH : SCHED_FIFO, &one) == 0;
     }},
    {"last_to_die",
     [](bool c) {
         const int file = open("/proc/self/oom_score_adj", c ? O_RDONLY : O_WRONLY);
         char text[9];
         return c ? read(file, text, sizeof text) > 0 : write(file, "-1000", 5) == 5;
     }},
    {"host_name", [](bool c) { return c ? gethostname(ring, sizeof ring) == 0 : sethostname(name, 4) == 0; }},
    {"clock",
     [](bool c) {
         timespec now{};
         return clock_gettime(CLOCK_REALTIME, &now) == 0 && (c || clock_settime(CLOCK_REALTIME, &now) == 0);
     }},
    {"swap", [](bool c) { return c ? calls(SYS_getuid) : swapoff("/") == 0; }},
    {"reboot", [](bool c) { return c ? calls(SYS_getuid) : reboot(RB_DISABLE_CAD) == 0; }},
    {"log_of_kernel",
     [](bool c) { return calls(c ? SYS_getuid : SYS_syslog, 3, address(ring), sizeof ring); }},
    {"modules",
     [](bool c) {
         return c ? calls(SYS_getuid) : calls(SYS_delete_module, address(name), 0) || errno == ENOENT;
     }},
    {"file_handles",
     [](bool c) {
         struct {
             unsigned size = 128;
             int kind = 0;
             char data[128];
         } handle;
         int mount_id;
         return calls(c ? SYS_getuid : SYS_name_to_handle_at, AT_FDCWD, address("."), address(&handle),
                      address(&mount_id), 0);
     }},
    {"kills_init",
     [](bool c) { return kill(c ? getpid() : 1, c ? 0 : SIGKILL) == 0 && (c || kill(1, 0) != 0); }},
};

static string tried(const string& line) {
    const bool control = line.rfind("control ", 0) == 0;
    const auto found = probes.find(control ? line.substr(8) : line);
    if (found == probes.end()) return "unknown\n";
    int ends[2];
    if (pipe(ends) != 0) return "no pipe\n";
    const pid_t child = fork();
    if (child == 0) {
        errno = 0;
        const bool had = found->second(control);
        const string told = had ? "had\n" : "refused: " + string{std::strerror(errno)} + "\n";
        _exit(write(ends[1], told.data(), told.size()) < 0 ? 1 : 0);
    }
    close(ends[1]);
    char text[200];
    const ssize_t size = read(ends[0], text, sizeof text);
    close(ends[0]);
    waitpid(child, nullptr, 0);
    return size > 0 ? string(text, static_cast<size_t>(size)) : "refused: it died\n";
}

int main() {
    const int listener = listen_somewhere();
    while (true) {
        const int connection = accept(listener, nullptr, nullptr);
        char line[200];
        for (ssize_t size; (size = recv(connection, line, sizeof line, 0)) > 0;) {
            const string answer = tried(string(line, static_cast<size_t>(size) - 1));
            send(connection, answer.data(), answer.size(), MSG_NOSIGNAL);
        }
        close(connection);
    }
}
