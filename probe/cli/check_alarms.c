/*
 * What `check` says of the rules of alarms and of the allow lists.
 *
 * Input: rules that were loaded without fault. Output: a line for each rule that a file names, with
 * all its numbers, the defaults among them; a line for each address that is allowed.
 */
#include "alarms.h"

#include <math.h>

static void print_rule(void *context, const struct alarm_rule_for *whom, enum alarm_kind kind,
                       const double number[ALARM_NUMBERS]) {
    FILE *out = context;
    fprintf(out, "  %s for ", alarm_kind_name(kind));
    if (whom->service != NULL) {
        fprintf(out, "service %s", whom->service);
    } else if (whom->clients != NULL) {
        fputs("clients ", out);
        cli_print_network(whom->clients, whom->prefix_length, out);
    } else {
        fputs("all", out);
    }
    if (number[ALARM_ENABLED] == 0)
        fputs(": off", out);
    for (int n = 0, shown = 0; n < ALARM_ENABLED && number[ALARM_ENABLED] != 0; n++)
        if (!isnan(number[n]))
            fprintf(out, "%s %s %.10g", shown++ == 0 ? ":" : ",",
                    alarm_number_name((enum alarm_number)n), number[n]);
    fputc('\n', out);
}

static void print_allowed(void *context, enum alarm_allow list, const struct base_addr *net,
                          unsigned prefix_length) {
    FILE *out = context;
    fputs("  ", out);
    cli_print_network(net, prefix_length, out);
    fprintf(out, " among the %s raises nothing\n", cli_allow_name(list));
}

void cli_print_rules(const struct cli_options *o, const struct alarm_rules *rules, FILE *out) {
    if (o->alarms != NULL) {
        fprintf(out, "alarms: %s; all else goes by the defaults\n", o->alarms);
        alarm_rules_each(rules, print_rule, out);
    }
    if (o->allow != NULL)
        fprintf(out, "allow: %s\n", o->allow);
    alarm_rules_each_allowed(rules, print_allowed, out);
}
