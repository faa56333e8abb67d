/* by_place(segments, places): see tickseal.receiving, which says what comes back. */
#include "segment.h"

#include <string.h>

enum { PLACE_FROM = 2, PLACE_BYTES = 5 }; /* generation and handle in the standard header */

/* What a segment's header names of generation and handle, or None where it is of another version.
 * NULL with an exception set. */
static PyObject *place_of(PyObject *segment) {
    Py_buffer view;
    if (PyObject_GetBuffer(segment, &view, PyBUF_SIMPLE) != 0)
        return NULL;
    const uint8_t *head = view.buf;
    PyObject *place = Py_None;
    if (view.len >= HEADER_MOST && (head[0] ^ VERSION << 4) <= 1)
        place = PyBytes_FromStringAndSize((const char *)head + PLACE_FROM, PLACE_BYTES);
    else
        Py_INCREF(place);
    PyBuffer_Release(&view);
    return place;
}

/* Append a segment to the run of its place, which is begun where there is none. False: exception
 * set. */
static bool add_to_run(PyObject *found, PyObject *runs, PyObject *place, PyObject *held,
                       PyObject *segment) {
    PyObject *run = PyDict_GetItemWithError(runs, place);
    if (run != NULL)
        return PyList_Append(run, segment) == 0;
    PyObject *both = PyErr_Occurred() ? NULL : Py_BuildValue("(O[O])", held, segment);
    bool added = both != NULL && PyDict_SetItem(runs, place, PyTuple_GetItem(both, 1)) == 0 &&
                 PyList_Append(found, both) == 0;
    Py_XDECREF(both);
    return added;
}

PyObject *by_place(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *given, *places;
    if (!PyArg_ParseTuple(args, "OO!", &given, &PyDict_Type, &places))
        return NULL;
    PyObject *segments = PySequence_List(given), *runs = PyDict_New();
    PyObject *found = PyList_New(0), *strangers = PyList_New(0), *both = NULL;
    bool sorted = segments != NULL && runs != NULL && found != NULL && strangers != NULL;
    for (Py_ssize_t i = 0; sorted && i < PyList_Size(segments); i++) {
        PyObject *segment = PyList_GetItem(segments, i), *place = place_of(segment);
        PyObject *held = place != NULL ? PyDict_GetItemWithError(places, place) : NULL;
        if (held != NULL)
            sorted = add_to_run(found, runs, place, held, segment);
        else
            sorted = !PyErr_Occurred() && PyList_Append(strangers, segment) == 0;
        Py_XDECREF(place);
    }
    if (sorted)
        both = PyTuple_Pack(2, found, strangers);
    Py_XDECREF(segments);
    Py_XDECREF(runs);
    Py_XDECREF(found);
    Py_XDECREF(strangers);
    return both;
}
