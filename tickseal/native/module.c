/* tickseal.native.hotpath: seals and opens segments over the system's libcrypto. */
#include "datagrams.h"
#include "segment.h"

PyObject *LocalProtocolError, *ExhaustedError;

static bool fetch_errors(void) {
    PyObject *errors = PyImport_ImportModule("tickseal.core.errors");
    if (errors == NULL)
        return false;
    LocalProtocolError = PyObject_GetAttrString(errors, "LocalProtocolError");
    ExhaustedError = PyObject_GetAttrString(errors, "ExhaustedError");
    Py_DECREF(errors);
    return LocalProtocolError != NULL && ExhaustedError != NULL;
}

static bool add(PyObject *module, const char *name, PyObject *value) {
    bool added = value != NULL && PyModule_AddObjectRef(module, name, value) == 0;
    Py_XDECREF(value);
    return added;
}

/* Both children of a node of the epoch tree: Expand(node, "tree", "left" or "right", 32). */
static PyObject *children(PyObject *module, PyObject *node) {
    (void)module;
    static const uint8_t LEFT[] = "\x00\x20\x0ftickseal/1 tree\x04left\x01";
    static const uint8_t RIGHT[] = "\x00\x20\x0ftickseal/1 tree\x05right\x01";
    char *secret;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(node, &secret, &size) != 0)
        return NULL;
    if (size != SECRET_BYTES)
        return PyErr_Format(PyExc_ValueError, "a node is of 32 bytes, not %zd", size);
    HmacState state;
    uint8_t left[HASH_BYTES], right[HASH_BYTES];
    hmac_start(&state, (const uint8_t *)secret);
    hmac_finish(&state, LEFT, sizeof LEFT - 1, left);
    hmac_finish(&state, RIGHT, sizeof RIGHT - 1, right);
    PyObject *both = Py_BuildValue("(y#y#)", left, (Py_ssize_t)HASH_BYTES, right,
                                   (Py_ssize_t)HASH_BYTES);
    CLEANSE(state);
    CLEANSE(left);
    CLEANSE(right);
    return both;
}

static PyMethodDef methods[] = {
    {"children", children, METH_O, PyDoc_STR("children(node, /)\n--\n\n"
                                             "Return the left and right child of a tree's node.")},
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
    if (fetch_errors() && add(module, "Sealer", PyType_FromSpec(&sealer_spec)) &&
        add(module, "Opener", PyType_FromSpec(&opener_spec)) &&
        add(module, "MESSAGE_STRIDE", PyLong_FromLong(MESSAGE_STRIDE)) &&
        add(module, "SOURCES", PyUnicode_FromString(TICKSEAL_SOURCES)) &&
        add(module, "LIBCRYPTO", PyUnicode_FromString(libcrypto.OpenSSL_version(OPENSSL_VERSION))))
        return module;
    Py_DECREF(module);
    return NULL;
}
