/* Opener: the hot half of FrameOpener. Python is asked for its clock's reading, and nothing else. */
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

/* Whether it can be touched now. False: exception set. */
static bool is_free(const Opener *self) {
    if (self->is_busy)
        PyErr_SetString(LocalProtocolError, "another thread is opening with this opener");
    return !self->is_busy;
}

/* Open items whose views are held, at a reading of the clock. False with an exception set. */
static bool open_at(Opener *self, PyObject *now, Item *items, Py_ssize_t count) {
    if (!is_free(self))
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

static PyObject *opener_open_many(PyObject *object, PyObject *const *given, Py_ssize_t positional,
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

static PyObject *opener_open_frames(PyObject *object, PyObject *const *given,
                                    Py_ssize_t positional, PyObject *keywords) {
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

static PyObject *opener_accept(PyObject *object, PyObject *args) {
    Opener *self = (Opener *)object;
    Ticks *ticks = &self->ticks;
    unsigned long long base, epoch;
    long long lower, upper;
    int sign, is_live;
    if (!PyArg_ParseTuple(args, "KiLLKp", &base, &sign, &lower, &upper, &epoch, &is_live))
        return NULL;
    if (!is_live && !is_free(self))
        return NULL;
    ticks->base = base;
    ticks->is_base_negative = sign < 0;
    ticks->is_beyond = sign > 0;
    ticks->lower = lower;
    ticks->upper = upper;
    if (!is_live) {
        self->is_live = false;
        ticks->above = LATE; /* what was announced has no future */
    }
    if (epoch > walker_start(self->walker))
        walker_puncture(self->walker, epoch);
    drop_unheld(self);
    Py_RETURN_NONE;
}

static PyObject *opener_hold(PyObject *object, PyObject *walker) {
    Opener *self = (Opener *)object;
    if (!is_free(self))
        return NULL;
    if (!PyObject_TypeCheck(walker, (PyTypeObject *)walker_type))
        return PyErr_Format(PyExc_TypeError, "an opener takes its keys from a native Walker");
    PyObject *before = (PyObject *)self->walker;
    Py_INCREF(walker);
    self->walker = (Walker *)walker;
    Py_XDECREF(before);
    drop_unheld(self);
    Py_RETURN_NONE;
}

static PyObject *opener_wipe(PyObject *object, PyObject *none) {
    (void)none;
    Opener *self = (Opener *)object;
    if (!is_free(self))
        return NULL;
    walker_wipe(self->walker);
    drop_derived(self);
    drop_unheld(self);
    aead_forget_keys();
    Py_RETURN_NONE;
}

static PyObject *opener_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    (void)keywords;
    PyObject *layout, *walker, *source, *opened_type, *frame_type, *refused, *refusals;
    Timing timing;
    unsigned long long next_frame, forgeries;
    int is_live;
    if (!PyArg_ParseTuple(args, "O!(KKKKKKip)O!OO!O!O!O!KKp", &PyTuple_Type, &layout,
                          &timing.t0_ns, &timing.interval_ns, &timing.past_ns, &timing.skew_ns,
                          &timing.span, &timing.last_tick, &timing.epoch_bits, &timing.has_tree,
                          walker_type, &walker, &source, &PyType_Type, &opened_type, &PyType_Type,
                          &frame_type, &PyTuple_Type, &refused, &PyDict_Type, &refusals,
                          &next_frame, &forgeries, &is_live))
        return NULL;
    bool valid = PyType_IsSubtype((PyTypeObject *)opened_type, &PyTuple_Type) &&
                 PyType_IsSubtype((PyTypeObject *)frame_type, &PyTuple_Type) &&
                 PyTuple_Size(refused) == REASONS;
    for (int i = 0; valid && i < REASONS; i++)
        valid = PyTuple_Size(PyTuple_GetItem(refused, i)) == 1;
    if (!valid)
        return PyErr_Format(PyExc_TypeError, "two subtypes of tuple, an answer for each reason");
    /* So that no sum of theirs leaves 64 bits. */
    if (timing.interval_ns < 1 ||
        (timing.interval_ns | timing.past_ns | timing.skew_ns) >> 60 != 0 ||
        timing.epoch_bits < 0 || timing.epoch_bits > 32)
        return PyErr_Format(PyExc_ValueError, "a time of the stream is out of its range");
    Opener *self = (Opener *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (self == NULL)
        return NULL;
    PyObject *const held[] = {walker, source, opened_type, frame_type, refused, refusals};
    for (size_t i = 0; i < sizeof held / sizeof held[0]; i++)
        Py_INCREF(held[i]);
    self->walker = (Walker *)walker;
    self->source = source;
    self->opened_type = opened_type;
    self->frame_type = frame_type;
    self->refused = refused;
    self->refusals = refusals;
    self->timing = timing;
    self->is_live = is_live;
    self->forgeries_left = forgeries;
    self->ticks.upper = -1; /* no tick at all, until a window or a range is set */
    self->ticks.above = EARLY;
    if (!layout_parse(&self->layout, layout)) {
        Py_DECREF(self);
        return NULL;
    }
    replay_start(&self->replay, next_frame);
    drop_unheld(self);
    return (PyObject *)self;
}

static int opener_traverse(PyObject *object, visitproc visit, void *arg) {
    Opener *self = (Opener *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->now);
    Py_VISIT(self->source);
    Py_VISIT(self->walker);
    Py_VISIT(self->frame_type);
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
    Py_CLEAR(self->source);
    Py_CLEAR(self->walker);
    Py_CLEAR(self->frame_type);
    Py_CLEAR(self->opened_type);
    Py_CLEAR(self->refused);
    Py_CLEAR(self->refusals);
    replay_free(&self->replay);
    drop_derived(self);
    aead_forget_keys();
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

/* For tests to look at: of which frames and ticks keys are held, and the replay window: the first
 * segments, and for each frame those behind. */
static PyObject *opener_held(PyObject *object, void *none) {
    (void)none;
    const Opener *self = (Opener *)object;
    const Replay *replay = &self->replay;
    PyObject *known = PyList_New(0), *prepared = PyList_New(0), *others = PyList_New(0);
    bool listed = known != NULL && prepared != NULL && others != NULL;
    for (unsigned i = 0; listed && i < self->known_count; i++) {
        const KnownKey *key = &self->known[i];
        PyObject *slot = Py_BuildValue("(KK)", key->tick, key->frame);
        listed = slot != NULL && (!key->used || PyList_Append(known, slot) == 0);
        Py_XDECREF(slot);
    }
    for (int i = 0; listed && i < TICKS_KEPT; i++) {
        PyObject *tick = PyLong_FromUnsignedLongLong(self->prepared_ticks[i]);
        bool used = self->prepared_used >> i & 1;
        listed = tick != NULL && (!used || PyList_Append(prepared, tick) == 0);
        Py_XDECREF(tick);
    }
    for (int i = 0; listed && replay->others != NULL && i < WINDOW_FRAMES; i++) {
        const Segments *one = replay->others[i];
        PyObject *bits = one == NULL ? PyBytes_FromStringAndSize(NULL, 0)
                                     : PyBytes_FromStringAndSize(
                                           (const char *)one->seen,
                                           (Py_ssize_t)(one->words * sizeof one->seen[0]));
        listed = bits != NULL && PyList_Append(others, bits) == 0;
        Py_XDECREF(bits);
    }
    PyObject *held = NULL;
    if (listed)
        held = Py_BuildValue("(OOy#O)", known, prepared, (const char *)replay->firsts,
                             (Py_ssize_t)sizeof replay->firsts, others);
    Py_XDECREF(known);
    Py_XDECREF(prepared);
    Py_XDECREF(others);
    return held;
}

static PyMethodDef opener_methods[] = {
    {"open", (PyCFunction)(void (*)(void))opener_open, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("open($self, segment, now)\n--\n\n"
               "Return the opened segment, or why it was refused; see tickseal.opening.")},
    {"open_many", (PyCFunction)(void (*)(void))opener_open_many, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("open_many($self, segments, now)\n--\n\nDo open() for each segment, in order.")},
    {"open_frames", (PyCFunction)(void (*)(void))opener_open_frames,
     METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("open_frames($self, segments, now)\n--\n\n"
               "Return what was opened, whole frames as such; see tickseal.opening.")},
    {"_accept", opener_accept, METH_VARARGS, PyDoc_STR("Set the ticks accepted.")},
    {"_hold", opener_hold, METH_O, PyDoc_STR("Take the keys from another walker from now on.")},
    {"_wipe", opener_wipe, METH_NOARGS, PyDoc_STR("Cleanse all secrets.")},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef opener_members[] = {
    {"refusals", T_OBJECT_EX, offsetof(Opener, refusals), READONLY,
     "How many segments were refused, by reason."},
    {"opened", T_ULONGLONG, offsetof(Opener, opened), READONLY, "How many segments were opened."},
    {"is_live", T_BOOL, offsetof(Opener, is_live), READONLY,
     "Whether segments of now are accepted; false for good once a range was announced."},
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
