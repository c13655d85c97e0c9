/*
 * output: writing a report to a FILE: faults, alignment, wrapped lines.
 */
#ifndef SPANWATCH_STORE_OUTPUT_H
#define SPANWATCH_STORE_OUTPUT_H

#include "spanwatch/base.h"

#include <stdio.h>

/* To be asked right after writing: keeps the errno of the first write that failed in *fault; true
 * when none has. */
bool store_output_good(FILE *out, int *fault);

/* Flush; 0, or -1 with `error`. A closed pipe (EPIPE) is no failure: its reader has seen enough. */
int store_output_end(FILE *out, int *fault, struct base_error *error);

/* Write `text` in `columns` columns, blanks before or behind it. A longer text is written whole. */
void store_text_pad(FILE *out, const char *text, size_t columns, bool right);

/* A small table: filled cell by cell, printed aligned. Cells are escaped, so that any text may be
 * given. */
enum { STORE_COLUMNS = 8, STORE_ROWS = 24, STORE_CELL = 160 };

struct store_columns {
    unsigned right; /* bit i: column i is aligned right */
    int elastic; /* the column whose texts are cut when the line is wider than the terminal; -1 for
                    none */
    size_t rows, cells; /* complete rows; cells in the row being filled */
    char cell[STORE_ROWS][STORE_COLUMNS][STORE_CELL];
};

void store_columns_init(struct store_columns *t, unsigned right, int elastic);
void store_columns_cell(struct store_columns *t, const char *text);
void store_columns_end_row(struct store_columns *t);
void store_columns_print(struct store_columns *t, FILE *out, unsigned width);

/* "  label     item, item, item", continued below the first item when the width is used up. */
struct store_line {
    FILE *out;
    unsigned width, column, items;
};

void store_line_begin(struct store_line *l, FILE *out, unsigned width, const char *label);
void store_line_item(struct store_line *l, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void store_line_end(struct store_line *l);

#endif
