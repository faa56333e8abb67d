/* What an opener does with segments. Python is asked for its clock's reading, and nothing else. */
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

/* Check one item up to its place, which touches no payload. */
static int judge(const Opener *self, Item *item, uint8_t head[HEADER_MOST]) {
    size_t size = (size_t)item->view.len;
    if (size < self->layout.head_bytes)
        return TRUNCATED;
    memcpy(head, item->view.buf, self->layout.head_bytes);
    int outcome = check_form(&self->layout, head, size, &item->header);
    return outcome == OPENED ? check_place(self, &item->header) : outcome;
}

/* Open items in order. Those whose payload has no room yet need the GIL. False: memory is out. */
static bool open_items(Opener *self, Aead *aead, Item *items, Py_ssize_t count) {
    for (Py_ssize_t i = 0; i < count; i++) {
        Item *item = &items[i];
        uint8_t head[HEADER_MOST];
        item->outcome = judge(self, item, head);
        if (item->outcome != OPENED)
            continue;
        if (item->out == NULL && !make_room(&self->layout, item))
            return false;
        item->outcome = check_key(self, aead, head, &item->header, item->view.buf,
                                  (size_t)item->view.len, item->out);
        if (item->outcome == NO_MEMORY)
            return false;
    }
    return true;
}

/* Open items, without the GIL where that is long. False with an exception set. */
static bool open_with(Opener *self, Aead *aead, Item *items, Py_ssize_t count) {
    Py_ssize_t bytes = 0;
    for (Py_ssize_t i = 0; i < count; i++)
        bytes += items[i].view.len;
    bool opened;
    if (bytes < RELEASE_BYTES) {
        opened = open_items(self, aead, items, count);
    } else {
        for (Py_ssize_t i = 0; i < count; i++)
            if (!make_room(&self->layout, &items[i]))
                return false;
        Py_BEGIN_ALLOW_THREADS
        opened = open_items(self, aead, items, count);
        Py_END_ALLOW_THREADS
    }
    if (!opened && !PyErr_Occurred())
        PyErr_NoMemory();
    return opened;
}

/* One end of a clock's reading, ns; UINT64_MAX where Python has to make the window, or with an
 * exception set. */
static uint64_t read_end(PyObject *now, PyObject *name) {
    PyObject *value = PyObject_GetAttr(now, name);
    int overflow = 0;
    long long ns = value != NULL ? PyLong_AsLongLongAndOverflow(value, &overflow) : -1;
    Py_XDECREF(value);
    return ns < 0 || ns >> 62 ? UINT64_MAX : (uint64_t)ns;
}

/* Make the window at a reading of the clock. False with an exception set. */
static bool take_reading(Opener *self, PyObject *now) {
    if (now == self->now)
        return true;
    if (self->is_live) {
        uint64_t earliest = read_end(now, earliest_ns_name);
        uint64_t latest = PyErr_Occurred() ? 0 : read_end(now, latest_ns_name);
        if (PyErr_Occurred())
            return false;
        if ((earliest | latest | self->timing.t0_ns) >> 62 == 0) {
            set_window(self, earliest, latest);
        } else {
            PyObject *none = PyObject_CallMethod((PyObject *)self, "_set_far_window", "(O)", now);
            Py_XDECREF(none);
            if (none == NULL)
                return false;
        }
    }
    PyObject *before = self->now;
    Py_INCREF(now);
    self->now = now;
    Py_XDECREF(before);
    return true;
}

/* Open items whose views are held, at a reading of the clock. False with an exception set. */
static bool open_at(Opener *self, PyObject *now, Item *items, Py_ssize_t count) {
    if (!opener_is_free(self))
        return false;
    self->is_busy = true;
    bool opened = take_reading(self, now);
    Aead *aead = opened ? aead_borrow(self->layout.suite, false) : NULL;
    if (opened && aead == NULL) {
        PyErr_NoMemory();
        opened = false;
    }
    self->walker->is_busy = true;
    opened = opened && open_with(self, aead, items, count);
    self->walker->is_busy = self->is_busy = false;
    if (aead != NULL)
        aead_return(aead);
    return opened;
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

/* As tuple.__new__(type, fields): past the slow __new__ of a NamedTuple. Takes fields over, which
 * may be NULL or have places that are; NULL with an exception set. */
static PyObject *named(PyObject *type, PyObject *fields) {
    PyObject *arguments = fields != NULL && !PyErr_Occurred() ? PyTuple_Pack(1, fields) : NULL;
    newfunc make = (newfunc)PyType_GetSlot(&PyTuple_Type, Py_tp_new);
    PyObject *made = arguments != NULL ? make((PyTypeObject *)type, arguments, NULL) : NULL;
    Py_XDECREF(arguments);
    Py_XDECREF(fields);
    return made;
}

/* The OpenedSegment or Refused of an item; NULL with an exception set. */
static PyObject *answer(Opener *self, Item *item) {
    if (item->outcome != OPENED) {
        PyObject *refused = refuse(self, item->outcome);
        Py_XINCREF(refused);
        return refused;
    }
    PyObject *fields = PyTuple_New(6);
    if (fields == NULL)
        return NULL;
    const Header *header = &item->header;
    PyTuple_SetItem(fields, 0, item->payload);
    PyTuple_SetItem(fields, 1, PyLong_FromUnsignedLongLong(header->number));
    PyTuple_SetItem(fields, 2, PyLong_FromUnsignedLong(header->index));
    PyTuple_SetItem(fields, 3, PyLong_FromUnsignedLongLong(header->tick));
    PyTuple_SetItem(fields, 4, PyLong_FromUnsignedLong(header->flags));
    PyTuple_SetItem(fields, 5, PyLong_FromUnsignedLong(header->kind));
    item->payload = NULL; /* it is the tuple's now */
    return named(self->opened_type, fields);
}

static bool is_whole_frame(const Item *item) {
    unsigned whole = FIRST | LAST;
    return item->outcome == OPENED && (item->header.flags & whole) == whole &&
           item->header.kind == 0;
}

/* The Frame of an item that is one; NULL with an exception set. */
static PyObject *make_frame(Opener *self, Item *item) {
    PyObject *fields = PyTuple_New(5);
    if (fields == NULL)
        return NULL;
    const Header *header = &item->header;
    Py_INCREF(self->source);
    PyTuple_SetItem(fields, 0, self->source);
    PyTuple_SetItem(fields, 1, PyLong_FromUnsignedLongLong(header->number));
    PyTuple_SetItem(fields, 2, PyLong_FromUnsignedLongLong(header->tick));
    PyTuple_SetItem(fields, 3, item->payload);
    PyTuple_SetItem(fields, 4, PyLong_FromUnsignedLong(header->flags));
    item->payload = NULL;
    return named(self->frame_type, fields);
}

PyObject *opener_open(PyObject *object, PyObject *const *given, Py_ssize_t positional,
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

/* Items of a call of open_many or open_frames, opened. */
typedef struct {
    PyObject *list; /* of segments, our own, which nobody else can change */
    Item *items;
    Py_ssize_t count, held; /* of held ones, the views are to be released */
} Run;

static void end_run(Run *run) {
    for (Py_ssize_t i = 0; i < run->held; i++) {
        PyBuffer_Release(&run->items[i].view);
        Py_XDECREF(run->items[i].payload);
    }
    PyMem_Free(run->items);
    Py_XDECREF(run->list);
}

/* Open what was given to a call; false with an exception set. The run is to be ended even so. */
static bool open_run(Opener *self, PyObject *const *given, Py_ssize_t positional,
                     PyObject *keywords, Run *run) {
    static const char *const names[] = {"segments", "now"};
    PyObject *arguments[2];
    if (!take_arguments(names, 2, 2, given, positional, keywords, arguments))
        return false;
    run->list = PySequence_List(arguments[0]);
    if (run->list == NULL)
        return false;
    run->count = PyList_Size(run->list);
    run->items = PyMem_Calloc((size_t)(run->count > 0 ? run->count : 1), sizeof *run->items);
    if (run->items == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (; run->held < run->count; run->held++)
        if (PyObject_GetBuffer(PyList_GetItem(run->list, run->held), &run->items[run->held].view,
                               PyBUF_SIMPLE) != 0)
            return false;
    return open_at(self, arguments[1], run->items, run->count);
}

PyObject *opener_open_many(PyObject *object, PyObject *const *given, Py_ssize_t positional,
                           PyObject *keywords) {
    Run run = {NULL, NULL, 0, 0};
    PyObject *results = NULL;
    bool done = open_run((Opener *)object, given, positional, keywords, &run) &&
                (results = PyList_New(run.count)) != NULL;
    for (Py_ssize_t i = 0; done && i < run.count; i++) {
        PyObject *result = answer((Opener *)object, &run.items[i]);
        done = result != NULL && PyList_SetItem(results, i, result) == 0;
    }
    end_run(&run);
    if (!done)
        Py_CLEAR(results);
    return results;
}

PyObject *opener_open_frames(PyObject *object, PyObject *const *given, Py_ssize_t positional,
                             PyObject *keywords) {
    Opener *self = (Opener *)object;
    Run run = {NULL, NULL, 0, 0};
    PyObject *found = NULL;
    Py_ssize_t parts = 0, bytes = 0;
    bool done = open_run(self, given, positional, keywords, &run) &&
                (found = PyList_New(0)) != NULL;
    for (Py_ssize_t i = 0; done && i < run.count; i++) {
        Item *item = &run.items[i];
        if (item->outcome != OPENED) {
            done = refuse(self, item->outcome) != NULL;
            continue;
        }
        bool is_frame = is_whole_frame(item);
        bytes += PyBytes_Size(item->payload);
        PyObject *result = is_frame ? make_frame(self, item) : answer(self, item);
        parts += !is_frame;
        done = result != NULL && PyList_Append(found, result) == 0;
        Py_XDECREF(result);
    }
    end_run(&run);
    PyObject *both = done ? Py_BuildValue("(Onn)", found, parts, bytes) : NULL;
    Py_XDECREF(found);
    return both;
}
