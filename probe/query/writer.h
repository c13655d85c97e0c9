/*
 * writer: what the writers of answers share (query.h), and the table among them.
 */
#ifndef QUERY_WRITER_H
#define QUERY_WRITER_H

#include "kinds.h"

#include <stdio.h>

struct query_writer {
    enum query_format format;
    FILE *out, *warnings;
    bool colour, lines;
    struct query_column column[QUERY_COLUMNS_MOST];
    char name[QUERY_COLUMNS_MOST][64]; /* of the columns */
    size_t columns;
    enum query_what what;
    bool hidden[QUERY_COLUMNS_MOST]; /* of a table: not for people, or nowhere filled */
    bool filled[QUERY_COLUMNS_MOST];
    size_t width[QUERY_COLUMNS_MOST];
    uint64_t at_ns, rows;
    FILE *spool;
    int fault;       /* errno of the first write that failed */
    int spool_fault; /* of the temporary file */
};

/* Keeps the first fault of the output; true when there was none. */
bool query_writer_is_good(struct query_writer *w);

/* "connections", for `n` of them. */
const char *query_noun(enum query_what what, uint64_t n);

/* writer_table.c. With `lines` rows are printed as they come; else they wait for the end. */
void query_table_begin(struct query_writer *w);
void query_table_row(struct query_writer *w, const struct query_row *r);
void query_table_end(struct query_writer *w);

#endif
