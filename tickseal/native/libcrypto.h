/* What the hot path calls of OpenSSL's libcrypto, found at run time by dlopen.
 *
 * The library is the system's, so that the system's updates mend it, and no header of it is needed
 * to build. tests/native compares each line below with OpenSSL's own headers.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct evp_cipher_st EVP_CIPHER;
typedef struct evp_cipher_ctx_st EVP_CIPHER_CTX;
typedef struct engine_st ENGINE;
typedef struct ossl_lib_ctx_st OSSL_LIB_CTX;

/* openssl/sha.h: a state is plain memory, to be copied by assignment and cleansed by its owner.
 * Deprecated, and a third faster here than an EVP_MD_CTX, which lies on the heap besides. */
#ifndef TICKSEAL_NO_SHA256_CTX
typedef struct SHA256state_st {
    unsigned int h[8];
    unsigned int Nl, Nh;
    unsigned int data[16];
    unsigned int num, md_len;
} SHA256_CTX;
#endif

#define EVP_CTRL_AEAD_SET_IVLEN 0x9
#define EVP_CTRL_AEAD_GET_TAG 0x10
#define EVP_CTRL_AEAD_SET_TAG 0x11
#define OPENSSL_VERSION 0

#define LIBCRYPTO_FUNCTIONS(F)                                                                     \
    F(int, SHA256_Init, (SHA256_CTX *))                                                            \
    F(int, SHA256_Update, (SHA256_CTX *, const void *, size_t))                                    \
    F(int, SHA256_Final, (unsigned char *, SHA256_CTX *))                                          \
    F(EVP_CIPHER *, EVP_CIPHER_fetch, (OSSL_LIB_CTX *, const char *, const char *))                \
    F(EVP_CIPHER_CTX *, EVP_CIPHER_CTX_new, (void))                                                \
    F(void, EVP_CIPHER_CTX_free, (EVP_CIPHER_CTX *))                                               \
    F(int, EVP_CIPHER_CTX_ctrl, (EVP_CIPHER_CTX *, int, int, void *))                              \
    F(int, EVP_CipherInit_ex,                                                                      \
      (EVP_CIPHER_CTX *, const EVP_CIPHER *, ENGINE *, const unsigned char *,                      \
       const unsigned char *, int))                                                                \
    F(int, EVP_CipherUpdate,                                                                       \
      (EVP_CIPHER_CTX *, unsigned char *, int *, const unsigned char *, int))                      \
    F(int, EVP_CipherFinal_ex, (EVP_CIPHER_CTX *, unsigned char *, int *))                         \
    F(void, ERR_clear_error, (void))                                                               \
    F(int, CRYPTO_memcmp, (const void *, const void *, size_t))                                    \
    F(void, OPENSSL_cleanse, (void *, size_t))                                                     \
    F(const char *, OpenSSL_version, (int))

typedef struct {
#define DECLARE(result, name, arguments) result(*name) arguments;
    LIBCRYPTO_FUNCTIONS(DECLARE)
#undef DECLARE
} Libcrypto;

/* Complete once libcrypto_load() has returned NULL. */
extern Libcrypto libcrypto;

/* Find the library and all of its functions; returns NULL, or why that failed. */
const char *libcrypto_load(void);
