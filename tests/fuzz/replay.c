/*
 * Runs a fuzz target over files, where libFuzzer is not at hand.
 * Input: files and folders on the command line (folders with what lies in them, one level deep).
 * Output: how many files were run; exit status 1 when there was none, or one could not be read.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t files;

static int fail(const char *path, const char *why) {
    fprintf(stderr, "replay: %s: %s\n", path, why);
    return -1;
}

/* The octets go into memory of exactly their size, so that a sanitizer sees a read past their end.
 */
static int replay_file(const char *path, size_t size) {
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return fail(path, "cannot be opened");
    uint8_t *octets = malloc(size > 0 ? size : 1);
    int rc = octets != NULL && fread(octets, 1, size, f) == size ? 0 : fail(path, "cannot be read");
    fclose(f);
    if (rc == 0) {
        LLVMFuzzerTestOneInput(octets, size);
        files++;
    }
    free(octets);
    return rc;
}

static int replay(const char *path, int depth);

static int replay_folder(const char *path) {
    DIR *folder = opendir(path);
    if (folder == NULL)
        return fail(path, "cannot be opened");
    int rc = 0;
    struct dirent *entry;
    while (rc == 0 && (entry = readdir(folder)) != NULL) {
        char name[4096];
        if (entry->d_name[0] == '.')
            continue;
        if (snprintf(name, sizeof name, "%s/%s", path, entry->d_name) >= (int)sizeof name)
            rc = fail(path, "the name of a file in it is too long");
        else
            rc = replay(name, 1);
    }
    closedir(folder);
    return rc;
}

static int replay(const char *path, int depth) {
    struct stat st;
    if (stat(path, &st) < 0)
        return fail(path, "no such file or folder");
    if (!S_ISDIR(st.st_mode))
        return replay_file(path, (size_t)st.st_size);
    return depth == 0 ? replay_folder(path) : 0;
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (replay(argv[i], 0) < 0)
            return EXIT_FAILURE;
    }
    printf("replay: %zu files\n", files);
    if (files > 0)
        return EXIT_SUCCESS;
    fail("the command line", "names no file to run over");
    return EXIT_FAILURE;
}
