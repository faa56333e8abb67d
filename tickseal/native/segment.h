/* What sealer and opener share: a generation's segments as bytes (docs/protocol.md section 5). */
#pragma once

/* The stable ABI of Python 3.11: one build serves every later version. */
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <structmember.h>

#include "aead.h"
#include "keys.h"

enum {
    VERSION = 1, KIND_COMPACT = 8,
    FIRST = 1, LAST = 2, BACKFILL = 4, HOLDOVER = 8, FLAGS_ALL = 15,
    HEADER_MOST = 16, AAD_MOST = HEADER_MOST + CONTEXT_BYTES,
};

/* A call with this much work, about 20 us, does it without the GIL. For less, to get the GIL back
 * from a busy thread takes longer than the work. */
enum { RELEASE_BYTES = 1 << 16 };

/* A generation's form on the wire: checked once, constant from then on. */
typedef struct {
    int suite, compact, every_frame, hash_bytes, segment_bytes, frame_bytes;
    unsigned long long handle, generation; /* their low bits, as many as the header carries */
    size_t head_bytes, overhead_bytes;
    unsigned tick_bits, number_bits;
    uint8_t context[CONTEXT_BYTES];
} Layout;

typedef struct {
    unsigned kind, flags;
    uint64_t tick, number; /* whole; the header carries their low bits */
    uint32_t index;
} Header;

/* Fill a layout from a tuple of its first eight members and the context. False: exception set. */
bool layout_parse(Layout *layout, PyObject *tuple);

/* Write the header at the head of a segment. */
void header_pack(const Layout *layout, const Header *header, uint8_t *segment);

/* Write nonce and additional data, header || C, of a segment whose header is packed; returns the
 * size of the latter. */
int bind_header(const Layout *layout, const Header *header, const uint8_t *packed,
                uint8_t nonce[NONCE_BYTES], uint8_t aad[AAD_MOST]);

/* Whether a METH_FASTCALL call has so many arguments. False: exception set. */
bool has_arguments(Py_ssize_t given, Py_ssize_t least, Py_ssize_t most);

/* What a module of Python holds under a name; NULL with an exception set. */
PyObject *fetch(const char *module, const char *name);

/* Exceptions of tickseal.core.errors. */
extern PyObject *LocalProtocolError, *ExhaustedError;

extern PyType_Spec sealer_spec, opener_spec, walker_spec;
/* The types made of them, and the names of a clock reading's ends. */
extern PyObject *walker_type, *opener_type, *earliest_ns_name, *latest_ns_name;
