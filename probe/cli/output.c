/*
 * Where the verbs' data goes: standard output, a file, or nowhere.
 *
 * Input: --output and --format. Output: an open FILE. Owner: the caller.
 */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_same_file(const struct stat *out, const char *path) {
    struct stat in;
    bool known = strcmp(path, "-") == 0 ? fstat(STDIN_FILENO, &in) == 0 : stat(path, &in) == 0;
    return known && in.st_dev == out->st_dev && in.st_ino == out->st_ino;
}

/* Is `path` a capture or a file of the configuration? Opening it for writing would destroy it. */
static bool is_input(const struct cli_options *o, const char *path) {
    const char *const settings[] = {o->config, o->services, o->alarms, o->allow};
    struct stat out;
    if (stat(path, &out) != 0 || !S_ISREG(out.st_mode))
        return false;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (settings[i] != NULL && is_same_file(&out, settings[i]))
            return true;
    for (size_t i = 0; i < o->cmdb_count; i++)
        if (is_same_file(&out, o->cmdb[i]))
            return true;
    for (size_t i = 0; i < o->file_count; i++)
        if (is_same_file(&out, o->files[i]))
            return true;
    return false;
}

int cli_output_open(struct cli_output *out, const struct cli_options *o, struct base_error *error) {
    *out = (struct cli_output){.name = "standard output"};
    if (o->format == CLI_NONE)
        return 0;
    if (strcmp(o->output, "-") == 0) {
        out->file = stdout;
        return 0;
    }
    out->name = o->output;
    if (is_input(o, o->output))
        return base_error_set(error, "--output",
                              "%s is a file that is to be read; name another one", o->output);
    int fd = open(o->output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd >= 0)
        out->file = fdopen(fd, "w");
    if (out->file == NULL) {
        int reason = errno;
        if (fd >= 0)
            close(fd);
        return base_error_set(error, "--output", "%s cannot be created: %s", o->output,
                              strerror(reason));
    }
    out->owned = true;
    return 0;
}

int cli_output_close(struct cli_output *out, struct base_error *error) {
    FILE *file = out->file;
    out->file = NULL;
    if (file == NULL || !out->owned || fclose(file) == 0)
        return 0;
    return base_error_set(error, out->name, "cannot be written: %s", strerror(errno));
}
