/* Opener: the hot half of FrameOpener. Python is asked for what is rare: the window when the clock
 * is read, a tick's secret, and what a new highest tick leaves behind. */
#include "opener.h"

#include <string.h>

/* One segment on its way. */
typedef struct {
    Py_buffer view;
    PyObject *payload;
    uint8_t *out; /* the payload's bytes */
    Header header;
    int outcome;
} Item;

/* Make room for a payload, where the size is one that a segment can have. False: exception set. */
static bool make_room(const Layout *layout, Item *item) {
    Py_ssize_t size = item->view.len - (Py_ssize_t)layout->overhead_bytes;
    if (size < 0 || size > layout->segment_bytes)
        return true;
    item->payload = PyBytes_FromStringAndSize(NULL, size);
    item->out = (uint8_t *)(item->payload != NULL ? PyBytes_AsString(item->payload) : NULL);
    return item->payload != NULL;
}

/* Open one item; FAILED with an exception set. */
static int open_item(Opener *self, Released *thread, Aead *aead, Item *item) {
    const uint8_t *segment = item->view.buf;
    size_t size = (size_t)item->view.len, head_bytes = self->layout.head_bytes;
    uint8_t head[HEADER_MOST];
    int outcome = TRUNCATED;
    if (size >= head_bytes) {
        memcpy(head, segment, head_bytes);
        outcome = check_form(&self->layout, head, size, &item->header);
    }
    if (outcome == OPENED)
        outcome = check_place(self, &item->header);
    if (outcome == OPENED && item->out == NULL && !make_room(&self->layout, item))
        return FAILED;
    if (outcome == OPENED)
        outcome = check_key(self, thread, aead, head, &item->header, segment, size, item->out);
    return outcome;
}

/* The Refused of a reason, counted; NULL with an exception set. Borrowed. */
static PyObject *refuse(Opener *self, int outcome) {
    PyObject *refused = PyTuple_GetItem(self->refused, outcome);
    PyObject *reason = refused != NULL ? PyTuple_GetItem(refused, 0) : NULL;
    if (reason == NULL)
        return NULL;
    PyObject *before = PyDict_GetItemWithError(self->refusals, reason);
    unsigned long long count = before != NULL ? PyLong_AsUnsignedLongLong(before) : 0;
    PyObject *after = PyErr_Occurred() ? NULL : PyLong_FromUnsignedLongLong(count + 1);
    bool counted = after != NULL && PyDict_SetItem(self->refusals, reason, after) == 0;
    Py_XDECREF(after);
    return counted ? refused : NULL;
}

/* Open items in order; false with an exception set, at the first that fails. */
static bool open_items(Opener *self, Aead *aead, Item *items, Py_ssize_t count) {
    Py_ssize_t bytes = 0;
    for (Py_ssize_t i = 0; i < count; i++)
        bytes += items[i].view.len;
    bool release = bytes >= RELEASE_BYTES, going = true;
    /* Room for the payloads cannot be made without the GIL. */
    for (Py_ssize_t i = 0; release && going && i < count; i++)
        going = make_room(&self->layout, &items[i]);
    Released thread = NULL;
    for (Py_ssize_t i = 0; going && i < count; i++) {
        /* What had to be asked of Python for one item may have taken the GIL back. */
        if (release && thread == NULL)
            thread = PyEval_SaveThread();
        items[i].outcome = open_item(self, &thread, aead, &items[i]);
        going = items[i].outcome != FAILED;
    }
    hold(&thread);
    return going;
}

/* Open items whose views are held, at a reading of the clock. False with an exception set. */
static bool open_at(Opener *self, PyObject *now, Item *items, Py_ssize_t count) {
    if (self->phase != IDLE) {
        PyErr_SetString(LocalProtocolError, "another thread is opening with this opener");
        return false;
    }
    self->phase = WORKING;
    bool opened = now == self->now;
    if (!opened) {
        PyObject *none = ask(self, "_set_window", now), *before = self->now;
        opened = none != NULL;
        if (opened) {
            Py_INCREF(now);
            self->now = now;
            Py_XDECREF(before);
        }
        Py_XDECREF(none);
    }
    Aead *aead = opened ? aead_borrow(self->layout.suite, false) : NULL;
    if (opened && aead == NULL) {
        PyErr_NoMemory();
        opened = false;
    }
    if (opened)
        opened = open_items(self, aead, items, count);
    if (aead != NULL)
        aead_return(aead);
    self->phase = IDLE;
    return opened;
}

/* The OpenedSegment or Refused of an item; NULL with an exception set. */
static PyObject *answer(Opener *self, Item *item) {
    if (item->outcome != OPENED) {
        PyObject *refused = refuse(self, item->outcome);
        Py_XINCREF(refused);
        return refused;
    }
    PyObject *fields = PyTuple_New(6), *arguments = fields != NULL ? PyTuple_New(1) : NULL;
    if (arguments == NULL) {
        Py_XDECREF(fields);
        return NULL;
    }
    const Header *header = &item->header;
    PyTuple_SetItem(fields, 0, item->payload);
    PyTuple_SetItem(fields, 1, PyLong_FromUnsignedLongLong(header->number));
    PyTuple_SetItem(fields, 2, PyLong_FromUnsignedLong(header->index));
    PyTuple_SetItem(fields, 3, PyLong_FromUnsignedLongLong(header->tick));
    PyTuple_SetItem(fields, 4, PyLong_FromUnsignedLong(header->flags));
    PyTuple_SetItem(fields, 5, PyLong_FromUnsignedLong(header->kind));
    PyTuple_SetItem(arguments, 0, fields);
    item->payload = NULL; /* it is the tuple's now */
    /* As tuple.__new__(OpenedSegment, fields): past the slow __new__ of a NamedTuple. */
    newfunc make = (newfunc)PyType_GetSlot(&PyTuple_Type, Py_tp_new);
    PyObject *opened =
        PyErr_Occurred() ? NULL : make((PyTypeObject *)self->opened_type, arguments, NULL);
    Py_DECREF(arguments);
    return opened;
}

static PyObject *opener_open(PyObject *object, PyObject *const *given, Py_ssize_t positional,
                             PyObject *keywords) {
    static const char *const names[] = {"segment", "now"};
    PyObject *arguments[2], *result = NULL;
    Item item = {.payload = NULL};
    if (!take_arguments(names, 2, 2, given, positional, keywords, arguments) ||
        PyObject_GetBuffer(arguments[0], &item.view, PyBUF_SIMPLE) != 0)
        return NULL;
    if (open_at((Opener *)object, arguments[1], &item, 1))
        result = answer((Opener *)object, &item);
    PyBuffer_Release(&item.view);
    Py_XDECREF(item.payload);
    return result;
}

static PyObject *opener_open_many(PyObject *object, PyObject *const *given, Py_ssize_t positional,
                                  PyObject *keywords) {
    static const char *const names[] = {"segments", "now"};
    PyObject *arguments[2];
    if (!take_arguments(names, 2, 2, given, positional, keywords, arguments))
        return NULL;
    /* A list of our own, which nobody else can change. */
    PyObject *results = PySequence_List(arguments[0]);
    if (results == NULL)
        return NULL;
    Py_ssize_t count = PyList_Size(results), held = 0;
    Item *items = PyMem_Calloc((size_t)(count > 0 ? count : 1), sizeof *items);
    bool done = items != NULL;
    if (!done)
        PyErr_NoMemory();
    for (; done && held < count; held += done)
        done = PyObject_GetBuffer(PyList_GetItem(results, held), &items[held].view,
                                  PyBUF_SIMPLE) == 0;
    done = done && open_at((Opener *)object, arguments[1], items, count);
    /* Each segment makes way for its answer; its view holds it as long as it is needed. */
    for (Py_ssize_t i = 0; done && i < count; i++) {
        PyObject *result = answer((Opener *)object, &items[i]);
        done = result != NULL && PyList_SetItem(results, i, result) == 0;
    }
    for (Py_ssize_t i = 0; i < held; i++) {
        PyBuffer_Release(&items[i].view);
        Py_XDECREF(items[i].payload);
    }
    PyMem_Free(items);
    if (!done)
        Py_CLEAR(results);
    return results;
}

static PyObject *opener_set_ticks(PyObject *object, PyObject *tuple) {
    Opener *self = (Opener *)object;
    Ticks ticks;
    unsigned long long first, last; /* keys of other ticks are to be forgotten */
    if (!PyArg_ParseTuple(tuple, "KLLLLLiKK", &ticks.base, &ticks.lower, &ticks.upper,
                          &ticks.held_from, &ticks.held_until, &ticks.count, &ticks.beyond, &first,
                          &last))
        return NULL;
    if (ticks.beyond != EARLY && ticks.beyond != LATE)
        return PyErr_Format(PyExc_ValueError, "a tick beyond the window is early or late");
    if (self->phase == WORKING)
        return PyErr_Format(LocalProtocolError, "another thread is opening with this opener");
    self->ticks = ticks;
    for (int i = 0; i < KEYS_KEPT; i++)
        if (self->known[i].used && (self->known[i].tick < first || self->known[i].tick > last))
            CLEANSE(self->known[i]);
    for (int i = 0; i < TICKS_KEPT; i++)
        if (self->prepared[i].used &&
            (self->prepared[i].tick < first || self->prepared[i].tick > last))
            CLEANSE(self->prepared[i]);
    if (first > last)
        aead_forget_keys(); /* nothing is held any more */
    Py_RETURN_NONE;
}

static PyObject *opener_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    (void)keywords;
    PyObject *layout, *opened_type, *refused, *refusals;
    unsigned long long next_frame, forgeries;
    if (!PyArg_ParseTuple(args, "O!O!O!O!KK", &PyTuple_Type, &layout, &PyType_Type, &opened_type,
                          &PyTuple_Type, &refused, &PyDict_Type, &refusals, &next_frame,
                          &forgeries))
        return NULL;
    bool valid = PyType_IsSubtype((PyTypeObject *)opened_type, &PyTuple_Type) &&
                 PyTuple_Size(refused) == REASONS;
    for (int i = 0; valid && i < REASONS; i++)
        valid = PyTuple_Size(PyTuple_GetItem(refused, i)) == 1;
    if (!valid)
        return PyErr_Format(PyExc_TypeError, "a subtype of tuple, and an answer for each reason");
    Opener *self = (Opener *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (self == NULL)
        return NULL;
    Py_INCREF(opened_type);
    self->opened_type = opened_type;
    Py_INCREF(refused);
    self->refused = refused;
    Py_INCREF(refusals);
    self->refusals = refusals;
    self->forgeries_left = forgeries;
    self->ticks.upper = -1; /* no tick at all, until a window or a range is set */
    self->ticks.beyond = EARLY;
    if (!layout_parse(&self->layout, layout)) {
        Py_DECREF(self);
        return NULL;
    }
    replay_start(&self->replay, next_frame,
                 (uint32_t)((self->layout.frame_bytes - 1) / self->layout.segment_bytes + 1));
    return (PyObject *)self;
}

static int opener_traverse(PyObject *object, visitproc visit, void *arg) {
    Opener *self = (Opener *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->now);
    Py_VISIT(self->opened_type);
    Py_VISIT(self->refused);
    Py_VISIT(self->refusals);
    return 0;
}

static int opener_clear(PyObject *object) {
    Py_CLEAR(((Opener *)object)->now);
    return 0;
}

static void opener_dealloc(PyObject *object) {
    Opener *self = (Opener *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    opener_clear(object);
    Py_CLEAR(self->opened_type);
    Py_CLEAR(self->refused);
    Py_CLEAR(self->refusals);
    replay_free(&self->replay);
    CLEANSE(self->known);
    CLEANSE(self->prepared);
    aead_forget_keys();
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

/* What is held of keys, but not the keys, and the replay window, for tests to look at. */
static PyObject *opener_held(PyObject *object, void *none) {
    (void)none;
    const Opener *self = (Opener *)object;
    const Replay *replay = &self->replay;
    PyObject *known = PyList_New(0), *prepared = PyList_New(0);
    bool listed = known != NULL && prepared != NULL;
    for (int i = 0; listed && i < KEYS_KEPT; i++) {
        const KnownKey *key = &self->known[i];
        PyObject *slot = Py_BuildValue("(KK)", key->tick, key->frame);
        listed = slot != NULL && (!key->used || PyList_Append(known, slot) == 0);
        Py_XDECREF(slot);
    }
    for (int i = 0; listed && i < TICKS_KEPT; i++) {
        PyObject *tick = PyLong_FromUnsignedLongLong(self->prepared[i].tick);
        listed = tick != NULL &&
                 (!self->prepared[i].used || PyList_Append(prepared, tick) == 0);
        Py_XDECREF(tick);
    }
    PyObject *held = NULL;
    if (listed)
        held = Py_BuildValue("(OOy#y#)", known, prepared, (const char *)replay->numbers,
                             (Py_ssize_t)sizeof replay->numbers, (const char *)replay->seen,
                             (Py_ssize_t)sizeof replay->seen);
    Py_XDECREF(known);
    Py_XDECREF(prepared);
    return held;
}

static PyMethodDef opener_methods[] = {
    {"open", (PyCFunction)(void (*)(void))opener_open, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("open($self, segment, now)\n--\n\n"
               "Return the opened segment, or why it was refused; see tickseal.opening.")},
    {"open_many", (PyCFunction)(void (*)(void))opener_open_many, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("open_many($self, segments, now)\n--\n\nDo open() for each segment, in order.")},
    {"_set_ticks", opener_set_ticks, METH_VARARGS,
     PyDoc_STR("Set the ticks accepted, and forget the keys before the first held.")},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef opener_members[] = {
    {"refusals", T_OBJECT_EX, offsetof(Opener, refusals), READONLY,
     "How many segments were refused, by reason."},
    {"opened", T_ULONGLONG, offsetof(Opener, opened), READONLY, "How many segments were opened."},
    {"keys_derived", T_ULONGLONG, offsetof(Opener, keys_derived), READONLY,
     "Frame keys derived so far, those for refused segments included."},
    {"_forgeries_left", T_ULONGLONG, offsetof(Opener, forgeries_left), 0,
     "Failed openings until the generation is given up."},
    {"_next_frame", T_ULONGLONG, offsetof(Opener, replay.next), READONLY,
     "One beyond the highest frame number that has authenticated."},
    {"_highest_tick", T_ULONGLONG, offsetof(Opener, highest_tick), READONLY,
     "Highest tick that has authenticated, where any has."},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef opener_getset[] = {
    {"_held", opener_held, NULL, "Frames and ticks whose keys are held, and the window.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot opener_slots[] = {
    {Py_tp_new, opener_new},           {Py_tp_dealloc, opener_dealloc},
    {Py_tp_traverse, opener_traverse}, {Py_tp_clear, opener_clear},
    {Py_tp_methods, opener_methods},   {Py_tp_members, opener_members},
    {Py_tp_getset, opener_getset},     {0, NULL},
};

PyType_Spec opener_spec = {
    .name = "tickseal.native.hotpath.Opener",
    .basicsize = sizeof(Opener),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = opener_slots,
};
