/* What an opener does with segments. Python is asked for its clock's reading, and nothing else. */
#include "opener.h"

/* OpenedSegment, Frame, and a Refused for each of the reasons, in a list. */
static PyObject *opened_type, *frame_type, *refused;

/* One segment on its way. */
typedef struct {
    const uint8_t *segment;
    size_t size;
    PyObject *payload; /* NULL where none can be in it */
    uint8_t *out;      /* the payload's bytes */
    Header header;
    int outcome;
} Item;

bool find_answers(void) {
    if (refused != NULL)
        return true;
    PyObject *by_reason = fetch("tickseal.streams.opening", "REFUSED");
    opened_type = fetch("tickseal.streams.opening", "OpenedSegment");
    frame_type = fetch("tickseal.streams.opening", "Frame");
    if (by_reason != NULL && opened_type != NULL && frame_type != NULL)
        refused = PyDict_Values(by_reason);
    Py_XDECREF(by_reason);
    return refused != NULL;
}

/* Begin with a segment, which is bytes and stays so; make room for its payload, where the size is
 * one that a segment can have. False: exception set. */
static bool begin(const Layout *layout, Item *item, PyObject *segment) {
    item->segment = (const uint8_t *)PyBytes_AsString(segment);
    item->size = (size_t)PyBytes_Size(segment);
    size_t most = layout->overhead_bytes + (size_t)layout->segment_bytes;
    if (item->size < layout->overhead_bytes || item->size > most)
        return true;
    Py_ssize_t room = (Py_ssize_t)(item->size - layout->overhead_bytes);
    item->payload = PyBytes_FromStringAndSize(NULL, room);
    item->out = (uint8_t *)(item->payload != NULL ? PyBytes_AsString(item->payload) : NULL);
    return item->payload != NULL;
}

/* Open items in order; needs no GIL. False: memory is out. */
static bool open_items(Opener *self, Aead *aead, Item *items, Py_ssize_t count) {
    for (Py_ssize_t i = 0; i < count; i++) {
        Item *item = &items[i];
        item->outcome =
            check_segment(self, aead, item->segment, item->size, &item->header, item->out);
        if (item->outcome == NO_MEMORY)
            return false;
    }
    return true;
}

/* One end of a clock's reading, ns. False: exception set. */
static bool read_end(PyObject *now, PyObject *name, uint64_t *ns) {
    PyObject *value = PyObject_GetAttr(now, name);
    *ns = value != NULL ? PyLong_AsUnsignedLongLong(value) : 0;
    Py_XDECREF(value);
    return !PyErr_Occurred();
}

/* Open items at a reading of the clock, without the GIL where that is long. False with an exception
 * set. */
static bool open_at(Opener *self, PyObject *now, Item *items, Py_ssize_t count) {
    uint64_t earliest, latest;
    /* First: whatever runs in Python meanwhile comes before. */
    if (!read_end(now, earliest_ns_name, &earliest) || !read_end(now, latest_ns_name, &latest) ||
        !walker_is_free(self->walker))
        return false;
    Aead *aead = aead_borrow(self->layout.suite, false);
    bool opened = aead != NULL;
    size_t bytes = 0;
    for (Py_ssize_t i = 0; i < count; i++)
        bytes += items[i].size;
    if (self->is_live)
        set_window(self, earliest, latest);
    if (opened && bytes < RELEASE_BYTES) {
        opened = open_items(self, aead, items, count);
    } else if (opened) {
        self->walker->is_busy = true;
        Py_BEGIN_ALLOW_THREADS
        opened = open_items(self, aead, items, count);
        Py_END_ALLOW_THREADS
        self->walker->is_busy = false;
    }
    if (aead != NULL)
        aead_return(aead);
    if (!opened)
        PyErr_NoMemory();
    return opened;
}

/* The Refused of a reason, counted; NULL with an exception set. Borrowed. */
static PyObject *refuse(Opener *self, int outcome) {
    PyObject *answer = PyList_GetItem(refused, outcome);
    PyObject *reason = answer != NULL ? PyTuple_GetItem(answer, 0) : NULL;
    if (reason == NULL)
        return NULL;
    PyObject *before = PyDict_GetItemWithError(self->refusals, reason);
    unsigned long long count = before != NULL ? PyLong_AsUnsignedLongLong(before) : 0;
    PyObject *after = PyErr_Occurred() ? NULL : PyLong_FromUnsignedLongLong(count + 1);
    bool counted = after != NULL && PyDict_SetItem(self->refusals, reason, after) == 0;
    Py_XDECREF(after);
    return counted ? answer : NULL;
}

/* A NamedTuple to be filled, past its slow __new__; NULL with an exception set. */
static PyObject *new_named(PyObject *type, Py_ssize_t count) {
    allocfunc alloc = (allocfunc)PyType_GetSlot((PyTypeObject *)type, Py_tp_alloc);
    return alloc((PyTypeObject *)type, count);
}

/* Fill a place with a number. */
static void put(PyObject *named, Py_ssize_t place, unsigned long long number) {
    PyTuple_SetItem(named, place, PyLong_FromUnsignedLongLong(number));
}

/* The OpenedSegment or Refused of an item; NULL with an exception set. */
static PyObject *answer(Opener *self, Item *item) {
    if (item->outcome != OPENED) {
        PyObject *why = refuse(self, item->outcome);
        Py_XINCREF(why);
        return why;
    }
    PyObject *opened = new_named(opened_type, 6);
    if (opened == NULL)
        return NULL;
    PyTuple_SetItem(opened, 0, item->payload); /* which is its own now */
    item->payload = NULL;
    put(opened, 1, item->header.number);
    put(opened, 2, item->header.index);
    put(opened, 3, item->header.tick);
    put(opened, 4, item->header.flags);
    put(opened, 5, item->header.kind);
    if (PyErr_Occurred())
        Py_CLEAR(opened);
    return opened;
}

/* The Frame of an item that is one; NULL with an exception set. */
static PyObject *make_frame(Opener *self, Item *item) {
    PyObject *frame = new_named(frame_type, 5);
    if (frame == NULL)
        return NULL;
    Py_INCREF(self->generation);
    PyTuple_SetItem(frame, 0, self->generation);
    put(frame, 1, item->header.number);
    put(frame, 2, item->header.tick);
    PyTuple_SetItem(frame, 3, item->payload);
    item->payload = NULL;
    put(frame, 4, item->header.flags);
    if (PyErr_Occurred())
        Py_CLEAR(frame);
    return frame;
}

PyObject *opener_open(PyObject *object, PyObject *const *given, Py_ssize_t count) {
    Opener *self = (Opener *)object;
    if (!has_arguments(count, 2, 2))
        return NULL;
    PyObject *segment = PyBytes_FromObject(given[0]), *result = NULL;
    Item item = {.payload = NULL};
    if (segment != NULL && begin(&self->layout, &item, segment) && open_at(self, given[1], &item, 1))
        result = answer(self, &item);
    Py_XDECREF(segment);
    Py_XDECREF(item.payload);
    return result;
}

/* Items of a call of open_many or open_frames. */
typedef struct {
    PyObject *list; /* of their segments, our own, which nobody else can change */
    Item *items;
    Py_ssize_t count;
} Run;

static void end_run(Run *run) {
    for (Py_ssize_t i = 0; run->items != NULL && i < run->count; i++)
        Py_XDECREF(run->items[i].payload);
    PyMem_Free(run->items);
    Py_XDECREF(run->list);
}

/* Open what was given to a call. False with an exception set; the run is to be ended even so. */
static bool open_run(Opener *self, PyObject *const *given, Py_ssize_t count, Run *run) {
    if (!has_arguments(count, 2, 2) || (run->list = PySequence_List(given[0])) == NULL)
        return false;
    run->count = PyList_Size(run->list);
    run->items = PyMem_Calloc((size_t)run->count + 1, sizeof *run->items);
    if (run->items == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t i = 0; i < run->count; i++) {
        PyObject *segment = PyBytes_FromObject(PyList_GetItem(run->list, i));
        if (segment == NULL || PyList_SetItem(run->list, i, segment) != 0 ||
            !begin(&self->layout, &run->items[i], segment))
            return false;
    }
    return open_at(self, given[1], run->items, run->count);
}

PyObject *opener_open_many(PyObject *object, PyObject *const *given, Py_ssize_t count) {
    Run run = {NULL, NULL, 0};
    bool done = open_run((Opener *)object, given, count, &run);
    /* Each segment makes way for its answer. */
    for (Py_ssize_t i = 0; done && i < run.count; i++) {
        PyObject *result = answer((Opener *)object, &run.items[i]);
        done = result != NULL && PyList_SetItem(run.list, i, result) == 0;
    }
    PyObject *results = done ? run.list : NULL;
    Py_XINCREF(results);
    end_run(&run);
    return results;
}

PyObject *opener_open_frames(PyObject *object, PyObject *const *given, Py_ssize_t count) {
    Opener *self = (Opener *)object;
    Run run = {NULL, NULL, 0};
    PyObject *found = PyList_New(0);
    Py_ssize_t parts = 0, bytes = 0;
    bool done = found != NULL && open_run(self, given, count, &run);
    for (Py_ssize_t i = 0; done && i < run.count; i++) {
        Item *item = &run.items[i];
        if (item->outcome != OPENED) {
            done = refuse(self, item->outcome) != NULL;
            continue;
        }
        bool is_frame = (~item->header.flags & (FIRST | LAST)) == 0 && item->header.kind == 0;
        bytes += PyBytes_Size(item->payload);
        PyObject *result = is_frame ? make_frame(self, item) : answer(self, item);
        parts += !is_frame;
        done = result != NULL && PyList_Append(found, result) == 0;
        Py_XDECREF(result);
    }
    end_run(&run);
    PyObject *answers = done ? Py_BuildValue("(Onn)", found, parts, bytes) : NULL;
    Py_XDECREF(found);
    return answers;
}
