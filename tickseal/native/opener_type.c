/* Opener, the hot half of FrameOpener, as a type of Python. */
#include "opener.h"

bool opener_is_free(const Opener *self) {
    if (self->is_busy)
        PyErr_SetString(LocalProtocolError, "another thread is opening with this opener");
    return !self->is_busy;
}

static PyObject *opener_accept(PyObject *object, PyObject *args) {
    Opener *self = (Opener *)object;
    Ticks *ticks = &self->ticks;
    unsigned long long base, epoch;
    long long lower, upper;
    int sign, is_live;
    if (!PyArg_ParseTuple(args, "KiLLKp", &base, &sign, &lower, &upper, &epoch, &is_live))
        return NULL;
    if (!is_live && !opener_is_free(self))
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
    if (!opener_is_free(self))
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
    if (!opener_is_free(self))
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
