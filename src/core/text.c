/* text.c -- text that grows, and the canonical spelling of scalars. */
#include "core/text.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "deconvoy/memory.h"

static bool make_room(dcv_text *t, size_t more)
{
    if (t->failed)
        return false;
    if (t->n + more + 1 <= t->room)
        return true;
    const size_t room = 2 * (t->n + more + 128);
    char *s = dcv_realloc(t->s, t->room, room, 1);
    if (!s) {
        t->failed = true;
        return false;
    }
    t->s = s;
    t->room = room;
    return true;
}

void dcv_text_put(dcv_text *t, const char *s, size_t n)
{
    if (!make_room(t, n))
        return;
    memcpy(t->s + t->n, s, n);
    t->n += n;
    t->s[t->n] = 0;
}

void dcv_text_add(dcv_text *t, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0 || !make_room(t, (size_t)n))
        return;
    va_start(args, fmt);
    vsnprintf(t->s + t->n, (size_t)n + 1, fmt, args);
    va_end(args);
    t->n += (size_t)n;
}

void dcv_text_pad(dcv_text *t, size_t line_start, int width)
{
    int have = 0;
    for (size_t i = line_start; i < t->n; i++)
        have += ((unsigned char)t->s[i] & 0xc0) != 0x80;
    for (; have < width; have++)
        dcv_text_put(t, " ", 1);
}

char *dcv_text_take(dcv_text *t)
{
    dcv_text_put(t, "", 0);
    char *s = t->failed ? NULL : t->s;
    if (t->failed)
        dcv_free(t->s);
    *t = (dcv_text){0};
    return s;
}

/* Digits d.ddd and exponent of the shortest decimal that reads back as v. */
static int shortest(double v, char digits[32], int *exponent)
{
    char buf[48];
    for (int p = 0; p <= 16; p++) {
        snprintf(buf, sizeof buf, "%.*e", p, v);
        if (strtod(buf, NULL) == v)
            break;
    }
    int n = 0;
    const char *c = buf;
    for (; *c && *c != 'e'; c++)
        if (isdigit((unsigned char)*c))
            digits[n++] = *c;
    digits[n] = 0;
    *exponent = *c ? atoi(c + 1) : 0;
    return n;
}

void dcv_text_real(dcv_text *t, double v)
{
    if (isnan(v) || isinf(v)) {
        dcv_text_add(t, isnan(v) ? ".nan" : v > 0 ? ".inf" : "-.inf");
        return;
    }
    char d[32];
    int e;
    const int n = shortest(fabs(v), d, &e);
    if (signbit(v))
        dcv_text_add(t, "-");
    if (e < -4 || e >= 16)
        dcv_text_add(t, "%c.%se%+d", d[0], n > 1 ? d + 1 : "0", e);
    else if (e < 0)
        dcv_text_add(t, "0.%.*s%s", -e - 1, "000", d);
    else if (n <= e + 1)
        dcv_text_add(t, "%s%.*s.0", d, e + 1 - n, "0000000000000000");
    else
        dcv_text_add(t, "%.*s.%s", e + 1, d, d + e + 1);
}

static bool whole_number(const char *s)
{
    s += *s == '-';
    if (*s == '0')
        return !s[1];
    const size_t n = strspn(s, "0123456789");
    return n && !s[n];
}

/* Would a reader of YAML 1.1 or 1.2 take the plain text for something else (bool, null, number, date), or not as one
 * scalar?  Errs on the side of quotes. */
static bool plain_is_safe(const char *s)
{
    static const char *const words[] = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"};
    const size_t n = strlen(s);
    if (!isalpha((unsigned char)s[0]) && !strchr("_/", s[0])) {
        /* numbers, dates, signs; but paths such as ./x and ../x stay plain */
        if (strncmp(s, "./", 2) != 0 && strncmp(s, "../", 3) != 0)
            return false;
    }
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && !strchr("_-./+@%=~ ", s[i]))
            return false;
    if (s[n - 1] == ' ' || strstr(s, "  "))
        return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcasecmp(s, words[i]))
            return false;
    return true;
}

size_t dcv_utf8_length(const char *s, size_t n)
{
    static const struct {
        uint8_t lo, hi, second_lo, second_hi, length;
    } kinds[] = {{0x01, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
                 {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
                 {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    const unsigned char *u = (const unsigned char *)s;
    for (size_t k = 0; n && k < sizeof kinds / sizeof *kinds; k++) {
        if (u[0] < kinds[k].lo || u[0] > kinds[k].hi)
            continue;
        if (kinds[k].length > n || (kinds[k].length > 1 && (u[1] < kinds[k].second_lo || u[1] > kinds[k].second_hi)))
            return 0;
        for (size_t i = 2; i < kinds[k].length; i++)
            if ((u[i] & 0xc0) != 0x80)
                return 0;
        return kinds[k].length;
    }
    return 0;
}

size_t dcv_utf8_copy(char *to, const char *text, size_t n)
{
    size_t done = 0;
    for (size_t left = strlen(text); left;) {
        const size_t is = dcv_utf8_length(text, left), step = is ? is : 1;
        if (done + step > n)
            break;
        memcpy(to + done, is ? text : "?", step);
        done += step;
        text += step;
        left -= step;
    }
    return done;
}

/* Code points that a YAML stream may not hold or that a quoted scalar would not keep. */
static bool must_escape(uint32_t u)
{
    return u < 0x20 || (u >= 0x7f && u < 0xa0) || u == 0x2028 || u == 0x2029 || u == 0xfeff || u == 0xfffe ||
           u == 0xffff;
}

/* One code point of UTF-8 that is known to be valid; a stray byte stands for itself. */
static int decode(const unsigned char *s, uint32_t *u)
{
    const int more = s[0] >= 0xf0 ? 3 : s[0] >= 0xe0 ? 2 : s[0] >= 0xc0 ? 1 : 0;
    *u = more ? s[0] & (0x3fu >> more) : s[0];
    for (int i = 1; i <= more; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            *u = s[0];
            return 1;
        }
        *u = *u << 6 | (s[i] & 0x3f);
    }
    return more + 1;
}

void dcv_text_scalar(dcv_text *t, const char *s, bool numbers)
{
    if ((*s && plain_is_safe(s)) || (numbers && whole_number(s))) {
        dcv_text_put(t, s, strlen(s));
        return;
    }
    dcv_text_put(t, "\"", 1);
    while (*s) {
        uint32_t u;
        const int n = decode((const unsigned char *)s, &u);
        if (u == '"' || u == '\\')
            dcv_text_add(t, "\\%c", (int)u);
        else if (must_escape(u))
            dcv_text_add(t, "\\u%04X", u);
        else
            dcv_text_put(t, s, (size_t)n);
        s += n;
    }
    dcv_text_put(t, "\"", 1);
}
