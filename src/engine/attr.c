/* attr.c -- ONNX attributes into the structs that operators describe by their tables. */
#include <string.h>
#include "engine/build.h"

/* Is name one of "a|b|c"? */
static bool listed(const char *words, const char *name)
{
    return words && dcv_word_find(words, name) >= 0;
}

static dcv_status set(const dcv_field *f, const dcv_attr *a, void *to, dcv_arena *arena)
{
    switch (a->type) {
    case DCV_ATTR_INT:
    case DCV_ATTR_INTS:
        return dcv_field_set_ints(f, to, a->i, a->n, a->type == DCV_ATTR_INT, arena);
    case DCV_ATTR_FLOAT:
    case DCV_ATTR_FLOATS:
        return dcv_field_set_reals(f, to, a->f, a->n, a->type == DCV_ATTR_FLOAT, arena);
    case DCV_ATTR_STRING:
        return dcv_field_set_text(f, to, a->s[0], arena);
    default:
        return dcv_fail(DCV_EDATA, "attribute %s has a type that does not fit", a->name);
    }
}

static dcv_status unknown(const dcv_op *op, const char *name)
{
    const char *names[64];
    size_t n = 0;
    for (const dcv_field *f = op->fields; f && f->type != DCV_FIELD_END && n < 64; f++)
        names[n++] = f->key;
    const char *near = dcv_nearest(name, names, n);
    return dcv_fail(DCV_EUNSUPPORTED, "attribute %s is not supported%s%s", name, near ? "; nearest known: " : "",
                    near ? near : "");
}

static dcv_status read_all(const dcv_op *op, const dcv_model_node *from, void *to, dcv_arena *arena)
{
    if (op->fields)
        DCV_TRY(dcv_fields_default(op->fields, to, arena));
    for (int i = 0; i < from->n_attr; i++) {
        const dcv_field *f = dcv_field_find(op->fields, from->attr[i].name);
        if (f)
            DCV_TRY(set(f, &from->attr[i], to, arena));
        else if (!listed(op->ignored, from->attr[i].name))
            return unknown(op, from->attr[i].name);
    }
    for (const dcv_field *f = op->fields; f && f->type != DCV_FIELD_END; f++)
        if (f->required && !dcv_model_attr(from, f->key))
            return dcv_fail(DCV_EDATA, "attribute %s is missing", f->key);
    return DCV_OK;
}

dcv_status dcv_attr_read(const dcv_op *op, const dcv_model_node *from, const char *name, int opset, dcv_arena *arena,
                         void **attr)
{
    *attr = NULL;
    if (op->attr_size) {
        *attr = dcv_arena_alloc(arena, 1, op->attr_size);
        if (!*attr)
            return DCV_ENOMEM;
    }
    const dcv_status st = read_all(op, from, *attr, arena);
    return st == DCV_OK ? st : dcv_fail_in(st, "node \"%s\" (%s, opset %d)", name, op->name, opset);
}
