/*
 * Reading a CMDB file of CSV (cmdb.h): a header row, then a service or a client a row.
 *
 * Input: a file. Output: entries in the cmdb; every cell is a text, an empty one no attribute. An
 * error names file, line and column. Owner: the text lives as long as the call.
 */
#include <stdlib.h>
#include <string.h>

#include "spanwatch/config.h"

#include "cmdb_table.h"
#include "csv.h"

struct loading {
    struct cmdb *cmdb;
    const char *path;
    uint32_t file;
    struct csv_reader rows;
    size_t columns, key, name; /* key: the column of service or address; name: of clients */
    char *column[CSV_FIELDS];  /* borrowed from the text */
    bool clients;
    struct base_error *error;
};

/* A text for a message, in quotes, cut when long. It may be of any octets: messages are escaped
 * when they are printed. */
enum { SHOWN_TEXT = 48 };
static const char *shown(const char *text, char out[SHOWN_TEXT]) {
    bool cut = strlen(text) > SHOWN_TEXT - 8;
    snprintf(out, SHOWN_TEXT, "\"%.*s\"%s", SHOWN_TEXT - 8, text, cut ? "..." : "");
    return out;
}

static int fail_cell(const struct loading *l, size_t column, const char *found,
                     const char *allowed) {
    char text[SHOWN_TEXT];
    return config_error_at(l->path, l->rows.row_line, l->error, "column \"%s\": found %s, %s",
                           l->column[column], shown(found, text), allowed);
}

static bool is_utf8(const char *text) {
    json_t *decoded = json_string(text);
    json_decref(decoded);
    return decoded != NULL;
}

/* ---- the header ---- */

static int find_column(struct loading *l, size_t i) {
    const char *name = l->rows.field[i];
    char text[SHOWN_TEXT];
    size_t n = strlen(name);
    l->column[i] = l->rows.field[i];
    if (!is_utf8(name) || !cmdb_is_name(name) || name[0] == ' ' || name[n - 1] == ' ')
        return config_error_at(l->path, l->rows.row_line, l->error,
                               "column %zu of the header: found %s, allowed is a name of 1 to 63 "
                               "octets in UTF-8, without control characters, and without blanks "
                               "before or behind it",
                               i + 1, shown(name, text));
    for (size_t k = 0; k < i; k++)
        if (strcmp(l->column[k], name) == 0)
            return config_error_at(l->path, l->rows.row_line, l->error,
                                   "the header names column %s twice", shown(name, text));
    return 0;
}

/* The number of a column, l->columns when there is none. */
static size_t column_of(const struct loading *l, const char *name) {
    size_t i = 0;
    while (i < l->columns && strcmp(l->column[i], name) != 0)
        i++;
    return i;
}

static int read_header(struct loading *l) {
    char text[SHOWN_TEXT];
    l->columns = l->rows.fields;
    for (size_t i = 0; i < l->columns; i++)
        if (find_column(l, i) != 0)
            return -1;
    size_t service = column_of(l, "service"), address = column_of(l, "address");
    if ((service < l->columns) == (address < l->columns))
        return config_error_at(l->path, l->rows.row_line, l->error,
                               "the header begins with %s: %s a column \"service\" (with "
                               "attributes of services) or \"address\" (with names of clients); "
                               "commas separate columns",
                               shown(l->column[0], text),
                               service < l->columns ? "it has both, allowed is one of"
                                                    : "it lacks");
    l->clients = address < l->columns;
    l->key = l->clients ? address : service;
    l->name = l->clients ? column_of(l, "name") : l->columns;
    if (l->clients && l->name == l->columns)
        return config_error_at(l->path, l->rows.row_line, l->error,
                               "the header has a column \"address\" but none \"name\"");
    return 0;
}

/* ---- rows ---- */

/* One cell into the attributes, unless it is empty. */
static int put_cell(const struct loading *l, json_t *attributes, size_t column) {
    const char *cell = l->rows.field[column];
    if (*cell == '\0')
        return 0;
    json_t *value = json_string(cell);
    if (value == NULL)
        return fail_cell(l, column, cell, "which is not UTF-8");
    if (json_object_set_new(attributes, l->column[column], value) != 0)
        return base_error_set(l->error, l->path, "out of memory");
    return 0;
}

static int put_cells(const struct loading *l, json_t *attributes) {
    if (attributes == NULL)
        return base_error_set(l->error, l->path, "out of memory");
    if (l->clients && put_cell(l, attributes, l->name) != 0) /* the name first */
        return -1;
    for (size_t i = 0; i < l->columns; i++)
        if (i != l->key && i != l->name && put_cell(l, attributes, i) != 0)
            return -1;
    return 0;
}

/* What a name cell may hold. */
static int check_name(const struct loading *l, size_t column) {
    const char *cell = l->rows.field[column];
    if (!is_utf8(cell) || !cmdb_is_name(cell))
        return fail_cell(l, column, cell,
                         "allowed is a text of 1 to 63 octets in UTF-8 without control characters");
    return 0;
}

static int add_row(struct loading *l, const json_t *attributes) {
    const char *key = l->rows.field[l->key];
    struct cmdb_place place = {.file = l->file, .at = l->rows.row_line};
    struct cmdb_client client = {0};
    enum cmdb_fault fault;
    if (l->clients) {
        client.name = l->rows.field[l->name];
        if (!base_cidr_parse(key, &client.address, &client.prefix_length))
            return fail_cell(l, l->key, key,
                             "allowed is an address (10.7.0.17, 2001:db8::17) or a network "
                             "(10.7.0.0/16) without host bits");
        fault = cmdb_add_client(l->cmdb, &client, attributes, place);
    } else {
        fault = cmdb_add_service(l->cmdb, key, attributes, place);
    }
    if (fault == CMDB_NO_MEMORY)
        return base_error_set(l->error, l->path, "out of memory");
    if (fault == CMDB_TOO_LONG)
        return config_error_at(l->path, l->rows.row_line, l->error,
                               "the attributes take more than %d octets as JSON, allowed is less",
                               CMDB_JSON_MAX - 1);
    return 0;
}

static int read_row(struct loading *l) {
    if (l->rows.fields != l->columns)
        return config_error_at(l->path, l->rows.row_line, l->error,
                               "found %zu columns, the header has %zu", l->rows.fields, l->columns);
    if (check_name(l, l->clients ? l->name : l->key) != 0)
        return -1;
    json_t *attributes = json_object();
    int result = put_cells(l, attributes);
    if (result == 0)
        result = add_row(l, attributes);
    json_decref(attributes);
    return result;
}

static int tell_clash(const struct loading *l, const struct cmdb_clash *clash) {
    char text[SHOWN_TEXT];
    const char *column = l->column[l->key];
    if (clash->first.file != clash->second.file)
        return config_error_at(l->path, clash->second.at, l->error,
                               "column \"%s\": %s is in %s too", column, shown(clash->name, text),
                               l->cmdb->files[clash->first.file - 1]);
    return config_error_at(l->path, clash->second.at, l->error,
                           "column \"%s\": %s is in line %u too", column, shown(clash->name, text),
                           clash->first.at);
}

static int read_rows(struct loading *l) {
    struct cmdb_clash clash;
    bool header = false;
    while (csv_next(&l->rows)) {
        if ((header ? read_row(l) : read_header(l)) != 0)
            return -1;
        header = true;
    }
    if (l->rows.fault != NULL)
        return config_error_at(l->path, l->rows.fault_line, l->error, "not valid CSV: %s",
                               l->rows.fault);
    if (!header)
        return config_error_at(l->path, 0, l->error,
                               "empty: a header row is needed, with a column service or address");
    if (l->clients)
        l->cmdb->has_clients = true;
    else
        l->cmdb->has_services = true;
    return cmdb_order(l->cmdb, &clash) ? 0 : tell_clash(l, &clash);
}

/* By its byte order mark: what some spreadsheets call "Unicode text". */
static bool is_utf16(const char *text, size_t n) {
    return n >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0);
}

int cmdb_load_csv(struct cmdb *c, uint32_t file, struct base_error *error) {
    struct loading l = {.cmdb = c, .path = c->files[file - 1], .file = file, .error = error};
    size_t n;
    char *octets = config_read(l.path, &n, error);
    char *text = octets != NULL ? realloc(octets, n + 1) : NULL;
    if (octets == NULL)
        return -1;
    if (text == NULL) {
        free(octets);
        return base_error_set(error, l.path, "out of memory");
    }
    text[n] = '\0';
    csv_init(&l.rows, text, n);
    int result = is_utf16(text, n) ? config_error_at(l.path, 1, error,
                                                     "found UTF-16, allowed is UTF-8; spreadsheets "
                                                     "save that as \"CSV UTF-8\"")
                                   : read_rows(&l);
    free(text);
    return result;
}
