/* onnx_wire.c -- from protobuf bytes to unpacked messages without copying weights.
 *
 * protobuf-c copies every bytes field, and keeps copies of unknown ones.  So the message is first
 * rewritten: only fields that the subset has, and in place of tensor data its offset and length
 * in the file.  What remains is small, and protobuf-c unpacks it.  The rewriting walks along the
 * message descriptors; graphs lie in attributes of nodes, so depth is bounded here:
 * those that are too deep are left out.
 *
 * Wire format: https://protobuf.dev/programming-guides/encoding
 */
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include "core/text.h"
#include "io/onnx.h"

#define FIRST_OWN_FIELD 1000              /* not ONNX's: never taken from a file */
#define MOST_BYTES      ((size_t)1 << 30) /* of structure, unpacked */
#define PADDED          5                 /* bytes of a length that is filled in later */
#define MOST_DEPTH      100 /* of messages in messages: graphs three deep in graphs; what is deeper is dropped */

enum { VARINT = 0, FIXED64 = 1, DELIMITED = 2, FIXED32 = 5 };

typedef struct {
    const uint8_t *in; /* the file */
    uint8_t *out;
    size_t n, room;
    int depth;
} rewriter;

typedef struct {
    uint32_t number;
    int wire;
    size_t start, lo, hi; /* of the tag, of the value: offsets in the file */
} item;

static dcv_status bad(size_t at, const char *what)
{
    return dcv_fail(DCV_EDATA, "byte %zu: %s", at, what);
}

static dcv_status room_for(rewriter *w, size_t n)
{
    if (n > MOST_BYTES - w->n)
        return dcv_fail(DCV_EDATA, "more than 1 GiB of structure besides weights");
    if (w->room - w->n >= n)
        return DCV_OK;
    size_t room = w->room * 2 > w->n + n ? w->room * 2 : w->n + n + 4096;
    uint8_t *out = dcv_realloc(w->out, w->room, room, 1);
    if (!out)
        return DCV_ENOMEM;
    w->out = out;
    w->room = room;
    return DCV_OK;
}

static dcv_status put(rewriter *w, const void *bytes, size_t n)
{
    DCV_TRY(room_for(w, n));
    memcpy(w->out + w->n, bytes, n);
    w->n += n;
    return DCV_OK;
}

static size_t varint_encode(uint64_t v, uint8_t *to)
{
    size_t n = 0;
    for (; v >= 0x80; v >>= 7)
        to[n++] = (uint8_t)(v | 0x80);
    to[n++] = (uint8_t)v;
    return n;
}

static dcv_status varint_decode(const uint8_t *in, size_t *at, size_t hi, uint64_t *v)
{
    size_t start = *at;
    *v = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        if (*at >= hi)
            return bad(start, "cut off inside a number");
        uint8_t b = in[(*at)++];
        *v |= shift < 64 ? (uint64_t)(b & 0x7f) << shift : 0;
        if (!(b & 0x80))
            return DCV_OK;
    }
    return bad(start, "a number of more than 10 bytes; not protobuf");
}

/* The item that starts at *at, in a message that ends at hi. */
static dcv_status next(const uint8_t *in, size_t *at, size_t hi, item *it)
{
    uint64_t tag, n = 0;
    it->start = *at;
    DCV_TRY(varint_decode(in, at, hi, &tag));
    it->wire = (int)(tag & 7);
    if (tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
        return bad(it->start, "no such field number; not an ONNX file, or damaged");
    it->number = (uint32_t)(tag >> 3);
    it->lo = *at;
    switch (it->wire) {
    case VARINT: {
        size_t end = *at;
        DCV_TRY(varint_decode(in, &end, hi, &n));
        n = end - *at;
        break;
    }
    case FIXED64:
        n = 8;
        break;
    case FIXED32:
        n = 4;
        break;
    case DELIMITED:
        DCV_TRY(varint_decode(in, at, hi, &n));
        it->lo = *at;
        break;
    default:
        return dcv_fail(DCV_EDATA, "byte %zu: wire type %d; not an ONNX file, or damaged", it->start, it->wire);
    }
    if (n > hi - *at)
        return dcv_fail(DCV_EDATA,
                        "byte %zu: field %" PRIu32 " wants %" PRIu64 " bytes, %zu are left; cut off or damaged",
                        it->start, it->number, n, hi - *at);
    *at += n;
    it->hi = *at;
    return DCV_OK;
}

static int wire_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return DELIMITED;
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_FIXED32:
        return FIXED32;
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_FIXED64:
        return FIXED64;
    default:
        return VARINT;
    }
}

/* Scalars that repeat may come packed or one by one, whatever the schema says. */
static bool wire_fits(const ProtobufCFieldDescriptor *f, int wire)
{
    int want = wire_of(f->type);
    return wire == want || (wire == DELIMITED && f->label == PROTOBUF_C_LABEL_REPEATED);
}

static dcv_status text_check(const uint8_t *in, const item *it)
{
    for (size_t at = it->lo; at < it->hi;) {
        size_t n = dcv_utf8_length((const char *)in + at, it->hi - at);
        if (!n)
            return bad(at, "text that is not UTF-8; not an ONNX file, or damaged");
        at += n;
    }
    return DCV_OK;
}

static bool is_tensor_data(const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f)
{
    return d == &onnx__tensor_proto__descriptor &&
           (f->id == 4 || f->id == 5 || f->id == 7 || f->id == 9 || f->id == 10 || f->id == 11);
}

static dcv_status put_span(rewriter *w, const item *it)
{
    if (it->hi == it->lo)
        return DCV_OK;
    Onnx__SpanProto span = ONNX__SPAN_PROTO__INIT;
    span.field = it->number;
    span.offset = it->lo;
    span.bytes = it->hi - it->lo;
    uint8_t body[64], head[16];
    size_t n = onnx__span_proto__pack(&span, body);
    size_t m = varint_encode(FIRST_OWN_FIELD << 3 | DELIMITED, head);
    m += varint_encode(n, head + m);
    DCV_TRY(put(w, head, m));
    return put(w, body, n);
}

static dcv_status rewrite(rewriter *w, const ProtobufCMessageDescriptor *d, size_t lo, size_t hi);

/* A message inside a message: its length is known only afterwards, so it gets a padded one. */
static dcv_status put_message(rewriter *w, const ProtobufCMessageDescriptor *d, const item *it)
{
    uint8_t head[16] = {0};
    size_t tag = varint_encode((uint64_t)it->number << 3 | DELIMITED, head);
    DCV_TRY(put(w, head, tag + PADDED));
    size_t body = w->n;
    w->depth++;
    DCV_TRY(rewrite(w, d, it->lo, it->hi));
    w->depth--;
    size_t n = w->n - body;
    for (int i = 0; i < PADDED; i++, n >>= 7)
        w->out[body - PADDED + i] = (uint8_t)((n & 0x7f) | (i < PADDED - 1 ? 0x80 : 0));
    return DCV_OK;
}

static dcv_status put_field(rewriter *w, const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f,
                            const item *it)
{
    if (!wire_fits(f, it->wire))
        return dcv_fail(DCV_EDATA, "byte %zu: %s.%s has wire type %d; not an ONNX file, or damaged", it->start,
                        d->short_name, f->name, it->wire);
    if (is_tensor_data(d, f))
        return put_span(w, it);
    if (d == &onnx__attribute_proto__descriptor && f->type == PROTOBUF_C_TYPE_MESSAGE && w->depth > MOST_DEPTH)
        return DCV_OK;
    if (f->type == PROTOBUF_C_TYPE_MESSAGE)
        return put_message(w, f->descriptor, it);
    if (f->type == PROTOBUF_C_TYPE_STRING)
        DCV_TRY(text_check(w->in, it));
    return put(w, w->in + it->start, it->hi - it->start);
}

static dcv_status rewrite(rewriter *w, const ProtobufCMessageDescriptor *d, size_t lo, size_t hi)
{
    uint64_t seen = 0; /* messages that may come once: protobuf would merge them */
    for (size_t at = lo; at < hi;) {
        item it = {0};
        DCV_TRY(next(w->in, &at, hi, &it));
        if (it.number >= FIRST_OWN_FIELD)
            continue;
        const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(d, it.number);
        if (!f)
            continue;
        uint64_t bit = (uint64_t)1 << (f - d->fields);
        if (f->type == PROTOBUF_C_TYPE_MESSAGE && f->label == PROTOBUF_C_LABEL_OPTIONAL && seen & bit)
            return dcv_fail(DCV_EDATA, "byte %zu: a second %s.%s", it.start, d->short_name, f->name);
        seen |= bit;
        DCV_TRY(put_field(w, d, f, &it));
    }
    return DCV_OK;
}

/* protobuf-c's memory: from the arena, and bounded, since two bytes of file can ask for a hundred of structs. */
typedef struct {
    dcv_arena *arena;
    size_t left;
} budget;

static void *budget_alloc(void *data, size_t n)
{
    budget *b = data;
    const size_t cost = n + 16;
    if (cost < n || cost > b->left)
        return NULL;
    b->left -= cost;
    return dcv_arena_alloc(b->arena, n, 1);
}

static void budget_free(void *data, void *p)
{
    (void)data;
    (void)p;
}

dcv_status dcv_onnx_unpack(dcv_onnx_bytes file, const ProtobufCMessageDescriptor *d, dcv_arena *arena, const void **out)
{
    rewriter w = {.in = file.at};
    budget left = {arena, MOST_BYTES};
    ProtobufCAllocator allocator = {budget_alloc, budget_free, &left};
    *out = NULL;
    dcv_status st = rewrite(&w, d, 0, file.n);
    if (st == DCV_OK)
        *out = protobuf_c_message_unpack(d, &allocator, w.n, w.out ? w.out : (const uint8_t *)"");
    if (st == DCV_OK && !*out)
        st = dcv_fail(DCV_EDATA, "byte 0: not an ONNX %s, or damaged", d->short_name);
    dcv_free(w.out);
    return st;
}
