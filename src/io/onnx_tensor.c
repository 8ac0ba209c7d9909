/* onnx_tensor.c -- TensorProto -> dcv_const: where the bytes are, do they fit the shape, float32 or int64 of them.
 *
 * A tensor's values stand in raw_data (little-endian), in a typed field (float_data, int32_data, ...), or in another
 * file.  Typed numbers are themselves little-endian floats, or varints.  So there are two readers: fixed width and
 * varint; a stretch of float32 or int64 that is aligned is not read at all but borrowed.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "io/onnx.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "ONNX files are little-endian, and so are we");

enum { FLOAT_DATA = 4, INT32_DATA = 5, INT64_DATA = 7, RAW_DATA = 9, DOUBLE_DATA = 10, UINT64_DATA = 11 };

typedef enum { AS_IS, FROM_DOUBLE, FROM_HALF, FROM_BFLOAT, FROM_SIGNED, FROM_UNSIGNED, FROM_BOOL } conversion;

/* Element types, by their number in TensorProto.DataType; width 0: known by name only. */
static const struct kind {
    const char *name;
    int width; /* bytes in raw_data */
    dcv_dtype type;
    uint32_t field; /* typed field */
    conversion how;
} kinds[] = {
    [0] = {.name = "undefined"},
    [1] = {"float", 4, DCV_F32, FLOAT_DATA, AS_IS},
    [2] = {"uint8", 1, DCV_I64, INT32_DATA, FROM_UNSIGNED},
    [3] = {"int8", 1, DCV_I64, INT32_DATA, FROM_SIGNED},
    [4] = {"uint16", 2, DCV_I64, INT32_DATA, FROM_UNSIGNED},
    [5] = {"int16", 2, DCV_I64, INT32_DATA, FROM_SIGNED},
    [6] = {"int32", 4, DCV_I64, INT32_DATA, FROM_SIGNED},
    [7] = {"int64", 8, DCV_I64, INT64_DATA, AS_IS},
    [8] = {.name = "string"},
    [9] = {"bool", 1, DCV_I64, INT32_DATA, FROM_BOOL},
    [10] = {"float16", 2, DCV_F32, INT32_DATA, FROM_HALF},
    [11] = {"double", 8, DCV_F32, DOUBLE_DATA, FROM_DOUBLE},
    [12] = {"uint32", 4, DCV_I64, UINT64_DATA, FROM_UNSIGNED},
    [13] = {"uint64", 8, DCV_I64, UINT64_DATA, FROM_UNSIGNED},
    [14] = {.name = "complex64"},
    [15] = {.name = "complex128"},
    [16] = {"bfloat16", 2, DCV_F32, INT32_DATA, FROM_BFLOAT},
    [17] = {.name = "float8e4m3fn"},
    [18] = {.name = "float8e4m3fnuz"},
    [19] = {.name = "float8e5m2"},
    [20] = {.name = "float8e5m2fnuz"},
    [21] = {.name = "uint4"},
    [22] = {.name = "int4"},
    [23] = {.name = "float4e2m1"},
    [24] = {.name = "float8e8m0"},
    [25] = {.name = "uint2"},
    [26] = {.name = "int2"},
};

static const struct kind *kind_of(int data_type)
{
    const int n = sizeof kinds / sizeof *kinds;
    return &kinds[data_type > 0 && data_type < n ? data_type : 0];
}

const char *dcv_onnx_elem_name(int data_type)
{
    return kind_of(data_type)->name;
}

/* IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits. */
static float from_half(uint32_t h)
{
    const uint32_t sign = (h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 1023;
    union {
        uint32_t u;
        float f;
    } v = {.u = sign | (exponent + 112) << 23 | fraction << 13};
    if (exponent == 31)
        v.u = sign | 0x7f800000 | fraction << 13;
    else if (exponent == 0)
        v.f = (sign ? -1.0f : 1.0f) * (float)fraction * 0x1p-24f;
    return v.f;
}

static float from_bfloat(uint32_t b)
{
    union {
        uint32_t u;
        float f;
    } v = {.u = b << 16};
    return v.f;
}

/* Store the element i that bits hold: w bytes of a file, zero-extended, or a varint. */
static void store(const struct kind *k, uint64_t bits, void *to, size_t i)
{
    float *f = to;
    int64_t *n = to;
    union {
        uint64_t u;
        double d;
    } v = {bits};
    switch (k->how) {
    case FROM_DOUBLE:
        f[i] = (float)v.d;
        break;
    case FROM_HALF:
        f[i] = from_half(bits & 0xffff);
        break;
    case FROM_BFLOAT:
        f[i] = from_bfloat(bits & 0xffff);
        break;
    case FROM_SIGNED: {
        const int shift = 64 - 8 * k->width;
        n[i] = (int64_t)(bits << shift) >> shift;
        break;
    }
    case FROM_UNSIGNED: /* beyond int64: the largest */
        bits &= k->width == 8 ? UINT64_MAX : ((uint64_t)1 << 8 * k->width) - 1;
        n[i] = bits > INT64_MAX ? INT64_MAX : (int64_t)bits;
        break;
    case FROM_BOOL:
        n[i] = bits != 0;
        break;
    case AS_IS:
        if (k->type == DCV_F32)
            memcpy(f + i, &bits, 4);
        else
            memcpy(n + i, &bits, 8);
        break;
    }
}

/* --- Where the bytes are -------------------------------------------------------------------- */

/* Values of one tensor: stretches of bytes, joined. */
typedef struct {
    bool varint;
    size_t n_part;
    dcv_onnx_bytes *part;
} source;

static dcv_onnx_bytes span_bytes(dcv_onnx_files *f, const Onnx__SpanProto *s)
{
    return (dcv_onnx_bytes){dcv_onnx_files_main(f).at + s->offset, s->bytes};
}

/* Values in the model's own file, in the field that the last of them has. */
static dcv_status locate_inside(dcv_onnx_files *f, const Onnx__TensorProto *t, const struct kind *k, source *out)
{
    if (t->n_span == 0)
        return DCV_OK;
    out->part = dcv_arena_alloc(dcv_onnx_files_arena(f), t->n_span, sizeof *out->part);
    if (!out->part)
        return DCV_ENOMEM;
    const uint32_t field = t->span[0]->field;
    if (field != RAW_DATA && field != k->field)
        return dcv_fail(DCV_EDATA,
                        "%s values in field %" PRIu32 " of TensorProto; raw_data or field %" PRIu32 " is expected",
                        k->name, field, k->field);
    for (size_t i = 0; i < t->n_span; i++) {
        if (t->span[i]->field != field)
            return dcv_fail(DCV_EDATA, "values in two fields of TensorProto, %" PRIu32 " and %" PRIu32, field,
                            t->span[i]->field);
        out->part[i] = span_bytes(f, t->span[i]);
    }
    out->n_part = t->n_span;
    if (field == RAW_DATA) { /* protobuf: of a field given twice, the last one counts */
        out->part[0] = out->part[t->n_span - 1];
        out->n_part = 1;
    }
    out->varint = field == INT32_DATA || field == INT64_DATA || field == UINT64_DATA;
    return DCV_OK;
}

static const char *external_entry(const Onnx__TensorProto *t, const char *key)
{
    for (size_t i = 0; i < t->n_external_data; i++) {
        const Onnx__StringStringEntryProto *e = t->external_data[i];
        if (e->key && e->value && strcmp(e->key, key) == 0)
            return e->value;
    }
    return NULL;
}

static dcv_status external_number(const Onnx__TensorProto *t, const char *key, uint64_t dflt, uint64_t *out)
{
    const char *text = external_entry(t, key);
    *out = dflt;
    if (!text)
        return DCV_OK;
    if (strlen(text) > 18 || !*text || strspn(text, "0123456789") != strlen(text))
        return dcv_fail(DCV_EDATA, "external data has %s \"%s\"; a number of bytes is expected", key, text);
    *out = strtoull(text, NULL, 10);
    return DCV_OK;
}

static dcv_status locate_outside(dcv_onnx_files *f, const Onnx__TensorProto *t, size_t want, source *out)
{
    const char *location = external_entry(t, "location");
    dcv_onnx_bytes file;
    uint64_t offset, length;
    if (!location)
        return dcv_fail(DCV_EDATA, "external data without a location");
    DCV_TRY(dcv_onnx_files_external(f, location, &file));
    DCV_TRY(external_number(t, "offset", 0, &offset));
    DCV_TRY(external_number(t, "length", want, &length));
    if (offset > file.n || length > file.n - offset)
        return dcv_fail(DCV_EDATA, "external data \"%s\" has %zu bytes; %" PRIu64 " are expected at byte %" PRIu64,
                        location, file.n, length, offset);
    out->part = dcv_arena_alloc(dcv_onnx_files_arena(f), 1, sizeof *out->part);
    if (!out->part)
        return DCV_ENOMEM;
    out->part[0] = (dcv_onnx_bytes){file.at + offset, length};
    out->n_part = 1;
    return DCV_OK;
}

/* --- Do they fit ----------------------------------------------------------------------------- */

/* Numbers in a stretch of varints: each ends with a byte below 128. */
static size_t count_varints(dcv_onnx_bytes b)
{
    size_t n = 0;
    for (size_t i = 0; i < b.n; i++)
        n += b.at[i] < 0x80;
    return n;
}

static dcv_status check_size(const struct kind *k, const source *s, const dcv_dims *dims)
{
    dcv_dims_text shape;
    size_t want = (size_t)dcv_count(dims) * (s->varint ? 1 : (size_t)k->width), have = 0;
    for (size_t i = 0; i < s->n_part; i++) {
        const dcv_onnx_bytes b = s->part[i];
        if (s->varint && b.n && b.at[b.n - 1] >= 0x80)
            return dcv_fail(DCV_EDATA, "cut off inside a number");
        have += s->varint ? count_varints(b) : b.n;
    }
    if (have != want)
        return dcv_fail(DCV_EDATA, "%zu %s; shape %s of %s wants %zu", have, s->varint ? "values" : "bytes",
                        dcv_dims_print(dims, shape), k->name, want);
    return DCV_OK;
}

/* --- Reading --------------------------------------------------------------------------------- */

static uint64_t fixed_bits(const uint8_t *at, int width)
{
    uint64_t v = 0;
    memcpy(&v, at, (size_t)width);
    return v;
}

/* A varint that is known to end; bits beyond 64 are dropped, as protobuf does. */
static uint64_t varint_bits(const uint8_t **at)
{
    uint64_t v = 0;
    for (int shift = 0;; shift += 7) {
        const uint8_t b = *(*at)++;
        v |= shift < 64 ? (uint64_t)(b & 0x7f) << shift : 0;
        if (b < 0x80)
            return v;
        if (shift >= 63)
            shift = 63;
    }
}

static void read_part(const struct kind *k, bool varint, dcv_onnx_bytes b, void *to, size_t *i)
{
    const uint8_t *at = b.at, *end = b.at + b.n;
    if (k->how == AS_IS && !varint) {
        memcpy((char *)to + *i * (size_t)k->width, at, b.n);
        *i += b.n / (size_t)k->width;
    } else if (varint) {
        for (; at < end; ++*i)
            store(k, varint_bits(&at), to, *i);
    } else {
        for (; at < end; at += k->width, ++*i)
            store(k, fixed_bits(at, k->width), to, *i);
    }
    dcv_onnx_files_drop(b);
}

static bool can_borrow(const struct kind *k, const source *s)
{
    return k->how == AS_IS && !s->varint && s->n_part == 1 && (uintptr_t)s->part[0].at % (uintptr_t)k->width == 0;
}

static dcv_status read_values(dcv_onnx_files *f, const struct kind *k, const source *s, dcv_const *out)
{
    void *to;
    size_t i = 0;
    if (can_borrow(k, s)) {
        out->data = s->part[0].at;
        return DCV_OK;
    }
    DCV_TRY(dcv_onnx_files_alloc(f, (size_t)dcv_count(&out->dims), dcv_dtype_bytes(k->type), &to));
    for (size_t p = 0; p < s->n_part; p++) {
        if (!s->varint && s->part[p].n % (size_t)k->width)
            return dcv_fail(DCV_EDATA, "a stretch of %zu bytes; whole %ss are expected", s->part[p].n, k->name);
        read_part(k, s->varint, s->part[p], to, &i);
    }
    out->data = to;
    return DCV_OK;
}

static dcv_status read_dims(const Onnx__TensorProto *t, dcv_dims *out)
{
    if (t->n_dims > DCV_MAX_RANK)
        return dcv_fail(DCV_EDATA, "%zu dimensions; at most %d are expected", t->n_dims, DCV_MAX_RANK);
    out->n = (int)t->n_dims;
    for (size_t i = 0; i < t->n_dims; i++)
        out->d[i] = t->dims[i];
    return dcv_dims_check(out);
}

static dcv_status read_tensor(dcv_onnx_files *f, const Onnx__TensorProto *t, dcv_const *out)
{
    const struct kind *k = kind_of(t->data_type);
    source s = {0};
    DCV_TRY(read_dims(t, &out->dims));
    if (!k->width && k == &kinds[0])
        return dcv_fail(DCV_EDATA, "element type %d; a number of TensorProto.DataType is expected", (int)t->data_type);
    if (!k->width)
        return dcv_fail(DCV_EUNSUPPORTED,
                        "element type %s; float, float16, bfloat16, double, integers and bool can be read", k->name);
    out->type = k->type;
    out->stored = k->name;
    if (t->data_location == 1)
        DCV_TRY(locate_outside(f, t, (size_t)dcv_count(&out->dims) * (size_t)k->width, &s));
    else
        DCV_TRY(locate_inside(f, t, k, &s));
    DCV_TRY(check_size(k, &s, &out->dims));
    return read_values(f, k, &s, out);
}

dcv_status dcv_onnx_tensor(dcv_onnx_files *f, const Onnx__TensorProto *t, dcv_const *out)
{
    out->name = t->name ? t->name : "";
    dcv_status st = read_tensor(f, t, out);
    return st == DCV_OK ? st : dcv_fail_in(st, "tensor %s", *out->name ? out->name : "without a name");
}

/* --- One tensor in a file of its own ----------------------------------------------------------- */

typedef struct {
    dcv_const tensor; /* first: what the caller holds */
    dcv_onnx_files *files;
} lone;

static dcv_status read_lone(const char *file, lone *l)
{
    DCV_TRY(dcv_onnx_files_open(file, &l->files));
    const void *t;
    dcv_status st = dcv_onnx_unpack(dcv_onnx_files_main(l->files), &onnx__tensor_proto__descriptor,
                                    dcv_onnx_files_arena(l->files), &t);
    if (st == DCV_OK)
        st = dcv_onnx_tensor(l->files, t, &l->tensor);
    return st == DCV_OK ? st : dcv_fail_in(st, "%s", file);
}

dcv_status dcv_const_read(const char *file, dcv_const **out)
{
    *out = NULL;
    lone *l = dcv_alloc(1, sizeof *l);
    if (!l)
        return DCV_ENOMEM;
    dcv_status st = read_lone(file, l);
    if (st == DCV_OK)
        *out = &l->tensor;
    else
        dcv_const_free(&l->tensor);
    return st;
}

void dcv_const_free(dcv_const *c)
{
    lone *l = (lone *)c;
    if (!l)
        return;
    dcv_onnx_files_free(l->files);
    dcv_free(l);
}
