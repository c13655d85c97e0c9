/*
 * Characters in texts from outside (readable.h): where each ends, and how wide it is.
 */
#include "spanwatch/readable.h"

size_t base_utf8_length(const char *text) {
    const unsigned char *s = (const unsigned char *)text;
    size_t n = s[0] < 0x80   ? 1
               : s[0] < 0xc2 ? 0
               : s[0] < 0xe0 ? 2
               : s[0] < 0xf0 ? 3
               : s[0] < 0xf5 ? 4
                             : 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80) /* the NUL continues no sequence */
            return 0;
    bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool surrogate = s[0] == 0xed && s[1] > 0x9f;
    bool too_high = s[0] == 0xf4 && s[1] > 0x8f;
    return overlong || surrogate || too_high ? 0 : n;
}

size_t base_printable_length(const char *text) {
    const unsigned char *s = (const unsigned char *)text;
    size_t n = base_utf8_length(text);
    bool control = s[0] < 0x20 || s[0] == 0x7f || (s[0] == 0xc2 && n == 2 && s[1] < 0xa0);
    return control ? 0 : n;
}

/* Of three octets from U+3000 on, and of four. */
unsigned base_character_columns(const char *s, size_t octets) {
    return octets == 4 || (octets == 3 && (unsigned char)*s >= 0xe3 && (unsigned char)*s <= 0xed)
               ? 2
               : 1;
}

unsigned base_text_columns(const char *text) {
    unsigned columns = 0;
    while (*text != '\0') {
        size_t n = base_utf8_length(text);
        columns += base_character_columns(text, n);
        text += n > 0 ? n : 1;
    }
    return columns;
}
