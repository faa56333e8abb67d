// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * An I2C bus of register devices, for tests.
 *
 * The kernel's own i2c-stub speaks SMBus alone; drivers that write and read plain I2C messages
 * (all of Blinka's do) are refused by it. Here a device is a file of registers: the first byte
 * written names a register, the bytes that follow are stored, and a read starts at the register
 * named last and leaves it named. The width of a register in bytes is 1, or 2 for the likes of
 * the ADS1115.
 *
 *	modprobe bench_i2c nr=1 chip_addr=0x76,0x48 width=1,2
 *
 * chip_addr may be rewritten at any time: an address taken away no longer acknowledges, and finds
 * its registers as they were when it comes back.
 */
#include <linux/i2c.h>
#include <linux/module.h>

#define MAX_CHIPS 16
#define STORE_BYTES 512

static int nr = 1;
module_param(nr, int, 0444);
MODULE_PARM_DESC(nr, "number of the bus, as in /dev/i2c-N");

static ushort chip_addr[MAX_CHIPS];
static int chips;
module_param_array(chip_addr, ushort, &chips, 0644);
MODULE_PARM_DESC(chip_addr, "addresses that acknowledge");

static ushort width[MAX_CHIPS] = { [0 ... MAX_CHIPS - 1] = 1 };
module_param_array(width, ushort, NULL, 0444);
MODULE_PARM_DESC(width, "bytes in a register of each of the first addresses, 1 or 2");

static struct {
	u8 store[STORE_BYTES];
	unsigned int start; /* of the register named last */
	unsigned int width;
} devices[128];

static bool is_present(u16 addr)
{
	int i;

	kernel_param_lock(THIS_MODULE);
	for (i = 0; i < chips; i++)
		if (chip_addr[i] == addr)
			break;
	i = i < chips;
	kernel_param_unlock(THIS_MODULE);
	return i;
}

static int bench_i2c_xfer(struct i2c_adapter *adapter, struct i2c_msg *msgs, int num)
{
	int i, n;

	for (i = 0; i < num; i++) {
		struct i2c_msg *msg = &msgs[i];

		if (msg->addr > 0x7f || !is_present(msg->addr))
			return -ENXIO;
		typeof(devices[0]) *device = &devices[msg->addr];

		if (!(msg->flags & I2C_M_RD) && msg->len)
			device->start = msg->buf[0] * device->width;
		for (n = 0; n < msg->len; n++) {
			if (msg->flags & I2C_M_RD)
				msg->buf[n] = device->store[(device->start + n) % STORE_BYTES];
			else if (n > 0)
				device->store[(device->start + n - 1) % STORE_BYTES] = msg->buf[n];
		}
	}
	return num;
}

static u32 bench_i2c_functionality(struct i2c_adapter *adapter)
{
	return I2C_FUNC_I2C | I2C_FUNC_SMBUS_EMUL;
}

static const struct i2c_algorithm bench_i2c_algorithm = {
	.xfer = bench_i2c_xfer,
	.functionality = bench_i2c_functionality,
};

static struct i2c_adapter bench_i2c_adapter = {
	.owner = THIS_MODULE,
	.algo = &bench_i2c_algorithm,
	.name = "bench I2C bus",
};

static int __init bench_i2c_init(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(devices); i++)
		devices[i].width = 1;
	for (i = 0; i < chips; i++) {
		if (chip_addr[i] > 0x7f || width[i] < 1 || width[i] > 2)
			return -EINVAL;
		devices[chip_addr[i]].width = width[i];
	}
	bench_i2c_adapter.nr = nr;
	return i2c_add_numbered_adapter(&bench_i2c_adapter);
}

static void __exit bench_i2c_exit(void)
{
	i2c_del_adapter(&bench_i2c_adapter);
}

module_init(bench_i2c_init);
module_exit(bench_i2c_exit);
MODULE_DESCRIPTION("I2C bus of register devices, for tests");
MODULE_LICENSE("GPL");
