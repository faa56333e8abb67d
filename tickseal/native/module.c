/* tickseal.native.hotpath: seals and opens segments over the system's libcrypto. */
#include "datagrams.h"
#include "segment.h"

PyObject *LocalProtocolError, *ExhaustedError;
PyObject *walker_type, *earliest_ns_name, *latest_ns_name;

static bool add(PyObject *module, const char *name, PyObject *value) {
    bool added = value != NULL && PyModule_AddObjectRef(module, name, value) == 0;
    Py_XDECREF(value);
    return added;
}

static PyMethodDef methods[] = {
    {"by_place", by_place, METH_VARARGS,
     PyDoc_STR("by_place(segments, places, /)\n--\n\nSort a batch; see tickseal.streams.receiving.")},
    {"receive_datagrams", receive_datagrams, METH_VARARGS,
     PyDoc_STR("receive_datagrams(socket, buffer, messages, with_addresses, /)\n--\n\n"
               "Return the datagrams that are there, of so many messages at most.")},
    {"send_datagrams", send_datagrams, METH_VARARGS,
     PyDoc_STR("send_datagrams(socket, datagrams, /)\n--\n\n"
               "Send a list of bytes from a connected socket; return how many were taken.")},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "tickseal.native.hotpath",
    .m_doc = PyDoc_STR("Seals and opens segments over the system's libcrypto."),
    .m_methods = methods,
    .m_size = -1, /* one state for the process, as libcrypto is one */
};

/* Set by hatch_build.py: a digest of the sources, by which a stale build is told. */
#ifndef TICKSEAL_SOURCES
#define TICKSEAL_SOURCES ""
#endif

PyMODINIT_FUNC PyInit_hotpath(void) {
    const char *missing = libcrypto_load();
    if (missing == NULL)
        missing = aead_load();
    if (missing != NULL) {
        PyErr_SetString(PyExc_ImportError, missing);
        return NULL;
    }
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL)
        return NULL;
    walker_type = PyType_FromSpec(&walker_spec);
    earliest_ns_name = PyUnicode_InternFromString("earliest_ns");
    latest_ns_name = PyUnicode_InternFromString("latest_ns");
    LocalProtocolError = fetch("tickseal.core.errors", "LocalProtocolError");
    ExhaustedError = fetch("tickseal.core.errors", "ExhaustedError");
    if (LocalProtocolError != NULL && ExhaustedError != NULL && walker_type != NULL &&
        earliest_ns_name != NULL && latest_ns_name != NULL &&
        PyModule_AddObjectRef(module, "Walker", walker_type) == 0 &&
        add(module, "Sealer", PyType_FromSpec(&sealer_spec)) &&
        add(module, "Opener", PyType_FromSpec(&opener_spec)) &&
        add(module, "MESSAGE_STRIDE", PyLong_FromLong(MESSAGE_STRIDE)) &&
        add(module, "SOURCES", PyUnicode_FromString(TICKSEAL_SOURCES)) &&
        add(module, "LIBCRYPTO", PyUnicode_FromString(libcrypto.OpenSSL_version(OPENSSL_VERSION))))
        return module;
    Py_DECREF(module);
    return NULL;
}
