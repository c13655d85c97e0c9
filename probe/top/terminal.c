/*
 * The terminal of `top`: keys in, pages out, by curses.
 *
 * One loop waits for a key, for fresh data, or for a second to pass. Everything that decides
 * anything is in keys.c and draw.c. curses' own handlers leave the terminal as it was after SIGINT
 * and SIGTERM, and bring SIGWINCH as a key.
 */
#include "fetch.h"

/* Without its macros that are named like ordinary words (move, erase ...). */
#define NCURSES_NOMACROS 1
#include <curses.h>
#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SECOND_MS = 1000, ESCAPE_MS = 25 /* an escape sequence comes at once, a person does not */ };

struct terminal {
    SCREEN *screen;
    bool colour, utf8;
};

enum { PAIR_WARNING = 1, PAIR_CRITICAL };

static int open_terminal(struct terminal *t, struct base_error *error) {
    const char *term = getenv("TERM"), *none = getenv("NO_COLOR");
    if (isatty(STDIN_FILENO) != 1 || isatty(STDOUT_FILENO) != 1)
        return base_error_set(error, "top",
                              "standard input and output must be a terminal; for a program there "
                              "is 'spanwatch query'");
    setlocale(LC_CTYPE, "");
    set_escdelay(ESCAPE_MS);
    t->utf8 = MB_CUR_MAX > 1;
    t->screen = newterm(NULL, stdout, stdin);
    if (t->screen == NULL)
        return base_error_set(error, "top", "the terminal \"%s\" is not known; set TERM",
                              term != NULL ? term : "");
    set_term(t->screen);
    cbreak();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    curs_set(0);
    t->colour = has_colors() && (none == NULL || *none == '\0') && start_color() == OK;
    if (t->colour) {
        use_default_colors();
        init_pair(PAIR_WARNING, COLOR_YELLOW, -1);
        init_pair(PAIR_CRITICAL, COLOR_RED, -1);
    }
    return 0;
}

static void close_terminal(struct terminal *t) {
    if (t->screen == NULL)
        return;
    endwin();
    delscreen(t->screen);
    t->screen = NULL;
}

static attr_t attribute(const struct terminal *t, enum top_style style) {
    switch (style) {
    case TOP_TITLE:
    case TOP_SELECTED:
        return A_REVERSE;
    case TOP_HEADING:
        return A_BOLD;
    case TOP_FOCUS:
        return A_BOLD | A_UNDERLINE;
    case TOP_WARNING:
        return t->colour ? (attr_t)COLOR_PAIR(PAIR_WARNING) : A_NORMAL;
    case TOP_CRITICAL:
        return t->colour ? (attr_t)COLOR_PAIR(PAIR_CRITICAL) | A_BOLD : A_BOLD;
    default:
        return A_NORMAL;
    }
}

/* A locale that knows ASCII only: what is none becomes '?', one for each character. */
static void make_ascii(char *text) {
    char *to = text;
    for (const char *p = text; *p != '\0'; p++)
        if (((unsigned char)*p & 0xc0) != 0x80)
            *to++ = (unsigned char)*p < 0x80 ? *p : '?';
    *to = '\0';
}

static void show(const struct terminal *t, struct top_page *p) {
    erase();
    for (unsigned i = 0; i < p->rows; i++) {
        if (!t->utf8)
            make_ascii(p->line[i].text);
        attrset((int)attribute(t, p->line[i].style));
        mvaddstr((int)i, 0, p->line[i].text);
    }
    attrset(A_NORMAL);
    refresh();
}

static int key_of(int c) {
    static const struct {
        int curses, key;
    } keys[] = {
        {KEY_UP, TOP_KEY_UP},           {KEY_DOWN, TOP_KEY_DOWN}, {KEY_PPAGE, TOP_KEY_PAGE_UP},
        {KEY_NPAGE, TOP_KEY_PAGE_DOWN}, {KEY_HOME, TOP_KEY_HOME}, {KEY_END, TOP_KEY_END},
        {KEY_ENTER, TOP_KEY_ENTER},     {'\r', TOP_KEY_ENTER},    {'\n', TOP_KEY_ENTER},
        {KEY_BACKSPACE, TOP_KEY_BACK},  {'\b', TOP_KEY_BACK},     {0x7f, TOP_KEY_BACK},
        {0x1b, TOP_KEY_ESCAPE},         {'\t', TOP_KEY_TAB},      {KEY_BTAB, TOP_KEY_BACK_TAB}};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (keys[i].curses == c)
            return keys[i].key;
    return c < 0x100 ? c : 0;
}

/* ---- the loop ---- */

struct session {
    struct terminal terminal;
    struct top_fetch fetch;
    struct top_view view;
    struct top_data *data;
    struct top_look look;
    const char *store;
};

static void draw(struct session *s) {
    static struct top_page page; /* large */
    struct top_status status = {.store = s->store, .fault = s->look.fault};
    if (s->look.at_ns != 0)
        status.age_s = (top_clock_ns() - s->look.at_ns) / BASE_NS_PER_S;
    page.rows = LINES > 0 && LINES < TOP_ROWS_MOST ? (unsigned)LINES : TOP_ROWS_MOST;
    page.columns = COLS > 0 && COLS < TOP_COLUMNS_MOST ? (unsigned)COLS : TOP_COLUMNS_MOST;
    top_draw(&s->view, s->data, &status, &page);
    show(&s->terminal, &page);
}

static void wish(struct session *s) {
    struct top_wish w = {.order = s->view.order[TOP_PANE_CLIENTS], .paused = s->view.paused};
    memcpy(w.filter, s->view.filter, sizeof w.filter);
    memcpy(w.client, s->view.client, sizeof w.client);
    top_fetch_wish(&s->fetch, &w);
}

/* All keys that wait. False when the user has had enough, or the terminal is gone. */
static bool take_keys(struct session *s) {
    int c;
    while ((c = getch()) != ERR) {
        enum top_action action = c == KEY_RESIZE
                                     ? TOP_NOTHING
                                     : top_press(&s->view, s->data, key_of(c), (unsigned)LINES);
        if (action == TOP_QUIT)
            return false;
        if (action == TOP_ASK)
            wish(s);
    }
    return true;
}

static void loop(struct session *s) {
    struct pollfd wait[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                            {.fd = s->fetch.ready, .events = POLLIN}};
    for (;;) {
        draw(s);
        int n = poll(wait, 2, SECOND_MS);
        if (n < 0 && errno != EINTR)
            return;
        if (n > 0 && (wait[0].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0)
            return; /* the terminal went away */
        top_fetch_take(&s->fetch, &s->data, &s->look);
        if (!take_keys(s))
            return;
    }
}

int top_run(const struct top_options *o, struct base_error *error) {
    static struct session s; /* large, and one a process */
    char shown[REDIS_SHOWN_TEXT];
    s = (struct session){.store = redis_url_shown(o->url, shown)};
    top_view_init(&s.view);
    if (open_terminal(&s.terminal, error) != 0)
        return -1;
    int result = top_fetch_start(&s.fetch, o, error);
    if (result == 0)
        loop(&s);
    close_terminal(&s.terminal);
    if (result == 0)
        top_fetch_stop(&s.fetch);
    top_data_free(s.data);
    top_view_fini(&s.view);
    return result;
}
