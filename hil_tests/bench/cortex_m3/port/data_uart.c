// machine.UART(1): the data cable. Included by extmod/machine_uart.c.

#include "py/mperrno.h"
#include "py/mphal.h"

#define MICROPY_PY_MACHINE_UART_CLASS_CONSTANTS

struct _machine_uart_obj_t {
    mp_obj_base_t base;
    uint16_t timeout_ms;
};

static machine_uart_obj_t data_uart = { { &machine_uart_type }, 0 };

static void mp_machine_uart_print(const mp_print_t *print, mp_obj_t self_in, mp_print_kind_t kind) {
    mp_printf(print, "UART(%d)", HAL_DATA);
}

// A cable made of a pseudo-terminal has no baud rate or format: these are taken and ignored.
static void mp_machine_uart_init_helper(machine_uart_obj_t *self, size_t n_args,
    const mp_obj_t *pos_args, mp_map_t *kw_args) {
    enum { BAUDRATE, BITS, PARITY, STOP, TX, RX, RXBUF, TXBUF, TIMEOUT, TIMEOUT_CHAR };
    static const mp_arg_t allowed[] = {
        { MP_QSTR_baudrate, MP_ARG_INT, { .u_int = 115200 } },
        { MP_QSTR_bits, MP_ARG_INT, { .u_int = 8 } },
        { MP_QSTR_parity, MP_ARG_OBJ, { .u_rom_obj = MP_ROM_NONE } },
        { MP_QSTR_stop, MP_ARG_INT, { .u_int = 1 } },
        { MP_QSTR_tx, MP_ARG_KW_ONLY | MP_ARG_OBJ, { .u_rom_obj = MP_ROM_NONE } },
        { MP_QSTR_rx, MP_ARG_KW_ONLY | MP_ARG_OBJ, { .u_rom_obj = MP_ROM_NONE } },
        { MP_QSTR_rxbuf, MP_ARG_KW_ONLY | MP_ARG_INT, { .u_int = 0 } },
        { MP_QSTR_txbuf, MP_ARG_KW_ONLY | MP_ARG_INT, { .u_int = 0 } },
        { MP_QSTR_timeout, MP_ARG_KW_ONLY | MP_ARG_INT, { .u_int = 0 } },
        { MP_QSTR_timeout_char, MP_ARG_KW_ONLY | MP_ARG_INT, { .u_int = 0 } },
    };
    mp_arg_val_t values[MP_ARRAY_SIZE(allowed)];
    mp_arg_parse_all(n_args, pos_args, kw_args, MP_ARRAY_SIZE(allowed), allowed, values);
    self->timeout_ms = values[TIMEOUT].u_int;
}

static mp_obj_t mp_machine_uart_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw,
    const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 1, MP_OBJ_FUN_ARGS_MAX, true);
    int number = mp_obj_get_int(args[0]);
    if (number != HAL_DATA) {
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("UART(%d) doesn't exist"), number);
    }
    mp_map_t kw_args;
    mp_map_init_fixed_table(&kw_args, n_kw, args + n_args);
    mp_machine_uart_init_helper(&data_uart, n_args - 1, args + 1, &kw_args);
    return MP_OBJ_FROM_PTR(&data_uart);
}

static void mp_machine_uart_deinit(machine_uart_obj_t *self) {
}

static mp_int_t mp_machine_uart_any(machine_uart_obj_t *self) {
    return hal_uart_available(HAL_DATA);
}

static bool mp_machine_uart_txdone(machine_uart_obj_t *self) {
    return hal_uart_can_write(HAL_DATA);
}

static mp_uint_t mp_machine_uart_read(mp_obj_t self_in, void *buffer, mp_uint_t size, int *error) {
    machine_uart_obj_t *self = MP_OBJ_TO_PTR(self_in);
    mp_uint_t start = mp_hal_ticks_ms();
    while (!hal_uart_available(HAL_DATA)) {
        if (mp_hal_ticks_ms() - start >= self->timeout_ms) {
            *error = MP_EAGAIN;
            return MP_STREAM_ERROR;
        }
        mp_event_wait_ms(1);
    }
    return hal_uart_read(HAL_DATA, buffer, size);
}

static mp_uint_t mp_machine_uart_write(mp_obj_t self_in, const void *buffer, mp_uint_t size,
    int *error) {
    mp_uint_t sent = hal_uart_write(HAL_DATA, buffer, size);
    if (sent == 0 && size > 0) {
        *error = MP_EAGAIN;
        return MP_STREAM_ERROR;
    }
    return sent;
}

static mp_uint_t mp_machine_uart_ioctl(mp_obj_t self_in, mp_uint_t request, uintptr_t argument,
    int *error) {
    if (request == MP_STREAM_POLL) {
        uintptr_t ready = 0;
        if ((argument & MP_STREAM_POLL_RD) && hal_uart_available(HAL_DATA)) {
            ready |= MP_STREAM_POLL_RD;
        }
        if ((argument & MP_STREAM_POLL_WR) && hal_uart_can_write(HAL_DATA)) {
            ready |= MP_STREAM_POLL_WR;
        }
        return ready;
    }
    if (request == MP_STREAM_FLUSH) {
        return 0;
    }
    *error = MP_EINVAL;
    return MP_STREAM_ERROR;
}
