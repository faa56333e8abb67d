/* Sealer: the hot half of FrameSealer. It owns frame numbers and keys; the walker is Python's. */
#include "segment.h"

#include <string.h>

typedef struct {
    PyObject_HEAD
    Layout layout;
    bool started;
    HmacState epoch; /* under the epoch secret */
    HmacState state; /* the same, having taken in the tick */
    FrameKey key;    /* of the tick, where one key serves for all of it */
    unsigned long long tick, keys_derived, number;
} Sealer;

static PyObject *sealer_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    (void)keywords;
    /* All is zero, but for the layout: not started, frame 0. */
    PyObject *object = ((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (object != NULL && !layout_parse(&((Sealer *)object)->layout, args))
        Py_CLEAR(object);
    return object;
}

static void wipe(Sealer *self) {
    self->started = false;
    CLEANSE(self->epoch);
    CLEANSE(self->state);
    CLEANSE(self->key);
    aead_forget_keys();
}

static void sealer_dealloc(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    wipe((Sealer *)object);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyObject *sealer_wipe(PyObject *object, PyObject *none) {
    (void)none;
    wipe((Sealer *)object);
    Py_RETURN_NONE;
}

static PyObject *sealer_start(PyObject *object, PyObject *args) {
    Sealer *self = (Sealer *)object;
    unsigned long long tick;
    const char *secret;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "Kz#", &tick, &secret, &size))
        return NULL;
    if (secret != NULL && size != SECRET_BYTES) {
        PyErr_SetString(PyExc_ValueError, "an epoch secret is of 32 bytes");
        return NULL;
    }
    if (secret != NULL)
        hmac_start(&self->epoch, (const uint8_t *)secret);
    self->state = self->epoch;
    take_in_tick(&self->state, tick);
    if (!self->layout.every_frame) {
        derive_frame_key(&self->state, EVERY_FRAME_OF_INTERVAL, &self->key);
        self->keys_derived++;
    }
    self->tick = tick;
    self->started = true;
    Py_RETURN_NONE;
}

/* Be at a tick, which Python begins where it is another than before. False: exception set. */
static bool reach(Sealer *self, PyObject *tick) {
    unsigned long long wanted = PyLong_AsUnsignedLongLong(tick);
    if (self->started && wanted == self->tick && !PyErr_Occurred())
        return true;
    PyErr_Clear(); /* what is no tick at all is told by _advance */
    PyObject *none = PyObject_CallMethod((PyObject *)self, "_advance", "(O)", tick);
    Py_XDECREF(none);
    if (none != NULL && !self->started)
        PyErr_SetString(LocalProtocolError, "the sealer was cleared by another thread");
    return none != NULL && self->started;
}

/* Write the segments of a frame, out[0..count-1]. Needs no GIL; false where libcrypto failed. */
static bool seal_frame(const Layout *layout, Aead *aead, const FrameKey *key, Header header,
                       const Py_buffer *payload, uint8_t *const *out, Py_ssize_t count) {
    unsigned flags = header.flags;
    /* An empty buffer may be at no address at all, which EVP would take for something else. */
    const uint8_t *part = payload->len > 0 ? payload->buf : (const uint8_t *)"";
    int left = (int)payload->len;
    for (Py_ssize_t i = 0; i < count; i++) {
        int size = left < layout->segment_bytes ? left : layout->segment_bytes;
        header.index = (uint32_t)i;
        header.flags = flags | (i == 0 ? FIRST : 0) | (i == count - 1 ? LAST : 0);
        header_pack(layout, &header, out[i]);
        uint8_t *hash = out[i] + layout->head_bytes, nonce[NONCE_BYTES], aad[AAD_MOST];
        memcpy(hash, key->hash, (size_t)layout->hash_bytes);
        int aad_bytes = bind_header(layout, &header, out[i], nonce, aad);
        if (!aead_seal(aead, key->key, nonce, aad, aad_bytes, part, size,
                       hash + layout->hash_bytes))
            return false;
        part += size;
        left -= size;
    }
    return true;
}

/* Make the segments, each as large as it will be, and note where to write them. */
static PyObject *make_segments(const Layout *layout, Py_ssize_t left, uint8_t **out,
                               Py_ssize_t count) {
    PyObject *segments = PyList_New(count);
    for (Py_ssize_t i = 0; segments != NULL && i < count; i++) {
        Py_ssize_t size = left < layout->segment_bytes ? left : layout->segment_bytes;
        PyObject *segment =
            PyBytes_FromStringAndSize(NULL, size + (Py_ssize_t)layout->overhead_bytes);
        if (segment == NULL) {
            Py_CLEAR(segments);
            break;
        }
        out[i] = (uint8_t *)PyBytes_AsString(segment);
        PyList_SetItem(segments, i, segment);
        left -= size;
    }
    return segments;
}

static PyObject *seal(Sealer *self, const Py_buffer *payload, PyObject *tick, Header header) {
    const Layout *layout = &self->layout;
    if (payload->len > layout->frame_bytes)
        return PyErr_Format(LocalProtocolError,
                            "a frame of %zd bytes is larger than frame_bytes = %d", payload->len,
                            layout->frame_bytes);
    if (!reach(self, tick))
        return NULL;
    /* Here no other thread and no other Python can come between. After this, only what is local
     * and what never changes is used, so that a second call may begin before this one is done. */
    if (self->number == EVERY_FRAME_OF_INTERVAL) {
        PyErr_SetString(ExhaustedError, "frame numbers are used up; open the next generation");
        return NULL;
    }
    /* The number moves first: a failure below loses one, and never repeats one. */
    header.number = self->number++;
    header.tick = self->tick;
    FrameKey key = self->key;
    if (layout->every_frame) {
        derive_frame_key(&self->state, header.number, &key);
        self->keys_derived++;
    }

    Py_ssize_t count = payload->len > 0 ? (payload->len - 1) / layout->segment_bytes + 1 : 1;
    uint8_t *one, **out = count == 1 ? &one : PyMem_Malloc((size_t)count * sizeof *out);
    Aead *aead = aead_borrow(layout->suite, true);
    PyObject *segments = NULL;
    bool sealed = false;
    if (out == NULL || aead == NULL)
        PyErr_NoMemory();
    else
        segments = make_segments(layout, payload->len, out, count);
    if (segments != NULL && payload->len < RELEASE_BYTES) {
        sealed = seal_frame(layout, aead, &key, header, payload, out, count);
    } else if (segments != NULL) {
        Py_BEGIN_ALLOW_THREADS
        sealed = seal_frame(layout, aead, &key, header, payload, out, count);
        Py_END_ALLOW_THREADS
    }
    if (segments != NULL && !sealed) {
        PyErr_SetString(PyExc_RuntimeError, "libcrypto could not seal a frame");
        Py_CLEAR(segments);
    }
    CLEANSE(key);
    if (aead != NULL)
        aead_return(aead);
    if (out != &one)
        PyMem_Free(out);
    return segments;
}

static PyObject *sealer_seal(PyObject *object, PyObject *const *given, Py_ssize_t count) {
    if (!has_arguments(count, 2, 4))
        return NULL;
    unsigned long flags = count > 2 ? PyLong_AsUnsignedLongMask(given[2]) : 0;
    long kind = count > 3 ? PyLong_AsLong(given[3]) : 0;
    if (!PyErr_Occurred() && (kind < 0 || kind > 1))
        PyErr_Format(LocalProtocolError, "a frame is of kind 0 or 1, not %ld", kind);
    Header header = {.kind = (unsigned)kind, .flags = flags & (BACKFILL | HOLDOVER)};
    Py_buffer payload;
    if (PyErr_Occurred() || PyObject_GetBuffer(given[0], &payload, PyBUF_SIMPLE) != 0)
        return NULL;
    PyObject *segments = seal((Sealer *)object, &payload, given[1], header);
    PyBuffer_Release(&payload);
    return segments;
}

static PyMethodDef sealer_methods[] = {
    {"seal", (PyCFunction)(void (*)(void))sealer_seal, METH_FASTCALL,
     PyDoc_STR("seal($self, payload, tick, flags=0, kind=0, /)\n--\n\n"
               "Return the segments of one frame, in order; see tickseal.streams.sealing.")},
    {"_start", sealer_start, METH_VARARGS,
     PyDoc_STR("Begin a tick; with an epoch secret, or None where the epoch is the same.")},
    {"_wipe", sealer_wipe, METH_NOARGS, PyDoc_STR("Cleanse all secrets.")},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef sealer_members[] = {
    {"frame_number", T_ULONGLONG, offsetof(Sealer, number), READONLY,
     "The number that the next frame gets; the count of frames sealed so far."},
    {"keys_derived", T_ULONGLONG, offsetof(Sealer, keys_derived), READONLY,
     "Frame keys derived so far."},
    {"_tick", T_ULONGLONG, offsetof(Sealer, tick), READONLY, "Tick of the last frame, if started."},
    {"_started", T_BOOL, offsetof(Sealer, started), READONLY, "Whether a tick has begun."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot sealer_slots[] = {
    {Py_tp_new, sealer_new},         {Py_tp_dealloc, sealer_dealloc},
    {Py_tp_methods, sealer_methods}, {Py_tp_members, sealer_members},
    {0, NULL},
};

PyType_Spec sealer_spec = {
    .name = "tickseal.native.hotpath.Sealer",
    .basicsize = sizeof(Sealer),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = sealer_slots,
};
