// Runs MicroPython as boards do: file system, boot.py, main.py, REPL, and again on a soft reset.

#include "py/cstack.h"
#include "py/gc.h"
#include "py/mphal.h"
#include "py/runtime.h"
#include "shared/readline/readline.h"
#include "shared/runtime/gchelper.h"
#include "shared/runtime/pyexec.h"

// An RP2040 has 264 KB of RAM, of which its MicroPython leaves this much.
#define HEAP_BYTES (192 * 1024)

extern uint32_t _stack_top, _stack_limit;

static char heap[HEAP_BYTES];

static void run_files(void) {
    pyexec_frozen_module("_boot.py", false);
    int result = pyexec_file_if_exists("boot.py");
    if (!(result & PYEXEC_FORCED_EXIT) && result && pyexec_mode_kind == PYEXEC_MODE_FRIENDLY_REPL) {
        result = pyexec_file_if_exists("main.py");
    }
    while (!(result & PYEXEC_FORCED_EXIT)) {
        bool raw = pyexec_mode_kind == PYEXEC_MODE_RAW_REPL;
        result = raw ? pyexec_raw_repl() : pyexec_friendly_repl();
    }
}

int main(void) {
    hal_init();
    mp_cstack_init_with_top(&_stack_top, (char *)&_stack_top - (char *)&_stack_limit);
    gc_init(heap, heap + sizeof(heap));
    for (;;) {
        mp_init();
        mp_obj_list_append(mp_sys_path, MP_OBJ_NEW_QSTR(MP_QSTR__slash_lib));
        readline_init0();
        run_files();
        mp_printf(MP_PYTHON_PRINTER, "MPY: soft reboot\n");
        gc_sweep_all();
        mp_deinit();
    }
}

void gc_collect(void) {
    gc_collect_start();
    gc_helper_collect_regs_and_stack();
    gc_collect_end();
}

void nlr_jump_fail(void *value) {
    (void)value;
    hal_reset();
}
