/*
 * page: the screen as lines of text, without any terminal; and what keys do.
 *
 * Input: the model, the view (what the user has chosen), keys. Output: lines with a style each, to
 * be shown as they are. Pure; the caller owns all structs.
 */
#ifndef TOP_PAGE_H
#define TOP_PAGE_H

#include "model.h"

enum {
    TOP_ROWS_MOST = 256,
    TOP_COLUMNS_MOST = 256,
    TOP_LINE = 4 * TOP_COLUMNS_MOST + 1, /* octets: UTF-8 takes up to four a column */
    TOP_ROWS_LEAST = 10,
    TOP_COLUMNS_LEAST = 40
};

enum top_style {
    TOP_PLAIN,
    TOP_TITLE,   /* first and last line */
    TOP_HEADING, /* of a pane; the one with the focus has TOP_FOCUS */
    TOP_FOCUS,
    TOP_SELECTED, /* the line that Enter opens */
    TOP_WARNING,
    TOP_CRITICAL
};

struct top_line {
    char text[TOP_LINE];
    enum top_style style;
};

struct top_page {
    unsigned rows, columns; /* of the terminal */
    struct top_line line[TOP_ROWS_MOST];
};

/* ---- what the user has chosen ---- */

enum top_pane { TOP_PANE_SERVICES, TOP_PANE_CLIENTS, TOP_PANE_ALARMS, TOP_PANES };

enum top_screen {
    TOP_SCREEN_MAIN,
    TOP_SCREEN_SERVICE,  /* one service's pairs of states */
    TOP_SCREEN_TIMELINE, /* one client's transitions */
    TOP_SCREEN_ALARM,    /* one alarm's record */
    TOP_SCREEN_HELP
};

enum { TOP_FILTER = 64 };

struct top_view {
    enum top_screen screen;
    enum top_pane pane;         /* with the focus */
    size_t selected[TOP_PANES]; /* the line of each */
    enum top_order order[TOP_PANES];
    char filter[TOP_FILTER];
    bool typing;            /* keys go into the filter */
    size_t scroll;          /* of a screen other than the main one: lines passed over */
    bool at_end;            /* of a timeline: the newest stay in sight */
    char service[TOP_NAME]; /* what such a screen shows */
    char client[BASE_ADDR_TEXT], client_name[TOP_NAME];
    char *alarm; /* its record; owned */
    bool paused;
};

void top_view_init(struct top_view *v);
void top_view_fini(struct top_view *v);

/* How the store is doing, for the first line. */
struct top_status {
    const char *store; /* its URL without secrets */
    const char *fault; /* why it does not answer; "" when it does */
    uint64_t age_s;    /* since the data came */
    uint64_t took_ms;  /* to ask for it */
};

/* ---- keys ---- */

/* Keys that are no character. */
enum top_key {
    TOP_KEY_UP = 0x110000, /* above all characters */
    TOP_KEY_DOWN,
    TOP_KEY_PAGE_UP,
    TOP_KEY_PAGE_DOWN,
    TOP_KEY_HOME,
    TOP_KEY_END,
    TOP_KEY_ENTER,
    TOP_KEY_BACK, /* backspace */
    TOP_KEY_ESCAPE,
    TOP_KEY_TAB,
    TOP_KEY_BACK_TAB
};

enum top_action {
    TOP_NOTHING, /* draw again */
    TOP_ASK,     /* what is wanted of the store has changed */
    TOP_QUIT
};

/* `d` is NULL before the first answer; `rows` of the terminal: how far a page goes. */
enum top_action top_press(struct top_view *v, const struct top_data *d, int key, unsigned rows);

/* ---- drawing ---- */

/* Fill `p`, whose rows and columns are given, with what `v` shows of `d` (NULL: nothing yet). */
void top_draw(struct top_view *v, const struct top_data *d, const struct top_status *s,
              struct top_page *p);

/* ---- shared by the two ---- */

/* One pane's entries that match the filter, in the pane's order. */
struct top_list {
    size_t count;
    const void *item[TOP_SERVICES > TOP_CLIENTS ? TOP_SERVICES : TOP_CLIENTS];
};

void top_list_make(struct top_list *l, const struct top_view *v, const struct top_data *d,
                   enum top_pane pane);

/* The order's name for a pane's heading. */
const char *top_order_name(enum top_order order);

#endif
