/*
 * Fuzz target: configuration files of any octets.
 *
 * Input: a text, read as the main configuration file and as a services file. Asserted: each value
 * that jansson has found our scanner finds a line for, parents not after their members; what is
 * refused is explained; what is accepted lies within bounds; every entry of a table is found by a
 * lookup of its own first port, unless a better one is.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "probe/cli/settings.h"
#include "spanwatch/service.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LARGEST = 1 << 14 /* octets: looking up every line takes quadratic time */ };

/* The lines of all values below `value`, which stands at `path`. */
static void check_lines(const struct config_document *d, const struct config_path *path,
                        json_t *value, unsigned parent_line) {
    const char *key;
    json_t *member;
    size_t i;
    unsigned line = path->depth > 0 ? config_line(d, path) : parent_line;
    assert(line >= parent_line && line > 0);
    if (path->depth == CONFIG_MAX_DEPTH)
        return;
    json_object_foreach(value, key, member) {
        struct config_path at = config_member(path, key);
        check_lines(d, &at, member, line);
    }
    json_array_foreach(value, i, member) {
        struct config_path at = config_element(path, i);
        check_lines(d, &at, member, line);
    }
}

static void check_explained(const struct base_error *error) {
    assert(error->what[0] != '\0' && error->why[0] != '\0');
}

static void check_config(const struct cli_config *c) {
    size_t n;
    const struct cli_key *keys = cli_keys(&n);
    for (size_t i = 0; i < n; i++) {
        uint32_t number;
        memcpy(&number, (const char *)c + keys[i].offset, sizeof number);
        assert(keys[i].type != CLI_KEY_NUMBER || (number >= keys[i].low && number <= keys[i].high));
    }
    for (size_t i = 1; i < c->host_count; i++)
        assert(c->hosts[i].prefix_length <= c->hosts[i - 1].prefix_length);
}

static void run_config(const char *text, size_t n) {
    static const struct config_path root;
    struct base_error error = {0};
    struct config_document d;
    struct cli_config c;
    if (config_load_text(&d, "f.json", text, n, &error) != 0) {
        check_explained(&error);
        return;
    }
    check_lines(&d, &root, d.root, 1);
    if (cli_config_apply(&c, &d, NULL, 0, &error) == 0)
        check_config(&c);
    else
        check_explained(&error);
    cli_config_free(&c);
    config_free(&d);
}

static void check_entry(void *context, const struct service_entry *e) {
    const struct service_table *t = context;
    size_t n = strlen(e->name);
    assert(e->low <= e->high && e->vlan >= -1 && n > 0 && n < SERVICE_NAME_MAX);
    assert(service_configured(t, &e->address, e->low, e->vlan) != NULL);
}

static void run_services(const char *text, size_t n) {
    char path[64];
    struct base_error error = {0};
    struct service_table *t = service_new();
    int fd = memfd_create("services", MFD_CLOEXEC);
    if (t == NULL || fd < 0 || write(fd, text, n) != (ssize_t)n)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (service_load(t, path, &error) == 0)
        service_each(t, check_entry, t);
    else
        check_explained(&error);
    close(fd);
    service_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > LARGEST)
        return 0;
    run_config((const char *)data, size);
    run_services((const char *)data, size);
    return 0;
}
