/*
 * csv: records of a comma-separated text, as RFC 4180 has them.
 *
 * Input: octets in memory, which the reader changes (quotes are taken out in place). Output: one
 * record at a time as NUL-terminated fields inside that memory. Lines end in LF or CRLF; a line
 * without any octet is no record. No allocation. Owner: the caller.
 */
#ifndef SERVICE_CSV_H
#define SERVICE_CSV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CSV_FIELDS = 256 /* of a record */ };

struct csv_reader {
    char *next, *end;  /* the rest of the text; *end is a NUL of the caller's */
    uint32_t line;     /* where `next` stands, from 1 */
    uint32_t row_line; /* where the record just read begins */
    size_t fields;
    char *field[CSV_FIELDS];
    const char *fault; /* why the last record could not be read; fault_line: where */
    uint32_t fault_line;
};

/* `text` of `n` octets and a NUL behind them. A byte order mark is passed over. */
void csv_init(struct csv_reader *r, char *text, size_t n);

/* The next record into field[]. False at the end, and at a fault: `fault` is not NULL then. */
bool csv_next(struct csv_reader *r);

#endif
