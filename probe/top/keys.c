/*
 * What keys do, and the lists that they move in (page.h).
 */
#include "page.h"

#include <stdlib.h>
#include <string.h>

enum { FRAME = 6 /* rows of a screen that no list has: a page's step is the others */ };

void top_view_init(struct top_view *v) {
    *v = (struct top_view){.pane = TOP_PANE_CLIENTS,
                           .order = {TOP_BY_TOTAL, TOP_BY_TROUBLE, TOP_BY_TROUBLE},
                           .at_end = true};
}

void top_view_fini(struct top_view *v) {
    free(v->alarm);
    v->alarm = NULL;
}

const char *top_order_name(enum top_order order) {
    static const char *const name[TOP_ORDERS] = {
        [TOP_BY_TROUBLE] = "trouble",     [TOP_BY_TOTAL] = "connections",
        [TOP_BY_HALF_OPEN] = "half-open", [TOP_BY_HALF_CLOSED] = "half-closed",
        [TOP_BY_LAST] = "last seen",      [TOP_BY_NAME] = "name",
    };
    return name[order];
}

/* ---- lists ---- */

static int compare_services(const void *a, const void *b, void *order) {
    const struct top_service *x = *(const struct top_service *const *)a,
                             *y = *(const struct top_service *const *)b;
    enum top_order by = *(const enum top_order *)order;
    return top_service_before(x, y, by) ? -1 : top_service_before(y, x, by);
}

static int compare_clients(const void *a, const void *b, void *order) {
    const struct top_client *x = *(const struct top_client *const *)a,
                            *y = *(const struct top_client *const *)b;
    enum top_order by = *(const enum top_order *)order;
    return top_client_before(x, y, by) ? -1 : top_client_before(y, x, by);
}

/* The gravest first, the newest first among them. */
static int severity(const struct top_alarm *a) {
    return strcmp(a->severity, "critical") == 0 ? 0 : strcmp(a->severity, "warning") == 0 ? 1 : 2;
}

static int compare_alarms(const void *a, const void *b, void *order) {
    const struct top_alarm *x = *(const struct top_alarm *const *)a,
                           *y = *(const struct top_alarm *const *)b;
    (void)order;
    if (severity(x) != severity(y))
        return severity(x) < severity(y) ? -1 : 1;
    return x->since_ns > y->since_ns ? -1 : x->since_ns < y->since_ns;
}

void top_list_make(struct top_list *l, const struct top_view *v, const struct top_data *d,
                   enum top_pane pane) {
    static int (*const compare[TOP_PANES])(const void *, const void *, void *) = {
        compare_services, compare_clients, compare_alarms};
    enum top_order order = v->order[pane];
    l->count = 0;
    if (d == NULL)
        return;
    for (size_t i = 0; pane == TOP_PANE_SERVICES && i < d->service_count; i++)
        if (top_service_matches(&d->services[i], v->filter))
            l->item[l->count++] = &d->services[i];
    for (size_t i = 0; pane == TOP_PANE_CLIENTS && i < d->client_count; i++)
        if (top_client_matches(&d->clients[i], v->filter))
            l->item[l->count++] = &d->clients[i];
    for (size_t i = 0; pane == TOP_PANE_ALARMS && i < d->alarm_count; i++)
        if (top_alarm_matches(&d->alarms[i], v->filter))
            l->item[l->count++] = &d->alarms[i];
    if (l->count > 0)
        qsort_r(l->item, l->count, sizeof l->item[0], compare[pane], &order);
}

/* ---- keys ---- */

/* Steps of a key that moves; 0 for any other. */
static long step_of(int key, unsigned rows) {
    long page = rows > FRAME ? (long)rows - FRAME : 1;
    switch (key) {
    case TOP_KEY_UP:
    case 'k':
        return -1;
    case TOP_KEY_DOWN:
    case 'j':
        return 1;
    case TOP_KEY_PAGE_UP:
        return -page;
    case TOP_KEY_PAGE_DOWN:
        return page;
    case TOP_KEY_HOME:
        return -TOP_CLIENTS;
    case TOP_KEY_END:
        return TOP_CLIENTS;
    default:
        return 0;
    }
}

static size_t moved(size_t from, long step) {
    return step < 0 && (size_t)-step > from ? 0 : from + (size_t)step;
}

/* Open what the focus is on. */
static enum top_action open_selected(struct top_view *v, const struct top_data *d) {
    static struct top_list l; /* large; one thread listens to keys */
    top_list_make(&l, v, d, v->pane);
    size_t i = v->selected[v->pane];
    if (i >= l.count)
        return TOP_NOTHING;
    v->scroll = 0;
    v->at_end = true;
    if (v->pane == TOP_PANE_SERVICES) {
        memcpy(v->service, ((const struct top_service *)l.item[i])->name, sizeof v->service);
        v->screen = TOP_SCREEN_SERVICE;
        return TOP_NOTHING;
    }
    if (v->pane == TOP_PANE_CLIENTS) {
        const struct top_client *k = l.item[i];
        memcpy(v->client, k->address, sizeof v->client);
        memcpy(v->client_name, k->name, sizeof v->client_name);
        v->screen = TOP_SCREEN_TIMELINE;
        return TOP_ASK;
    }
    const struct top_alarm *a = l.item[i];
    free(v->alarm);
    v->alarm = a->json != NULL ? strdup(a->json) : NULL;
    v->screen = TOP_SCREEN_ALARM;
    return TOP_NOTHING;
}

/* Orders that a pane can have: alarms have one, services no "last seen". */
static void next_order(struct top_view *v) {
    enum top_order *order = &v->order[v->pane];
    if (v->pane == TOP_PANE_ALARMS)
        return;
    *order = (enum top_order)((*order + 1) % TOP_ORDERS);
    if (v->pane == TOP_PANE_SERVICES && *order == TOP_BY_LAST)
        *order = TOP_BY_NAME;
    v->selected[v->pane] = 0;
}

/* The filter is typed: its last character may be of several octets. */
static enum top_action type(struct top_view *v, int key) {
    size_t n = strlen(v->filter);
    if (key == TOP_KEY_ENTER || key == TOP_KEY_ESCAPE) {
        v->typing = false;
        if (key == TOP_KEY_ESCAPE)
            v->filter[0] = '\0';
    } else if (key == TOP_KEY_BACK) {
        while (n > 0 && ((unsigned char)v->filter[--n] & 0xc0) == 0x80) {
        }
        v->filter[n] = '\0';
    } else if (key >= 0x20 && key < 0x100 && key != 0x7f && n + 1 < sizeof v->filter) {
        v->filter[n] = (char)key; /* an octet of UTF-8, one after the other */
        v->filter[n + 1] = '\0';
    } else {
        return TOP_NOTHING;
    }
    memset(v->selected, 0, sizeof v->selected);
    return TOP_ASK;
}

static enum top_action leave(struct top_view *v) {
    bool asked = v->screen == TOP_SCREEN_TIMELINE;
    v->screen = TOP_SCREEN_MAIN;
    v->client[0] = '\0';
    return asked ? TOP_ASK : TOP_NOTHING;
}

/* Keys of the screens that show one thing. */
static enum top_action press_detail(struct top_view *v, int key, long step) {
    if (step != 0) {
        v->at_end = key == TOP_KEY_END;
        v->scroll = moved(v->scroll, step);
        return TOP_NOTHING;
    }
    return key == TOP_KEY_ESCAPE || key == TOP_KEY_ENTER || key == TOP_KEY_BACK || key == 'h' ||
                   key == '?'
               ? leave(v)
               : TOP_NOTHING;
}

static enum top_action press_main(struct top_view *v, const struct top_data *d, int key) {
    switch (key) {
    case TOP_KEY_TAB:
        v->pane = (enum top_pane)((v->pane + 1) % TOP_PANES);
        return TOP_NOTHING;
    case TOP_KEY_BACK_TAB:
        v->pane = (enum top_pane)((v->pane + TOP_PANES - 1) % TOP_PANES);
        return TOP_NOTHING;
    case '1':
    case '2':
    case '3':
        v->pane = (enum top_pane)(key - '1');
        return TOP_NOTHING;
    case TOP_KEY_ENTER:
        return open_selected(v, d);
    case 's':
        next_order(v);
        return TOP_ASK;
    case '/':
        v->typing = true;
        return TOP_NOTHING;
    case TOP_KEY_ESCAPE:
        v->filter[0] = '\0';
        return TOP_ASK;
    default:
        return TOP_NOTHING;
    }
}

enum top_action top_press(struct top_view *v, const struct top_data *d, int key, unsigned rows) {
    long step = step_of(key, rows);
    if (v->typing)
        return type(v, key);
    if (key == 'q' && v->screen != TOP_SCREEN_MAIN)
        return leave(v);
    if (key == 'q' || key == 'Q')
        return TOP_QUIT;
    if (key == 'p' || key == ' ') {
        v->paused = !v->paused;
        return TOP_ASK;
    }
    if (v->screen != TOP_SCREEN_MAIN)
        return press_detail(v, key, step);
    if (key == 'h' || key == '?') {
        v->screen = TOP_SCREEN_HELP;
        v->scroll = 0;
        return TOP_NOTHING;
    }
    if (step != 0) {
        v->selected[v->pane] = moved(v->selected[v->pane], step);
        return TOP_NOTHING;
    }
    return press_main(v, d, key);
}
