/*
 * The screen's lines (page.h): a first line with the moment, three panes or one thing in detail, a
 * last line with keys.
 *
 * Rows are shared out so that each pane gets what it needs up to a third, and what one leaves goes
 * to the others. Everything is cut to the page's width, and works from 40 columns and 10 rows on.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

enum {
    NARROW = 7, /* columns of a number */
    COUNT = 8,
    WIDE = 12, /* of one with a long heading */
    MARK = 2   /* before an entry */
};

/* What drawing needs at hand. */
struct canvas {
    struct top_view *view;
    const struct top_data *data;
    const struct top_status *status;
    struct top_page *page;
    unsigned row; /* the next one */
};

static void put_line(struct canvas *c, enum top_style style, const char *text) {
    if (c->row >= c->page->rows - 1) /* the last one is the keys' */
        return;
    struct top_pen pen = top_pen_at(c->page, c->row++, style);
    top_put(&pen, text, 0);
    top_fill(&pen);
}

/* ---- first and last line ---- */

static void draw_title(struct canvas *c) {
    const struct top_data *d = c->data;
    char text[TOP_TEXT + 128];
    struct top_pen pen = top_pen_at(c->page, c->row++, TOP_TITLE);
    top_put(&pen, "spanwatch top", 0);
    if (d == NULL || d->probe_count == 0)
        snprintf(text, sizeof text, "  %s%s", c->status->store, d != NULL ? "  no probe yet" : "");
    else
        snprintf(text, sizeof text, "  %.19s UTC  %" PRIu64 " connections  %s%s",
                 base_readable_moment(d->at_ns, 0).text, d->connections, d->probes,
                 c->view->paused ? "  PAUSED" : "");
    top_put(&pen, text, 0);
    top_fill(&pen);
}

/* What the reader must know of the data: that it is old, that something is missing. */
static void draw_notes(struct canvas *c) {
    const struct top_data *d = c->data;
    char text[2 * TOP_TEXT];
    if (c->status->fault[0] != '\0') {
        if (d != NULL)
            snprintf(text, sizeof text, "this is %" PRIu64 " s old, trying again: %s",
                     c->status->age_s, c->status->fault);
        else
            snprintf(text, sizeof text, "trying again: %s", c->status->fault);
        put_line(c, TOP_CRITICAL, text);
    }
    if (d == NULL)
        return;
    if (d->gap_count > 0) {
        snprintf(text, sizeof text, "something is missing near this moment: %s%s", d->gap,
                 d->gap_count > 1 ? ", and more" : "");
        put_line(c, TOP_WARNING, text);
    }
    if (d->warning[0] != '\0')
        put_line(c, TOP_WARNING, d->warning);
    if (d->short_of_memory)
        put_line(c, TOP_WARNING, "memory is short: not all is shown");
}

static void draw_keys(struct canvas *c) {
    static const char *const keys[] = {
        [TOP_SCREEN_MAIN] = "q quit  h help  Tab pane  / filter  Enter open  p pause",
        [TOP_SCREEN_SERVICE] = "q back  arrows scroll",
        [TOP_SCREEN_TIMELINE] = "q back  arrows scroll  End newest  p pause",
        [TOP_SCREEN_ALARM] = "q back  arrows scroll",
        [TOP_SCREEN_HELP] = "q back  arrows scroll",
    };
    const struct top_view *v = c->view;
    struct top_pen pen = top_pen_at(c->page, c->page->rows - 1, TOP_TITLE);
    if (v->typing) {
        top_put(&pen, "filter: ", 0);
        top_put(&pen, v->filter, 0);
        top_put(&pen, "_  (Enter keeps it, Escape clears it)", 0);
    } else {
        top_put(&pen, keys[v->screen], 0);
        if (v->screen == TOP_SCREEN_MAIN && v->pane != TOP_PANE_ALARMS) {
            top_put(&pen, "  s sort: ", 0);
            top_put(&pen, top_order_name(v->order[v->pane]), 0);
        }
        if (v->filter[0] != '\0') {
            top_put(&pen, "  filter: ", 0);
            top_put(&pen, v->filter, 0);
        }
    }
    top_fill(&pen);
}

/* ---- entries ---- */

static void draw_service(struct top_pen *pen, const struct top_service *s) {
    const struct top_counts *n = &s->counts;
    unsigned numbers = 4 * COUNT + 2 * WIDE;
    top_put(pen, s->name, pen->columns > numbers + MARK + 10 ? pen->columns - numbers - MARK : 10);
    top_put_count(pen, n->total, COUNT, false);
    top_put_count(pen, n->of[TOP_ESTABLISHED], COUNT, true);
    top_put_count(pen, n->of[TOP_HALF_OPEN], WIDE, true);
    top_put_count(pen, n->of[TOP_HALF_CLOSED], WIDE, true);
    top_put_count(pen, n->of[TOP_TIME_WAIT], COUNT, true);
    top_put_count(pen, n->of[TOP_OTHER], COUNT, true);
}

static void head_service(struct top_pen *pen) {
    unsigned numbers = 4 * COUNT + 2 * WIDE;
    top_put(pen, "SERVICE",
            pen->columns > numbers + MARK + 10 ? pen->columns - numbers - MARK : 10);
    top_put_right(pen, "CONNS", COUNT);
    top_put_right(pen, "ESTAB", COUNT);
    top_put_right(pen, "HALF-OPEN", WIDE);
    top_put_right(pen, "HALF-CLOSED", WIDE);
    top_put_right(pen, "T-WAIT", COUNT);
    top_put_right(pen, "OTHER", COUNT);
}

static void put_client_label(struct top_pen *pen, const struct top_client *k, unsigned width) {
    char label[TOP_NAME + BASE_ADDR_TEXT + 4];
    snprintf(label, sizeof label, "%s (%s)", k->name, k->address);
    top_put(pen, k->name[0] != '\0' ? label : k->address, width);
}

static unsigned client_width(const struct top_pen *pen) {
    return pen->columns * 3 / 8;
}

static void draw_client(struct top_pen *pen, const struct top_client *k, uint64_t at_ns) {
    put_client_label(pen, k, client_width(pen));
    top_put_count(pen, k->counts.total, NARROW, false);
    top_put_count(pen, k->counts.of[TOP_HALF_OPEN], COUNT, true);
    top_put_count(pen, k->counts.of[TOP_HALF_CLOSED], COUNT + 1, true);
    top_put_right(pen, k->last_ns == 0 ? "" : top_age(at_ns, k->last_ns).text, WIDE - 1);
    top_put(pen, " ", 1);
    top_put(pen, k->services, 0);
}

static void head_client(struct top_pen *pen) {
    top_put(pen, "CLIENT", client_width(pen));
    top_put_right(pen, "CONNS", NARROW);
    top_put_right(pen, "H-OPEN", COUNT);
    top_put_right(pen, "H-CLOSED", COUNT + 1);
    top_put_right(pen, "LAST", WIDE - 1);
    top_put(pen, " SERVICES", 0);
}

static void draw_alarm(struct top_pen *pen, const struct top_alarm *a, uint64_t at_ns) {
    top_put(pen, a->severity, 9);
    top_put(pen, a->kind, 17);
    top_put_right(pen, top_age(at_ns, a->since_ns).text, WIDE - 1);
    top_put(pen, " ", 1);
    top_put(pen, a->summary[0] != '\0' ? a->summary : a->where, 0);
}

static void head_alarm(struct top_pen *pen) {
    top_put(pen, "SEVERITY", 9);
    top_put(pen, "ALARM", 17);
    top_put_right(pen, "FOR", WIDE - 1);
    top_put(pen, " WHAT", 0);
}

static void draw_entry(struct top_pen *pen, enum top_pane pane, const void *entry, uint64_t at_ns) {
    if (pane == TOP_PANE_SERVICES)
        draw_service(pen, entry);
    else if (pane == TOP_PANE_CLIENTS)
        draw_client(pen, entry, at_ns);
    else
        draw_alarm(pen, entry, at_ns);
}

static enum top_style style_of(enum top_pane pane, const void *entry) {
    if (pane == TOP_PANE_ALARMS) {
        const char *severity = ((const struct top_alarm *)entry)->severity;
        return strcmp(severity, "critical") == 0  ? TOP_CRITICAL
               : strcmp(severity, "warning") == 0 ? TOP_WARNING
                                                  : TOP_PLAIN;
    }
    const struct top_counts *n = pane == TOP_PANE_SERVICES
                                     ? &((const struct top_service *)entry)->counts
                                     : &((const struct top_client *)entry)->counts;
    return n->of[TOP_HALF_OPEN] + n->of[TOP_HALF_CLOSED] > 0 ? TOP_WARNING : TOP_PLAIN;
}

/* ---- panes ---- */

/* How many rows of entries each pane gets of `rows`. */
static void share_rows(unsigned rows, const size_t wanted[TOP_PANES], unsigned given[TOP_PANES]) {
    unsigned left = rows;
    for (int i = 0; i < TOP_PANES; i++) {
        given[i] = wanted[i] < rows / TOP_PANES ? (unsigned)wanted[i] : rows / TOP_PANES;
        left -= given[i];
    }
    static const enum top_pane order[TOP_PANES] = {TOP_PANE_CLIENTS, TOP_PANE_SERVICES,
                                                   TOP_PANE_ALARMS};
    for (int i = 0; i < TOP_PANES; i++) {
        size_t more = wanted[order[i]] - given[order[i]];
        unsigned extra = more < left ? (unsigned)more : left;
        given[order[i]] += extra;
        left -= extra;
    }
}

static void draw_heading(struct canvas *c, enum top_pane pane) {
    bool focus = c->view->pane == pane;
    struct top_pen pen = top_pen_at(c->page, c->row++, focus ? TOP_FOCUS : TOP_HEADING);
    top_put(&pen, focus ? "* " : "  ", MARK);
    if (pane == TOP_PANE_SERVICES)
        head_service(&pen);
    else if (pane == TOP_PANE_CLIENTS)
        head_client(&pen);
    else
        head_alarm(&pen);
    top_fill(&pen);
}

/* What stands where a pane has no entries. */
static const char *nothing(const struct canvas *c, enum top_pane pane) {
    if (c->data == NULL || (pane == TOP_PANE_CLIENTS && !c->data->clients_asked))
        return "  ...";
    if (c->view->filter[0] != '\0')
        return "  none that matches the filter";
    return pane == TOP_PANE_ALARMS ? "  no alarm is in force" : "  no connections";
}

static void draw_pane(struct canvas *c, enum top_pane pane, const struct top_list *l,
                      unsigned rows) {
    size_t *selected = &c->view->selected[pane];
    *selected = l->count == 0 ? 0 : *selected < l->count ? *selected : l->count - 1;
    size_t first = *selected >= rows ? *selected - rows + 1 : 0;
    draw_heading(c, pane);
    for (unsigned i = 0; i < rows; i++) {
        if (first + i >= l->count) {
            put_line(c, TOP_PLAIN, i == 0 ? nothing(c, pane) : "");
            continue;
        }
        const void *entry = l->item[first + i];
        bool is_selected = c->view->pane == pane && first + i == *selected;
        struct top_pen pen =
            top_pen_at(c->page, c->row++, is_selected ? TOP_SELECTED : style_of(pane, entry));
        top_put(&pen, is_selected ? "> " : "  ", MARK);
        draw_entry(&pen, pane, entry, c->data->at_ns);
        top_fill(&pen);
    }
}

static void draw_main(struct canvas *c) {
    static struct top_list list[TOP_PANES]; /* large; one thread draws */
    size_t wanted[TOP_PANES];
    unsigned given[TOP_PANES];
    for (int i = 0; i < TOP_PANES; i++) {
        top_list_make(&list[i], c->view, c->data, (enum top_pane)i);
        wanted[i] = list[i].count > 0 ? list[i].count : 1;
    }
    share_rows(c->page->rows - 1 - c->row - TOP_PANES, wanted, given);
    for (int i = 0; i < TOP_PANES; i++)
        draw_pane(c, (enum top_pane)i, &list[i], given[i]);
}

/* ---- one thing in detail ---- */

/* Where a list of `count` lines is begun so that `scroll` is possible. */
static size_t first_line(struct canvas *c, size_t count) {
    size_t rows = c->page->rows - 1 - c->row, most = count > rows ? count - rows : 0;
    if (c->view->scroll > most)
        c->view->scroll = most;
    return c->view->scroll;
}

static void draw_service_screen(struct canvas *c) {
    const struct top_service *s = NULL;
    char text[TOP_NAME + 64];
    for (size_t i = 0; c->data != NULL && i < c->data->service_count; i++)
        if (strcmp(c->data->services[i].name, c->view->service) == 0)
            s = &c->data->services[i];
    snprintf(text, sizeof text, "%s: %" PRIu64 " connections by client/server state",
             c->view->service, s != NULL ? s->counts.total : 0);
    put_line(c, TOP_HEADING, text);
    size_t first = first_line(c, s != NULL ? s->pairs : 0);
    for (size_t i = first; s != NULL && i < s->pairs; i++) {
        snprintf(text, sizeof text, "  %-26s %12" PRIu64, s->pair[i].states, s->pair[i].count);
        enum top_class class = top_class_of(s->pair[i].states);
        put_line(c, class == TOP_HALF_OPEN || class == TOP_HALF_CLOSED ? TOP_WARNING : TOP_PLAIN,
                 text);
    }
}

static void draw_event(struct canvas *c, const struct top_event *e) {
    unsigned spare = c->page->columns > 80 ? (c->page->columns - 80) / 3 : 0;
    const char *port = strrchr(e->client, ':');
    enum top_class class = top_class_of(e->states);
    bool trouble = class == TOP_HALF_OPEN || class == TOP_HALF_CLOSED;
    struct top_pen pen = top_pen_at(c->page, c->row++, trouble ? TOP_WARNING : TOP_PLAIN);
    top_put(&pen, base_readable_moment(e->ts_ns, c->data->at_ns).text, 13);
    top_put(&pen, port != NULL ? port + 1 : "", 6);
    top_put(&pen, e->server, 18 + spare);
    top_put(&pen, " ", 1);
    top_put(&pen, e->service, 9 + spare);
    top_put(&pen, " ", 1);
    top_put(&pen, e->states, 24);
    top_put(&pen, " ", 1);
    top_put(&pen, e->cause, 0);
    top_fill(&pen);
}

static void draw_timeline(struct canvas *c) {
    const struct top_data *d = c->data;
    unsigned spare = c->page->columns > 80 ? (c->page->columns - 80) / 3 : 0;
    char text[TOP_TEXT];
    bool known = d != NULL && strcmp(d->timeline_of, c->view->client) == 0;
    int n = snprintf(text, sizeof text, "%s%s%s", c->view->client,
                     c->view->client_name[0] != '\0' ? "  " : "", c->view->client_name);
    if (known)
        snprintf(text + n, sizeof text - (size_t)n, "  %" PRIu64 " changes%s", d->events_seen,
                 d->events_seen > d->event_count ? ", the newest are shown" : "");
    put_line(c, TOP_HEADING, text);
    struct top_pen pen = top_pen_at(c->page, c->row++, TOP_HEADING);
    top_put(&pen, "TIME (UTC)", 13);
    top_put(&pen, "PORT", 6);
    top_put(&pen, "SERVER", 19 + spare);
    top_put(&pen, "SERVICE", 10 + spare);
    top_put(&pen, "CLIENT/SERVER STATE", 25);
    top_put(&pen, "CAUSE", 0);
    if (!known) {
        put_line(c, TOP_PLAIN, "  asking the store ...");
        return;
    }
    if (c->view->at_end)
        c->view->scroll = d->event_count;
    for (size_t i = first_line(c, d->event_count); i < d->event_count && c->row < c->page->rows - 1;
         i++)
        draw_event(c, top_event_at(d, i));
}

/* Lines of a text from `first` on, as far as there is room; returns how many it has. */
static size_t draw_lines(struct canvas *c, const char *text, size_t first, bool draw) {
    size_t lines = 0;
    for (const char *p = text; *p != '\0'; lines++) {
        char line[TOP_TEXT];
        size_t n = strcspn(p, "\n");
        snprintf(line, sizeof line, "%.*s", (int)(n < TOP_TEXT ? n : TOP_TEXT), p);
        if (draw && lines >= first)
            put_line(c, TOP_PLAIN, line);
        p += n + (p[n] == '\n');
    }
    return lines;
}

static void draw_text_screen(struct canvas *c, const char *heading, const char *text) {
    put_line(c, TOP_HEADING, heading);
    size_t first = first_line(c, draw_lines(c, text, 0, false));
    draw_lines(c, text, first, true);
}

static const char help[] =
    "Three panes: services with their connections by state, clients, alarms in\n"
    "force. Lines with something half-open (a SYN or SYN-ACK that waits) or\n"
    "half-closed (CLOSE_WAIT, FIN_WAIT_2: one end has closed) stand out.\n"
    "\n"
    "  Tab, 1 2 3    another pane            arrows, PgUp, PgDn   move in it\n"
    "  Enter         open: a service's states, a client's timeline, an alarm\n"
    "  s             another order           /    filter by name, address, kind\n"
    "  p             pause, go on            q    back, or quit\n"
    "\n"
    "  CONNS        all connections that are not closed at both ends\n"
    "  ESTAB        both ends ESTABLISHED\n"
    "  HALF-OPEN    (H-OPEN) an end in SYN_SENT or SYN_RECEIVED\n"
    "  HALF-CLOSED  (H-CLOSED) an end in CLOSE_WAIT or FIN_WAIT_2\n"
    "  T-WAIT       an end in TIME_WAIT\n"
    "  OTHER        all else\n"
    "  LAST         since the client was last seen\n"
    "\n"
    "In a timeline the cause of a change may bear ?midstream, ?gap, ?one_sided or\n"
    "?timer: it was inferred, no packet proves it.\n";

void top_draw(struct top_view *v, const struct top_data *d, const struct top_status *s,
              struct top_page *p) {
    struct canvas c = {.view = v, .data = d, .status = s, .page = p};
    for (unsigned i = 0; i < p->rows; i++)
        top_pen_at(p, i, TOP_PLAIN);
    if (p->rows < TOP_ROWS_LEAST || p->columns < TOP_COLUMNS_LEAST) {
        struct top_pen pen = top_pen_at(p, 0, TOP_PLAIN);
        top_put(&pen, "40x10 at least, please", 0);
        return;
    }
    draw_title(&c);
    draw_notes(&c);
    switch (v->screen) {
    case TOP_SCREEN_SERVICE:
        draw_service_screen(&c);
        break;
    case TOP_SCREEN_TIMELINE:
        draw_timeline(&c);
        break;
    case TOP_SCREEN_ALARM:
        draw_text_screen(&c, "Alarm", v->alarm != NULL ? v->alarm : "");
        break;
    case TOP_SCREEN_HELP:
        draw_text_screen(&c, "Help", help);
        break;
    default:
        draw_main(&c);
    }
    draw_keys(&c);
}
