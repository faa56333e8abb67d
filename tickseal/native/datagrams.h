/* Many datagrams to a system call: recvmmsg and sendmmsg of Linux. */
#pragma once

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Messages to a call. One holds a datagram, or as many as the kernel has coalesced (UDP GRO). */
enum { MESSAGES_MOST = 32, MESSAGE_BYTES = 1 << 16 };

/* Messages begin so far apart in the caller's buffer: were it a power of two, all of them would
 * share the same few lines of the processor's cache. */
enum { MESSAGE_STRIDE = MESSAGE_BYTES + 21 * 64 };

/* receive_datagrams(socket, buffer, most messages, with_addresses): a list of bytes, or of
 * (bytes, address). */
PyObject *receive_datagrams(PyObject *module, PyObject *args);

/* send_datagrams(socket, list of bytes): how many of them, at least one, the kernel took. */
PyObject *send_datagrams(PyObject *module, PyObject *args);
