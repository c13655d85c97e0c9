/*
 * Handing an alarm on: to a command, or to an Alertmanager (API v2: POST /api/v2/alerts, an array
 * of alerts with labels, annotations, startsAt and endsAt).
 *
 * Each try has a deadline; between two of them the wait doubles, up to half a minute. After eight
 * the message is given up, which is told: the next one must not wait for ever.
 */
#include "follow.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TRIES = 8, FIRST_WAIT_MS = 500, LONGEST_WAIT_MS = 30000, TRY_S = 20, LABEL = 512 };

/* False when it is time to end. */
static bool wait_for(unsigned try, volatile int *stop) {
    unsigned ms = FIRST_WAIT_MS << try;
    for (ms = ms < LONGEST_WAIT_MS ? ms : LONGEST_WAIT_MS; ms > 0 && !*stop;
         ms -= 100 < ms ? 100 : ms)
        poll(NULL, 0, 100);
    return !*stop;
}

static const char *text_of(const json_t *o, const char *name) {
    const char *text = json_string_value(json_object_get(o, name));
    return text != NULL ? text : "";
}

/* ---- a command ---- */

static void set_environment(const json_t *m) {
    const json_t *scope = json_object_get(m, "scope");
    setenv("SPANWATCH_KIND", text_of(m, "kind"), 1);
    setenv("SPANWATCH_SEVERITY", text_of(m, "severity"), 1);
    setenv("SPANWATCH_STATUS", text_of(m, "status"), 1);
    setenv("SPANWATCH_PROBE", text_of(m, "probe"), 1);
    setenv("SPANWATCH_ID", text_of(m, "id"), 1);
    setenv("SPANWATCH_SERVICE", text_of(scope, "service"), 1);
    setenv("SPANWATCH_CLIENT", text_of(scope, "client"), 1);
    setenv("SPANWATCH_SUMMARY", text_of(m, "summary"), 1);
}

static void write_all(int fd, const char *text, size_t n) {
    while (n > 0) {
        ssize_t done = write(fd, text, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return; /* it does not want to read: its status tells */
        text += done;
        n -= (size_t)done;
    }
}

/* A child's end within its time; else it is killed. */
static bool ended_well(pid_t pid, volatile int *stop) {
    int status = 0;
    for (int n = 0; n < TRY_S * 50; n++) {
        pid_t ended = waitpid(pid, &status, WNOHANG);
        if (ended == pid)
            return WIFEXITED(status) && WEXITSTATUS(status) == 0;
        if (*stop && n > 50)
            break;
        poll(NULL, 0, 20);
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return false;
}

static bool run_command(const char *command, const json_t *m, const char *json,
                        volatile int *stop) {
    int in[2];
    if (pipe(in) != 0)
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGPIPE, SIG_DFL);
        dup2(in[0], STDIN_FILENO);
        close(in[0]);
        close(in[1]);
        set_environment(m);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    if (pid > 0) {
        write_all(in[1], json, strlen(json));
        write_all(in[1], "\n", 1);
    }
    close(in[1]);
    return pid > 0 && ended_well(pid, stop);
}

bool hand_to_command(const char *command, const json_t *m, const char *json, volatile int *stop) {
    for (unsigned try = 0; try < TRIES; try++) {
        if (run_command(command, m, json, stop))
            return true;
        if (!wait_for(try, stop))
            return false;
    }
    return false;
}

/* ---- a webhook ---- */

static void label(json_t *labels, const char *name, const char *value) {
    if (value[0] != '\0')
        json_object_set_new(labels, name, json_string(value));
}

/* RFC 3339 of a member that is Unix seconds; "" without. */
static void moment_of(const json_t *m, const char *name, char out[BASE_TIME_TEXT + 2]) {
    const json_t *v = json_object_get(m, name);
    out[0] = '\0';
    if (!json_is_number(v))
        return;
    base_time_format_utc((uint64_t)json_number_value(v) * BASE_NS_PER_S, out);
    char *blank = strchr(out, ' ');
    if (blank != NULL)
        *blank = 'T';
    strcat(out, "Z");
}

/* The labels tell an alert from others. All but the severity, which receivers route by, are the
 * same from raise to clear. */
static char *alert_of(const json_t *m) {
    const json_t *scope = json_object_get(m, "scope");
    char since[BASE_TIME_TEXT + 2], now[BASE_TIME_TEXT + 2];
    json_t *alerts = json_array(), *alert = json_object(), *labels = json_object();
    json_t *annotations = json_object();
    label(labels, "alertname", text_of(m, "kind"));
    label(labels, "probe", text_of(m, "probe"));
    label(labels, "service", text_of(scope, "service"));
    label(labels, "server", text_of(scope, "server"));
    label(labels, "client", text_of(scope, "client"));
    label(labels, "alarm_id", text_of(m, "id"));
    label(labels, "severity", text_of(m, "severity"));
    label(annotations, "summary", text_of(m, "summary"));
    label(annotations, "rule", text_of(m, "rule"));
    moment_of(m, "since", since);
    moment_of(m, "ts", now);
    json_object_set_new(alert, "labels", labels);
    json_object_set_new(alert, "annotations", annotations);
    json_object_set_new(alert, "startsAt", json_string(since));
    if (strcmp(text_of(m, "status"), "cleared") == 0)
        json_object_set_new(alert, "endsAt", json_string(now));
    json_array_append_new(alerts, alert);
    char *text = json_dumps(alerts, JSON_COMPACT);
    json_decref(alerts);
    return text;
}

static size_t ignore(char *data, size_t size, size_t n, void *context) {
    (void)data;
    (void)context;
    return size * n;
}

static bool post(CURL *curl, const char *url, const char *body) {
    long status = 0;
    struct curl_slist *head = curl_slist_append(NULL, "Content-Type: application/json");
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, head);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)TRY_S);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore);
    bool sent = curl_easy_perform(curl) == CURLE_OK &&
                curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK;
    curl_slist_free_all(head);
    return sent && status >= 200 && status < 300;
}

/* "http://host:9093" stands for Alertmanager's own path. */
static void full_url(const char *url, char out[LABEL]) {
    const char *host = strstr(url, "://"), *path = host != NULL ? strchr(host + 3, '/') : NULL;
    bool bare = path == NULL || path[1] == '\0';
    snprintf(out, LABEL, "%.*s%s", (int)(bare && path != NULL ? path - url : (long)strlen(url)),
             url, bare ? "/api/v2/alerts" : "");
}

bool hand_to_webhook(const char *url, const json_t *m, volatile int *stop) {
    char whole[LABEL];
    char *body = alert_of(m);
    CURL *curl = curl_easy_init();
    bool done = false;
    full_url(url, whole);
    for (unsigned try = 0; body != NULL && curl != NULL && try < TRIES && !done; try++) {
        done = post(curl, whole, body);
        if (!done && !wait_for(try, stop))
            break;
    }
    if (curl != NULL)
        curl_easy_cleanup(curl);
    free(body);
    return done;
}
