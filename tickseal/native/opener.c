/* What openers do with segments. Python is asked for the clock's reading, and nothing else. */
#include "opener.h"

enum { PLACE_FROM = 2, PLACE_BYTES = 5 }; /* generation and handle in the standard header */

/* OpenedSegment, Frame, and a Refused for each of the reasons, in a list. */
static PyObject *opened_type, *frame_type, *refused;

/* One segment on its way. */
typedef struct {
    Opener *opener;
    PyObject *bytes; /* the segment, as Python has it */
    const uint8_t *segment;
    size_t size;
    PyObject *payload; /* NULL where none can be in it */
    uint8_t *out;      /* the payload's bytes */
    Header header;
    int outcome;
} Item;

/* The segments of a call. */
typedef struct {
    uint64_t earliest_ns, latest_ns; /* what the clock read */
    PyObject *list; /* all of its segments, our own, which nobody else can change */
    Item *items;
    Py_ssize_t count;
} Batch;

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

/* One end of a clock's reading, ns. False: exception set. */
static bool read_end(PyObject *now, PyObject *name, uint64_t *ns) {
    PyObject *value = PyObject_GetAttr(now, name);
    *ns = value != NULL ? PyLong_AsUnsignedLongLong(value) : 0;
    Py_XDECREF(value);
    return !PyErr_Occurred();
}

/* Read the clock, first of all: whatever runs in Python meanwhile comes before. False: exception
 * set. */
static bool read_clock(Batch *batch, PyObject *now) {
    return read_end(now, earliest_ns_name, &batch->earliest_ns) &&
           read_end(now, latest_ns_name, &batch->latest_ns);
}

static void set_item(Item *item, PyObject *opener, PyObject *segment) {
    Py_INCREF(opener);
    item->opener = (Opener *)opener;
    item->bytes = segment;
    item->segment = (const uint8_t *)PyBytes_AsString(segment);
    item->size = (size_t)PyBytes_Size(segment);
}

/* The opener of a segment by generation and handle in its header, borrowed; NULL where there is
 * none, or with an exception set. */
static PyObject *find_opener(PyObject *segment, PyObject *openers) {
    const uint8_t *head = (const uint8_t *)PyBytes_AsString(segment);
    if (PyBytes_Size(segment) < HEADER_MOST || (head[0] ^ VERSION << 4) > 1)
        return NULL;
    PyObject *place = PyLong_FromUnsignedLongLong(get_big_endian(head + PLACE_FROM, PLACE_BYTES));
    PyObject *found = place != NULL ? PyDict_GetItemWithError(openers, place) : NULL;
    Py_XDECREF(place);
    if (found == NULL || PyObject_TypeCheck(found, (PyTypeObject *)opener_type))
        return found;
    return PyErr_Format(PyExc_TypeError, "segments are opened natively by native openers only");
}

/* Begin with what was given to a call. False with an exception set; the batch is to be ended even
 * so. */
static bool begin(Batch *batch, PyObject *segments, PyObject *openers, PyObject *strangers) {
    batch->list = PySequence_List(segments);
    Py_ssize_t count = batch->list != NULL ? PyList_Size(batch->list) : 0;
    batch->items = PyMem_Calloc((size_t)count + 1, sizeof(Item));
    if (batch->list == NULL || batch->items == NULL)
        return batch->list != NULL && PyErr_NoMemory() != NULL;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *segment = PyBytes_FromObject(PyList_GetItem(batch->list, i));
        if (segment == NULL || PyList_SetItem(batch->list, i, segment) != 0)
            return false;
        PyObject *opener = find_opener(segment, openers);
        if (opener != NULL)
            set_item(&batch->items[batch->count++], opener, segment);
        else if (PyErr_Occurred() || PyList_Append(strangers, segment) != 0)
            return false;
    }
    return true;
}

static void end(Batch *batch) {
    for (Py_ssize_t i = 0; i < batch->count; i++) {
        Py_XDECREF((PyObject *)batch->items[i].opener);
        Py_XDECREF(batch->items[i].payload);
    }
    PyMem_Free(batch->items);
    Py_XDECREF(batch->list);
}

/* Make ready what needs the GIL: room for the payload, where the size is one that a segment can
 * have, and a cipher. False: exception set. */
static bool make_ready(Item *item, Aead **aeads) {
    const Layout *layout = &item->opener->layout;
    if (!walker_is_free(item->opener->walker))
        return false;
    Aead **aead = &aeads[layout->suite];
    if (*aead == NULL && (*aead = aead_borrow(layout->suite, false)) == NULL)
        return PyErr_NoMemory() != NULL;
    size_t most = layout->overhead_bytes + (size_t)layout->segment_bytes;
    if (item->size < layout->overhead_bytes || item->size > most)
        return true;
    Py_ssize_t room = (Py_ssize_t)(item->size - layout->overhead_bytes);
    item->payload = PyBytes_FromStringAndSize(NULL, room);
    item->out = (uint8_t *)(item->payload != NULL ? PyBytes_AsString(item->payload) : NULL);
    return item->payload != NULL;
}

/* Do the checks in order; needs no GIL. False: memory is out. */
static bool check_items(Batch *batch, Aead **aeads) {
    for (Py_ssize_t i = 0; i < batch->count; i++) {
        Item *item = &batch->items[i];
        Opener *opener = item->opener;
        if (opener->is_live)
            set_window(opener, batch->earliest_ns, batch->latest_ns);
        item->outcome = check_segment(opener, aeads[opener->layout.suite], item->segment,
                                      item->size, &item->header, item->out);
        if (item->outcome == NO_MEMORY)
            return false;
    }
    return true;
}

static void set_busy(Batch *batch, bool is_busy) {
    for (Py_ssize_t i = 0; i < batch->count; i++)
        batch->items[i].opener->walker->is_busy = is_busy;
}

/* Open the segments, without the GIL where that is long. False: exception set. */
static bool open_items(Batch *batch) {
    Aead *aeads[SUITES_END] = {NULL};
    size_t bytes = 0;
    bool opened = true;
    for (Py_ssize_t i = 0; i < batch->count && opened; i++) {
        bytes += batch->items[i].size;
        opened = make_ready(&batch->items[i], aeads);
    }
    PyThreadState *thread = NULL;
    if (opened && bytes >= RELEASE_BYTES) {
        set_busy(batch, true);
        thread = PyEval_SaveThread();
    }
    bool has_memory = !opened || check_items(batch, aeads);
    if (thread != NULL) {
        PyEval_RestoreThread(thread);
        set_busy(batch, false);
    }
    if (!has_memory)
        opened = PyErr_NoMemory() != NULL;
    for (int suite = 0; suite < SUITES_END; suite++)
        if (aeads[suite] != NULL)
            aead_return(aeads[suite]);
    return opened;
}

/* The Refused of an item, counted; NULL with an exception set. Borrowed. */
static PyObject *refuse(const Item *item) {
    PyObject *refusals = item->opener->refusals, *answer = PyList_GetItem(refused, item->outcome);
    PyObject *reason = answer != NULL ? PyTuple_GetItem(answer, 0) : NULL;
    if (reason == NULL)
        return NULL;
    PyObject *before = PyDict_GetItemWithError(refusals, reason);
    unsigned long long count = before != NULL ? PyLong_AsUnsignedLongLong(before) : 0;
    PyObject *after = PyErr_Occurred() ? NULL : PyLong_FromUnsignedLongLong(count + 1);
    bool counted = after != NULL && PyDict_SetItem(refusals, reason, after) == 0;
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

/* Fill a place with an item's payload, which is the tuple's own then. */
static void put_payload(PyObject *named, Py_ssize_t place, Item *item) {
    PyTuple_SetItem(named, place, item->payload);
    item->payload = NULL;
}

/* The OpenedSegment or Refused of an item; NULL with an exception set. */
static PyObject *answer(Item *item) {
    if (item->outcome != OPENED) {
        PyObject *why = refuse(item);
        Py_XINCREF(why);
        return why;
    }
    PyObject *opened = new_named(opened_type, 6);
    if (opened == NULL)
        return NULL;
    put_payload(opened, 0, item);
    put(opened, 1, item->header.number);
    put(opened, 2, item->header.index);
    put(opened, 3, item->header.tick);
    put(opened, 4, item->header.flags);
    put(opened, 5, item->header.kind);
    if (PyErr_Occurred())
        Py_CLEAR(opened);
    return opened;
}

PyObject *opener_open(PyObject *object, PyObject *const *given, Py_ssize_t count) {
    Item item = {.payload = NULL};
    Batch batch = {.items = &item, .count = 1};
    PyObject *segment = has_arguments(count, 2, 2) ? PyBytes_FromObject(given[0]) : NULL;
    if (segment == NULL)
        return NULL;
    set_item(&item, object, segment);
    bool done = read_clock(&batch, given[1]) && open_items(&batch);
    PyObject *result = done ? answer(&item) : NULL;
    Py_XDECREF(item.payload);
    Py_DECREF(segment);
    Py_DECREF(object);
    return result;
}

/* The Frame of an item that is one; NULL with an exception set. */
static PyObject *make_frame(Item *item) {
    PyObject *frame = new_named(frame_type, 5);
    if (frame == NULL)
        return NULL;
    Py_INCREF(item->opener->source);
    PyTuple_SetItem(frame, 0, item->opener->source);
    put(frame, 1, item->header.number);
    put(frame, 2, item->header.tick);
    put_payload(frame, 3, item);
    put(frame, 4, item->header.flags);
    if (PyErr_Occurred())
        Py_CLEAR(frame);
    return frame;
}

/* Hand out what was in an item of open_frames(). False: exception set. */
static bool hand_out(Item *item, PyObject *frames, PyObject *parts) {
    Opener *opener = item->opener;
    if (item->outcome != OPENED)
        return refuse(item) != NULL;
    PyObject *result, *list = parts;
    bool is_frame = (~item->header.flags & (FIRST | LAST)) == 0 && item->header.kind == 0;
    if (is_frame && opener->gives_frames) {
        opener->frames++;
        opener->frame_bytes += item->size - opener->layout.overhead_bytes;
        result = make_frame(item);
        list = frames;
    } else {
        opener->gives_frames = false; /* what follows waits for what is made of this */
        PyObject *opened = answer(item);
        result = opened != NULL ? PyTuple_Pack(3, opener, item->bytes, opened) : NULL;
        Py_XDECREF(opened);
    }
    bool added = result != NULL && PyList_Append(list, result) == 0;
    Py_XDECREF(result);
    return added;
}

PyObject *open_frames(PyObject *module, PyObject *const *given, Py_ssize_t count) {
    (void)module;
    Batch batch = {.count = 0};
    if (!has_arguments(count, 3, 3))
        return NULL;
    if (!PyDict_Check(given[1]))
        return PyErr_Format(PyExc_TypeError, "openers come in a dict");
    PyObject *frames = PyList_New(0), *parts = PyList_New(0), *strangers = PyList_New(0);
    PyObject *all = NULL;
    bool done = frames != NULL && parts != NULL && strangers != NULL &&
                read_clock(&batch, given[2]) && begin(&batch, given[0], given[1], strangers) &&
                open_items(&batch);
    for (Py_ssize_t i = 0; done && i < batch.count; i++)
        done = hand_out(&batch.items[i], frames, parts);
    end(&batch);
    if (done)
        all = PyTuple_Pack(3, frames, parts, strangers);
    Py_XDECREF(frames);
    Py_XDECREF(parts);
    Py_XDECREF(strangers);
    return all;
}
