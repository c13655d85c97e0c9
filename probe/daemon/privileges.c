/*
 * Fewer rights: another user, no capabilities, no new privileges.
 *
 * Input: a user's name. Output: credentials of the process and of the calling thread, changed by
 * the system calls themselves (capabilities(7): they belong to a thread). What fails is said, since
 * an operator who believes that rights were dropped must not be wrong.
 */
#include "spanwatch/daemon.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NOBODY = 65534 /* where the user database does not name it */ };

/* Leave exactly `set` (low 32 capabilities) in force and permitted, nothing inheritable. */
static bool set_capabilities(uint32_t set) {
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
        {.effective = set, .permitted = set}};
    return syscall(SYS_capset, &head, data) == 0;
}

/* Capabilities are permitted only so far as they are there; asked for more, capset refuses all. */
static bool has_net_raw(void) {
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    return syscall(SYS_capget, &head, data) == 0 && (data[0].permitted & 1u << CAP_NET_RAW) != 0;
}

static int find_user(const char *user, uid_t *uid, gid_t *gid, struct base_error *error) {
    const struct passwd *p = getpwnam(user != NULL ? user : "nobody");
    *uid = p != NULL ? p->pw_uid : NOBODY;
    *gid = p != NULL ? p->pw_gid : NOBODY;
    if (p == NULL && user != NULL)
        return base_error_set(error, "--user", "there is no user \"%s\" on this system", user);
    return 0;
}

int daemon_user(const char *user, uid_t *uid, gid_t *gid, struct base_error *error) {
    if (geteuid() == 0)
        return find_user(user, uid, gid, error);
    *uid = geteuid();
    *gid = getegid();
    return 0;
}

/* Never through a symbolic link: the folder may have been the user's before. */
int daemon_give(const char *folder, uid_t uid, gid_t gid, struct base_error *error) {
    DIR *d;
    const struct dirent *file;
    int result = 0;
    if (geteuid() != 0)
        return 0;
    d = opendir(folder);
    if (d == NULL || fchown(dirfd(d), uid, gid) != 0)
        result = base_error_set(error, folder, "cannot be given to the probe's user: %s",
                                strerror(errno));
    while (d != NULL && result == 0 && (file = readdir(d)) != NULL) {
        struct stat st;
        if (fstatat(dirfd(d), file->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
            st.st_nlink == 1)
            result =
                fchownat(dirfd(d), file->d_name, uid, gid, AT_SYMLINK_NOFOLLOW) == 0
                    ? 0
                    : base_error_set(error, file->d_name, "cannot be given to the probe's user: %s",
                                     strerror(errno));
    }
    if (d != NULL)
        closedir(d);
    return result;
}

static int leave_root(const char *user, struct base_error *error) {
    uid_t uid;
    gid_t gid;
    if (find_user(user, &uid, &gid, error) != 0)
        return -1;
    for (int i = 0; i <= CAP_LAST_CAP;
         i++) /* what no program started later could get back either */
        prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
    prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
    if (setgroups(0, NULL) == 0 && setresgid(gid, gid, gid) == 0 && setresuid(uid, uid, uid) == 0)
        return 0;
    if (user != NULL)
        return base_error_set(error, "--user", "cannot become \"%s\": %s", user, strerror(errno));
    base_warn("cannot become an unprivileged user (%s): going on as root, without its capabilities",
              strerror(errno));
    return 0;
}

int daemon_become(const char *user, bool keep_net_raw, struct base_error *error) {
    if (geteuid() == 0) {
        if (leave_root(user, error) != 0)
            return -1;
    } else if (user != NULL) {
        return base_error_set(error, "--user", "only root can become another user");
    }
    uint32_t keep = keep_net_raw && has_net_raw() ? 1u << CAP_NET_RAW : 0;
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (!set_capabilities(keep))
        base_warn("capabilities cannot be dropped: %s", strerror(errno));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        base_warn("new privileges cannot be forbidden: %s", strerror(errno));
    return 0;
}

void daemon_drop_capabilities(void) {
    if (!set_capabilities(0))
        base_warn("capabilities cannot be dropped: %s", strerror(errno));
}
