/*
 * System calls that a running probe needs, as a seccomp filter (seccomp(2)) made from tables.
 *
 * Input: a profile. Output: a classic BPF program, given to the kernel. A call is looked up in
 * three lists: the forbidden (kill), the conditional (one argument decides), the allowed; what
 * stands in none fails with EPERM: a C library that uses a call of its own then takes its fallback,
 * and the kernel's audit tells of it. Calls that only some machines have are listed where their
 * number exists.
 */
#include "spanwatch/daemon.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

#ifndef ARCH

bool daemon_confine(enum daemon_profile profile) {
    (void)profile;
    base_warn("no filter of system calls: not made for this machine's architecture");
    return false;
}

#else

enum { X32_BIT = 0x40000000 }; /* numbers of x86-64's other ABI, which would slip through */
#define FAIL        (SECCOMP_RET_ERRNO | EPERM)
#define WRITE_FLAGS (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)

/* clang-format off */

/* Start a program, reach into another process, change the system: a probe
 * that tries was taken over. */
static const uint32_t forbidden[] = {
    SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_mount,
    SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_init_module, SYS_finit_module, SYS_delete_module,
    SYS_kexec_load, SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_keyctl, SYS_add_key,
    SYS_request_key, SYS_setns, SYS_unshare, SYS_reboot, SYS_swapon, SYS_swapoff, SYS_acct,
#ifdef SYS_fork
    SYS_fork, SYS_vfork,
#endif
};

/* Memory, time, waiting, reading: what every thread of the C library's may do. */
static const uint32_t common[] = {
    SYS_futex, SYS_read, SYS_ppoll, SYS_close, SYS_fstat, SYS_newfstatat, SYS_lseek, SYS_munmap,
    SYS_mremap, SYS_madvise, SYS_brk, SYS_clock_gettime, SYS_clock_nanosleep, SYS_nanosleep,
    SYS_gettimeofday, SYS_getrandom, SYS_rt_sigprocmask, SYS_rt_sigaction, SYS_rt_sigreturn,
    SYS_sigaltstack, SYS_restart_syscall, SYS_getpid, SYS_gettid, SYS_tgkill, SYS_sched_yield,
    SYS_getsockopt, SYS_getsockname, SYS_fcntl, SYS_exit, SYS_exit_group, SYS_set_robust_list,
    SYS_rseq, SYS_membarrier, SYS_readlinkat, SYS_faccessat, SYS_setsockopt, SYS_uname,
#ifdef SYS_poll
    SYS_poll, SYS_readlink, SYS_access, SYS_stat,
#endif
};

/* Writing records, the main loop, starting threads. */
static const uint32_t probe[] = {
    SYS_write, SYS_writev, SYS_epoll_pwait, SYS_epoll_ctl, SYS_epoll_create1, SYS_eventfd2,
    SYS_pipe2, SYS_sendto, SYS_sendmsg, SYS_recvfrom, SYS_recvmsg, SYS_prlimit64,
    SYS_sched_getaffinity, SYS_sched_setaffinity, SYS_fsync, SYS_fdatasync, SYS_getuid,
    SYS_geteuid, SYS_getgid, SYS_getegid, SYS_sysinfo,
#ifdef SYS_epoll_wait
    SYS_epoll_wait,
#endif
};

/* The store: its socket, the spool's files, and what the resolver of names does. Paths are not looked
 * at here: the user's rights are few. */
static const uint32_t writer[] = {
    SYS_connect, SYS_shutdown, SYS_bind, SYS_getpeername, SYS_sendmmsg, SYS_pread64, SYS_pwrite64,
    SYS_pwritev, SYS_pwritev2, SYS_ftruncate, SYS_unlinkat, SYS_openat, SYS_wait4, SYS_statx,
#ifdef SYS_open
    SYS_open, SYS_unlink,
#endif
};

/* recvfrom: libpcap empties a socket when it sets a filter. */
static const uint32_t opener[] = {SYS_bind, SYS_eventfd2, SYS_recvfrom};

/* clang-format on */

enum { NEXT = 1 }; /* no verdict of the kernel's: the rules behind decide */

/* One argument decides: with `any_bit` any of these bits set, else equality. */
struct rule {
    uint32_t nr, argument, value;
    bool any_bit;
    uint32_t then, otherwise;
};

static const struct rule common_rules[] = {
    {SYS_openat, 2, WRITE_FLAGS, true, FAIL, SECCOMP_RET_ALLOW},
#ifdef SYS_open
    {SYS_open, 1, WRITE_FLAGS, true, FAIL, SECCOMP_RET_ALLOW},
#endif
    {SYS_mmap, 2, PROT_EXEC, true, FAIL, SECCOMP_RET_ALLOW},
    {SYS_mprotect, 2, PROT_EXEC, true, FAIL, SECCOMP_RET_ALLOW},
    /* TIOCSTI types into a terminal */
    {SYS_ioctl, 1, TIOCSTI, false, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_ALLOW},
};

/* clone3 hides its flags in memory: absent, so that the C library takes clone, whose flags show. */
static const struct rule probe_rules[] = {
    {SYS_clone3, 0, 0, true, FAIL, SECCOMP_RET_ERRNO | ENOSYS},
    {SYS_clone, 0, CLONE_THREAD, true, SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS},
    {SYS_prctl, 0, PR_SET_NAME, false, SECCOMP_RET_ALLOW, FAIL},
};

/* libpcap asks for an interface's properties on a UNIX socket; it cannot be connected or written
 * to. */
static const struct rule opener_rules[] = {
    {SYS_socket, 0, AF_PACKET, false, SECCOMP_RET_ALLOW, NEXT},
    {SYS_socket, 0, AF_UNIX, false, SECCOMP_RET_ALLOW, FAIL},
};

static const struct rule writer_rules[] = {
    {SYS_socket, 0, AF_UNIX, false, SECCOMP_RET_ALLOW, NEXT},
    {SYS_socket, 0, AF_INET, false, SECCOMP_RET_ALLOW, NEXT},
    {SYS_socket, 0, AF_INET6, false, SECCOMP_RET_ALLOW, NEXT},
    {SYS_socket, 0, AF_NETLINK, false, SECCOMP_RET_ALLOW, FAIL},
};

enum { MOST = 512 /* instructions; the tables need less */ };

struct program {
    struct sock_filter code[MOST];
    unsigned short n;
};

static void add(struct program *p, struct sock_filter instruction) {
    assert(p->n < MOST);
    p->code[p->n++] = instruction;
}

static void load(struct program *p, size_t offset) {
    add(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

static void verdict(struct program *p, uint32_t value) {
    add(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, value));
}

static void list(struct program *p, const uint32_t *nr, size_t n, uint32_t value) {
    for (size_t i = 0; i < n; i++) {
        add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr[i], 0, 1));
        verdict(p, value);
    }
}

/* The accumulator holds the number before, and (when the rule does not apply) behind it. Only an
 * argument's low half is looked at: all that are asked about are ints, flags or command numbers. */
static void rules(struct program *p, const struct rule *r, size_t n) {
    for (size_t i = 0; i < n; i++, r++) {
        uint16_t test = r->any_bit ? BPF_JSET : BPF_JEQ;
        add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, r->nr, 0, 4));
        load(p, offsetof(struct seccomp_data, args) + r->argument * sizeof(uint64_t));
        add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | test | BPF_K, r->value, 0, 1));
        verdict(p, r->then);
        if (r->otherwise == NEXT)
            load(p, offsetof(struct seccomp_data, nr));
        else
            verdict(p, r->otherwise);
    }
}

#define COUNT(array)          (sizeof(array) / sizeof(array)[0])
#define LIST(p, array, value) list(p, array, COUNT(array), value)
#define RULES(p, array)       rules(p, array, COUNT(array))

static void build(struct program *p, enum daemon_profile profile) {
    p->n = 0;
    load(p, offsetof(struct seccomp_data, arch));
    add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0));
    verdict(p, SECCOMP_RET_KILL_PROCESS);
    load(p, offsetof(struct seccomp_data, nr));
#if defined(__x86_64__)
    add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1));
    verdict(p, SECCOMP_RET_KILL_PROCESS);
#endif
    if (profile == DAEMON_OPENER)
        RULES(p, opener_rules);
    else
        RULES(p, probe_rules);
    if (profile == DAEMON_WRITER) {
        RULES(p, writer_rules);
        LIST(p, writer, SECCOMP_RET_ALLOW); /* before the rules that forbid to open for writing */
    }
    RULES(p, common_rules);
    LIST(p, common, SECCOMP_RET_ALLOW);
    if (profile == DAEMON_OPENER)
        LIST(p, opener, SECCOMP_RET_ALLOW);
    else
        LIST(p, probe, SECCOMP_RET_ALLOW);
    LIST(p, forbidden, SECCOMP_RET_KILL_PROCESS);
    verdict(p, FAIL);
}

bool daemon_confine(enum daemon_profile profile) {
    struct program program;
    build(&program, profile);
    struct sock_fprog given = {.len = program.n, .filter = program.code};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG, &given) == 0)
        return true;
    base_warn("no filter of system calls: %s", strerror(errno));
    return false;
}

#endif
