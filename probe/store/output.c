/*
 * Writing for a person (output.h): faults of a FILE, aligned columns, wrapped lines.
 *
 * Every text that may have come from a file or the network goes through record_text_printable here,
 * in one place.
 */
#include "output.h"

#include "spanwatch/readable.h"
#include "spanwatch/record.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

enum {
    INDENT = 2,
    GAP = 2,         /* blanks between columns */
    LABEL = 10,      /* columns of a line's label */
    ELASTIC_MIN = 12 /* below it a cut name tells nothing */
};

bool store_output_good(FILE *out, int *fault) {
    if (*fault == 0 && ferror(out))
        *fault = errno != 0 ? errno : EIO;
    return *fault == 0;
}

int store_output_end(FILE *out, int *fault, struct base_error *error) {
    if (*fault == 0 && fflush(out) != 0)
        *fault = errno;
    store_output_good(out, fault);
    if (*fault == 0 || *fault == EPIPE)
        return 0;
    return base_error_set(error, "output", "cannot write: %s", strerror(*fault));
}

void store_text_pad(FILE *out, const char *text, size_t columns, bool right) {
    size_t used = base_text_columns(text);
    int blanks = used < columns ? (int)(columns - used) : 0;
    fprintf(out, "%*s%s%*s", right ? blanks : 0, "", text, right ? 0 : blanks, "");
}

/* Cut to `columns`; the last character then shows that something is missing. */
static void cut(char *text, size_t columns) {
    if (base_text_columns(text) <= columns)
        return;
    size_t used = 0;
    for (;;) {
        size_t n = base_utf8_length(text);
        used += base_character_columns(text, n);
        if (used >= columns)
            break;
        text += n > 0 ? n : 1;
    }
    *text++ = '~';
    *text = '\0';
}

void store_columns_init(struct store_columns *t, unsigned right, int elastic) {
    t->right = right;
    t->elastic = elastic;
    t->rows = 0;
    t->cells = 0;
}

void store_columns_cell(struct store_columns *t, const char *text) {
    if (t->rows < STORE_ROWS && t->cells < STORE_COLUMNS)
        record_text_printable(text, t->cell[t->rows][t->cells++], STORE_CELL);
}

void store_columns_end_row(struct store_columns *t) {
    for (size_t i = t->cells; t->rows < STORE_ROWS && i < STORE_COLUMNS; i++)
        t->cell[t->rows][i][0] = '\0';
    if (t->rows < STORE_ROWS)
        t->rows++;
    t->cells = 0;
}

/* The widest cell of each column; the elastic one gives way until the whole fits `width`. */
static void column_widths(const struct store_columns *t, unsigned width,
                          size_t columns[STORE_COLUMNS]) {
    size_t whole = INDENT;
    for (size_t i = 0; i < STORE_COLUMNS; i++) {
        columns[i] = 0;
        for (size_t row = 0; row < t->rows; row++) {
            size_t n = base_text_columns(t->cell[row][i]);
            columns[i] = n > columns[i] ? n : columns[i];
        }
        whole += columns[i] == 0 ? 0 : columns[i] + (i == 0 ? 0 : GAP);
    }
    if (t->elastic < 0 || whole <= width || columns[t->elastic] <= ELASTIC_MIN)
        return;
    size_t spare = columns[t->elastic] - ELASTIC_MIN, excess = whole - width;
    columns[t->elastic] -= excess < spare ? excess : spare;
}

void store_columns_print(struct store_columns *t, FILE *out, unsigned width) {
    size_t columns[STORE_COLUMNS];
    column_widths(t, width, columns);
    for (size_t row = 0; row < t->rows; row++) {
        size_t last = STORE_COLUMNS - 1;
        while (last > 0 && t->cell[row][last][0] == '\0')
            last--;
        fprintf(out, "%*s", INDENT, "");
        for (size_t i = 0; i <= last; i++) {
            bool right = t->right >> i & 1;
            cut(t->cell[row][i], columns[i]);
            store_text_pad(out, t->cell[row][i], i < last || right ? columns[i] : 0, right);
            fputs(i < last ? "  " : "\n", out);
        }
    }
}

void store_line_begin(struct store_line *l, FILE *out, unsigned width, const char *label) {
    *l = (struct store_line){.out = out, .width = width, .column = INDENT + LABEL};
    fprintf(out, "%*s%-*s", INDENT, "", LABEL, label);
}

void store_line_item(struct store_line *l, const char *format, ...) {
    char raw[1024], text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    record_text_printable(raw, text, sizeof text);
    unsigned n = (unsigned)base_text_columns(text);
    if (l->items > 0) {
        fputc(',', l->out);
        bool fits = l->column + 2 + n <= l->width;
        if (fits)
            fputc(' ', l->out);
        else
            fprintf(l->out, "\n%*s", INDENT + LABEL, "");
        l->column = fits ? l->column + 2 : INDENT + LABEL;
    }
    fputs(text, l->out);
    l->column += n;
    l->items++;
}

void store_line_end(struct store_line *l) {
    fputc('\n', l->out);
}
