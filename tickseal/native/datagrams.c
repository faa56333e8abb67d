/* Neither waits, so neither lets go of the GIL: to get it back from a busy thread takes longer. */
#define _GNU_SOURCE
#include "datagrams.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#ifndef UDP_GRO
#define UDP_GRO 104 /* linux/udp.h, since Linux 5.0 */
#endif

typedef union {
    struct cmsghdr header; /* for its alignment */
    char bytes[CMSG_SPACE(sizeof(int))];
} Control;

/* An address as Python's socket module gives it. */
static PyObject *make_address(const struct sockaddr_storage *from) {
    char host[INET6_ADDRSTRLEN];
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)from;
        inet_ntop(AF_INET, &four->sin_addr, host, sizeof host);
        return Py_BuildValue("(si)", host, ntohs(four->sin_port));
    }
    if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)from;
        inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host);
        return Py_BuildValue("(siII)", host, ntohs(six->sin6_port), ntohl(six->sin6_flowinfo),
                             six->sin6_scope_id);
    }
    return PyErr_Format(PyExc_OSError, "a datagram from address family %d", from->ss_family);
}

/* The size of the datagrams in a message; the last may have less. */
static Py_ssize_t datagram_bytes(struct msghdr *message, Py_ssize_t size) {
    for (struct cmsghdr *one = CMSG_FIRSTHDR(message); one; one = CMSG_NXTHDR(message, one)) {
        int each;
        if (one->cmsg_level != IPPROTO_UDP || one->cmsg_type != UDP_GRO)
            continue;
        memcpy(&each, CMSG_DATA(one), sizeof each);
        if (each > 0)
            return each;
    }
    return size;
}

/* Add the datagrams of a message to a list. False with an exception set. */
static bool add_datagrams(PyObject *found, struct msghdr *message, Py_ssize_t size,
                          PyObject *address) {
    const char *at = message->msg_iov->iov_base, *end = at + size;
    Py_ssize_t each = datagram_bytes(message, size);
    bool added;
    do {
        Py_ssize_t bytes = end - at < each ? end - at : each;
        PyObject *item = PyBytes_FromStringAndSize(at, bytes), *datagram = item;
        if (address != NULL && datagram != NULL) {
            item = PyTuple_Pack(2, datagram, address);
            Py_DECREF(datagram);
        }
        added = item != NULL && PyList_Append(found, item) == 0;
        Py_XDECREF(item);
        at += bytes;
    } while (added && at < end);
    return added;
}

/* Make the list of what has come. */
static PyObject *list_datagrams(struct mmsghdr *messages, int count) {
    PyObject *found = PyList_New(0), *address = NULL;
    bool listed = found != NULL;
    for (int i = 0; listed && i < count; i++) {
        struct msghdr *message = &messages[i].msg_hdr;
        /* Few senders with much to say are common: the address is often that of the one before. */
        if (message->msg_name != NULL &&
            (address == NULL || message->msg_namelen != messages[i - 1].msg_hdr.msg_namelen ||
             memcmp(message->msg_name, messages[i - 1].msg_hdr.msg_name, message->msg_namelen))) {
            Py_XDECREF(address);
            address = make_address(message->msg_name);
            listed = address != NULL;
        }
        listed = listed && add_datagrams(found, message, (Py_ssize_t)messages[i].msg_len, address);
    }
    Py_XDECREF(address);
    if (!listed)
        Py_CLEAR(found);
    return found;
}

PyObject *receive_datagrams(PyObject *module, PyObject *args) {
    (void)module;
    int socket, with_addresses;
    Py_ssize_t most;
    Py_buffer buffer;
    if (!PyArg_ParseTuple(args, "iw*np", &socket, &buffer, &most, &with_addresses))
        return NULL;
    struct mmsghdr messages[MESSAGES_MOST];
    struct iovec parts[MESSAGES_MOST];
    struct sockaddr_storage from[MESSAGES_MOST];
    Control control[MESSAGES_MOST];
    Py_ssize_t room = 0;
    memset(messages, 0, sizeof messages);
    while (room < MESSAGES_MOST && room < most &&
           (room + 1) * MESSAGE_STRIDE <= buffer.len) {
        struct msghdr *message = &messages[room].msg_hdr;
        parts[room].iov_base = (char *)buffer.buf + room * MESSAGE_STRIDE;
        parts[room].iov_len = MESSAGE_BYTES;
        message->msg_iov = &parts[room];
        message->msg_iovlen = 1;
        message->msg_control = control[room].bytes;
        message->msg_controllen = sizeof control[room].bytes;
        if (with_addresses) {
            message->msg_name = &from[room];
            message->msg_namelen = sizeof from[room];
        }
        room++;
    }
    PyObject *found = NULL;
    if (room == 0) {
        PyErr_SetString(PyExc_ValueError, "the buffer has no room for a message");
    } else {
        int count = recvmmsg(socket, messages, (unsigned)room, MSG_DONTWAIT, NULL);
        found = count < 0 ? PyErr_SetFromErrno(PyExc_OSError) : list_datagrams(messages, count);
    }
    PyBuffer_Release(&buffer);
    return found;
}

PyObject *send_datagrams(PyObject *module, PyObject *args) {
    (void)module;
    int socket;
    PyObject *segments;
    if (!PyArg_ParseTuple(args, "iO!", &socket, &PyList_Type, &segments))
        return NULL;
    struct mmsghdr messages[MESSAGES_MOST];
    struct iovec parts[MESSAGES_MOST];
    Py_ssize_t count = 0;
    memset(messages, 0, sizeof messages);
    for (; count < MESSAGES_MOST && count < PyList_Size(segments); count++) {
        char *bytes;
        Py_ssize_t size;
        if (PyBytes_AsStringAndSize(PyList_GetItem(segments, count), &bytes, &size) != 0)
            return NULL;
        parts[count].iov_base = bytes;
        parts[count].iov_len = (size_t)size;
        messages[count].msg_hdr.msg_iov = &parts[count];
        messages[count].msg_hdr.msg_iovlen = 1;
    }
    if (count == 0)
        return PyLong_FromLong(0);
    int sent = sendmmsg(socket, messages, (unsigned)count, MSG_DONTWAIT);
    return sent < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromLong(sent);
}
