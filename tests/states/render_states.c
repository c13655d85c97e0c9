/*
 * The two tables of the state machine as Markdown, on standard output. Input: none;
 * scripts/render-states calls it.
 */
#include <stdio.h>

#include "spanwatch/tcp.h"

typedef const struct tcp_cell table[TCP_EVENTS][TCP_STATES];

static void print_head(void) {
    printf("| event |");
    for (unsigned s = 0; s < TCP_STATES; s++)
        printf(" %s |", tcp_state_name((enum tcp_state)s));
    printf("\n| --- |");
    for (unsigned s = 0; s < TCP_STATES; s++)
        printf(" --- |");
    printf("\n");
}

static const char *word_of(const struct tcp_cell *cell) {
    return cell->verdict == TCP_IMPOSSIBLE ? ""
           : cell->verdict == TCP_STAY     ? "stays"
                                           : tcp_state_name((enum tcp_state)cell->next);
}

static void print_rows(table t) {
    for (unsigned e = 0; e < TCP_EVENTS; e++) {
        printf("| %s |", tcp_event_name((enum tcp_event)e));
        for (unsigned s = 0; s < TCP_STATES; s++)
            printf(" %s |", word_of(&t[e][s]));
        printf("\n");
    }
}

static void print_reasons(table t) {
    printf("\n| event | state | then | because |\n| --- | --- | --- | --- |\n");
    for (unsigned e = 0; e < TCP_EVENTS; e++)
        for (unsigned s = 0; s < TCP_STATES; s++)
            if (t[e][s].verdict != TCP_IMPOSSIBLE)
                printf("| %s | %s | %s | %s |\n", tcp_event_name((enum tcp_event)e),
                       tcp_state_name((enum tcp_state)s), word_of(&t[e][s]), t[e][s].reason);
}

static void print_table(const char *title, table t) {
    printf("\n## %s\n\n", title);
    print_head();
    print_rows(t);
    print_reasons(t);
}

int main(void) {
    printf("# The state machine\n\n"
           "Made by scripts/render-states from probe/tcp/table.c; not to be changed by hand. A row "
           "is an event, a column the state\n"
           "before it; an empty cell is impossible: it changes nothing and is counted as stray. "
           "Sections are those of RFC 9293.\n");
    print_table("What the sender of a segment has proven", tcp_sends);
    print_table("What the receiver of a segment has been told", tcp_receives);
    return 0;
}
