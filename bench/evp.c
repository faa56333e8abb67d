/* What AES-256-GCM costs over OpenSSL's EVP and nothing else, us: the least that a segment can.
 *
 *     cc -O2 bench/evp.c -o /tmp/evp -l:libcrypto.so.3 && /tmp/evp
 *
 * LD_LIBRARY_PATH chooses another libcrypto.so.3. Declared here, as in tickseal/native, so that no
 * header is needed. */
#include <stdio.h>
#include <time.h>

typedef struct evp_cipher_st EVP_CIPHER;
typedef struct evp_cipher_ctx_st EVP_CIPHER_CTX;
const char *OpenSSL_version(int);
EVP_CIPHER *EVP_CIPHER_fetch(void *, const char *, const char *);
EVP_CIPHER_CTX *EVP_CIPHER_CTX_new(void);
int EVP_CIPHER_CTX_ctrl(EVP_CIPHER_CTX *, int, int, void *);
int EVP_CipherInit_ex(EVP_CIPHER_CTX *, const EVP_CIPHER *, void *, const unsigned char *,
                      const unsigned char *, int);
int EVP_CipherUpdate(EVP_CIPHER_CTX *, unsigned char *, int *, const unsigned char *, int);
int EVP_CipherFinal_ex(EVP_CIPHER_CTX *, unsigned char *, int *);

enum { GET_TAG = 0x10, SET_TAG = 0x11, COUNT = 4000, ROUNDS = 5, AAD_BYTES = 48 };

static double now_us(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

static double measure(const EVP_CIPHER *cipher, int size, int seals, int fresh) {
    static unsigned char in[16384], out[16384 + 16], key[32], nonce[12], tag[16];
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    double best = 1e9;
    int written, last;
    EVP_CipherInit_ex(context, cipher, NULL, key, nonce, seals);
    for (int round = 0; round < ROUNDS; round++) {
        double began = now_us();
        for (int i = 0; i < COUNT; i++) {
            key[0] = nonce[3] = (unsigned char)i;
            if (!seals)
                EVP_CIPHER_CTX_ctrl(context, SET_TAG, sizeof tag, tag);
            EVP_CipherInit_ex(context, NULL, NULL, fresh ? key : NULL, nonce, -1);
            EVP_CipherUpdate(context, NULL, &written, in, AAD_BYTES);
            EVP_CipherUpdate(context, out, &written, in, size);
            EVP_CipherFinal_ex(context, out + written, &last); /* the tag is wrong; it takes as long */
            if (seals)
                EVP_CIPHER_CTX_ctrl(context, GET_TAG, sizeof tag, tag);
        }
        double taken = (now_us() - began) / COUNT;
        best = taken < best ? taken : best;
    }
    return best;
}

int main(void) {
    const int sizes[] = {32, 1200, 16384};
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    printf("%s\n", OpenSSL_version(0));
    for (int i = 0; i < 3; i++)
        for (int seals = 1; seals >= 0; seals--)
            printf("%6d bytes, %s: same key %5.2f us, fresh key %5.2f us\n", sizes[i],
                   seals ? "seal" : "open", measure(cipher, sizes[i], seals, 0),
                   measure(cipher, sizes[i], seals, 1));
    return 0;
}
