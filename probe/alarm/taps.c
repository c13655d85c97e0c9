/*
 * taps: where packets reach the probe: interfaces, and VLANs on them. A mirror may fail on one of
 * them alone.
 *
 * An interface is told by its name: those that have none (of classic capture files) are one.
 * There are MOST_TAPS at most; what comes later counts for its interface, without the VLAN.
 */
#include "engine.h"

#include <stdio.h>

static int64_t find(struct alarm_engine *a, const char *interface, const char *vlan) {
    for (uint32_t i = 0; i < a->taps; i++)
        if (strcmp(a->tap[i].interface, interface) == 0 && strcmp(a->tap[i].vlan, vlan) == 0)
            return i;
    return NONE;
}

/* The last places are kept for interfaces. */
static bool has_room(const struct alarm_engine *a, const char *vlan) {
    return a->taps < (*vlan == '\0' ? MOST_TAPS : MOST_TAPS - EVENT_IFACES);
}

uint32_t tap_named(struct alarm_engine *a, const char *interface, const char *vlan) {
    int64_t i = find(a, interface, vlan);
    if (i != NONE)
        return (uint32_t)i;
    if (!has_room(a, vlan))
        return *vlan != '\0' ? tap_named(a, interface, "") : 0;
    struct tap *t = &a->tap[a->taps];
    *t = (struct tap){0};
    snprintf(t->interface, sizeof t->interface, "%s", interface);
    snprintf(t->vlan, sizeof t->vlan, "%s", vlan);
    return a->taps++;
}

static const char *name_of(const struct alarm_engine *a, uint8_t iface) {
    const struct alarm_config *c = &a->config;
    const char *name = c->interface != NULL ? c->interface(c->service_context, iface) : NULL;
    return name != NULL ? name : "";
}

uint32_t tap_look_up(struct alarm_engine *a, uint8_t iface, uint32_t scope) {
    struct tap_near *n = &a->tap_near[(scope * 2654435761u ^ iface) % TAPS_NEAR];
    char vlan[ALARM_VLAN_TEXT] = "";
    if (n->tap == 0 || n->scope != scope || n->iface != iface) {
        if (scope != 0 && a->config.vlan != NULL)
            a->config.vlan(a->config.service_context, scope, vlan);
        uint32_t tap = tap_named(a, name_of(a, iface), vlan);
        *n = (struct tap_near){.iface = iface, .scope = scope, .tap = (uint16_t)(tap + 1)};
    }
    a->tap_last = *n;
    return n->tap - 1u;
}
