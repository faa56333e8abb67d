// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * A PTP hardware clock, for tests: /dev/ptpN that can be set, stepped and slewed.
 *
 * The emulated e1000e card shows such a clock too, but in QEMU 7.2 its time stands still. This
 * one starts at the wall clock's time and then runs on the raw monotonic clock, apart from it.
 */
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/ptp_clock_kernel.h>
#include <linux/spinlock.h>

static DEFINE_SPINLOCK(lock);
static u64 raw_then;	/* CLOCK_MONOTONIC_RAW when the clock was last set or slewed */
static u64 time_then;	/* what this clock showed at that moment */
static long scaled_ppm;	/* parts per million << 16 */
static struct ptp_clock *clock;
static struct platform_device *parent;

static u64 now_locked(void)
{
	u64 raw = ktime_get_raw_ns() - raw_then;
	u64 slewed = mul_u64_u64_div_u64(raw, abs(scaled_ppm), 1000000ULL << 16);

	return time_then + raw + (scaled_ppm < 0 ? -slewed : slewed);
}

static void set_locked(u64 ns)
{
	raw_then = ktime_get_raw_ns();
	time_then = ns;
}

static int bench_ptp_adjfine(struct ptp_clock_info *info, long ppm)
{
	unsigned long flags;

	spin_lock_irqsave(&lock, flags);
	set_locked(now_locked());
	scaled_ppm = ppm;
	spin_unlock_irqrestore(&lock, flags);
	return 0;
}

static int bench_ptp_adjtime(struct ptp_clock_info *info, s64 delta)
{
	unsigned long flags;

	spin_lock_irqsave(&lock, flags);
	set_locked(now_locked() + delta);
	spin_unlock_irqrestore(&lock, flags);
	return 0;
}

static int bench_ptp_gettimex64(struct ptp_clock_info *info, struct timespec64 *ts,
				struct ptp_system_timestamp *sts)
{
	unsigned long flags;
	u64 ns;

	spin_lock_irqsave(&lock, flags);
	ptp_read_system_prets(sts);
	ns = now_locked();
	ptp_read_system_postts(sts);
	spin_unlock_irqrestore(&lock, flags);
	*ts = ns_to_timespec64(ns);
	return 0;
}

static int bench_ptp_settime64(struct ptp_clock_info *info, const struct timespec64 *ts)
{
	unsigned long flags;

	spin_lock_irqsave(&lock, flags);
	set_locked(timespec64_to_ns(ts));
	spin_unlock_irqrestore(&lock, flags);
	return 0;
}

static struct ptp_clock_info bench_ptp_info = {
	.owner = THIS_MODULE,
	.name = "bench",
	.max_adj = 100000000,
	.adjfine = bench_ptp_adjfine,
	.adjtime = bench_ptp_adjtime,
	.gettimex64 = bench_ptp_gettimex64,
	.settime64 = bench_ptp_settime64,
};

static int __init bench_ptp_init(void)
{
	parent = platform_device_register_simple("bench_ptp", -1, NULL, 0);
	if (IS_ERR(parent))
		return PTR_ERR(parent);
	set_locked(ktime_get_real_ns());
	clock = ptp_clock_register(&bench_ptp_info, &parent->dev);
	if (IS_ERR_OR_NULL(clock)) {
		platform_device_unregister(parent);
		return clock ? PTR_ERR(clock) : -ENODEV;
	}
	return 0;
}

static void __exit bench_ptp_exit(void)
{
	ptp_clock_unregister(clock);
	platform_device_unregister(parent);
}

module_init(bench_ptp_init);
module_exit(bench_ptp_exit);
MODULE_DESCRIPTION("PTP hardware clock, for tests");
MODULE_LICENSE("GPL");
