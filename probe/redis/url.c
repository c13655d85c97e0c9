/*
 * Where the store is: URLs in, struct redis_url out.
 *
 * Messages never quote what stands before the '@': an error shows at most the part at fault, and
 * that only where it can hold no secret. Pure.
 */
#include "spanwatch/redis.h"

#include <stdio.h>
#include <string.h>

static const char forms[] = "redis://[user[:password]@]host[:port][/db] or "
                            "unix://[user[:password]@]/path[?db=N]";

enum { DB_MOST = 1000000 /* far above what any server is configured for */ };

static int refuse(struct base_error *error, const char *why) {
    return base_error_set(error, "--redis", "%s; allowed is %s", why, forms);
}

/* Schemes that people use with other programs, and what a later version brings. */
static const struct {
    const char *scheme, *name;
} later[] = {
    {"rediss", "TLS (rediss://)"},       {"sentinel", "Sentinel"},
    {"redis-sentinel", "Sentinel"},      {"redis+sentinel", "Sentinel"},
    {"rediss+sentinel", "Sentinel"},     {"rediss-sentinel", "Sentinel"},
    {"cluster", "Redis Cluster"},        {"redis-cluster", "Redis Cluster"},
    {"redis+cluster", "Redis Cluster"},  {"rediss+cluster", "Redis Cluster"},
    {"rediss-cluster", "Redis Cluster"},
};

static int refuse_later(struct base_error *error, const char *name) {
    return base_error_set(error, "--redis", "%s comes in a later version; allowed is %s", name,
                          forms);
}

static int refuse_scheme(const char *text, size_t n, struct base_error *error) {
    for (size_t i = 0; i < sizeof later / sizeof later[0]; i++)
        if (strlen(later[i].scheme) == n && strncmp(text, later[i].scheme, n) == 0)
            return refuse_later(error, later[i].name);
    return refuse(error, "unknown kind of URL");
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 3986 section 2.1. False for a broken escape, a NUL, or a text that is too long. */
static bool decode_percent(const char *text, size_t n, char *out, size_t size) {
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (c == '%') {
            int high = i + 1 < n ? hex_value(text[i + 1]) : -1;
            int low = i + 2 < n ? hex_value(text[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == '\0' || len + 1 >= size)
            return false;
        out[len++] = c;
    }
    out[len] = '\0';
    return true;
}

/* "user:password@" at the beginning of *text, if there is one; *text moves behind it. A password
 * may hold '@': the last one before the path counts. */
static int take_secrets(struct redis_url *u, const char **text, struct base_error *error) {
    size_t authority = strcspn(*text, "/?#");
    const char *at = memrchr(*text, '@', authority);
    if (at == NULL)
        return 0;
    size_t n = (size_t)(at - *text);
    const char *colon = memchr(*text, ':', n);
    size_t user = colon != NULL ? (size_t)(colon - *text) : n;
    const char *password = *text + user + (colon != NULL);
    u->auth = n > 0;
    if (!decode_percent(*text, user, u->user, sizeof u->user) ||
        !decode_percent(password, (size_t)(at - password), u->password, sizeof u->password))
        return refuse(error, "the user or the password is too long or has a broken %-escape (they "
                             "are not shown; '/' and '?' in them are written %2F and %3F)");
    *text = at + 1;
    return 0;
}

static int take_db(struct redis_url *u, const char *text, struct base_error *error) {
    uint64_t db;
    if (!base_uint_parse(text, DB_MOST, &db))
        return refuse(error, "the database is no number");
    u->db = (uint32_t)db;
    return 0;
}

static int take_port(struct redis_url *u, const char *text, size_t n, struct base_error *error) {
    char digits[8];
    uint64_t port = 0;
    if (n < sizeof digits) {
        memcpy(digits, text, n);
        digits[n] = '\0';
    }
    if (n >= sizeof digits || !base_uint_parse(digits, UINT16_MAX, &port) || port == 0)
        return refuse(error, "the port is no number from 1 to 65535");
    u->port = (uint16_t)port;
    return 0;
}

/* host, host:port, [v6], [v6]:port in `n` octets. */
static int take_host(struct redis_url *u, const char *text, size_t n, struct base_error *error) {
    struct base_addr address;
    const char *host = text, *end = text + n, *behind;
    if (memchr(text, ',', n) != NULL)
        return refuse_later(error, "more than one host (Sentinel, Redis Cluster)");
    if (n > 0 && *text == '[') {
        host++;
        behind = memchr(text, ']', n);
        if (behind == NULL)
            return refuse(error, "the address lacks its ]");
    } else {
        behind = memchr(text, ':', n);
        behind = behind != NULL ? behind : end;
    }
    size_t length = (size_t)(behind - host);
    if (length == 0 || length >= sizeof u->host)
        return refuse(error, "the host is missing or too long");
    memcpy(u->host, host, length);
    behind += *text == '[';
    if (*text == '[' && (!base_addr_parse(u->host, &address) || address.family != 6))
        return refuse(error, "what stands in brackets is no IPv6 address");
    if (strpbrk(u->host, " \t%") != NULL)
        return refuse(error, "the host has characters that no host has");
    if (behind == end)
        return 0;
    if (*behind != ':')
        return refuse(error, "text behind the host");
    return take_port(u, behind + 1, (size_t)(end - behind - 1), error);
}

static int parse_tcp(struct redis_url *u, const char *text, struct base_error *error) {
    u->port = REDIS_PORT;
    if (take_secrets(u, &text, error) != 0)
        return -1;
    size_t n = strcspn(text, "/?#");
    if (take_host(u, text, n, error) != 0)
        return -1;
    text += n;
    if (*text == '\0' || strcmp(text, "/") == 0)
        return 0;
    if (*text != '/')
        return refuse(error, "text behind the host");
    return take_db(u, text + 1, error);
}

static int parse_unix(struct redis_url *u, const char *text, struct base_error *error) {
    static const char db[] = "?db=";
    if (take_secrets(u, &text, error) != 0)
        return -1;
    size_t n = strcspn(text, "?#");
    if (*text != '/' || n < 2)
        return refuse(error, "a socket's path begins with '/'");
    if (!decode_percent(text, n, u->path, sizeof u->path))
        return refuse(error, "the socket's path is longer than 107 octets or has a broken "
                             "%-escape");
    text += n;
    if (*text == '\0')
        return 0;
    if (strncmp(text, db, sizeof db - 1) != 0)
        return refuse(error, "text behind the path");
    return take_db(u, text + sizeof db - 1, error);
}

int redis_url_parse(struct redis_url *u, const char *text, struct base_error *error) {
    const char *colon = strstr(text, "://");
    *u = (struct redis_url){0};
    if (colon == NULL)
        return refuse(error, "not a URL");
    size_t n = (size_t)(colon - text);
    if (n == 5 && strncmp(text, "redis", n) == 0)
        return parse_tcp(u, colon + 3, error);
    if (n == 4 && strncmp(text, "unix", n) == 0)
        return parse_unix(u, colon + 3, error);
    return refuse_scheme(text, n, error);
}

const char *redis_url_shown(const struct redis_url *u, char out[REDIS_SHOWN_TEXT]) {
    bool v6 = strchr(u->host, ':') != NULL;
    int n;
    if (u->path[0] != '\0')
        n = snprintf(out, REDIS_SHOWN_TEXT, "unix://%s", u->path);
    else
        n = snprintf(out, REDIS_SHOWN_TEXT, "redis://%s%s%s:%u", v6 ? "[" : "", u->host,
                     v6 ? "]" : "", u->port);
    if (u->db > 0 && n > 0 && n < REDIS_SHOWN_TEXT)
        snprintf(out + n, (size_t)(REDIS_SHOWN_TEXT - n), "%s%u", u->path[0] != '\0' ? "?db=" : "/",
                 u->db);
    return out;
}
