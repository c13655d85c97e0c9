/*
 * Fuzz target: files of alarm rules and allow lists, of any octets.
 *
 * Input: a text, taken as --alarms and as --allow. Asserted: what is refused is explained, with the
 * line where it is JSON; of what is accepted every number of every kind lies within its bounds, for
 * all, for services and for clients, its rule has a name, and an engine begins with it.
 */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "probe/alarm/engine.h"
#include "probe/cli/alarms.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One file in memory's folder, written anew each time. */
static const char *write_file(const uint8_t *data, size_t size) {
    static char path[128];
    snprintf(path, sizeof path, "/dev/shm/fuzz_alarm_rules_%ld.json", (long)getpid());
    FILE *f = fopen(path, "wb");
    if (f == NULL || fwrite(data, 1, size, f) != size || fclose(f) != 0)
        abort();
    return path;
}

static void check(const struct alarm_rules *r, const char *service,
                  const struct base_addr *client) {
    for (int kind = 0; kind < ALARM_KINDS; kind++) {
        const struct alarm_rule *rule = rules_find(r, (enum alarm_kind)kind, service, client);
        assert(rule->source != NULL && rule->source[0] != '\0');
        for (int n = 0; n < ALARM_NUMBERS; n++) {
            struct alarm_bounds b =
                alarm_number_bounds((enum alarm_kind)kind, (enum alarm_number)n);
            double x = rule->number[n];
            assert(isnan(b.standard) ? isnan(x) : x >= b.low && x <= b.high);
        }
    }
}

static void ignore(void *context, const struct alarm *a) {
    (void)context;
    (void)a;
}

static void begin_with(const struct alarm_rules *r) {
    struct alarm_config config = {.rules = r, .sink = ignore};
    struct alarm_engine *a = alarm_new(&config);
    if (a == NULL)
        abort();
    alarm_free(a);
}

static void run(const char *alarms, const char *allow) {
    struct base_error error = {0};
    struct base_addr v4 = {.family = 4, .octet = {10, 7, 0, 1}},
                     v6 = {.family = 6, .octet = {0x20}};
    struct alarm_rules *r = cli_load_rules(alarms, allow, &error);
    if (r == NULL) {
        assert(error.what[0] != '\0' && error.why[0] != '\0');
        return;
    }
    check(r, NULL, NULL);
    check(r, "api", NULL);
    check(r, NULL, &v4);
    check(r, "api", &v6);
    rules_allows(r, &v4);
    rules_allows(r, &v6);
    begin_with(r);
    alarm_rules_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *path = write_file(data, size);
    run(path, NULL);
    run(NULL, path);
    run(path, path);
    unlink(path);
    return 0;
}
