/*
 * daemon: what a well-behaved service owes its host: no more rights than it needs, and a word to
 * the service manager.
 *
 * Input: a user's name, the environment. Output: a process, or a thread, that can do less. Nothing
 * here knows about packets. Rights only ever shrink, and threads inherit what their creator has
 * left, so the order of calls is: open what needs rights, daemon_become, start the threads that
 * keep a capability, daemon_drop_capabilities and daemon_confine, start the others.
 */
#ifndef SPANWATCH_DAEMON_H
#define SPANWATCH_DAEMON_H

#include <sys/types.h>

#include "spanwatch/base.h"

/*
 * As root: become `user` (NULL: nobody), without supplementary groups. Otherwise: stay who we are.
 * Then keep no capability but CAP_NET_RAW, and that only with `keep_net_raw`; and forbid new
 * privileges for ever. To be called while there is one thread. -1 with `error` when `user` was
 * named and cannot be had; what this system does not let us do otherwise (a container without
 * CAP_SETUID) is warned of, and work goes on.
 */
int daemon_become(const char *user, bool keep_net_raw, struct base_error *error);

/* Whom daemon_become makes of root: the user's numbers; of others: their own. -1 with `error` when
 * `user` is not there. */
int daemon_user(const char *user, uid_t *uid, gid_t *gid, struct base_error *error);

/* As root: make a folder and the files in it (not what is deeper) belong to the user. */
int daemon_give(const char *folder, uid_t uid, gid_t gid, struct base_error *error);

/* The calling thread has no capability from here on, nor have the threads that it starts. */
void daemon_drop_capabilities(void);

enum daemon_profile {
    DAEMON_PROBE,  /* reads packets, writes records, opens files for reading, starts threads */
    DAEMON_WRITER, /* the same, and connects to a store, resolves names, writes files */
    DAEMON_OPENER  /* makes packet sockets; can neither write, send, connect nor start anything */
};

/*
 * A seccomp filter for the calling thread and those that it starts: calls of the profile work,
 * those that start programs or touch other processes kill the process, all others fail with EPERM
 * and are logged by the kernel's audit. Needs daemon_become. False, and a warning, where this
 * system has no such filter.
 */
bool daemon_confine(enum daemon_profile profile);

/* The service manager (sd_notify(3)): where it listens, and how often it wants a sign of life. */
struct daemon_notify {
    int fd;               /* -1: nobody listens */
    uint64_t watchdog_ns; /* 0: no watchdog */
};

void daemon_notify_open(struct daemon_notify *n);
/* "READY=1", several assignments separated by newlines; never waits. */
void daemon_notify_send(const struct daemon_notify *n, const char *assignments);
void daemon_notify_close(struct daemon_notify *n);

#endif
