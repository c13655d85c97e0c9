/*
 * Small text work of the command line: probes' names, words that resemble each other, paragraphs.
 *
 * Input and output: texts of the user's. Nothing here allocates or knows of files.
 */
#include <string.h>
#include <unistd.h>

#include "cli.h"

static bool is_name_octet(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

bool cli_name_is_valid(const char *name) {
    size_t n = 0;
    for (; name[n] != '\0'; n++)
        if (n == CLI_NAME_MAX || !is_name_octet(name[n]))
            return false;
    return n > 0;
}

/* Octets of the base name that are left without a suffix of compression; all, where nothing else
 * would be left. */
static size_t stem_length(const char *base) {
    static const char *const suffix[] = {".gz", ".zst", ".xz"};
    size_t n = strlen(base);
    for (size_t i = 0; i < sizeof suffix / sizeof suffix[0]; i++) {
        size_t s = strlen(suffix[i]);
        if (n > s && strcmp(base + n - s, suffix[i]) == 0)
            return n - s;
    }
    return n;
}

/* The first `length` octets of a text, what a name may not have replaced by `_`. */
static void name_from_text(const char *base, size_t length, char name[CLI_NAME_MAX + 1]) {
    size_t n = 0;
    for (size_t i = 0; i < length && n < CLI_NAME_MAX; i++) {
        unsigned char c = (unsigned char)base[i];
        /* One `_` a character: the later octets of a UTF-8 sequence give none. */
        if ((c & 0xc0) == 0x80 && i > 0 && (unsigned char)base[i - 1] >= 0x80)
            continue;
        name[n++] = is_name_octet(base[i]) ? base[i] : '_';
    }
    if (n == 0)
        name[n++] = '_';
    name[n] = '\0';
}

void cli_name_from_path(const char *path, char name[CLI_NAME_MAX + 1]) {
    const char *slash = strrchr(path, '/'), *base = slash != NULL ? slash + 1 : path;
    name_from_text(base, stem_length(base), name);
}

void cli_name_of_host(char name[CLI_NAME_MAX + 1]) {
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    name_from_text(host, strlen(host), name);
}

/* Levenshtein's distance, for words of less than `WORD` octets; longer ones resemble nothing. */
static size_t edit_distance(const char *a, const char *b) {
    enum { WORD = 32 };
    size_t row[WORD + 1], m = strlen(a), n = strlen(b);
    if (m > WORD || n > WORD)
        return SIZE_MAX;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; i <= m; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

const char *cli_nearest(const char *word, const char *const *names, size_t n) {
    const char *nearest = NULL;
    size_t least = strlen(word) / 2 + 1; /* more than half of it wrong: something else was meant */
    for (size_t i = 0; i < n; i++) {
        size_t distance = edit_distance(word, names[i]);
        if (distance < least) {
            least = distance;
            nearest = names[i];
        }
    }
    return nearest;
}

void cli_print_wrapped(FILE *out, const char *text, unsigned indent, unsigned column) {
    enum { WIDTH = 80 };
    bool first = true;
    while (*text != '\0') {
        unsigned n = (unsigned)strcspn(text, " ");
        if (column < indent) {
            fprintf(out, "%*s", (int)(indent - column), "");
            column = indent;
        } else if (!first && column + 1 + n > WIDTH) {
            fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (!first) {
            fputc(' ', out);
            column++;
        }
        fprintf(out, "%.*s", (int)n, text);
        column += n;
        text += n + (text[n] == ' ');
        first = false;
    }
    fputc('\n', out);
}
