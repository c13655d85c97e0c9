/*
 * The state folder, and the embedded server's socket in it (design 1.4).
 *
 * Input: the key state_folder, $HOME, $XDG_STATE_HOME. Output: paths; the writer's folder is made.
 */
#include "spanwatch/redis.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OWNER_ONLY = 0700 };

static const char system_folder[] = "/var/lib/spanwatch";
static const char socket_name[] = "redis.sock";

/* mkdir -p; parents get the usual rights, the folder itself its owner's only. */
static int make_folder(const char *path) {
    char part[REDIS_FOLDER_TEXT];
    snprintf(part, sizeof part, "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0755) != 0 && errno != EEXIST)
            return -1;
        *slash = '/';
    }
    return mkdir(part, OWNER_ONLY) != 0 && errno != EEXIST ? -1 : 0;
}

static bool is_writable(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode) && access(path, W_OK | X_OK) == 0;
}

/* ~/.local/state/spanwatch, where $XDG_STATE_HOME names no other place. */
static bool home_folder(char out[REDIS_FOLDER_TEXT]) {
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int n;
    if (state != NULL && *state == '/') {
        n = snprintf(out, REDIS_FOLDER_TEXT, "%s/spanwatch", state);
        return n > 0 && n < REDIS_FOLDER_TEXT;
    }
    if (home == NULL || *home != '/') {
        const struct passwd *p = getpwuid(geteuid());
        home = p != NULL ? p->pw_dir : NULL;
    }
    if (home == NULL || *home != '/')
        return false;
    n = snprintf(out, REDIS_FOLDER_TEXT, "%s/.local/state/spanwatch", home);
    return n > 0 && n < REDIS_FOLDER_TEXT;
}

static int use(const char *path, struct base_error *error) {
    if (make_folder(path) != 0)
        return base_error_set(error, path,
                              "the state folder cannot be made: %s; another is "
                              "chosen with --set state_folder=PATH",
                              strerror(errno));
    if (!is_writable(path))
        return base_error_set(error, path,
                              "the state folder is no folder that can be written; "
                              "another is chosen with --set state_folder=PATH");
    return 0;
}

int redis_state_folder(const char *configured, char out[REDIS_FOLDER_TEXT],
                       struct base_error *error) {
    if (configured[0] != '\0') {
        if (snprintf(out, REDIS_FOLDER_TEXT, "%s", configured) >= REDIS_FOLDER_TEXT)
            return base_error_set(error, "state_folder", "the path is too long");
        return use(out, error);
    }
    snprintf(out, REDIS_FOLDER_TEXT, "%s", system_folder);
    if (make_folder(out) == 0 && is_writable(out))
        return 0;
    if (!home_folder(out))
        return base_error_set(error, "state_folder",
                              "%s cannot be written and there is no home folder; give a folder "
                              "with --set state_folder=PATH",
                              system_folder);
    return use(out, error);
}

int redis_embedded_path(const char *folder, char out[REDIS_PATH_TEXT], struct base_error *error) {
    if (snprintf(out, REDIS_PATH_TEXT, "%s/%s", folder, socket_name) >= REDIS_PATH_TEXT)
        return base_error_set(error, folder,
                              "the state folder's path is too long for a socket in it (107 "
                              "octets with /%s)",
                              socket_name);
    return 0;
}

static bool has_socket(const char *folder, char out[REDIS_PATH_TEXT]) {
    struct stat st;
    return redis_embedded_path(folder, out, NULL) == 0 && stat(out, &st) == 0 &&
           S_ISSOCK(st.st_mode);
}

int redis_embedded_find(const char *configured, struct redis_url *u, struct base_error *error) {
    char home[REDIS_FOLDER_TEXT] = "";
    *u = (struct redis_url){0};
    if (configured[0] != '\0') {
        if (has_socket(configured, u->path))
            return 0;
        return base_error_set(error, configured,
                              "no store here: no probe of this machine runs with this state "
                              "folder; name another store with --redis URL");
    }
    if (has_socket(system_folder, u->path) || (home_folder(home) && has_socket(home, u->path)))
        return 0;
    u->path[0] = '\0';
    return base_error_set(error, "--redis",
                          "not given, and neither %s nor %s has a store of a probe that runs "
                          "here; give a URL, or start 'spanwatch probe'",
                          system_folder, home[0] != '\0' ? home : "~/.local/state/spanwatch");
}
