#include "segment.h"

#include <string.h>

enum { SEGMENT_BYTES_LEAST = 16, SEGMENT_BYTES_MOST = 65000, FRAME_BYTES_MOST = 1 << 26 };

bool layout_parse(Layout *layout, PyObject *tuple) {
    const char *context;
    Py_ssize_t context_bytes;
    if (!PyArg_ParseTuple(tuple, "ippiiiKKy#", &layout->suite, &layout->compact,
                          &layout->every_frame, &layout->hash_bytes, &layout->segment_bytes,
                          &layout->frame_bytes, &layout->handle, &layout->generation, &context,
                          &context_bytes))
        return false;
    bool compact = layout->compact;
    if (layout->suite < AES_256_GCM || layout->suite >= SUITES_END || layout->hash_bytes < 8 ||
        layout->hash_bytes > HASH_BYTES || layout->segment_bytes < SEGMENT_BYTES_LEAST ||
        layout->segment_bytes > SEGMENT_BYTES_MOST || layout->frame_bytes < 1 ||
        layout->frame_bytes > FRAME_BYTES_MOST ||
        (layout->frame_bytes - 1) / layout->segment_bytes >= (compact ? 1 << 8 : 1 << 16) ||
        context_bytes != CONTEXT_BYTES) {
        PyErr_SetString(PyExc_ValueError, "a parameter of the stream is out of its range");
        return false;
    }
    memcpy(layout->context, context, CONTEXT_BYTES);
    layout->handle &= compact ? 0xff : 0xffffffff;
    layout->generation &= compact ? 0x0f : 0xff;
    layout->tick_bits = compact ? 16 : 24;
    layout->number_bits = compact ? 16 : 32;
    layout->head_bytes = compact ? 8 : 16;
    layout->overhead_bytes =
        layout->head_bytes + (size_t)(layout->hash_bytes + aead_tag_bytes(layout->suite));
    return true;
}

void header_pack(const Layout *layout, const Header *header, uint8_t *segment) {
    unsigned version = VERSION << 4 | (layout->compact ? KIND_COMPACT : 0);
    segment[0] = (uint8_t)(version | header->kind);
    if (layout->compact) {
        segment[1] = (uint8_t)(header->flags << 4 | layout->generation);
        put_big_endian(segment + 2, layout->handle, 1);
        put_big_endian(segment + 3, header->tick, 2);
        put_big_endian(segment + 5, header->number, 2);
        put_big_endian(segment + 7, header->index, 1);
    } else {
        segment[1] = (uint8_t)header->flags;
        put_big_endian(segment + 2, layout->generation, 1);
        put_big_endian(segment + 3, layout->handle, 4);
        put_big_endian(segment + 7, header->tick, 3);
        put_big_endian(segment + 10, header->number, 4);
        put_big_endian(segment + 14, header->index, 2);
    }
}

int bind_header(const Layout *layout, const Header *header, const uint8_t *packed,
                uint8_t nonce[NONCE_BYTES], uint8_t aad[AAD_MOST]) {
    put_big_endian(nonce, header->number, 8);
    put_big_endian(nonce + 8, header->index, 4);
    memcpy(aad, packed, layout->head_bytes);
    memcpy(aad + layout->head_bytes, layout->context, CONTEXT_BYTES);
    return (int)layout->head_bytes + CONTEXT_BYTES;
}

bool has_arguments(Py_ssize_t given, Py_ssize_t least, Py_ssize_t most) {
    if (given < least || given > most)
        PyErr_Format(PyExc_TypeError, "%zd to %zd arguments, not %zd", least, most, given);
    return given >= least && given <= most;
}

PyObject *fetch(const char *module, const char *name) {
    PyObject *from = PyImport_ImportModule(module);
    PyObject *found = from != NULL ? PyObject_GetAttrString(from, name) : NULL;
    Py_XDECREF(from);
    return found;
}
