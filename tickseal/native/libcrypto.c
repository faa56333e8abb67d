#include "libcrypto.h"

#include <dlfcn.h>
#include <string.h>

Libcrypto libcrypto;

/* The only ABI for which the declarations hold. */
#define LIBRARY "libcrypto.so.3"

const char *libcrypto_load(void) {
    /* Never closed: its functions are in use until the process ends. */
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return "the system has no " LIBRARY " (Debian: libssl3, OpenSSL 3)";
    void *found;
    /* ISO C casts no object's pointer to a function's; POSIX promises that the bytes are the same. */
#define FIND(result, name, arguments)                                                              \
    found = dlsym(library, #name);                                                                 \
    if (found == NULL)                                                                             \
        return LIBRARY " has no " #name;                                                           \
    memcpy(&libcrypto.name, &found, sizeof found);
    LIBCRYPTO_FUNCTIONS(FIND)
#undef FIND
    return NULL;
}
