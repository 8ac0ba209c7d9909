/* test_core.c -- status, memory, shapes, windows, hashes. */
#include "check.h"
#include "core/text.h"
#include "deconvoy/hash.h"
#include "deconvoy/memory.h"
#include "deconvoy/tensor.h"

static void status(void)
{
    static const char *const names[] = {"preprocess", "source", "on_error"};
    CHECK_FAILS(dcv_fail(DCV_EDATA, "a\nb %d", 7), DCV_EDATA, "a?b 7");
    CHECK_FAILS(dcv_fail_in(DCV_EDATA, "file.png"), DCV_EDATA, "file.png: a?b 7");
    CHECK(dcv_exit_code(DCV_ECONFIG) == 78 && dcv_exit_code(DCV_OK) == 0 && dcv_exit_code(DCV_EUNSUPPORTED) == 65);
    CHECK(dcv_nearest("sorce", names, 3) == names[1]);
    CHECK(dcv_nearest("no_error", names, 3) == names[2]);
    CHECK(dcv_nearest("zebra", names, 3) == NULL);
}

static void memory(void)
{
    const int64_t before = dcv_alloc_balance();
    dcv_arena *a = NULL;
    CHECK(dcv_alloc((size_t)1 << 40, (size_t)1 << 40) == NULL);
    char *big = dcv_alloc(3 << 20, 1);
    CHECK(big && (size_t)big % 64 == 0 && big[0] == 0 && big[(3 << 20) - 1] == 0);
    CHECK_OK(dcv_arena_new(&a));
    char *first = dcv_arena_strdup(a, "first");
    for (int i = 0; i < 10000; i++) {
        int *p = dcv_arena_alloc(a, (size_t)(i % 300), 4 * sizeof(int));
        CHECK(p && (size_t)p % 16 == 0);
    }
    CHECK(dcv_arena_alloc(a, 1 << 20, 1) != NULL);
    CHECK(strcmp(first, "first") == 0);
    char *text = dcv_format("%s-%d", "x", 5);
    CHECK(text && strcmp(text, "x-5") == 0);
    dcv_free(text);
    dcv_free(big);
    dcv_arena_free(a);
    CHECK(dcv_alloc_balance() == before);
}

/* The windows that read input cell i, by search. */
static dcv_span readers(int64_t i, int64_t out, const dcv_window *w)
{
    dcv_span found = {0, 0};
    for (int64_t o = 0; o < out; o++) {
        const int64_t from = o * w->stride - w->pad_lo, to = from + (w->kernel - 1) * w->dilation;
        if (i >= from && i <= to)
            found = dcv_span_hull(found, (dcv_span){o, o + 1});
    }
    return found;
}

static void windows(void)
{
    for (int64_t code = 0; code < 4 * 3 * 2 * 3; code++) {
        const dcv_window w = {1 + code % 4, 1 + code / 4 % 3, 1 + code / 12 % 2, code / 24, code / 24};
        const int64_t in = 9, out = dcv_window_out(in, &w, false);
        CHECK(out > 0);
        for (int64_t i = 0; i < in; i++) {
            const dcv_span want = readers(i, out, &w), got = dcv_window_reaches((dcv_span){i, i + 1}, &w, out);
            CHECK(want.lo == got.lo && want.hi == got.hi);
        }
        for (int64_t o = 0; o < out; o++) {
            const dcv_span r = dcv_window_reads((dcv_span){o, o + 1}, &w, in);
            for (int64_t t = 0; t < w.kernel; t++) {
                const int64_t at = o * w.stride - w.pad_lo + t * w.dilation;
                CHECK(at < 0 || at >= in || (at >= r.lo && at < r.hi));
            }
        }
    }
    /* 112 rows, 3/2, no padding: 55 or, rounded up, 56; a last window in the padding is dropped */
    CHECK(dcv_window_out(112, &(dcv_window){3, 2, 1, 0, 0}, false) == 55);
    CHECK(dcv_window_out(112, &(dcv_window){3, 2, 1, 0, 0}, true) == 56);
    CHECK(dcv_window_out(4, &(dcv_window){1, 4, 1, 0, 1}, true) == 1);
    CHECK(dcv_window_out(2, &(dcv_window){3, 1, 1, 0, 0}, false) == 0);
}

static void dims(void)
{
    dcv_dims_text text;
    CHECK(strcmp(dcv_dims_print(&(dcv_dims){4, {1, 3, 224, 224}}, text), "1x3x224x224") == 0);
    CHECK_OK(dcv_dims_check(&(dcv_dims){2, {1 << 20, 1 << 20}}));
    CHECK_FAILS(dcv_dims_check(&(dcv_dims){3, {1 << 20, 1 << 20, 2}}), DCV_EDATA, "2^40");
    CHECK_FAILS(dcv_dims_check(&(dcv_dims){1, {-1}}), DCV_EDATA, "-1");
    CHECK_FAILS(dcv_dims_check(&(dcv_dims){4, {0, (int64_t)1 << 39, (int64_t)1 << 39, 8}}), DCV_EDATA, "2^40");
}

static void hashes(void)
{
    /* FIPS 180-2 "abc"; RFC 3720 B.4: 32 bytes of zeros, and of ones */
    CHECK(strcmp(dcv_sha256_of("abc", 3).hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad") == 0);
    uint8_t bytes[32] = {0};
    CHECK(dcv_crc32c(0, bytes, 32) == 0x8a9136aau);
    memset(bytes, 0xff, 32);
    CHECK(dcv_crc32c(0, bytes, 32) == 0x62a8ab43u);
    CHECK(dcv_crc32c(dcv_crc32c(0, bytes, 13), bytes + 13, 19) == 0x62a8ab43u);
    dcv_hasher *h;
    CHECK_OK(dcv_hasher_new(&h));
    dcv_hasher_add(h, "a", 1);
    dcv_hasher_add(h, "bc", 2);
    CHECK(strcmp(dcv_hasher_end(h).hex, dcv_sha256_of("abc", 3).hex) == 0);
}

static void utf8(void)
{
    static const struct {
        const char *text, *want;
        size_t room;
    } cases[] = {
        {"a\xc3\xbc.png", "a\xc3\xbc.png", 20},
        {"\xff\xfe.png", "??.png", 20},
        {"\xed\xa0\x80", "???", 20} /* half of a surrogate pair */,
        {"\xe0\x80\xaf", "???", 20} /* overlong */,
        {"\xf4\x90\x80\x80", "????", 20},
        {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80", 4},
        {"\xf0\x9f\x98\x80", "", 3},
        {"ab\xe2\x82", "ab??", 20},
        {"ab\xe2\x82\xac", "ab", 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char got[32] = {0};
        const size_t n = dcv_utf8_copy(got, cases[i].text, cases[i].room);
        CHECK(n == strlen(cases[i].want) && strcmp(got, cases[i].want) == 0);
    }
}

int main(void)
{
    utf8();
    status();
    memory();
    windows();
    dims();
    hashes();
    return check_end();
}
