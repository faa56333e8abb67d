// The module machine: what this board has of it. Included by extmod/modmachine.c.

#include "py/mphal.h"

static void mp_machine_idle(void) {
    hal_wait_for_interrupt();
}

static mp_obj_t mp_machine_unique_id(void) {
    static const uint8_t id[] = { 'a', 'n', '3', '8', '5' };
    return mp_obj_new_bytes(id, sizeof(id));
}

static mp_obj_t mp_machine_get_freq(void) {
    return MP_OBJ_NEW_SMALL_INT(25000000);
}

static void mp_machine_set_freq(size_t n_args, const mp_obj_t *args) {
    mp_raise_NotImplementedError(NULL);
}

static void mp_machine_lightsleep(size_t n_args, const mp_obj_t *args) {
    mp_raise_NotImplementedError(NULL);
}

NORETURN static void mp_machine_deepsleep(size_t n_args, const mp_obj_t *args) {
    mp_raise_NotImplementedError(NULL);
}

NORETURN static void mp_machine_reset(void) {
    hal_reset();
}

static mp_int_t mp_machine_reset_cause(void) {
    return 0; // The board does not tell.
}
