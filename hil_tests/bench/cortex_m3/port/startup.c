// From reset to main, and from a fault to reset. Source: Armv7-M ARM B1.5.

#include "py/mphal.h"

extern uint32_t _stack_top, _bss_start, _bss_end;

int main(void);
void SysTick_Handler(void);
void Uart0_Handler(void);
void Uart1_Handler(void);

// The emulator loads code and data again at each reset: only what begins as zero is left to do.
void Reset_Handler(void) {
    for (uint32_t *word = &_bss_start; word < &_bss_end; ++word) {
        *word = 0;
    }
    main();
    hal_reset();
}

static void Fault_Handler(void) {
    static const char message[] = "\r\nfault: the board resets\r\n";
    hal_uart_write(HAL_REPL, (const uint8_t *)message, sizeof(message) - 1);
    hal_reset();
}

typedef void (*handler_t)(void);

__attribute__((section(".vectors"), used)) static const handler_t vectors[] = {
    (handler_t)&_stack_top,
    Reset_Handler,
    [2] = Fault_Handler, // NMI
    [3] = Fault_Handler, // HardFault
    [4] = Fault_Handler, // MemManage
    [5] = Fault_Handler, // BusFault
    [6] = Fault_Handler, // UsageFault
    [11] = Fault_Handler, // SVCall
    [14] = Fault_Handler, // PendSV
    [15] = SysTick_Handler,
    [16 + 0] = Uart0_Handler,
    [16 + 2] = Uart1_Handler,
};
