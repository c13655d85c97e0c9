/*
 * The configuration in words: what `check` says, and the list of keys in its help.
 *
 * Input: struct cli_config, the table of keys. Output: text for a person.
 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum { COLUMN = 34 /* where values and explanations begin */ };

static uint32_t number_of(const void *base, size_t offset) {
    uint32_t number;
    memcpy(&number, (const char *)base + offset, sizeof number);
    return number;
}

static const char *blank_before(const char *unit) {
    return unit[0] != '\0' ? " " : "";
}

static void print_value(const struct cli_config *c, const struct cli_key *k, FILE *out) {
    const char *text = (const char *)c + k->offset;
    switch (k->type) {
    case CLI_KEY_NUMBER:
        fprintf(out, "%u%s%s", number_of(c, k->offset), blank_before(k->unit), k->unit);
        break;
    case CLI_KEY_SWITCH:
        fputs(number_of(c, k->offset) != 0 ? "true" : "false", out);
        break;
    case CLI_KEY_HOSTS:
        fprintf(out, "%zu entries", c->host_count);
        break;
    default:
        fputs(*text != '\0' ? text : "(chosen by the program)", out);
    }
}

/* One host's network, and what differs from the timers of all others. */
static void print_host(const struct cli_config *c, const struct flow_host_timers *host, FILE *out) {
    const size_t first = offsetof(struct cli_config, timers);
    char address[BASE_ADDR_TEXT];
    size_t n, differing = 0;
    const struct cli_key *keys = cli_keys(&n);
    base_addr_format(&host->address, address);
    fprintf(out, "    %s/%u:", address, host->prefix_length);
    for (size_t i = 0; i < n; i++) {
        if (keys[i].type != CLI_KEY_NUMBER || keys[i].offset - first >= sizeof host->timers)
            continue;
        uint32_t own = number_of(&host->timers, keys[i].offset - first);
        if (own == number_of(c, keys[i].offset))
            continue;
        fprintf(out, "%s %s %u%s%s", differing++ > 0 ? "," : "", strchr(keys[i].path, '.') + 1, own,
                blank_before(keys[i].unit), keys[i].unit);
    }
    fputs(differing > 0 ? "\n" : " the same as all others\n", out);
}

void cli_config_print(const struct cli_config *c, FILE *out) {
    size_t n;
    const struct cli_key *keys = cli_keys(&n);
    for (size_t i = 0; i < n; i++) {
        bool given = (c->given >> i & 1) != 0;
        fprintf(out, "  %-*s", COLUMN - 2, keys[i].path);
        print_value(c, &keys[i], out);
        fputs(given ? "\n" : " (default)\n", out);
        cli_print_wrapped(out, keys[i].help, COLUMN, 0);
        for (size_t h = 0; keys[i].type == CLI_KEY_HOSTS && h < c->host_count; h++)
            print_host(c, &c->hosts[h], out);
    }
}

void cli_config_print_keys(FILE *out) {
    size_t n;
    const struct cli_key *keys = cli_keys(&n);
    for (size_t i = 0; i < n; i++) {
        const struct cli_key *k = &keys[i];
        fprintf(out, "  %-*s", COLUMN - 2, k->path);
        if (k->type == CLI_KEY_NUMBER)
            fprintf(out, "%u to %u%s%s, default %u\n", k->low, k->high, blank_before(k->unit),
                    k->unit, k->number);
        else if (k->type == CLI_KEY_SWITCH)
            fprintf(out, "%s, default %s\n", k->allowed, k->number != 0 ? "true" : "false");
        else if (k->type == CLI_KEY_HOSTS)
            fputs("an array, default empty\n", out);
        else
            fprintf(out, "%s%s%s\n", k->allowed, *k->text != '\0' ? ", default " : "", k->text);
        cli_print_wrapped(out, k->help, COLUMN, 0);
    }
}
