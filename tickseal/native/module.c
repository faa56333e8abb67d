/* tickseal.native.hotpath: seals and opens segments over the system's libcrypto. */
#include "datagrams.h"
#include "opener.h"

PyObject *LocalProtocolError, *ExhaustedError;
PyObject *walker_type, *opener_type, *earliest_ns_name, *latest_ns_name;

static bool add(PyObject *module, const char *name, PyObject *value) {
    bool added = value != NULL && PyModule_AddObjectRef(module, name, value) == 0;
    Py_XDECREF(value);
    return added;
}

static PyMethodDef methods[] = {
    {"open_frames", (PyCFunction)(void (*)(void))open_frames, METH_FASTCALL,
     PyDoc_STR("open_frames(segments, openers, now, /)\n--\n\n"
               "Open segments of many generations; see tickseal.streams.opening.")},
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
    opener_type = PyType_FromSpec(&opener_spec);
    earliest_ns_name = PyUnicode_InternFromString("earliest_ns");
    latest_ns_name = PyUnicode_InternFromString("latest_ns");
    LocalProtocolError = fetch("tickseal.core.errors", "LocalProtocolError");
    ExhaustedError = fetch("tickseal.core.errors", "ExhaustedError");
    if (LocalProtocolError != NULL && ExhaustedError != NULL && walker_type != NULL &&
        opener_type != NULL && earliest_ns_name != NULL && latest_ns_name != NULL &&
        PyModule_AddObjectRef(module, "Walker", walker_type) == 0 &&
        add(module, "Sealer", PyType_FromSpec(&sealer_spec)) &&
        PyModule_AddObjectRef(module, "Opener", opener_type) == 0 &&
        add(module, "MESSAGE_STRIDE", PyLong_FromLong(MESSAGE_STRIDE)) &&
        add(module, "SOURCES", PyUnicode_FromString(TICKSEAL_SOURCES)) &&
        add(module, "LIBCRYPTO", PyUnicode_FromString(libcrypto.OpenSSL_version(OPENSSL_VERSION))))
        return module;
    Py_DECREF(module);
    return NULL;
}
