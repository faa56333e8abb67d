#include "tree.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Expand(node, "tree", "left" or "right", 32). */
static const uint8_t LEFT[] = "\x00\x20\x0ftickseal/1 tree\x04left\x01";
static const uint8_t RIGHT[] = "\x00\x20\x0ftickseal/1 tree\x05right\x01";

static uint64_t first_epoch(const Node *node) { return node->index << node->level; }
static uint64_t end_epoch(const Node *node) { return (node->index + 1) << node->level; }

/* Make children of a node, which may be one of them itself; either may be NULL. */
static void split(const Node *node, Node *left, Node *right) {
    HmacState state;
    uint64_t index = 2 * node->index;
    unsigned level = node->level - 1;
    hmac_start(&state, node->secret);
    if (left != NULL) {
        hmac_finish(&state, LEFT, sizeof LEFT - 1, left->secret);
        left->index = index;
        left->level = level;
    }
    if (right != NULL) {
        hmac_finish(&state, RIGHT, sizeof RIGHT - 1, right->secret);
        right->index = index + 1;
        right->level = level;
    }
    CLEANSE(state);
}

static const Node *find(const Walker *self, uint64_t epoch) {
    for (int i = self->count - 1; i >= 0 && epoch >= first_epoch(&self->nodes[i]); i--)
        if (epoch < end_epoch(&self->nodes[i]))
            return &self->nodes[i];
    return NULL;
}

uint64_t walker_start(const Walker *self) {
    return self->count > 0 ? first_epoch(&self->nodes[self->count - 1]) : self->end;
}

const uint8_t *walker_secret(Walker *self, uint64_t epoch) {
    Node *path = self->path;
    /* The way to the last leaf holds for its neighbours, up to where they part. */
    while (self->path_count > 0) {
        Node *last = &path[self->path_count - 1];
        if (last->index == epoch >> last->level)
            break;
        CLEANSE(*last);
        self->path_count--;
    }
    const Node *node = self->path_count > 0 ? &path[self->path_count - 1] : find(self, epoch);
    while (node != NULL && node->level > 0) {
        Node *child = &path[self->path_count++];
        bool is_right = epoch >> (node->level - 1) & 1;
        split(node, is_right ? NULL : child, is_right ? child : NULL);
        node = child;
    }
    return node != NULL ? node->secret : NULL;
}

void walker_puncture(Walker *self, uint64_t epoch) {
    /* An inner node on the path that reaches behind the epoch would undo the erasure. */
    int behind = 0;
    while (behind < self->path_count && first_epoch(&self->path[behind]) < epoch)
        behind++;
    self->path_count -= behind;
    memmove(self->path, self->path + behind, (size_t)self->path_count * sizeof(Node));
    libcrypto.OPENSSL_cleanse(self->path + self->path_count, (size_t)behind * sizeof(Node));

    while (self->count > 0 && first_epoch(&self->nodes[self->count - 1]) < epoch) {
        Node *last = &self->nodes[self->count - 1];
        if (end_epoch(last) <= epoch) {
            CLEANSE(*last);
            self->count--;
            continue;
        }
        Node node = *last;
        bool needs_left = (2 * node.index + 1) << (node.level - 1) > epoch;
        split(&node, needs_left ? last + 1 : NULL, last);
        self->count += needs_left;
        CLEANSE(node);
    }
}

void walker_wipe(Walker *self) {
    CLEANSE(self->path);
    self->path_count = 0;
    libcrypto.OPENSSL_cleanse(self->nodes, (size_t)self->count * sizeof(Node));
    self->count = 0;
}

bool walker_is_free(const Walker *self) {
    if (self->is_busy)
        PyErr_SetString(LocalProtocolError, "another thread is opening with this walker");
    return !self->is_busy;
}

/* Parse an epoch. False: exception set. */
static bool parse_epoch(const Walker *self, PyObject *number, uint64_t *epoch) {
    *epoch = PyLong_AsUnsignedLongLong(number);
    return !PyErr_Occurred() && walker_is_free(self);
}

static PyObject *secret_of(PyObject *object, PyObject *number) {
    uint64_t epoch;
    if (!parse_epoch((Walker *)object, number, &epoch))
        return NULL;
    const uint8_t *secret = walker_secret((Walker *)object, epoch);
    if (secret == NULL)
        return PyErr_Format(PyExc_IndexError, "epoch %S is not held", number);
    return PyBytes_FromStringAndSize((const char *)secret, SECRET_BYTES);
}

static PyObject *take(PyObject *object, PyObject *number) {
    Walker *self = (Walker *)object;
    uint64_t epoch;
    if (!parse_epoch(self, number, &epoch))
        return NULL;
    if (find(self, epoch) == NULL)
        return PyErr_Format(PyExc_IndexError, "epoch %S is not held", number);
    walker_puncture(self, epoch);
    /* What lies on the path may reach the epoch itself, which is taken now. */
    CLEANSE(self->path);
    self->path_count = 0;
    Node *last = &self->nodes[self->count - 1];
    for (; last->level > 0; last++) {
        Node node = *last;
        split(&node, last + 1, last);
        CLEANSE(node);
    }
    PyObject *secret = PyBytes_FromStringAndSize((const char *)last->secret, SECRET_BYTES);
    CLEANSE(*last);
    self->count = (int)(last - self->nodes);
    return secret;
}

static PyObject *puncture(PyObject *object, PyObject *number) {
    uint64_t epoch;
    if (!parse_epoch((Walker *)object, number, &epoch))
        return NULL;
    walker_puncture((Walker *)object, epoch);
    Py_RETURN_NONE;
}

static PyObject *clear(PyObject *object, PyObject *none) {
    (void)none;
    if (!walker_is_free((Walker *)object))
        return NULL;
    walker_wipe((Walker *)object);
    Py_RETURN_NONE;
}

static PyObject *nodes(PyObject *object, PyObject *none) {
    (void)none;
    const Walker *self = (Walker *)object;
    PyObject *list = walker_is_free(self) ? PyList_New(0) : NULL;
    for (int i = self->count - 1; list != NULL && i >= 0; i--) {
        const Node *node = &self->nodes[i];
        PyObject *one = Py_BuildValue("(IKy#)", node->level, (unsigned long long)node->index,
                                      (const char *)node->secret, (Py_ssize_t)SECRET_BYTES);
        if (one == NULL || PyList_Append(list, one) != 0)
            Py_CLEAR(list);
        Py_XDECREF(one);
    }
    return list;
}

/* Take in a node that must follow the one before. False: exception set. */
static bool add_node(Walker *self, Node *place, PyObject *tuple, bool is_first) {
    unsigned long long index;
    const char *secret;
    Py_ssize_t size;
    if (!PyTuple_Check(tuple)) {
        PyErr_SetString(PyExc_TypeError, "a node is a tuple");
        return false;
    }
    if (!PyArg_ParseTuple(tuple, "IKy#", &place->level, &index, &secret, &size))
        return false;
    if (place->level > LEVELS_MOST || index >> (LEVELS_MOST - place->level) || size != 32) {
        PyErr_SetString(PyExc_ValueError, "there is no such node in any tree");
        return false;
    }
    place->index = index;
    memcpy(place->secret, secret, SECRET_BYTES);
    if (!is_first && first_epoch(place) != self->end) {
        PyErr_SetString(LocalProtocolError,
                        "the nodes of a grant must follow each other without gap");
        return false;
    }
    self->end = end_epoch(place);
    return true;
}

static PyObject *walker_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    (void)keywords;
    PyObject *list;
    if (!PyArg_ParseTuple(args, "O!", &PyList_Type, &list))
        return NULL;
    Walker *self = (Walker *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (self == NULL)
        return NULL;
    Py_ssize_t count = PyList_Size(list);
    self->nodes = calloc((size_t)count + LEVELS_MOST, sizeof(Node));
    bool made = self->nodes != NULL && count < INT_MAX - LEVELS_MOST;
    if (!made)
        PyErr_NoMemory();
    self->count = made ? (int)count : 0;
    for (Py_ssize_t i = 0; made && i < count; i++)
        made = add_node(self, &self->nodes[count - 1 - i], PyList_GetItem(list, i), i == 0);
    if (!made)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static void walker_dealloc(PyObject *object) {
    Walker *self = (Walker *)object;
    PyTypeObject *type = Py_TYPE(object);
    if (self->nodes != NULL)
        walker_wipe(self);
    free(self->nodes);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyObject *start(PyObject *object, void *none) {
    (void)none;
    return PyLong_FromUnsignedLongLong(walker_start((Walker *)object));
}

static PyMethodDef methods[] = {
    {"take", take, METH_O, PyDoc_STR("Return an epoch's secret; erase it and all before it.")},
    {"puncture", puncture, METH_O, PyDoc_STR("Erase all before an epoch.")},
    {"secret", secret_of, METH_O, PyDoc_STR("Return an epoch's secret; nothing is erased.")},
    {"nodes", nodes, METH_NOARGS, PyDoc_STR("Return all that is held, ascending: secrets.")},
    {"clear", clear, METH_NOARGS, PyDoc_STR("Erase everything.")},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"end", T_ULONGLONG, offsetof(Walker, end), READONLY,
     "The first epoch beyond what this walker ever covers."},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"start", start, NULL, "The first epoch that can still be derived.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, walker_new},  {Py_tp_dealloc, walker_dealloc}, {Py_tp_methods, methods},
    {Py_tp_members, members}, {Py_tp_getset, getset},          {0, NULL},
};

PyType_Spec walker_spec = {
    .name = "tickseal.native.hotpath.Walker",
    .basicsize = sizeof(Walker),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};
