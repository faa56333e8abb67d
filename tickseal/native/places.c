/* by_place(segments, places): see tickseal.streams.receiving, which says what comes back. */
#include "segment.h"

enum { PLACE_FROM = 2, PLACE_BYTES = 5 }; /* generation and handle in the standard header */

/* What a segment's header names of generation and handle, or None where it is of another version.
 * NULL with an exception set. */
static PyObject *place_of(PyObject *segment) {
    PyObject *bytes = PyBytes_FromObject(segment), *place = Py_None;
    if (bytes == NULL)
        return NULL;
    const char *head = PyBytes_AsString(bytes);
    if (PyBytes_Size(bytes) >= HEADER_MOST && ((uint8_t)head[0] ^ VERSION << 4) <= 1)
        place = PyBytes_FromStringAndSize(head + PLACE_FROM, PLACE_BYTES);
    else
        Py_INCREF(place);
    Py_DECREF(bytes);
    return place;
}

/* Put a segment into the run of its place, or with the strangers. False: exception set. */
static bool sort(PyObject *segment, PyObject *places, PyObject *runs, PyObject *strangers) {
    PyObject *place = place_of(segment), *run = strangers;
    int is_held = place != NULL ? PyDict_Contains(places, place) : -1;
    if (is_held > 0 && (run = PyDict_GetItemWithError(runs, place)) == NULL) {
        PyObject *begun = PyErr_Occurred() ? NULL : PyList_New(0);
        if (begun != NULL && PyDict_SetItem(runs, place, begun) == 0)
            run = begun; /* the dict's */
        Py_XDECREF(begun);
    }
    Py_XDECREF(place);
    return is_held >= 0 && run != NULL && PyList_Append(run, segment) == 0;
}

PyObject *by_place(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *given, *places;
    if (!PyArg_ParseTuple(args, "OO!", &given, &PyDict_Type, &places))
        return NULL;
    PyObject *segments = PySequence_List(given), *both = NULL;
    PyObject *runs = PyDict_New(), *strangers = PyList_New(0);
    bool sorted = segments != NULL && runs != NULL && strangers != NULL;
    for (Py_ssize_t i = 0; sorted && i < PyList_Size(segments); i++)
        sorted = sort(PyList_GetItem(segments, i), places, runs, strangers);
    if (sorted)
        both = PyTuple_Pack(2, runs, strangers);
    Py_XDECREF(segments);
    Py_XDECREF(runs);
    Py_XDECREF(strangers);
    return both;
}
