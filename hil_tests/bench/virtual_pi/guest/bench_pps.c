// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * A pulse per second, for tests: /dev/ppsN whose edges do not follow the wall clock.
 *
 * When loaded, the edges fall on the wall clock's whole seconds. From then on they follow the
 * monotonic clock, as a GPS receiver goes its own way: a test that steps the wall clock sees the
 * edges stay where they were. An edge is stamped with the moment at which it was due, as a latch in
 * hardware does it, however late an emulated processor gets to it.
 *
 *	/sys/module/bench_pps/parameters/offset_ns	moves the edges (a receiver that lies)
 *	/sys/module/bench_pps/parameters/enabled	0: no edges (an antenna unplugged)
 */
#include <linux/hrtimer.h>
#include <linux/module.h>
#include <linux/pps_kernel.h>

static long offset_ns;
module_param(offset_ns, long, 0644);
MODULE_PARM_DESC(offset_ns, "how late the edges are");

static bool enabled = true;
module_param(enabled, bool, 0644);
MODULE_PARM_DESC(enabled, "whether there are edges");

static struct pps_device *pps;
static struct hrtimer timer;
static ktime_t second; /* monotonic; the last true edge */

static enum hrtimer_restart bench_pps_edge(struct hrtimer *edge)
{
	struct pps_event_time stamp;

	pps_get_ts(&stamp);
	stamp.ts_real = ktime_to_timespec64(ktime_mono_to_real(hrtimer_get_expires(edge)));
	if (READ_ONCE(enabled))
		pps_event(pps, &stamp, PPS_CAPTUREASSERT, NULL);
	do
		second = ktime_add_ns(second, NSEC_PER_SEC);
	while (ktime_before(ktime_add_ns(second, READ_ONCE(offset_ns)), ktime_get()));
	hrtimer_set_expires(edge, ktime_add_ns(second, READ_ONCE(offset_ns)));
	return HRTIMER_RESTART;
}

static struct pps_source_info bench_pps_info = {
	.name = "bench",
	.mode = PPS_CAPTUREASSERT | PPS_OFFSETASSERT | PPS_CANWAIT | PPS_TSFMT_TSPEC,
	.owner = THIS_MODULE,
};

static int __init bench_pps_init(void)
{
	ktime_t wall;

	pps = pps_register_source(&bench_pps_info, PPS_CAPTUREASSERT | PPS_OFFSETASSERT);
	if (IS_ERR(pps))
		return PTR_ERR(pps);
	wall = ktime_get_real();
	second = ktime_sub(ktime_get(), ktime_sub(wall, (wall / NSEC_PER_SEC + 1) * NSEC_PER_SEC));
	hrtimer_init(&timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS);
	timer.function = bench_pps_edge;
	hrtimer_start(&timer, second, HRTIMER_MODE_ABS);
	return 0;
}

static void __exit bench_pps_exit(void)
{
	hrtimer_cancel(&timer);
	pps_unregister_source(pps);
}

module_init(bench_pps_init);
module_exit(bench_pps_exit);
MODULE_DESCRIPTION("Pulse per second that keeps its own time, for tests");
MODULE_LICENSE("GPL");
