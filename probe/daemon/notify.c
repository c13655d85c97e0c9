/*
 * The service manager's notification socket, by the protocol of sd_notify(3).
 *
 * Input: $NOTIFY_SOCKET, $WATCHDOG_USEC, $WATCHDOG_PID. Output: datagrams. Opened and connected
 * before rights are dropped. Without these variables every call does nothing.
 */
#include "spanwatch/daemon.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static uint64_t watchdog_ns(void) {
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    uint64_t value, whose;
    if (usec == NULL || !base_uint_parse(usec, UINT64_MAX / 1000, &value))
        return 0;
    if (pid != NULL && (!base_uint_parse(pid, INT32_MAX, &whose) || whose != (uint64_t)getpid()))
        return 0;
    return value * 1000;
}

void daemon_notify_open(struct daemon_notify *n) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");
    size_t length = path != NULL ? strlen(path) : 0;
    *n = (struct daemon_notify){.fd = -1};
    if (length < 2 || length >= sizeof to.sun_path || (*path != '/' && *path != '@'))
        return;
    memcpy(to.sun_path, path, length);
    if (*path == '@') /* the abstract namespace: its names begin with a NUL and have no end */
        to.sun_path[0] = '\0';
    n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    if (n->fd >= 0 && connect(n->fd, (const struct sockaddr *)&to, size) != 0) {
        base_warn("NOTIFY_SOCKET: %s cannot be reached; the service manager is told nothing", path);
        daemon_notify_close(n);
    }
    if (n->fd >= 0)
        n->watchdog_ns = watchdog_ns();
}

void daemon_notify_send(const struct daemon_notify *n, const char *assignments) {
    if (n->fd >= 0) /* a manager that does not listen now misses a word; the next one comes soon */
        (void)!send(n->fd, assignments, strlen(assignments), MSG_NOSIGNAL);
}

void daemon_notify_close(struct daemon_notify *n) {
    if (n->fd >= 0)
        close(n->fd);
    n->fd = -1;
}
