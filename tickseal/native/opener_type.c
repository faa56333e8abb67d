/* Opener, the hot half of FrameOpener, as a type of Python. */
#include "opener.h"

static PyObject *opener_announce(PyObject *object, PyObject *args) {
    Opener *self = (Opener *)object;
    unsigned long long lower, count;
    if (!PyArg_ParseTuple(args, "KK", &lower, &count) || !walker_is_free(self->walker))
        return NULL;
    self->is_live = false;
    self->ticks.lower = lower;
    self->ticks.count = count;
    self->ticks.above = LATE; /* what was announced has no future */
    puncture(self, epoch_of(self, lower));
    Py_RETURN_NONE;
}

static PyObject *opener_hold(PyObject *object, PyObject *walker) {
    Opener *self = (Opener *)object;
    if (!walker_is_free(self->walker))
        return NULL;
    if (!PyObject_TypeCheck(walker, (PyTypeObject *)walker_type))
        return PyErr_Format(PyExc_TypeError, "an opener takes its keys from a native Walker");
    PyObject *before = (PyObject *)self->walker;
    Py_INCREF(walker);
    self->walker = (Walker *)walker;
    Py_XDECREF(before);
    puncture(self, 0);
    Py_RETURN_NONE;
}

static PyObject *opener_wipe(PyObject *object, PyObject *none) {
    (void)none;
    Opener *self = (Opener *)object;
    if (!walker_is_free(self->walker))
        return NULL;
    walker_wipe(self->walker);
    puncture(self, 0);
    drop_derived(self);
    aead_forget_keys();
    Py_RETURN_NONE;
}

static PyObject *opener_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    (void)keywords;
    PyObject *layout, *walker, *generation, *refusals;
    Timing timing;
    unsigned long long next_frame, forgeries;
    int is_live;
    if (!PyArg_ParseTuple(args, "O!(KKKKKKip)O!OO!KKp", &PyTuple_Type, &layout, &timing.t0_ns,
                          &timing.interval_ns, &timing.past_ns, &timing.skew_ns, &timing.span,
                          &timing.last_tick, &timing.epoch_bits, &timing.has_tree, walker_type,
                          &walker, &generation, &PyDict_Type, &refusals, &next_frame, &forgeries,
                          &is_live) ||
        !find_answers())
        return NULL;
    if (timing.interval_ns < 1 || timing.epoch_bits < 0 || timing.epoch_bits > 32)
        return PyErr_Format(PyExc_ValueError, "a time of the stream is out of its range");
    Opener *self = (Opener *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (self == NULL)
        return NULL;
    Py_INCREF(walker);
    Py_INCREF(generation);
    Py_INCREF(generation);
    Py_INCREF(refusals);
    self->walker = (Walker *)walker;
    self->generation = self->source = generation;
    self->refusals = refusals;
    self->timing = timing;
    self->is_live = is_live;
    self->forgeries_left = forgeries;
    self->earliest_ns = 1; /* which is no reading: the first one makes the window */
    self->ticks.room = UINT64_MAX; /* no tick at all, until then or until a range is announced */
    self->ticks.above = EARLY;
    replay_start(&self->replay, next_frame);
    puncture(self, 0);
    if (!layout_parse(&self->layout, layout))
        Py_CLEAR(self);
    return (PyObject *)self;
}

/* What its frames name may hold it in turn; the collector lets go of the cycle there. */
static int opener_traverse(PyObject *object, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((Opener *)object)->generation);
    Py_VISIT(((Opener *)object)->source);
    return 0;
}

static void opener_dealloc(PyObject *object) {
    Opener *self = (Opener *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    Py_CLEAR(self->generation);
    Py_CLEAR(self->source);
    Py_CLEAR(self->walker);
    Py_CLEAR(self->refusals);
    replay_free(&self->replay);
    drop_derived(self);
    aead_forget_keys();
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyMethodDef opener_methods[] = {
    {"open", (PyCFunction)(void (*)(void))opener_open, METH_FASTCALL,
     PyDoc_STR("open($self, segment, now, /)\n--\n\n"
               "Return the opened segment, or why it was refused; see tickseal.streams.opening.")},
    {"_announce", opener_announce, METH_VARARGS, PyDoc_STR("Accept so many ticks from one on.")},
    {"_hold", opener_hold, METH_O, PyDoc_STR("Take the keys from another walker from now on.")},
    {"_wipe", opener_wipe, METH_NOARGS, PyDoc_STR("Cleanse all secrets.")},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef opener_members[] = {
    {"generation", T_OBJECT_EX, offsetof(Opener, generation), READONLY,
     "The generation that this opener opens."},
    {"source", T_OBJECT_EX, offsetof(Opener, source), 0, "What each of its frames names."},
    {"gives_frames", T_BOOL, offsetof(Opener, gives_frames), 0,
     "Whether a frame that comes in one segment is handed out as such."},
    {"frames", T_ULONGLONG, offsetof(Opener, frames), READONLY, "Frames handed out as such."},
    {"frame_bytes", T_ULONGLONG, offsetof(Opener, frame_bytes), READONLY, "Bytes in them."},
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

static PyType_Slot opener_slots[] = {
    {Py_tp_new, opener_new},         {Py_tp_dealloc, opener_dealloc},
    {Py_tp_methods, opener_methods}, {Py_tp_members, opener_members},
    {Py_tp_traverse, opener_traverse}, {0, NULL},
};

PyType_Spec opener_spec = {
    .name = "tickseal.native.hotpath.Opener",
    .basicsize = sizeof(Opener),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = opener_slots,
};
